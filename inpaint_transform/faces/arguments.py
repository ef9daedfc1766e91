"""The arguments of the faces: which there are, what is checked of them, and what they are made into."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.labels import plain_label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.reuse import Reuse
from inpaint_transform.core.swaps import Swap
from inpaint_transform.core.user_warning import warn_user
from inpaint_transform.faces.schedule import Schedule
from inpaint_transform.gates import Gate, gate_of
from inpaint_transform.reports.log import Log
from inpaint_transform.serving.known_words import words_of

ON_ERROR = ("raise", "skip")
RECIPE = [field.name for field in dataclasses.fields(Recipe)]
# JSON has no tuples, and a transform that was saved and loaded should look as it did.
PAIRS = ("num_boxes", "area_range", "strength")
LISTS = ("include_labels", "exclude_labels")
NAMES = ("label_field", "mask_field", "log_key", "edits_key")
# What does nothing without another argument: that one, and what becomes of it.
IDLE_WITHOUT = {
    "log_crops": ("log", "no crop is saved"),
    "log_key": ("log", "no log is written in which it could name a sample"),
    "linked_fields": ("relabel", "no label changes, and no field with it"),
}


@dataclass(frozen=True)
class Arguments:
    """What the arguments of a face say.

    Attributes:
        stored: The arguments by name as a face keeps them: JSON values wherever they have such.
        recipe: What to paint and where.
        spec: Which model paints.
        gate: Who judges what was painted, or None.
        schedule: How a probability changes over the epochs, or None.
        log: Where edits are written down, or None.
        linked_fields: With ``relabel``, what other fields become: their values by label, or None.
        seed: Seed of content-keyed draws, or None.
        on_error: ``"raise"`` or ``"skip"``.
        reuse: How what was painted is used again, or None.
    """

    stored: Mapping[str, Any]
    recipe: Recipe
    spec: ModelSpec
    gate: Gate | None
    schedule: Schedule | None
    log: Log | None
    linked_fields: Mapping[str, Any]
    seed: int | None
    on_error: str
    reuse: Reuse | None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Arguments:
        """Check arguments and make of them what they stand for.

        Args:
            given: All arguments by name; those that it does not know are the face's own.

        Raises:
            ValueError: An argument is unusable; the message names it and the mend.
        """
        stored = {name: _plain(name, value) for name, value in given.items()}
        spec = ModelSpec.of(stored["model"])
        if not isinstance(stored["model"], str):
            stored["model"] = spec.to_dict()
        settings = {name: stored[name] for name in RECIPE}
        settings["attributes"] = settings["attributes"] or {}
        settings["exclude_labels"] = settings["exclude_labels"] or ()
        settings["relabel"] = Swap.of(given["relabel"])
        gate = gate_of(given["gate"])
        _check_own(stored)
        return cls(
            stored=stored,
            recipe=Recipe(**settings),
            spec=spec,
            gate=gate,
            schedule=Schedule.of(given["schedule"]),
            log=None if stored["log"] is None else Log(stored["log"], stored["log_crops"]),
            linked_fields=given["linked_fields"] or {},
            seed=given["seed"],
            on_error=given["on_error"],
            reuse=Reuse.of(given["reuse"]),
        )


def arguments_of(local_names: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor from its ``locals()``, taken on its first line."""
    return {name: value for name, value in local_names.items() if name not in ("self", "__class__")}


