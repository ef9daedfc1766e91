"""The sets: no picture is in two parts, draws repeat and grow, boxes lie where the detector sees them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.study import sets

SHARED = Path(__file__).parents[4] / "shared" / "data"


def names(samples: object) -> list[str]:
    return [sample.image.name for sample in samples]  # type: ignore[attr-defined]


def test_no_picture_is_in_two_parts(drawn: sets.StudySet) -> None:
    parts = [set(names(part)) for part in (drawn.pool, drawn.validation, drawn.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 38


def test_a_draw_is_the_same_each_time_and_smaller_ones_are_in_larger_ones(drawn: sets.StudySet) -> None:
    small, large = drawn.draw(6, 3), drawn.draw(6, 3, extra=4)
    assert names(small) == names(drawn.draw(6, 3))
    assert names(large)[:6] == names(small)
    assert len(set(names(large))) == 10
    assert names(small) != names(drawn.draw(6, 4))


def test_all_is_the_whole_pool(drawn: sets.StudySet) -> None:
    assert sorted(names(drawn.draw(0, 0))) == sorted(names(drawn.pool))


def test_every_draw_has_every_class(drawn: sets.StudySet) -> None:
    for number in range(20):
        found = [label for sample in drawn.draw(5, number) for label in sample.labels]
        assert all(found.count(label) >= sets.MIN_BOXES for label in drawn.labels)


def test_more_pictures_than_there_are_is_an_error(drawn: sets.StudySet) -> None:
    with pytest.raises(ValueError, match="count=18, extra=1: drawn has 18 pictures"):
        drawn.draw(18, 0, extra=1)
    with pytest.raises(ValueError, match="no draw of drawn has 3 boxes"):
        drawn.draw(1, 0)


def test_an_unknown_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="knows the sets bccd"):
        sets.load(tmp_path / "cars")


def test_the_truth_is_that_of_the_test_pictures(drawn: sets.StudySet, root: Path) -> None:
    truth = sets.truth(root, drawn.test)
    assert len(truth["images"]) == len(drawn.test)
    assert len(truth["annotations"]) == sum(len(sample.boxes) for sample in drawn.test)


def test_boxes_lie_where_the_detector_sees_them(drawn: sets.StudySet) -> None:
    for one in sets.see(drawn, drawn.test):
        assert one.pixels.shape == (96, 128, 3)
        for (x0, y0, x1, y1), kind in zip(one.boxes, one.classes, strict=True):
            centre = one.pixels[int((y0 + y1) / 2), int((x0 + x1) / 2)].astype(int)
            background = np.array([230, 215, 215])
            assert np.abs(centre - background).max() > 30, drawn.labels[kind]


@pytest.mark.skipif(not SHARED.exists(), reason="needs the sets themselves")
def test_the_near_duplicate_and_whole_videos_stay_out() -> None:
    cells = sets.load(SHARED / "bccd")
    everything = names([*cells.pool, *cells.validation, *cells.test])
    assert "BloodImage_00037.jpg" not in everything
    assert len(everything) == 363
    cones = sets.load(SHARED / "cones_cubes")
    videos = [{name.rsplit("-", 1)[0] for name in names(part)} for part in (cones.pool, cones.validation, cones.test)]
    assert sum(map(len, videos)) == len(set.union(*videos)) == 6


def test_shrinking_keeps_the_mean(root: Path) -> None:
    entry = json.loads((root / "coco.json").read_text())["images"][0]
    picture = cv2.imread(str(root / "images" / entry["file_name"]))
    small = sets.shrink(picture, 96, 128)
    assert np.abs(small.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() < 1
