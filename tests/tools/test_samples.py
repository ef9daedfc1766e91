"""What the benchmark measures with: the embedded picture, or the user's own."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from PIL import Image

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.tools.bench.samples import Picture, Timed, collate, edits_of, embedded, read_own, requests_of


def test_the_embedded_picture_has_boxes_to_paint() -> None:
    [picture] = embedded()
    assert edits_of(picture)
    assert edits_of(picture, 1) == edits_of(picture, 1)
    assert picture.load()["image"].shape == (400, 560, 3)


def test_as_many_requests_as_asked_for_each_with_something_to_paint(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    small = Picture(tmp_path / "a.png", ((2, 2, 8, 8),), ("cone",))
    requests = requests_of([small, *embedded()], 64, 5)
    assert len(requests) == 5
    for request in requests:
        assert request.image.shape == (64, 64, 3)
        assert request.mask.any()
    assert len({request.seed for request in requests}) == 5


def test_requests_are_those_of_the_recipe() -> None:
    recipe = Recipe(prompts="my {label}", negative_prompt="blurry", strength=0.5, shape="ellipse", box_p=0.01)
    found, plain = (requests_of(embedded(), 64, 3, each) for each in (recipe, None))
    assert {(one.negative_prompt, one.strength) for one in found} == {("blurry", 0.5)}
    assert all(one.prompt.startswith("my ") for one in found)
    assert all(one.mask.sum() < other.mask.sum() for one, other in zip(found, plain, strict=True))
    with pytest.raises(ValueError, match="no box to paint"):
        requests_of(embedded(), 64, 1, Recipe(include_labels=["nothing"]))


def test_pictures_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    for name in "ab":
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "b.png").write_bytes(b"no picture")
    told: list[Problem] = []
    found = read_own(tmp_path, tmp_path, BoxFormat.YOLO, {0: "cone"}, told.append)
    assert [(picture.file.name, picture.labels) for picture in found] == [("a.png", ("cone",))]
    assert [problem.path.name for problem in told] == ["b.png"]


def test_a_sample_says_whether_it_was_painted() -> None:
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
    for transform, painted in ((A.NoOp(), False), (A.InvertImg(p=1), True)):
        image, seconds, fired = Timed(embedded(), A.Compose([transform], bbox_params=boxes))[7]
        assert fired is painted
        assert seconds > 0
        assert image.shape == (400, 560, 3)
    pixels, times, flags = collate([(image, 0.5, True), (image[:9], 0.25, False)])
    assert len(pixels) == image.size + image[:9].size
    assert (times, flags) == ([0.5, 0.25], [True, False])
