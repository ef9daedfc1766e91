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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from inpaint_transform.core.boxes import Box
from inpaint_transform.core.errors import GateError
from inpaint_transform.core.measure import fill
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.prompts import lookup
from inpaint_transform.core.protocol import MAX_TEXTS
from inpaint_transform.core.selection import Label
from inpaint_transform.gates.detector import Detections, Detector, detect, iou, torchvision_detector

__all__ = [
    "AllOf",
    "Candidate",
    "ChangeGate",
    "ClipGate",
    "DetectorGate",
    "FillGate",
    "Gate",
    "ScoreGate",
    "Verdict",
    "fill",
    "gate_of",
    "torchvision_detector",
]

GateFunction = Callable[[np.ndarray, np.ndarray, Label, Box], float | bool]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One painted box to judge.

    Attributes:
        original: ``(h, w, 3)`` uint8, RGB, the context window before painting.
        painted: ``(h, w, 3)`` uint8, RGB, the same window with the painted pixels in place.
        box: The box in the window.
        label: The label that was painted.
        noun: The word for it.
        old_label: The label before.
        other_nouns: The words for what the box could show instead: its old class and the other classes.
        answer: What CLIP said to ``Gate.texts``: one probability a text; None if nobody asked.
    """

    original: np.ndarray
    painted: np.ndarray
    box: Box
    label: Label = None
    noun: str = ""
    old_label: Label = None
    other_nouns: tuple[str, ...] = ()
    answer: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one candidate.

    Attributes:
        score: The gate's own number; more is better.
        accepted: Whether the painted pixels may stay.
        reason: Which gate rejected it, as a sentence for counters; None if accepted.
        scores: The score of every gate that was asked, by its name.
    """

    score: float
    accepted: bool
    reason: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


class Gate(abc.ABC):
    """Base class of the gates: a subclass gives ``name`` and ``verdicts``.

    Gates that are dataclasses of JSON values serialise with ``to_dict`` once they are in ``GATES``.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What counters, logs and errors call it."""

    @property
    def clip(self) -> str | None:
        """The CLIP model that answers ``texts``, as for ``ModelSpec(clip=...)``; None if it asks none."""
        return None

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
        for kind, gate in GATES.items():
            if type(self) is gate:
                fields = {name: getattr(self, name) for name in _fields(gate)}
                values: dict[str, Any] = json.loads(json.dumps({"gate": kind, **fields}))
                return values
        raise TypeError(
            f"the gate {self.name!r} is a function or holds one, which does not serialise; use {', '.join(GATES)} to"
            " save this transform"
        )


