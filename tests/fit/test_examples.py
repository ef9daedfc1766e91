"""Training examples: the hole lies where the object is, in whole latent cells, and each depends on its number only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core import crops
from inpaint_transform.core.boxes import Box, Outline
from inpaint_transform.fit import examples
from inpaint_transform.fit.cutouts import Cutout
from inpaint_transform.fit.examples import Crops, background_box
from inpaint_transform.fit.pictures import Sample, of_labels, read_picture


def test_examples_are_crops_with_a_hole_of_whole_cells(samples: list[Sample]) -> None:
    drawn = Crops(samples, 32, 4, turnable=["disc"])
    found = dict(drawn.draw(60, 0))
    assert sorted(found) == list(range(60))
    for example in found.values():
        assert example.image.shape == (32, 32, 3)
        assert example.image.dtype == np.uint8
        assert example.hole.dtype == bool
        assert example.hole.any()
        assert np.array_equal(crops.align_mask(example.hole, 4), example.hole)
    assert {example.label for example in found.values()} == {"disc", "square", None}


def test_the_hole_covers_the_object(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "HOLES", {"box": 1.0})
    for _, example in Crops(samples, 32, 4).draw(40, 0):
        image = example.image.astype(int)
        red, blue = image[..., 0] - image[..., 2] > 60, image[..., 2] - image[..., 0] > 60
        coloured = red if example.label == "disc" else blue
        # What of the colour lies outside is another object, of which these pictures have none of the same class.
        assert not (coloured & ~example.hole).any()
        assert coloured.any()


@pytest.mark.parametrize("outlined", [False, True], ids=["box", "outline"])
def test_a_stretched_object_stays_in_its_hole(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch, outlined: bool
) -> None:
    monkeypatch.setattr(examples, "HOLES", {"shape" if outlined else "box": 1.0})
    monkeypatch.setattr(examples, "STRETCHED", 1.0)
    monkeypatch.setattr(examples, "STRETCH", (1.5, 1.5))
    squares = []
    for sample in samples:
        boxes = [box for box, label in zip(sample.boxes, sample.labels, strict=True) if label == "square"]
        around = tuple(((x0, y0), (x1, y0), (x1, y1), (x0, y1)) for x0, y0, x1, y1 in boxes)
        squares.append(Sample(sample.image, tuple(boxes), ("square",) * len(boxes), around if outlined else ()))
    shapes = []
    for _, example in Crops(squares, 64, 1).draw(40, 0):
        image = example.image.astype(int)
        blue = image[..., 2] - image[..., 0] > 60
        near = cv2.dilate(example.hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert not (blue & ~near).any()
        rows, columns = np.flatnonzero(example.hole.any(axis=1)), np.flatnonzero(example.hole.any(axis=0))
        shapes.append((np.ptp(columns) + 1) / (np.ptp(rows) + 1))
        assert blue[example.hole].mean() > 0.7
    assert min(shapes) == pytest.approx(1 / 1.5, rel=0.15)
    assert max(shapes) == pytest.approx(1.5, rel=0.15)


@pytest.mark.parametrize("learnt", [["disc", "square"], ["disc"]])
def test_background_holes_show_no_object(
    samples: list[Sample], learnt: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that is not learnt."""
    monkeypatch.setattr(examples, "HOLES", {"background": 1.0})
    some = of_labels(samples, learnt)
    empty = [example for _, example in Crops(some, 32, 4).draw(40, 0) if example.label is None]
    assert len(empty) > 10
    for example in empty:
        image = example.image.astype(int)
        colour = np.abs(image[..., 0] - image[..., 2]) > 60
        assert colour[example.hole].mean() <= 0.4


def test_an_example_depends_on_seed_and_number_only(samples: list[Sample]) -> None:
    few, many = dict(Crops(samples, 32, 4).draw(5, 3)), dict(Crops(samples, 32, 4).draw(30, 3))
    other = dict(Crops(samples, 32, 4).draw(5, 4))
    for number, example in few.items():
        assert np.array_equal(example.image, many[number].image)
        assert np.array_equal(example.hole, many[number].hole)
    assert any(not np.array_equal(few[number].image, other[number].image) for number in few)


