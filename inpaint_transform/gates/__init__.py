"""Gates: who judges what was painted."""

from typing import Any

from inpaint_transform.core.protocol import Candidate, Verdict
from inpaint_transform.gates.base import AllOf, Gate, ScoreGate, gate_of
from inpaint_transform.gates.clip import ClipGate
from inpaint_transform.gates.detector import DetectorGate, torchvision_detector
from inpaint_transform.gates.pixels import ChangeGate, FillGate

# What ``to_dict`` calls them.
GATES: dict[str, type[Any]] = {"change": ChangeGate, "fill": FillGate, "clip": ClipGate}

__all__ = [
    "GATES",
    "AllOf",
    "Candidate",
    "ChangeGate",
    "ClipGate",
    "DetectorGate",
    "FillGate",
    "Gate",
    "ScoreGate",
    "Verdict",
    "gate_of",
    "torchvision_detector",
]