@dataclass(frozen=True)
class AllOf(Gate):
    """Accepts what all its gates accept; a gate only sees what the ones before it accepted, so put cheap ones first.

    Attributes:
        gates: The gates, or whatever ``gate_of`` reads; nested ones are unfolded. At most one may ask CLIP.

    Raises:
        ValueError: No gate, or several that ask CLIP.

    Examples:
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

    def texts(self, noun: str, other_nouns: Sequence[str]) -> tuple[str, ...] | None:
        """The texts of the one gate that asks CLIP."""
        return next((texts for gate in self.gates if (texts := gate.texts(noun, other_nouns)) is not None), None)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """What ``judge`` says, without the reasons."""
        return [(verdict.score, verdict.accepted) for verdict in self.judge(candidates)]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """As of any gate; the score is that of the gate that rejected, or of the last one."""
        verdicts = [Verdict(0.0, True)] * len(candidates)
        for number, gate in enumerate(self.gates):
            pending = [index for index, verdict in enumerate(verdicts) if verdict.accepted]
            before = [other.name for other in self.gates[:number]].count(gate.name)
            key = f"{gate.name} {before + 1}" if before else gate.name
            for index, verdict in zip(pending, gate.judge([candidates[index] for index in pending]), strict=True):
                scores = {**verdicts[index].scores, key: verdict.score}
                verdicts[index] = dataclasses.replace(verdict, scores=scores)
        return verdicts

    def to_dict(self) -> dict[str, Any]:
        """As of any gate."""
        return {"gate": "all", "gates": [gate.to_dict() for gate in self.gates]}


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

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function={self.function!r}: give a function (original, painted, label, box) -> score")
        _check_number("min_score", self.min_score)

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


@dataclass(frozen=True)
class ChangeGate(Gate):
    """Rejects boxes in which nearly nothing changed, and changes outside the box.

    The score is the mean absolute change inside the box in grey levels.

    Attributes:
        min_inside: Least mean change inside the box, in grey levels.
        max_outside: Largest mean change in the rest of the window, in grey levels.

    Examples:
        >>> before = np.full((40, 40, 3), 90, np.uint8)
        >>> after = before.copy()
        >>> after[10:30, 10:30] = 140
        >>> ChangeGate().judge([Candidate(before, after, (10, 10, 30, 30))])[0].score
        50.0
    """

    # The embedded model changes a box by 5 or more when it repaints it, by 3 when its autoencoder merely passes it on.
    min_inside: float = 5.0
    max_outside: float = 0.5

    name = "change"

    def __post_init__(self) -> None:
        _check_number("min_inside", self.min_inside, 0, 255)
        _check_number("max_outside", self.max_outside, 0, 255)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Mean changes, judged inside and outside the boxes."""
        found = []
        for one in candidates:
            change = cv2.absdiff(one.original, one.painted)
            x0, y0, x1, y1 = one.box
            inside = float(change[y0:y1, x0:x1].mean())
            elsewhere = change.size - change[y0:y1, x0:x1].size
            outside = (float(change.sum()) - inside * change[y0:y1, x0:x1].size) / elsewhere if elsewhere else 0.0
            found.append((inside, inside >= self.min_inside and outside <= self.max_outside))
        return found


