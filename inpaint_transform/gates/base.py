"""Gates: accept or reject what was painted into a box, all boxes of a call at once.

A gate sees the context window around a box before and after painting, never the whole picture: whole-image scores
tell good from bad no better than chance. Gates join with ``&``; the later ones only see what the earlier ones
accepted. Any function ``(original, painted, label, box) -> float | bool`` is a gate too.
"""

from __future__ import annotations

import abc
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.errors import GateError
from inpaint_transform.core.known_only import known_fields
from inpaint_transform.core.labels import Label
from inpaint_transform.core.nearest import nearest, nearest_of
from inpaint_transform.core.protocol import Candidate, Verdict

GateFunction = Callable[[np.ndarray, np.ndarray, Label, Box], float | bool]


class Gate(abc.ABC):
    """Base class of the gates: a subclass gives ``name`` and ``verdicts``.

    Gates that are dataclasses of JSON values serialise with ``to_dict`` once they are in ``gates.GATES``.

    Attributes:
        threshold: Name of the field that holds the least score to accept, or None.
    """

    threshold: ClassVar[str | None] = None

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What counters, logs and errors call it."""

    @property
    def clip(self) -> str | None:
        """The CLIP model that answers ``texts``, as for ``ModelSpec(clip=...)``; None if it asks none."""
        return None

    @property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """From which score on it accepts: ``{name in a verdict's scores: {field: value}}``; empty where no field says.

        Examples:
            >>> from inpaint_transform.gates import ClipGate, FillGate
            >>> (FillGate(0.4) & ClipGate(min_margin=0.1)).thresholds
            {'fill': {'min_fill': 0.4}, 'clip': {'min_margin': 0.1}}
        """
        return {} if self.threshold is None else {self.name: {self.threshold: float(getattr(self, self.threshold))}}

    def texts(self, noun: str, other_nouns: Sequence[str]) -> tuple[str, ...] | None:
        """What to ask CLIP about a box, the wanted text first; None if the gate asks nothing.

        Args:
            noun: What was painted.
            other_nouns: What the box could show instead.
        """
        del noun, other_nouns
        return None

    @abc.abstractmethod
    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """A score and whether that is good enough, for every candidate."""

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Judge a batch.

        Args:
            candidates: Any number of candidates, of any sizes.

        Returns:
            One verdict a candidate, in their order.

        Raises:
            GateError: The gate raised, or returned something else than one finite score a candidate.
        """
        if not candidates:
            return []
        try:
            found = list(self.verdicts(candidates))
        except GateError:
            raise
        except Exception as error:
            raise GateError(f"the gate {self.name!r} raised {type(error).__name__}: {error}") from error
        if len(found) != len(candidates):
            raise GateError(f"the gate {self.name!r} gave {len(found)} verdicts for {len(candidates)} candidates")
        return [self._verdict(one) for one in found]

    def _verdict(self, found: Any) -> Verdict:
        try:
            score, accepted = found
            score = float(score)
        except (TypeError, ValueError, OverflowError):
            raise GateError(f"the gate {self.name!r} gave {found!r}; it must give a score and a bool") from None
        if not math.isfinite(score) or not isinstance(accepted, bool | np.bool_):
            raise GateError(f"the gate {self.name!r} gave {found!r}; it must give a finite score and a bool")
        reason = None if accepted else f"rejected by the gate {self.name!r}"
        return Verdict(score, bool(accepted), reason, {self.name: score})

    def __and__(self, other: Any) -> AllOf:
        """Both gates; the second only judges what the first accepted."""
        second = gate_of(other)
        return AllOf((self,)) if second is None else AllOf((self, second))

    def to_dict(self) -> dict[str, Any]:
        """The gate as JSON values; ``gate_of`` reads it back.

        Raises:
            TypeError: The gate holds a function or is no built-in one.
        """
        for kind, gate in _table().items():
            if type(self) is gate:
                fields = {name: getattr(self, name) for name in _fields(gate)}
                values: dict[str, Any] = json.loads(json.dumps({"gate": kind, **fields}))
                return values
        raise TypeError(
            f"the gate {self.name!r} is a function or holds one, which does not serialise; use {', '.join(_table())} to"
            " save this transform"
        )


@known_fields
@dataclass(frozen=True)
class AllOf(Gate):
    """Accepts what all its gates accept; a gate only sees what the ones before it accepted, so put cheap ones first.

    Attributes:
        gates: The gates, or whatever ``gate_of`` reads; nested ones are unfolded. At most one may ask CLIP.

    Raises:
        ValueError: No gate, or several that ask CLIP.

    Examples:
        >>> from inpaint_transform.gates import ChangeGate, ClipGate, FillGate
        >>> gate = ChangeGate() & FillGate(0.4) & ClipGate()
        >>> gate.name, gate.clip
        ('change & fill & clip', 'tiny')
    """

    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        found = [gate for gate in map(gate_of, self.gates) if gate is not None]
        flat = tuple(part for gate in found for part in (gate.gates if isinstance(gate, AllOf) else (gate,)))
        if not flat:
            raise ValueError(f"gate={self.gates!r}: give at least one gate")
        if sum(gate.clip is not None for gate in flat) > 1:
            raise ValueError("gate: several of the gates ask CLIP; a box gets one question, so use one of them")
        object.__setattr__(self, "gates", flat)

    @property
    def name(self) -> str:
        """The names of its gates."""
        return " & ".join(gate.name for gate in self.gates)

    @property
    def clip(self) -> str | None:
        """The CLIP model of the one gate that asks one."""
        return next((gate.clip for gate in self.gates if gate.clip is not None), None)

    @property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """Those of its gates."""
        return {key: fields for key, gate in self._named() for fields in gate.thresholds.values()}

    def _named(self) -> Iterator[tuple[str, Gate]]:
        """Its gates by what a verdict's scores call them."""
        for number, gate in enumerate(self.gates):
            before = [other.name for other in self.gates[:number]].count(gate.name)
            yield (f"{gate.name} {before + 1}" if before else gate.name), gate

    def texts(self, noun: str, other_nouns: Sequence[str]) -> tuple[str, ...] | None:
        """The texts of the one gate that asks CLIP."""
        return next((texts for gate in self.gates if (texts := gate.texts(noun, other_nouns)) is not None), None)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """What ``judge`` says, without the reasons."""
        return [(verdict.score, verdict.accepted) for verdict in self.judge(candidates)]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """As of any gate; the score is that of the gate that rejected, or of the last one."""
        verdicts = [Verdict(0.0, True)] * len(candidates)
        for key, gate in self._named():
            pending = [index for index, verdict in enumerate(verdicts) if verdict.accepted]
            for index, verdict in zip(pending, gate.judge([candidates[index] for index in pending]), strict=True):
                scores = {**verdicts[index].scores, key: verdict.score}
                verdicts[index] = dataclasses.replace(verdict, scores=scores)
        return verdicts

    def to_dict(self) -> dict[str, Any]:
        """As of any gate."""
        return {"gate": "all", "gates": [gate.to_dict() for gate in self.gates]}


@known_fields
@dataclass(frozen=True)
class ScoreGate(Gate):
    """A function as a gate.

    Attributes:
        function: ``(original, painted, label, box) -> float | bool`` with windows ``(h, w, 3)`` uint8, RGB, the label
            that was painted and the box in the window. A bool counts as 0 or 1.
        min_score: The least score to accept.

    Examples:
        >>> gate = ScoreGate(lambda original, painted, label, box: painted.mean() / 255, min_score=0.3)
        >>> grey = np.full((8, 8, 3), 100, np.uint8)
        >>> [verdict] = gate.judge([Candidate(grey, grey, (2, 2, 6, 6))])
        >>> round(verdict.score, 2), verdict.accepted
        (0.39, True)
    """

    function: GateFunction
    min_score: float = 0.5

    threshold = "min_score"

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function={self.function!r}: give a function (original, painted, label, box) -> score")
        check_number("min_score", self.min_score)

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """What the function says of each candidate."""
        return [self._judge_one(one) for one in candidates]

    def _judge_one(self, one: Candidate) -> tuple[float, bool]:
        value = self.function(one.original, one.painted, one.label, one.box)
        try:
            score = float(value)
        except (TypeError, ValueError, OverflowError):
            raise GateError(f"the gate {self.name!r} returned {value!r}; return a number or a bool") from None
        return score, score >= self.min_score


def gate_of(value: Any) -> Gate | None:
    """Read what a transform's ``gate`` argument may be.

    Args:
        value: None, a gate, what ``Gate.to_dict`` gave, a function ``(original, painted, label, box) -> float | bool``
            (accepted from 0.5 on), or a list of these, all of which must accept.

    Raises:
        ValueError: None of these, or a dict that names no gate or a field that the gate does not have.

    Examples:
        >>> from inpaint_transform.gates import ClipGate
        >>> gate_of([{"gate": "fill", "min_fill": 0.4}, {"gate": "clip", "model": "tiny"}]).name
        'fill & clip'
        >>> gate_of(ClipGate().to_dict()) == ClipGate()
        True
    """
    if value is None or isinstance(value, Gate):
        return value
    if isinstance(value, Mapping):
        return _gate_from_dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return AllOf(tuple(value)) if value else None
    if callable(value) and not isinstance(value, type):
        return ScoreGate(value)
    raise ValueError(f"gate={value!r}: give a gate such as ClipGate(), a function, a list of these, or None")


def _gate_from_dict(value: Mapping[str, Any]) -> Gate:
    kind = value.get("gate")
    fields = {name: entry for name, entry in value.items() if name != "gate"}
    table = _table()
    gate = AllOf if kind == "all" else table.get(str(kind))
    if gate is None:
        meant = nearest(str(kind), [*table, "all"])
        raise ValueError(
            f"gate={dict(value)!r}: there is no gate {kind!r}; use one of {', '.join(table)} or all{meant}"
        )
    known = _fields(gate)
    unknown = sorted(set(fields) - set(known))
    if unknown or (gate is AllOf and "gates" not in fields):
        problem = f"unknown field {unknown[0]!r}" if unknown else "no 'gates'"
        meant = nearest_of(fields, known)
        raise ValueError(f"gate={dict(value)!r}: {problem}; this gate has the fields {', '.join(known)}{meant}")
    made: Gate = gate(**fields)
    return made


def _table() -> dict[str, type[Any]]:
    # Not above: the gates of the table are subclasses of what stands here.
    from inpaint_transform.gates import GATES

    return GATES


def _fields(gate: type[Any]) -> list[str]:
    return [entry.name for entry in dataclasses.fields(gate)]


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Refuse what is no number in [low, high]."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        allowed = "a number" if math.isinf(high) else f"a number in [{low}, {high}]"
        raise ValueError(f"{name}={value!r}: use {allowed}")