def check_change(face: object, name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse to change an argument of a face that is made: it would say one thing, and save it, and paint another.

    Args:
        face: The transform.
        name: The attribute that is to be set.
        arguments: Those that it was made with, less those that may change.

    Raises:
        AttributeError: It is one of them.
    """
    if name in arguments:
        raise AttributeError(
            f"{name} of a {type(face).__name__} does not change any more; make another transform: "
            f"{type(face).__name__}(..., {name}=...)"
        )


def _plain(name: str, value: Any) -> Any:
    """An argument as JSON values where it has such; a function, or a gate that holds one, stays what it is."""
    if name in PAIRS and isinstance(value, list):
        return tuple(value)
    if name in LISTS and isinstance(value, Iterable) and not isinstance(value, str):
        return [plain_label(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "reference" and isinstance(value, Mapping):
        return {label: _pictures(pictures) for label, pictures in value.items()}
    if name == "gate" and isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, Swap | Schedule | Gate | Reuse):
        with contextlib.suppress(TypeError):
            return value.to_dict()
    return value


def _pictures(pictures: Any) -> Any:
    """References of a label as JSON values, but for the arrays among them."""
    if not isinstance(pictures, list | tuple):
        return pictures  # which the recipe refuses
    return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in pictures]


def holds_arrays(reference: Mapping[Any, Any] | None) -> bool:
    """Whether references are not files only."""
    return any(not isinstance(one, str) for pictures in (reference or {}).values() for one in pictures)


def _check_own(stored: Mapping[str, Any]) -> None:
    """Refuse what is wrong about the arguments that are not the recipe's."""

    def check(name: str, fits: bool, allowed: str) -> None:
        if not fits:
            raise ValueError(f"{name}={stored[name]!r}: use {allowed}")

    for name in NAMES:
        check(name, isinstance(stored[name], str | None), "a name or None")
    linked, seed, p = stored["linked_fields"], stored["seed"], stored["p"]
    fields = linked.values() if isinstance(linked, Mapping) else [linked]
    check(
        "linked_fields", all(isinstance(field, Mapping | None) for field in fields), "{field: {label: value}} or None"
    )
    taken = [stored[name] for name in ("log_key", "prompt_key") if stored[name] is not None]
    check("edits_key", stored["edits_key"] not in ("", *taken), "a name of its own, such as 'inpainted', or None")
    check("log", isinstance(stored["log"], str | None), "a path or None")
    check("log_crops", isinstance(stored["log_crops"], bool), "True or False")
    for name, (other, consequence) in IDLE_WITHOUT.items():
        if stored[name] and stored[other] is None:
            warn_user(f"{name}={stored[name]!r} without {other}=...: {consequence}", UserWarning)
    check("on_error", stored["on_error"] in ON_ERROR, f"one of {', '.join(ON_ERROR)}")
    check("seed", seed is None or (isinstance(seed, int) and not isinstance(seed, bool)), "an int or None")
    percent = isinstance(p, int | float) and 1 < p <= 100
    meant = f", {p / 100:g} for {p:g} %" if percent else ""
    check("p", isinstance(p, int | float) and 0 <= p <= 1, f"a probability in [0, 1]{meant}")


def _short(name: str, value: Any) -> Any:
    """A value as ``repr`` shows it: of arrays only their shapes."""
    if name != "reference" or value is None:
        return value
    return {
        label: [one if isinstance(one, str) else f"array {one.shape}" for one in pictures]
        for label, pictures in value.items()
    }


def shown(face: type, values: Mapping[str, Any]) -> str:
    """Arguments as a ``repr`` shows them: the model first, then what differs from the defaults, then ``p``.

    Of a model that knows few things it is said which: leaving ``model`` out means one of those.

    Args:
        face: The class whose constructor has the defaults.
        values: The arguments by name, as ``stored``.
    """
    words = words_of(ModelSpec.of(values["model"]).resolved())
    defaults = {name: parameter.default for name, parameter in inspect.signature(face.__init__).parameters.items()}  # type: ignore[misc] # of no instance
    changed = [name for name in values if name not in ("model", "p") and values[name] != defaults.get(name)]
    rest = [f"{name}={_short(name, values[name])!r}" for name in (*changed, "p")]
    knows = "" if words is None else f" (knows only {', '.join(words.things)})"
    return ", ".join([f"model={values['model']!r}{knows}", *rest])