@dataclass(frozen=True)
class FillGate(Gate):
    """Rejects objects that do not fill their box: a detector would learn a box that is too large.

    The score is ``fill``.

    Attributes:
        min_fill: The least fill to accept, in [0, 1].
    """

    # Good repaintings by the embedded model lie above 0.6; below 0.4 lie the ones that kept most of the old picture.
    min_fill: float = 0.4

    name = "fill"

    def __post_init__(self) -> None:
        _check_number("min_fill", self.min_fill, 0, 1)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Fills, judged."""
        scores = [fill(one.original, one.painted, one.box) for one in candidates]
        return [(score, score >= self.min_fill) for score in scores]


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

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model={self.model!r}: give the folder or hub id of a CLIP model, or 'tiny'")
        _check_number("min_margin", self.min_margin, 0, 1)
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


@dataclass(frozen=True)
class DetectorGate(Gate):
    """Asks a detector: it must find the wanted class where the box is.

    The detector runs in the process that the transform runs in; a forked DataLoader worker can only use the CPU. The
    score is the best intersection over union of the box with a detection of the wanted class.

    Attributes:
        detector: A function from an RGB image ``(h, w, 3)`` uint8 to its detections: a dict with ``"boxes"``,
            ``"labels"`` and ``"scores"``, or the three as a tuple; boxes are rows ``(x0, y0, x1, y1)`` in pixels. For a
            torchvision model use ``torchvision_detector``; an Ultralytics ``YOLO`` works as it is. A detector with
            a true attribute ``batched`` is called once, with a list of images, and returns a list.
        min_iou: The least score to accept.
        min_score: Detections that are less certain do not count.
        class_names: What the detector's labels mean: a list, or a dict from its labels to nouns; labels that are not
            in it do not count. Default: an Ultralytics model's own names; otherwise its labels are yours.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.

    Examples:
        >>> def finds_a_car(image):
        ...     return {"boxes": [[10, 10, 30, 28]], "labels": [3], "scores": [0.9]}
        >>> gate = DetectorGate(finds_a_car, class_names={3: "car"})
        >>> window = np.zeros((40, 40, 3), np.uint8)
        >>> gate.judge([Candidate(window, window, (10, 10, 30, 30), noun="car")])[0].score
        0.9
    """

    detector: Detector
    min_iou: float = 0.7
    min_score: float = 0.25
    class_names: Mapping[Any, str] | Sequence[str] | None = None

    name = "detector"

    def __post_init__(self) -> None:
        if not callable(self.detector):
            raise ValueError(f"detector={self.detector!r}: give a function from an image to boxes, labels and scores")
        _check_number("min_iou", self.min_iou, 0, 1)
        _check_number("min_score", self.min_score, 0, 1)

    def verdicts(self, candidates: Sequence[Candidate]) -> Sequence[tuple[float, bool]]:
        """Overlaps with what the detector found, judged."""
        found = detect(self.detector, [one.painted for one in candidates])
        scores = [self._best(one, detections) for one, detections in zip(candidates, found, strict=True)]
        return [(score, score >= self.min_iou) for score in scores]

    def _best(self, one: Candidate, found: Detections) -> float:
        names = found.names if self.class_names is None else self.class_names
        ious = [
            iou(one.box, corners)
            for corners, label, score in zip(found.boxes.tolist(), found.labels, found.scores.tolist(), strict=True)
            if score >= self.min_score and _is_wanted(label, names, one)
        ]
        return max(ious, default=0.0)


def _is_wanted(label: Any, names: Mapping[Any, str] | Sequence[str] | None, one: Candidate) -> bool:
    if names is None:
        return label in (one.label, one.noun)
    if isinstance(names, Mapping):
        name = lookup(names, label)
    else:
        name = names[int(label)] if 0 <= int(label) < len(names) else None
    return name is not None and (name == one.label or name.casefold() == one.noun.casefold())


# What ``to_dict`` calls them.
GATES: dict[str, type[Any]] = {"change": ChangeGate, "fill": FillGate, "clip": ClipGate}


def gate_of(value: Any) -> Gate | None:
    """Read what a transform's ``gate`` argument may be.

    Args:
        value: None, a gate, what ``Gate.to_dict`` gave, a function ``(original, painted, label, box) -> float | bool``
            (accepted from 0.5 on), or a list of these, all of which must accept.

    Raises:
        ValueError: None of these, or a dict that names no gate or a field that the gate does not have.

    Examples:
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


def spec_with_clip(spec: ModelSpec, gate: Gate | None) -> ModelSpec:
    """The model together with the CLIP model that the gate asks, which runs beside it.

    Raises:
        ValueError: The model has another CLIP model already.
    """
    if gate is None or gate.clip is None:
        return spec
    if spec.clip not in (None, gate.clip):
        raise ValueError(
            f"gate asks the CLIP model {gate.clip!r}, but model has clip={spec.clip!r}; leave clip out of the model"
        )
    return dataclasses.replace(spec, clip=gate.clip)


def _gate_from_dict(value: Mapping[str, Any]) -> Gate:
    kind = value.get("gate")
    fields = {name: entry for name, entry in value.items() if name != "gate"}
    gate = AllOf if kind == "all" else GATES.get(str(kind))
    if gate is None:
        raise ValueError(f"gate={dict(value)!r}: there is no gate {kind!r}; use one of {', '.join(GATES)} or all")
    known = _fields(gate)
    unknown = sorted(set(fields) - set(known))
    if unknown or (gate is AllOf and "gates" not in fields):
        problem = f"unknown field {unknown[0]!r}" if unknown else "no 'gates'"
        raise ValueError(f"gate={dict(value)!r}: {problem}; this gate has the fields {', '.join(known)}")
    made: Gate = gate(**fields)
    return made


def _fields(gate: type[Any]) -> list[str]:
    return [entry.name for entry in dataclasses.fields(gate)]


def _check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        allowed = "a number" if math.isinf(high) else f"a number in [{low}, {high}]"
        raise ValueError(f"{name}={value!r}: use {allowed}")
