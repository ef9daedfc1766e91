"""The gate that asks CLIP which word fits what was painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inpaint_transform.core.errors import GateError
from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.protocol import MAX_TEXTS, Candidate
from inpaint_transform.gates.base import Gate, check_number


@known_fields
@dataclass(frozen=True)
class ClipGate(Gate):
    """Asks CLIP which text fits the box: the wanted noun must win against the old class, the other classes and nothing.

    CLIP runs in the engine's process, right after painting. The score is the probability of the wanted text minus
    that of the best other one, in [-1, 1].

    Attributes:
        model: Folder or hub id of a transformers CLIP model, or ``"tiny"``, the embedded one, which knows the nouns of
            the embedded pipeline only.
        min_margin: The least score to accept, in [0, 1]; 0 accepts whatever wins.
        template: The text for a noun, with ``{noun}``.
        background: Texts that mean "no such object", as they are.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> gate = ClipGate("openai/clip-vit-base-patch32", min_margin=0.1)
        >>> gate.texts("car", ("bus", "bicycle"))
        ('a photo of a car', 'a photo of a bus', 'a photo of a bicycle', 'background')
    """

    model: str = "tiny"
    min_margin: float = 0.0
    template: str = "a photo of a {noun}"
    background: tuple[str, ...] = ("background",)

    name = "clip"
    threshold = "min_margin"

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model={self.model!r}: give the folder or hub id of a CLIP model, or 'tiny'")
        check_number("min_margin", self.min_margin, 0, 1)
        try:
            named = isinstance(self.template, str) and self.template.format(noun="\0").count("\0") == 1
        except (AttributeError, LookupError, ValueError):
            named = False
        if not named:
            raise ValueError(f"template={self.template!r}: write {{noun}} once, and no other slot")
        background: Any = self.background
        if not isinstance(background, list | tuple) or not all(isinstance(text, str) for text in background):
            raise ValueError(f"background={self.background!r}: give a list of texts")
        object.__setattr__(self, "background", tuple(background))

    @property
    def clip(self) -> str | None:
        """Its ``model``."""
        return self.model

    def texts(self, noun: str, other_nouns: Sequence[str]) -> tuple[str, ...]:
        """The wanted text, then those of the other nouns and of the background; none twice.

        No more than ``MAX_TEXTS``: of thousands of classes, the first compete.
        """
        nouns = dict.fromkeys(self.template.format(noun=one) for one in (noun, *other_nouns))
        return tuple(dict.fromkeys([*list(nouns)[: max(1, MAX_TEXTS - len(self.background))], *self.background]))

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Margins of the wanted text, judged."""
        found = []
        for one in candidates:
            texts = self.texts(one.noun, one.other_nouns)
            if one.answer is None:
                raise GateError(f"the gate {self.name!r} has no answer of CLIP; ask for it in the request's question")
            if len(one.answer) != len(texts):
                raise GateError(f"the gate {self.name!r} got {len(one.answer)} probabilities for {len(texts)} texts")
            wanted, best = one.answer[0], max(one.answer[1:], default=0.0)
            found.append((wanted - best, wanted > best and wanted - best >= self.min_margin))
        return found
