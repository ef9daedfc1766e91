"""Gates: who judges what was painted."""

from inpaint_transform.gates.base import (
    AllOf,
    Candidate,
    ChangeGate,
    ClipGate,
    DetectorGate,
    FillGate,
    Gate,
    ScoreGate,
    Verdict,
    fill,
    gate_of,
    spec_with_clip,
)
from inpaint_transform.gates.detector import (
    torchvision_detector,
)

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
    "spec_with_clip",
    "torchvision_detector",
]