def test_classes_come_as_often_as_their_shares_say(samples: list[Sample]) -> None:
    rare = [Sample(sample.image, sample.boxes[:1], sample.labels[:1]) for sample in samples[1:]]
    drawn = [example.label for _, example in Crops([samples[0], *rare], 16, 4).draw(400, 0)]
    assert 0.4 < drawn.count("square") / (drawn.count("disc") + drawn.count("square")) < 0.6
    drawn = [example.label for _, example in Crops(samples, 16, 4, shares={"square": 9}).draw(400, 0)]
    assert drawn.count("square") / (drawn.count("disc") + drawn.count("square")) > 0.8


def test_outlines_shape_the_hole(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "HOLES", {"shape": 1.0})
    sample = samples[0]
    x0, y0, x1, y1 = sample.boxes[0]
    left = ((x0, y0), ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x0, y1))
    outlined = Sample(sample.image, sample.boxes[:1], sample.labels[:1], (left,))
    plain = Sample(sample.image, sample.boxes[:1], sample.labels[:1])
    half, ellipse = (
        np.mean([example.hole.mean() for _, example in Crops([one], 64, 1).draw(10, 0)]) for one in (outlined, plain)
    )
    assert half / ellipse == pytest.approx(0.5 / (np.pi / 4), abs=0.1)


SIDE = st.integers(1, 60)


@settings(max_examples=50)
@given(width=SIDE, height=SIDE, size=st.tuples(SIDE, SIDE), x=st.integers(0, 40), y=st.integers(0, 40))
def test_background_boxes_lie_in_the_picture_and_clear_of_objects(
    width: int, height: int, size: tuple[int, int], x: int, y: int
) -> None:
    sample = Sample(Path("a.png"), ((x, y, x + 10, y + 10),), ("a",))
    box = background_box(sample, size, height, width, np.random.default_rng(0))
    if box is None:
        return
    assert (box[2] - box[0], box[3] - box[1]) == size
    assert 0 <= box[0] < box[2] <= width
    assert 0 <= box[1] < box[3] <= height
    covered = np.zeros((200, 200), bool)
    covered[y : y + 10, x : x + 10] = True
    assert covered[box[1] : box[3], box[0] : box[2]].mean() <= examples.MAX_COVERED


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="none of 1 pictures"):
        Crops([Sample(Path("a.png"), ((0, 0, 5, 5),), ("a",))], 32, 4)


@pytest.fixture
def moved(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> Crops:
    monkeypatch.setattr(examples, "PASTED", 1.0)
    monkeypatch.setattr(examples, "HOLES", {"box": 1.0})
    return Crops([sample for sample in samples if _whole(sample)], 64, 4, pasted=True)


def _whole(sample: Sample) -> bool:
    """Whether no object of a picture may go on beyond its edges."""
    height, width = read_picture(sample.image).shape[:2]
    return all(min(x0, y0, width - x1, height - y1) >= 2 for x0, y0, x1, y1 in sample.boxes)


def test_a_pasted_object_lies_in_its_hole(moved: Crops) -> None:
    shown = 0
    for _, example in moved.draw(60, 0):
        image = example.image.astype(int)
        red, blue = image[..., 0] - image[..., 2] > 90, image[..., 2] - image[..., 0] > 90
        coloured = red if example.label == "disc" else blue
        shown += bool(coloured[example.hole].mean() > 0.3)
    # Not all: what is recoloured may show another class in the colours of this one, light may hide them.
    assert shown > 45


def test_surroundings_are_others_than_those_of_the_picture(moved: Crops) -> None:
    def colours(crops: Crops) -> float:
        """How much red and blue of what is around the hole differ."""
        floors = [example.image[~example.hole].mean(axis=0) for _, example in crops.draw(200, 0)]
        return float(np.std([floor[0] - floor[2] for floor in floors]))

    assert colours(moved) > 1.5 * colours(Crops(moved.samples, 64, 4))


def test_pasted_examples_depend_on_seed_and_number_only(moved: Crops) -> None:
    few, many = dict(moved.draw(5, 3)), dict(Crops(moved.samples, 64, 4, pasted=True).draw(30, 3))
    for number, example in few.items():
        assert np.array_equal(example.image, many[number].image)
        assert np.array_equal(example.hole, many[number].hole)


def test_a_pasted_object_keeps_its_outline(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "PASTED", 1.0)
    monkeypatch.setattr(examples, "HOLES", {"shape": 1.0})
    outlined = []
    for sample in samples:
        x0, y0, x1, y1 = sample.boxes[0]
        left = ((x0, y0), ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x0, y1))
        outlined.append(Sample(sample.image, sample.boxes[:1], sample.labels[:1], (left,)))
    shares = [example.hole.mean() for _, example in Crops(outlined, 64, 1, pasted=True).draw(10, 0)]
    whole = [example.hole.mean() for _, example in Crops(outlined, 64, 1).draw(10, 0)]
    assert np.mean(shares) == pytest.approx(np.mean(whole), rel=0.35)


