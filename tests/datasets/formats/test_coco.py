"""COCO: layouts, crowds, splits and leftovers; no picture ever gets another's boxes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from dataset_files import coco, picture, read_all, text

from inpaint_transform.datasets.balance_sheet import BalanceSheet

BOX, OTHER = [10, 10, 20, 20], [40, 30, 30, 20]


def labels_of(found: dict) -> dict[str, tuple[str, ...]]:
    return {key: item.labels for key, (_, item) in found.items()}


@pytest.mark.parametrize("deep", [True, False])
def test_roboflow_has_a_file_among_the_pictures_of_each_split(tmp_path: Path, deep: bool) -> None:
    for number, folder in enumerate(("train", "valid", "test")):
        picture(tmp_path / folder / ("images" if deep else "") / f"{number}.png", number)
        text(tmp_path / folder / "_annotations.coco.json", coco([(0, f"{number}.png")], [(0, 1, BOX)]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert sorted(found) == ["test/2.png", "train/0.png", "val/1.png"]


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("{}/annotations/instances.json", "{}/images"),
        ("{}/labels.json", "{}/data"),
        ("labels/{}.json", "images"),
        ("coco/annotations_{}.json", "coco/pictures/{}"),
    ],
    ids=["a folder each", "FiftyOne", "labels", "one level deeper"],
)
def test_files_deeper_down_are_of_the_split_that_they_or_their_folders_name(
    tmp_path: Path, labels: str, images: str
) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        picture(tmp_path / images.format(split) / f"{number}.png", number)
        text(tmp_path / labels.format(split), coco([(0, f"{number}.png")], [(0, 1, BOX)]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert sorted(key.partition("/")[0] for key in found) == ["test", "train", "val"]


def test_a_file_and_its_folder_that_name_two_splits_need_a_word(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    text(tmp_path / "train" / "val.json", coco([(0, "a.png")], [(0, 1, BOX)]))
    with pytest.raises(ValueError, match="train/val names two splits"):
        read_all(tmp_path, "coco")
    assert sorted(read_all(tmp_path, "coco", wanted={"train": "val"})[0]) == ["val/train/a.png"]


@pytest.mark.parametrize("where", [".", "annotations"])
@pytest.mark.parametrize("images", [".", "images"])
def test_a_flat_folder_with_several_files(tmp_path: Path, where: str, images: str) -> None:
    for number, (name, stem) in enumerate((("train", "a"), ("val", "b"), ("instances_Test", "c"))):
        picture(tmp_path / images / f"{stem}.png", number)
        text(tmp_path / where / f"{name}.json", coco([(1, f"{stem}.png")], [(1, 1, BOX)]))
    text(tmp_path / "package.json", "{}")
    text(tmp_path / where / "captions_val.json", json.dumps({"images": [], "annotations": [], "categories": []}))
    if where == "annotations":
        (tmp_path / where / "instances_Test.json").rename(tmp_path / where / "test.json")
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert sorted(found) == ["test/c.png", "train/a.png", "val/b.png"]


def test_files_of_one_folder_of_pictures_keep_their_own(tmp_path: Path) -> None:
    for number, stem in enumerate("abcd"):
        picture(tmp_path / "images" / f"{stem}.png", number)
    for split, stems in (("train", "ab"), ("val", "c")):
        rows = [(number, f"{stem}.png") for number, stem in enumerate(stems)]
        text(tmp_path / "annotations" / f"instances_{split}.json", coco(rows, [(0, 1, BOX)]))
    found, problems = read_all(tmp_path, "coco")
    assert sorted(found) == ["train/a.png", "train/b.png", "val/c.png"]
    assert [("no entry among its images for d.png" in str(problem)) for problem in problems] == [True]
    text(tmp_path / "annotations" / "instances_val.json", coco([(1, "a.png")], []))
    with pytest.raises(ValueError, match=r"a\.png is in .*instances_train\.json too"):
        read_all(tmp_path, "coco")


def test_entries_may_name_their_split(tmp_path: Path) -> None:
    for number, stem in enumerate("abc"):
        picture(tmp_path / "images" / f"{stem}.png", number)
    document = json.loads(coco([(number, f"{stem}.png") for number, stem in enumerate("abc")], []))
    for row, split in zip(document["images"], ("train", "validation", "test"), strict=True):
        row["split"] = split
    text(tmp_path / "coco.json", json.dumps(document))
    assert sorted(read_all(tmp_path, "coco")[0]) == ["test/c.png", "train/a.png", "val/b.png"]


def test_namesakes_keep_their_own_boxes(tmp_path: Path) -> None:
    for folder in "ab":
        picture(tmp_path / "images" / "train" / folder / "001.png", ord(folder))
    file = tmp_path / "annotations" / "instances_train.json"
    text(file, coco([(1, "train/a/001.png"), (2, "train/b/001.png")], [(1, 1, BOX), (2, 2, OTHER)]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert labels_of(found) == {"train/a/001.png": ("cone",), "train/b/001.png": ("cube",)}
    text(file, coco([(1, "a/001.png")], [(1, 1, BOX)]))
    found, [problem] = read_all(tmp_path, "coco")
    assert labels_of(found) == {"train/a/001.png": ("cone",)}
    assert "no entry among its images for b/001.png" in str(problem)
    text(file, coco([(1, "001.png")], [(1, 1, BOX)]))
    found, problems = read_all(tmp_path, "coco")
    assert found == {}
    assert sum("001.png could be it and another" in str(problem) for problem in problems) == 2
    assert sum("no picture for its entry '001.png'" in str(problem) for problem in problems) == 1


@pytest.mark.parametrize(("image_id", "refers"), [(1.0, 1), (1, 1.0), ("1", 1), (7, "7"), ("x", "x")])
def test_ids_are_compared_by_value(tmp_path: Path, image_id: object, refers: object) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "coco.json", coco([(image_id, "a.png")], [(refers, 1.0, BOX)]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert labels_of(found) == {"train/a.png": ("cone",)}


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "message"),
    [
        ([(1, "a.png"), (1, "b.png")], [(1, 1, BOX)], [(1, "cone")], "image id 1 is that of another entry too"),
        ([(1, "a.png"), (1.0, "b.png")], [(1, 1, BOX)], [(1, "cone")], "is that of another entry too"),
        ([(1, "a.png"), (2, "a.png"), (3, "b.png")], [(2, 1, BOX)], [(1, "cone")], "it has two entries"),
        ([(1, "a.png"), (2, "b.png")], [(1, 1, BOX)], [(1, "cone"), (1, "cube")], "category id 1 is 'cone' and 'cube'"),
        ([(1, "a.png"), (2, "b.png")], [(9, 1, BOX)], [(1, "cone")], "no image has the id 9"),
        ([(1, "a.png"), (2, "b.png")], [(None, 1, BOX)], [(1, "cone")], "no image has the id None"),
        ([(None, "a.png"), (2, "b.png")], [(2, 1, BOX)], [(1, "cone")], "its entry has no id"),
        ([(1, "a.png"), (2, "b.png"), (3, "c.png")], [(3, 1, BOX)], [(1, "cone")], "no picture for its entry 'c.png'"),
        ([(1, "a.png"), (2, "b.png")], [(1, 1, BOX, {"iscrowd": "maybe"})], [(1, "cone")], "iscrowd='maybe'"),
    ],
)
def test_what_is_ambiguous_or_left_over_is_named(
    tmp_path: Path, images: list, annotations: list, categories: list, message: str
) -> None:
    for number, stem in enumerate("ab"):
        picture(tmp_path / "images" / f"{stem}.png", number)
    text(tmp_path / "coco.json", coco(images, annotations, categories))
    balance = BalanceSheet()
    found, problems = read_all(tmp_path, "coco", balance)
    assert any(message in str(problem) for problem in problems)
    assert sum(len(item.boxes) for _, item in found.values()) == 0 or "c.png" not in message
    for _, item in found.values():
        balance.use(item)
    assert [balance.missing(kind) for kind in ("pictures", "entries", "boxes")] == [0, 0, 0]


def test_the_same_entry_twice_is_one(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "coco.json", coco([(1, "a.png"), (1, "a.png")], [(1, 2, BOX)], [(2, "cube"), (2, "cube")]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert labels_of(found) == {"train/a.png": ("cube",)}


def test_the_box_around_polygons_where_there_is_none(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    polygons = [[16, 12, 30, 12, 20, 20], [40, 30, 48, 36, 44, 36]]
    file = tmp_path / "coco.json"
    for bbox in (None, []):
        text(file, coco([(1, "a.png")], [(1, 1, bbox, {"segmentation": polygons})]))
        found, problems = read_all(tmp_path, "coco")
        assert problems == []
        assert found["train/a.png"][1].boxes == ((16, 12, 48, 36),)
    wrongs = ({"counts": "x", "size": [60, 80]}, [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, 3, "x", 5, 6]], [])
    for wrong in wrongs:
        text(file, coco([(1, "a.png")], [(1, 1, None, {"segmentation": wrong})]))
        found, problems = read_all(tmp_path, "coco")
        assert (found, len(problems)) == ({}, 1)


def test_accents_are_the_same_however_a_system_writes_them(tmp_path: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        picture(tmp_path / "images" / unicodedata.normalize(form, f"café{number}.png"), number)
    names = [(number, unicodedata.normalize(form, f"café{number}.png")) for number, form in enumerate(("NFD", "NFC"))]
    text(tmp_path / "coco.json", coco(names, [(0, 1, BOX), (1, 2, OTHER)]))
    found, problems = read_all(tmp_path, "coco")
    assert problems == []
    assert sorted(item.labels for _, item in found.values()) == [("cone",), ("cube",)]


def test_crowds_are_left_out_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    rows = [(1, 1, BOX, {"iscrowd": value}) for value in (1, True, "1", 1.0, 0, "0", False, None)]
    text(tmp_path / "coco.json", coco([(1, "a.png")], rows))
    balance = BalanceSheet()
    found, problems = read_all(tmp_path, "coco", balance)
    assert problems == []
    assert len(found["train/a.png"][1].boxes) == 4
    assert balance.to_dict()["boxes"]["left_out"] == {"of crowds": 4, "not reached": 4}


def test_a_file_without_its_folder_of_pictures_is_a_loss_that_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    text(tmp_path / "annotations" / "instances_train.json", coco([(1, "a.png")], [(1, 1, BOX)]))
    text(
        tmp_path / "annotations" / "instances_val.json", coco([(1, "b.png"), (2, "c.png")], [(1, 1, BOX), (2, 1, BOX)])
    )
    balance = BalanceSheet()
    found, problems = read_all(tmp_path, "coco", balance)
    assert sorted(found) == ["train/a.png"]
    assert len(problems) == 2
    assert balance.to_dict()["entries"]["left_out"] == {"without a picture": 2, "not reached": 1}
    assert balance.to_dict()["pictures"]["seen"] == 1
