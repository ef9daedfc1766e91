"""What the benchmark measures with: the embedded picture, or the user's own."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from PIL import Image

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets import reading
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.tools.bench.samples import Data, Picture, Timed, edits_of, embedded, few, read_own, requests_of

LARGE, SMALL = (10, 10, 60, 60), (70, 10, 80, 20)


def picture(*boxes: tuple[int, int, int, int], label: str = "cone") -> Picture:
    return Picture(Path("a.png"), boxes, (label,) * len(boxes), 96, 128)


def test_the_embedded_picture_has_boxes_to_paint() -> None:
    [picture] = embedded()
    assert edits_of(picture)
    assert edits_of(picture, 1) == edits_of(picture, 1)
    assert picture.load()["image"].shape == (400, 560, 3)


def test_as_many_requests_as_asked_for_each_with_something_to_paint(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    small = Picture(tmp_path / "a.png", ((2, 2, 8, 8),), ("cone",), 40, 40)
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


def yolo(folder: Path, *names: str, line: str = "0 0.5 0.5 0.5 0.5\n") -> None:
    for name in names:
        for path in (folder / "images" / name, folder / "labels" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(folder / "images" / f"{name}.png")
        (folder / "labels" / f"{name}.txt").write_text(line)


def test_pictures_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    yolo(tmp_path, "a", "b")
    (tmp_path / "images" / "b.png").write_bytes(b"no picture")
    told: list[Problem] = []
    found = read_own(reading.find(tmp_path, BoxFormat.YOLO, names={0: "cone"}), told.append)
    assert [(one.file.name, one.labels, one.height, one.width) for one in found] == [("a.png", ("cone",), 96, 128)]
    assert [problem.path.name for problem in told] == ["b.png"]


def test_pictures_that_are_held_out_are_not_measured(tmp_path: Path) -> None:
    yolo(tmp_path, "train/a", "train/b", "val/c", "test/d")
    own = reading.find(tmp_path, BoxFormat.YOLO, names={0: "cone"})
    assert [one.file.name for one in read_own(own, pytest.fail)] == ["a.png", "b.png"]
    yolo(tmp_path / "other", "val/c")
    with pytest.raises(ValueError, match="no picture of the split train"):
        read_own(reading.find(tmp_path / "other", BoxFormat.YOLO, names={0: "cone"}), pytest.fail)


def test_only_boxes_that_may_be_painted_are_counted() -> None:
    data = Data.of("mine", [picture(LARGE, SMALL), picture(SMALL)], Recipe())
    assert (data.boxes, data.total, data.edits, data.drawn) == (1, 2, 0.5, 0.5)
    assert Data.of("mine", [picture(LARGE), picture(LARGE, label="cube")], Recipe(include_labels=["cube"])).boxes == 1
    # A training has more pictures than are measured with.
    assert Data.of("mine", [picture(LARGE, SMALL)], Recipe(), total=50).boxes == 50
    with pytest.raises(ValueError, match="no box to paint in mine.*at least 32 pixels"):
        Data.of("mine", [picture(SMALL)], Recipe())


def test_many_boxes_of_a_picture_are_as_many_edits() -> None:
    two = picture(LARGE, (70, 10, 120, 60))
    assert Data.of("mine", [two], Recipe(box_p=1.0)).edits == 2
    assert Data.of("mine", [two], Recipe()).edits == 1
    some = Data.of("mine", [two] * 200, Recipe(box_p=0.5))
    assert some.edits == pytest.approx(1, abs=0.15)
    assert some.drawn == pytest.approx(0.75, abs=0.1)


def test_a_few_boxes_are_the_first_that_may_be_painted() -> None:
    pictures = [picture(SMALL), picture(SMALL, LARGE), picture(LARGE, (70, 10, 120, 60))]
    assert [one.boxes for one in few(pictures, Recipe(), 2)] == [(LARGE,), (LARGE,)]
    assert [one.boxes for one in few(pictures, Recipe(), 9)] == [(LARGE,), (LARGE, (70, 10, 120, 60))]


def test_a_sample_says_whether_it_was_painted() -> None:
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"])
    for transform, painted in ((A.NoOp(), False), (A.InvertImg(p=1), True)):
        timed = Timed(embedded(), A.Compose([transform], bbox_params=boxes), dict)
        image, seconds, fired = timed[7]
        assert fired is painted
        assert seconds > 0
        assert image.shape == (400, 560, 3)
    pixels, times, flags, _ = timed.collate([(image, 0.5, True), (image[:9], 0.25, False)])
    assert len(pixels) == image.size + image[:9].size
    assert (times, flags) == ([0.5, 0.25], [True, False])


def test_a_mini_batch_brings_what_was_counted_for_it() -> None:
    counts: dict[str, int] = {}
    timed = Timed(embedded(), A.Compose([]), lambda: counts)
    one = (np.zeros((2, 2, 3), np.uint8), 0.1, True)
    seen = []
    for edits in (3, 3, 10):
        counts["edits"] = edits
        seen.append(timed.collate([one])[-1]["edits"])
    assert seen == [3, 0, 7]