def test_what_another_object_covers_is_shown_where_it_is_only(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "PASTED", 1.0)
    free, covered = ([replace(sample, others=others) for sample in samples] for others in ((), ((0, 0, 999, 999),)))
    plain, pasted = (
        [dict(Crops(some, 64, 4, pasted=way).draw(20, 0)) for some in (free, covered)] for way in (False, True)
    )
    same = [
        [np.array_equal(one.image, other[number].image) for number, one in some.items()]
        for some, other in zip(plain, pasted, strict=True)
    ]
    assert not all(same[0])
    assert all(same[1])


def test_pasted_objects_are_tilted(moved: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    tilted = dict(moved.draw(10, 0))
    monkeypatch.setattr(examples, "TILT", 0.0)
    straight = dict(moved.draw(10, 0))
    assert any(not np.array_equal(straight[number].image, one.image) for number, one in tilted.items())


def test_what_cannot_be_cut_out_stays_where_it_is(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "PASTED", 1.0)
    monkeypatch.setattr(examples, "cut_out", lambda *_: None)
    plain = dict(Crops(samples, 32, 4).draw(20, 0))
    tried = dict(Crops(samples, 32, 4, pasted=True).draw(20, 0))
    assert tried.keys() == plain.keys()
    assert all(example.hole.any() for example in tried.values())


def test_most_are_shown_elsewhere_where_half_can_be_cut_out(moved: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {sample.boxes[number] for sample in moved.samples[::2] for number in range(len(sample.boxes))}
    pasted = []

    def cut_out(picture: np.ndarray, box: Box, outline: Outline | None) -> Cutout | None:
        x0, y0, x1, y1 = box
        return Cutout(picture[y0:y1, x0:x1], np.ones((y1 - y0, x1 - x0), np.float32), outline) if box in half else None

    monkeypatch.setattr(examples, "cut_out", cut_out)
    monkeypatch.setattr(Cutout, "paste", lambda self, picture, place: pasted.append(place))
    assert len(list(moved.draw(60, 0))) == 60
    assert len(pasted) > 45


def test_what_can_be_cut_out_is_found_out_once(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Box] = []

    def nothing(picture: np.ndarray, box: Box, outline: Outline | None) -> None:
        tried.append(box)

    monkeypatch.setattr(examples, "cut_out", nothing)
    drawn = Crops(samples, 32, 4, pasted=True)
    first = dict(drawn.draw(20, 0, progress=True))
    assert tried
    assert len(tried) <= sum(len(sample.boxes) for sample in samples)
    tried.clear()
    again = dict(drawn.draw(20, 0))
    assert not tried
    assert all(np.array_equal(example.image, again[number].image) for number, example in first.items())
