"""What was typed, read: prompts, swaps, attributes, gates, budgets, splits, numbers and class names."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import typer

from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.formats.yolo_data import read_names
from inpaint_transform.datasets.templates import PROMPT, Templates, check_prompt

if TYPE_CHECKING:
    from inpaint_transform.core.swaps import Swap
    from inpaint_transform.gates import Gate


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


def read_prompts(texts: Iterable[str], attributes: Collection[str] | None = None) -> Templates:
    """Sort prompts as they are typed: ``a red {label}`` for every label, ``cone=a blue cube`` for one.

    What stands before the first ``=`` is a label unless it holds a slot; whether there is such a label, whoever paints
    checks. A prompt for every label that holds ``=`` begins with one: ``=a sign that says E=mc2``.

    Args:
        texts: What was typed; without any, every label is painted as a photo of itself.
        attributes: The slots that have values; None where there can be none.

    Raises:
        ValueError: A prompt is empty, or has a slot that nothing fills.
    """
    templates: dict[str | None, list[str]] = {}
    for text in texts or (PROMPT,):
        label, equals, template = text.partition("=")
        own = bool(equals) and "{" not in label
        chosen = template.strip() if own else text.strip()
        check_prompt(chosen, text, attributes)
        templates.setdefault((label.strip() or None) if own else None, []).append(chosen)
    return templates


def read_attributes(texts: Iterable[str]) -> dict[str, list[str]]:
    """Read the values of prompt slots as they are typed: ``color=red,blue``.

    Raises:
        ValueError: One is not a slot and its values.
    """
    return _lists(
        texts, str.isidentifier, "attribute {!r}: give NAME=VALUE or NAME=VALUE,VALUE, for instance color=red,blue"
    )


def read_references(texts: Iterable[str]) -> dict[str, list[str]]:
    """Read reference pictures as they are typed: ``police car=a.jpg,b.jpg``.

    Raises:
        ValueError: One is not a label and its files.
    """
    return _lists(texts, bool, "reference {!r}: give LABEL=FILE or LABEL=FILE,FILE, for instance cone=a.jpg,b.jpg")


def read_loras(texts: Iterable[str]) -> list[tuple[str, float]]:
    """Read LoRAs as they are typed: ``style.safetensors`` or ``style.safetensors:0.6``.

    What stands behind the last colon is a weight if it is a number, so a drive's letter is none.
    """
    loras = []
    for text in texts:
        place, _, weight = text.rpartition(":")
        number = _number_or_text(weight)
        loras.append((place, number) if place and isinstance(number, float) else (text, 1.0))
    return loras


def read_words(texts: Iterable[str]) -> dict[str, str]:
    """Read words of textual inversion as they are typed: ``<my-cone>=cone.safetensors``.

    Raises:
        ValueError: One is not a word and its place.
    """
    words = {}
    for text in texts:
        word, _, place = text.partition("=")
        if not word.strip() or not place.strip():
            raise ValueError(f"textual inversion {text!r}: give WORD=PLACE, for instance '<my-cone>=cone.safetensors'")
        words[word.strip()] = place.strip()
    return words


def read_swaps(texts: Iterable[str]) -> "Swap | None":
    """Read swaps as they are typed: ``cone=cube,ball`` draws one of the two for each cone; None without any.

    Raises:
        ValueError: One is not a label and the labels that it may become.
    """
    from inpaint_transform.core.swaps import Swap

    targets = _lists(texts, bool, "swap {!r}: give OLD=NEW or OLD=NEW,NEW, for instance cone=cube")
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


def _lists(texts: Iterable[str], fits: Callable[[str], bool], usage: str) -> dict[str, list[str]]:
    """Read ``name=value,value``; what is typed for the same name adds up.

    Args:
        texts: What was typed.
        fits: Whether something can be a name.
        usage: What to say of a text that is something else.

    Raises:
        ValueError: One is something else.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",")]
        if not fits(name.strip()) or not all(values):
            raise ValueError(usage.format(text))
        found.setdefault(name.strip(), []).extend(values)
    return found


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
