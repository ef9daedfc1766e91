"""The detector gate: what it makes of detections, whoever speaks them, and of rubbish."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from candidates import candidate, painted, window

from inpaint_transform.core.errors import GateError
from inpaint_transform.gates import (
    Candidate,
    DetectorGate,
    torchvision_detector,
)
from inpaint_transform.gates.detector import detect


def found(boxes=((10.0, 10.0, 30.0, 30.0),), labels=("car",), scores=(0.9,)):
    return {"boxes": [list(box) for box in boxes], "labels": list(labels), "scores": list(scores)}


@pytest.mark.parametrize(
    ("result", "score"),
    [
        (found(), 1.0),
        (found([(10, 10, 30, 20)]), 0.5),
        (found([(10, 10, 30, 20), (10, 10, 30, 26), (0, 0, 5, 5)], ["car"] * 3, [0.9] * 3), 0.8),
        (found([(10, 10, 30, 30), (10, 10, 30, 20)], ["bus", "car"], [0.9] * 2), 0.5),
        (found(labels=["bus"]), 0.0),
        (found(scores=[0.2]), 0.0),
        (found([], [], []), 0.0),
        (([[10, 10, 30, 30]], ["car"], [0.9]), 1.0),
        ({name: np.array(value) for name, value in found().items()}, 1.0),
        ({"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}, 0.0),
    ],
)
def test_the_detector_gate(result, score):
    images = []
    gate = DetectorGate(lambda image: images.append(image) or result)
    [verdict] = gate.judge([candidate()])
    assert verdict.score == pytest.approx(score)
    assert verdict.accepted is (score >= 0.7)
    assert np.array_equal(images[0], painted())


@pytest.mark.parametrize(
    ("label", "names", "score"),
    [
        (3, {3: "car"}, 1),
        (3, {"3": "Car"}, 1),
        (1, ["bus", "car"], 1),
        (0, ["bus", "car"], 0),
        (7, ["bus", "car"], 0),
        (-1, ["bus", "car"], 0),
        (7, {3: "car"}, 0),
        (3, None, 0),
        ("car", None, 1),
    ],
)
def test_what_a_detectors_labels_mean(label, names, score):
    gate = DetectorGate(lambda image: found(labels=[label]), class_names=names)
    assert gate.judge([candidate()])[0].score == score


def test_numbers_as_labels():
    gate = DetectorGate(lambda image: found(labels=[5]))
    assert gate.judge([candidate(label=5, noun="car")])[0].score == 1
    assert gate.judge([candidate(label=4, noun="car")])[0].score == 0
    named = DetectorGate(lambda image: found(labels=[2]), class_names={2: "car"})
    assert named.judge([candidate(label=4, noun="car")])[0].score == 1
    with pytest.raises(ValueError, match="class_names=.* turn it round"):
        DetectorGate(lambda image: found(labels=[2]), class_names={"car": 2})


class Torchvision(torch.nn.Module):
    """Speaks as ``torchvision.models.detection`` do: finds the bright rectangle, and nothing while it trains."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = []

    def forward(self, images):
        assert not torch.is_grad_enabled()
        assert all(image.dtype == torch.float32 and image.shape[0] == 3 and image.max() <= 1 for image in images)
        self.calls.append(len(images))
        if self.training:
            return {"loss": self.weight}
        return [self.find(image) for image in images]

    def find(self, image):
        ys, xs = torch.nonzero(image[0] > 0.5, as_tuple=True)
        corners = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        return {
            "boxes": (torch.tensor(corners).reshape(-1, 4) * self.weight),
            "labels": torch.full((len(corners),), 3),
            "scores": torch.full((len(corners),), 0.8),
        }


def test_a_torchvision_detector_gets_all_images_in_one_call():
    model = Torchvision().train()
    gate = DetectorGate(torchvision_detector(model), class_names={3: "car"})
    others = [candidate(painted((10, 10, 30, 25))), candidate(window()), candidate(label="bus", noun="bus")]
    small = Candidate(window()[:20, :30], painted((2, 2, 12, 12))[:20, :30], (2, 2, 12, 12), "car", "car")
    verdicts = gate.judge([candidate(), *others, small])
    assert [verdict.score for verdict in verdicts] == [1, 0.75, 0, 0, 1]
    assert model.calls == [5]
    assert not model.training


def test_a_torchvision_gate_pickles():
    gate = pickle.loads(pickle.dumps(DetectorGate(torchvision_detector(Torchvision()), class_names={3: "car"})))
    assert gate.judge([candidate()])[0].score == 1


class Yolo:
    """Speaks as ``ultralytics.YOLO`` does: reads arrays blue first and answers with ``Results``."""

    names = {0: "person", 2: "car"}  # noqa: RUF012 - as Ultralytics has it

    def __init__(self):
        self.sources = []

    def predict(self, source, **settings):
        assert settings == {"verbose": False}
        assert all(image.flags.c_contiguous for image in source)
        self.sources.append(source)
        return [self.result(image) for image in source]

    __call__ = predict

    def result(self, image):
        ys, xs = np.nonzero(image[:, :, 0] == 200)  # blue
        rows = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        return SimpleNamespace(
            names=self.names,
            boxes=SimpleNamespace(
                xyxy=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
                cls=torch.full((len(rows),), 2.0),
                conf=torch.full((len(rows),), 0.9),
            ),
        )


def test_an_ultralytics_model_reads_blue_first_and_brings_its_names():
    model = Yolo()
    blue, red = window(), window()
    blue[10:30, 10:30, 2] = red[10:30, 10:30, 0] = 200
    verdicts = DetectorGate(model).judge([candidate(blue), candidate(red), candidate(blue, label="bus", noun="bus")])
    assert [verdict.score for verdict in verdicts] == [1, 0, 0]
    assert len(model.sources) == 1
    assert DetectorGate(model, class_names={2: "bus"}).judge([candidate(blue, noun="bus")])[0].score == 1


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (found(scores=[math.nan]), "a box or a score that is not finite"),
        (found([(0, 0, math.inf, 4)]), "not finite"),
        (found(labels=[]), "1 boxes, 0 labels and 1 scores"),
        ({"boxes": []}, "KeyError: 'labels'"),
        (None, "TypeError"),
        (([], []), "ValueError"),
        (found([(1, 2, 3)]), "ValueError"),
    ],
)
def test_a_detector_that_returns_rubbish(result, named):
    with pytest.raises(GateError, match=rf"the gate 'detector' raised .*{named}"):
        DetectorGate(lambda image: result).judge([candidate()])


def test_a_batched_detector_that_loses_an_image():
    def detector(images):
        return [found()]

    detector.batched = True
    assert len(detect(detector, [window()])) == 1
    with pytest.raises(GateError, match="1 results for 2 images"):
        DetectorGate(detector).judge([candidate(), candidate()])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: DetectorGate(None), "detector=None"),
        (lambda: DetectorGate(print, min_iou=1.5), "min_iou=1.5"),
        (lambda: DetectorGate(print, min_score=-1), "min_score=-1"),
    ],
)
def test_wrong_arguments(make, named):
    with pytest.raises(ValueError, match=named):
        make()
