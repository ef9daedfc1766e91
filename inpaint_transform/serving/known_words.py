"""The words of a model that knows few: its user is told where a prompt holds none of them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.user_warning import warn_user

# In the folder of a checkpoint. A model that was trained with a handful of words names there what it can paint, and
# what else each thing is called: {"name": "tiny", "knows": {"red blood cell": ["RBC", "erythrocyte"], "cone": []}}.
FILE = "inpaint_transform.json"


@dataclass(frozen=True)
class Words:
    """What a small model can paint.

    Attributes:
        model: What it is called.
        things: What it can paint, at least one thing, and what else each is called.
    """

    model: str
    things: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        return f"{self.model}, which knows only {', '.join(self.things)}"

    def in_prompt(self, prompt: str) -> bool:
        """Whether a prompt holds one of the words, whatever the case of its letters."""
        return self._pattern.search(_plain(prompt)) is not None

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = {_plain(name) for thing, others in self.things.items() for name in (thing, *others)}
        return re.compile("|".join(re.escape(name) for name in names if name.strip()))


def words_of(spec: ModelSpec) -> Words | None:
    """The words that a checkpoint's folder names; None for a model that knows all kinds of things.

    With a LoRA or textual inversion there are none: they may bring words of their own.

    Args:
        spec: A resolved spec.
    """
    if spec.lora is not None or spec.textual_inversion is not None:
        return None
    try:
        found = json.loads((Path(spec.id).expanduser() / FILE).read_text(encoding="utf-8"))
        things = {thing: [*map(str, names)] for thing, names in found["knows"].items() if _plain(thing).strip()}
        return Words(str(found["name"]), things) if things else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A hub id, a folder without that file, or a file of somebody else's.
        return None


def save_words(folder: Path, words: Words) -> None:
    """Write down what a checkpoint knows, where ``words_of`` finds it.

    Args:
        folder: The checkpoint, in the diffusers layout.
        words: What it was trained with.
    """
    text = json.dumps({"name": words.model, "knows": {thing: list(names) for thing, names in words.things.items()}})
    (folder / FILE).write_text(f"{text}\n", encoding="utf-8")


class Listener:
    """Hears every prompt for one model, and has an advice the first time that one holds none of the model's words.

    Args:
        spec: A resolved spec.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._words = words_of(spec)

    def advice(self, prompts: Iterable[str]) -> str | None:
        """What to tell the user of these prompts; None where there is nothing to tell, or no longer."""
        words = self._words
        if words is None:
            return None
        strange = next((prompt for prompt in prompts if not words.in_prompt(prompt)), None)
        if strange is None:
            return None
        self._words = None
        return (
            f"prompt {strange!r} has no word that the model knows. It is {words}, and paints something else now; for "
            f"other objects give a larger model, for instance model='sd15'"
        )

    def hear(self, prompts: Iterable[str]) -> None:
        """Warn where there is an advice."""
        if (advice := self.advice(prompts)) is not None:
            warn_user(advice)


def _plain(text: str) -> str:
    """Words in small letters, with a space before and after each."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return f" {' '.join(words)} "
