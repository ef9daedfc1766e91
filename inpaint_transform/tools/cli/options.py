"""Options that several commands take, and how settings that the library refuses are told."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from inpaint_transform.gates import Gate


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
Model = Annotated[str, typer.Option(help="Preset, hub id or diffusers folder.")]
Names = Annotated[
    str | None,
    typer.Option(help="YOLO class names: data.yaml, classes.txt or a,b,c. Default: found beside the labels."),
]
Guidance = Annotated[float | None, typer.Option(min=0, help="Weight of the prompt. Default: the model's.")]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Settings that the library refuses are usage errors, like those that the command line refuses by itself."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
