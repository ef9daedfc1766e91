"""Options that several commands take: how they are declared, and how what was typed is read."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.formats.yolo_data import read_names
from inpaint_transform.datasets.templates import PROMPT, Templates, check_prompt

if TYPE_CHECKING:
    from inpaint_transform.core.swaps import Swap
    from inpaint_transform.gates import Gate

Source = Annotated[
    Path, typer.Argument(metavar="SRC", help="A data set's folder; with --boxes a picture or a folder of pictures.")
]
Format = Annotated[BoxFormat, typer.Option("--format", help="How the boxes of SRC are written down.")]
Boxes = Annotated[
    Path | None,
    typer.Option("--boxes", help="Label file or folder of label files; for coco the JSON file. Default: found in SRC."),
]

Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help="What to paint: for every label, or LABEL=PROMPT for one (=PROMPT where the prompt itself holds '='). "
        "Repeat it for several, one of which is taken for each painting. With LABEL=PROMPT only, other labels are left "
        "alone. Default: 'a photo of a {label}'; {a_label} puts a or an before it.",
    ),
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="LABEL", help="Paint this label only. Repeatable.")]
Swaps = Annotated[
    list[str] | None,
    typer.Option(
        "--swap",
        metavar="OLD=NEW[,NEW...]",
        help="Paint boxes of one class as another, drawn from the list; their new label is NEW. Repeatable. Only the "
        "classes that are swapped are painted, unless --only says otherwise; {label} is the new one.",
    ),
]
Budget = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="LABEL=N", help="Paint at most N boxes of this label. Repeatable."),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="NAME[:FIELD=VALUE,...]",
        help="Who judges what was painted: change, fill or clip, e.g. fill:min_fill=0.5 or clip:model=tiny,"
        "min_margin=0.1. Repeat it for several, all of which must accept. clip takes the class names as words.",
    ),
]
Retries = Annotated[int, typer.Option(min=0, help="New seeds for what is rejected.")]


def read_class_names(names: str | None, box_format: BoxFormat | None) -> dict[int, str] | None:
    """The class names that were typed, by id, or None.

    Raises:
        BadParameter: They are given for another format than YOLO.
        ValueError: They cannot be read.
    """
    if names is None:
        return None
    if box_format is not BoxFormat.YOLO:
        raise typer.BadParameter(
            "--names is for --format yolo; files of other formats hold their class names themselves"
        )
    return read_names(names)


def read_prompts(texts: Iterable[str]) -> Templates:
    """Sort prompts as they are typed: ``a red {label}`` for every label, ``cone=a blue cube`` for one.

    What stands before the first ``=`` is a label unless it holds a slot; whether there is such a label, whoever paints
    checks. A prompt for every label that holds ``=`` begins with one: ``=a sign that says E=mc2``.

    Args:
        texts: What was typed; without any, every label is painted as a photo of itself.

    Raises:
        ValueError: A prompt is empty or has a slot other than ``{label}`` and ``{a_label}``.
    """
    templates: dict[str | None, list[str]] = {}
    for text in texts or (PROMPT,):
        label, equals, template = text.partition("=")
        own = bool(equals) and "{" not in label
        chosen = template.strip() if own else text.strip()
        check_prompt(chosen, text)
        templates.setdefault((label.strip() or None) if own else None, []).append(chosen)
    return templates


def read_swaps(texts: Iterable[str]) -> "Swap | None":
    """Read swaps as they are typed: ``cone=cube,ball`` draws one of the two for each cone; None without any.

    Raises:
        ValueError: One is not a label and the labels that it may become.
    """
    from inpaint_transform.core.swaps import Swap

    targets: dict[str, list[str]] = {}
    for text in texts:
        old, _, new = text.partition("=")
        names = [name.strip() for name in new.split(",")]
        if not old.strip() or not all(names):
            raise ValueError(f"swap {text!r}: give OLD=NEW or OLD=NEW,NEW, for instance cone=cube")
        targets.setdefault(old.strip(), []).extend(names)
    return Swap(targets) if targets else None


def read_budget(texts: Iterable[str]) -> dict[str, int]:
    """Read budgets as they are typed: ``cone=200``.

    Raises:
        ValueError: One is not a label and a count.
    """
    budget = {}
    for text in texts:
        label, _, count = text.rpartition("=")
        if not label.strip() or not count.strip().isdecimal():
            raise ValueError(f"budget {text!r}: give LABEL=N, for instance cone=200")
        budget[label.strip()] = int(count)
    return budget


def read_splits(texts: Iterable[str]) -> dict[str, str]:
    """Read splits as they are typed: ``dev=val`` says that the folder ``dev`` is for validation.

    Raises:
        ValueError: One is not a folder and a split.
    """
    from inpaint_transform.datasets.splits import SPLITS

    splits = {}
    for text in texts:
        name, _, split = text.rpartition("=")
        name = name.strip().strip("/")
        if not name or split.strip() not in SPLITS:
            raise ValueError(f"split {text!r}: give NAME=SPLIT, SPLIT one of {', '.join(SPLITS)}, for instance dev=val")
        splits[name] = split.strip()
    return splits


def read_numbers(text: str, name: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    """Read ``"0,2,4"``: each number once, the smallest first.

    Raises:
        ValueError: Something between the commas is no number.
    """
    try:
        return tuple(sorted({kind(part) for part in text.split(",")}))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name}={text!r}: give {what} with commas between, e.g. 0,1") from None


def read_gates(texts: Iterable[str]) -> "Gate | None":
    """Read gates as they are typed: ``fill:min_fill=0.5``; None without any.

    Raises:
        ValueError: One is not a gate and its fields.
    """
    from inpaint_transform.gates import gate_of

    gates = []
    for text in texts:
        name, _, fields = text.partition(":")
        gate: dict[str, object] = {"gate": name.strip()}
        for entry in filter(None, fields.split(",")):
            key, equals, value = entry.partition("=")
            if not equals or key.strip() in gate:
                raise ValueError(f"--gate {text}: give NAME:FIELD=VALUE, each once, for instance fill:min_fill=0.5")
            gate[key.strip()] = _number_or_text(value.strip())
        try:
            gates.append(gate_of(gate))
        except ValueError as error:
            raise ValueError(f"--gate {text}: {error}") from error
    return gate_of(gates or None)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def png(path: Path) -> Path:
    """Refuse an output that could not be written, before anything is painted."""
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path} does not end in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


def _html_or_png(path: Path) -> Path:
    if path.suffix.lower() not in (".html", ".png"):
        raise typer.BadParameter(f"{path} ends neither in .html nor in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{path} cannot be written: {path.parent} is not a folder")
    return path


PageOrSheet = Annotated[
    Path, typer.Option(help="Page (.html) or sheet of pictures (.png) to write.", callback=_html_or_png)
]
Out = Annotated[Path, typer.Option(help="PNG file to write.", callback=png)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps. Default: the model's.")]
Strength = Annotated[float, typer.Option(help="How far to leave the old pixels, in (0, 1].")]
Context = Annotated[float, typer.Option(min=1, help="Side of what the model sees over the box's longer side.")]
MinBoxSize = Annotated[int, typer.Option(min=0, help="Boxes with a shorter side (pixels) are left alone.")]
Model = Annotated[str, typer.Option(help="Preset, hub id, diffusers folder or .safetensors file.")]
Names = Annotated[
    str | None,
    typer.Option(
        help="YOLO class names: data.yaml, a file with one a line, or a,b,c. Default: found beside the labels."
    ),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="NAME=SPLIT",
        help="The split (train, val or test) of a folder, where neither its name nor the data set itself says it; it "
        "counts more than both. Repeatable.",
    ),
]
Clip = Annotated[
    bool, typer.Option("--clip", help="Cut boxes off at the picture's edge, however far they reach beyond.")
]
Guidance = Annotated[float | None, typer.Option(min=0, help="Weight of the prompt. Default: the model's.")]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Settings that the library refuses are usage errors, like those that the command line refuses by itself."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
