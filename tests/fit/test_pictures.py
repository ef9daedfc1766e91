"""Samples: what is held out, and what identifies a data set."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.fit.pictures import Sample, content, count_labels, digest, of_labels, read_picture, split

LABELS = st.lists(st.lists(st.sampled_from("abc"), max_size=3), min_size=1, max_size=30)


@given(labels=LABELS, seed=st.integers(0, 5))
def test_every_class_keeps_pictures_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, labels: list[list[str]], seed: int
) -> None:
    pictures = tmp_path_factory.mktemp("pictures")
    samples = []
    for number, names in enumerate(labels):
        path = pictures / f"{number}.png"
        path.write_bytes(bytes([number]))
        samples.append(Sample(path, ((0, 0, 20, 20),) * len(names), tuple(names)))
    train, held = split(samples, seed)
    assert sorted([*train, *held], key=samples.index) == samples
    assert split(samples, seed) == (train, held)
    known = {label for sample in train for label in sample.labels}
    assert known == {label for names in labels for label in names}


def test_a_picture_that_is_there_twice_is_on_one_side(samples: list[Sample], tmp_path: Path) -> None:
    copies = []
    for sample in samples:
        copy = tmp_path / sample.image.name
        shutil.copy(sample.image, copy)
        copies.append(replace(sample, image=copy))
    for seed in range(5):
        train, held = split([*samples, *copies], seed)
        assert held
        assert not set(map(content, held)) & set(map(content, train))


def test_who_adds_pictures_meets_the_same_ones_held_out(samples: list[Sample]) -> None:
    _, before = split(samples[:-1], 0)
    _, after = split(samples, 0)
    assert sum(sample not in after for sample in before) <= 1


def test_about_a_seventh_is_held_out(samples: list[Sample]) -> None:
    train, held = split(samples, 0)
    assert len(held) == 2
    assert set(count_labels(held)) == set(count_labels(train)) == {"disc", "square"}


def test_small_boxes_are_not_counted() -> None:
    sample = Sample(Path("a.png"), ((0, 0, 16, 40), (0, 0, 15, 40)), ("a", "b"))
    assert count_labels([sample]) == {"a": 1}


def test_what_neighbours_leave_of_a_box_is_painted() -> None:
    beside, mostly, wide = (0, 0, 40, 40), (30, 0, 90, 40), (45, 0, 100, 100)
    sample = Sample(Path("a.png"), (beside, mostly, wide), ("a", "b", "c"))
    assert sample.neighbours(0) == (mostly,)
    assert sample.neighbours(1) is None
    assert sample.paintable() == [0, 2]


def test_objects_of_other_labels_keep_their_pixels() -> None:
    boxes = ((0, 0, 40, 40), (30, 0, 90, 40), (200, 0, 240, 40))
    sample = Sample(Path("a.png"), boxes, ("a", "b", "c"), (None, ((30, 0), (90, 0), (60, 40)), None))
    [left] = of_labels([sample], ["a", "c"])
    assert (left.labels, left.boxes, left.outlines) == (("a", "c"), (boxes[0], boxes[2]), (None, None))
    assert left.others == (boxes[1],)
    assert left.neighbours(0) == sample.neighbours(0) == (boxes[1],)
    assert count_labels([left]) == {"a": 1, "c": 1}
    assert of_labels([sample], "abc") == [sample]
    assert of_labels([left], ["c"])[0].others == (boxes[1], boxes[0])


def test_the_digest_knows_content_not_places(samples: list[Sample], tmp_path: Path) -> None:
    first = samples[0]
    copy = tmp_path / "other.png"
    shutil.copy(first.image, copy)
    moved = Sample(copy, first.boxes, first.labels)
    assert digest([moved, *samples[1:]]) == digest(samples[::-1])
    assert digest([Sample(copy, first.boxes, ("disc", "disc"))]) != digest([moved])
    assert digest(of_labels([moved], ["disc"])) != digest([Sample(copy, first.boxes[:1], ("disc",))])


def test_bad_samples() -> None:
    with pytest.raises(ValueError, match=r"a\.png: 1 boxes and 2 labels"):
        Sample(Path("a.png"), ((0, 0, 9, 9),), ("a", "b"))
    with pytest.raises(ValueError, match="2 outlines and 1 boxes"):
        Sample(Path("a.png"), ((0, 0, 9, 9),), ("a",), (None, None))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_unreadable_pictures_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.png"):
        read_picture(path)


def test_a_turned_picture_stands_upright(tmp_path: Path) -> None:
    """As everything that reads its labels sees it, a TIFF too."""
    picture = Image.fromarray(np.zeros((10, 20, 3), np.uint8))
    picture.getexif()[0x0112] = 6
    for name in ("a.jpg", "a.tif"):
        picture.save(tmp_path / name, exif=picture.getexif())
        assert read_picture(tmp_path / name).shape == (20, 10, 3)


def test_pictures_are_rgb(samples: list[Sample]) -> None:
    picture = read_picture(samples[0].image)
    x0, y0, x1, y1 = samples[0].boxes[0]
    assert np.argmax(picture[(y0 + y1) // 2, (x0 + x1) // 2]) == 0
