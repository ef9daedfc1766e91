"""The score is COCO's, and a detector's boxes come back in the pixels of the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from feeding import BOX, fed, picture

from benchmarks.study import detector, score, sets
from inpaint_transform.fit import heatmap


def perfect(truth: dict) -> list[dict]:
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": [float(v) for v in row["bbox"]],
            "score": 0.9,
        }
        for row in truth["annotations"]
    ]


def test_right_boxes_score_1_and_none_score_0(drawn: sets.StudySet, root: Path) -> None:
    truth = sets.truth(root, drawn.test)
    found = score.average_precision(truth, perfect(truth))
    assert found["map"] == found["map50"] == found["map75"] == 1
    assert found["by_class"] == dict.fromkeys(["RBC", "WBC", "Platelets"], 1)
    assert score.average_precision(truth, [])["map"] == 0


def test_loose_boxes_score_at_low_overlap_only(drawn: sets.StudySet, root: Path) -> None:
    truth = sets.truth(root, drawn.test)
    loose = perfect(truth)
    for row in loose:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x, y, width * 0.8, height * 0.8]
    found = score.average_precision(truth, loose)
    assert found["map50"] == 1
    assert found["map75"] == 0


def test_a_class_that_is_called_another_scores_0(drawn: sets.StudySet, root: Path) -> None:
    truth = sets.truth(root, drawn.test)
    rows = [{**row, "category_id": 2} if row["category_id"] == 1 else row for row in perfect(truth)]
    assert score.average_precision(truth, rows)["by_class"]["RBC"] == 0


class Knowing(torch.nn.Module):
    """Says what the pictures' boxes are."""

    def __init__(self, seen: list[sets.Seen], classes: int) -> None:
        super().__init__()
        self.seen, self.classes, self.at = seen, classes, 0
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        answers = []
        for one in self.seen[self.at : self.at + len(pixels)]:
            height, width = one.pixels.shape[:2]
            target = torch.from_numpy(heatmap.make_target(one.boxes, one.classes.tolist(), self.classes, height, width))
            heat = torch.logit(target[: self.classes].clamp(1e-4, 1 - 1e-4))
            answers.append(torch.cat([heat, torch.log(torch.expm1(target[self.classes : -1].clamp(min=1e-3)))]))
        self.at += len(pixels)
        return torch.stack(answers)


def test_what_is_found_comes_back_in_the_pixels_of_the_files(drawn: sets.StudySet, root: Path) -> None:
    seen = sets.see(drawn, drawn.test)
    rows = detector.detect(Knowing(seen, len(drawn.labels)), drawn, drawn.test, seen)
    # Where two small objects share a cell, or lie in each other's heat, sides are one's own only.
    assert score.average_precision(sets.truth(root, drawn.test), rows)["map75"] > 0.9


def test_equal_seeds_give_equal_detectors_and_trainings() -> None:
    def trained(seed: int) -> torch.Tensor:
        made = detector.build("scratch", 2, seed)
        detector.train(made, fed([picture(30, [BOX]), picture(200, [BOX])], None), 2, 3, 2, progress=False)
        return torch.cat([value.detach().flatten() for value in made.parameters()])

    first, second, third = trained(0), trained(0), trained(1)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="detector='yolo'"):
        detector.build("yolo", 2, 0)


def test_the_pretrained_backbone_keeps_its_statistics() -> None:
    made = detector.build("lite0", 2, 0)
    before = {name: value.clone() for name, value in made.state_dict().items() if "running" in name or "stem" in name}
    detector.train(made, fed([picture(30, [BOX]), picture(200, [BOX])], None), 2, 2, 2, progress=False)
    after = made.state_dict()
    assert before
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert made(torch.zeros(1, 3, 96, 128)).shape == (1, 6, 24, 32)
