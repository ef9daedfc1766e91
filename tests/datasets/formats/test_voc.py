"""Pascal VOC: declared splits, layouts, and pictures that its loaders can open."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest
from dataset_files import picture, read_all, text, voc

from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.formats import voc as format_voc
from inpaint_transform.datasets.formats.base import LabelledPicture


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    voc(tmp_path / "JPEGImages", tmp_path / "Annotations", "1", "2", "3", "4", "5")
    lists = {"train": "1\n2\n", "val": "3\n", "test": "4\n", "trainval": "1\n2\n3\n", "cone_train": "1  1\n4 -1\n"}
    for name, ids in lists.items():
        text(tmp_path / "ImageSets" / "Main" / f"{name}.txt", ids)
    return tmp_path


def test_image_sets_say_the_splits(devkit: Path) -> None:
    balance = BalanceSheet()
    found, problems = read_all(devkit, "voc", balance)
    assert problems == []
    assert sorted(found) == ["test/4.png", "train/1.png", "train/2.png", "val/3.png"]
    assert balance.to_dict()["pictures"]["left_out"] == {"in no declared split": 1, "not reached": 4}
    assert sorted(read_all(devkit / "JPEGImages", "voc", boxes=devkit / "Annotations")[0]) == sorted(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": "3\n1\n"}, "1 is in train.txt too"),
        ({"trainval": "1\n5\n"}, "5 is neither in train.txt nor in val.txt"),
    ],
)
def test_lists_that_contradict_each_other_are_refused(devkit: Path, changes: dict[str, str], message: str) -> None:
    for name, ids in changes.items():
        text(devkit / "ImageSets" / "Main" / f"{name}.txt", ids)
    with pytest.raises(ValueError, match=message):
        read_all(devkit, "voc")


def test_trainval_is_for_training_where_nothing_is_split_further(devkit: Path) -> None:
    for name in ("train", "val"):
        (devkit / "ImageSets" / "Main" / f"{name}.txt").unlink()
    assert sorted(read_all(devkit, "voc")[0]) == ["test/4.png", "train/1.png", "train/2.png", "train/3.png"]


def test_a_listed_picture_that_is_not_there_is_named(devkit: Path) -> None:
    (devkit / "JPEGImages" / "3.png").unlink()
    found, problems = read_all(devkit, "voc")
    assert "val/3.png" not in found
    assert {problem.path.name for problem in problems} == {"3.jpg"}


def test_years_and_other_names_of_folders(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / "kit" / year / "JPEGImages", tmp_path / "kit" / year / "Annotations", "1")
    assert sorted(read_all(tmp_path / "kit", "voc")[0]) == ["train/VOC2007/1.png", "train/VOC2012/1.png"]
    for folder in ("annotations", "Annotations", "labels"):
        voc(tmp_path / folder / "images", tmp_path / folder / folder, "1")
        assert sorted(read_all(tmp_path / folder, "voc")[0]) == ["train/1.png"]


def test_labels_beside_the_pictures(tmp_path: Path) -> None:
    voc(tmp_path, tmp_path, "1", "2")
    picture(tmp_path / "background.png", 5)
    text(tmp_path / "gone.xml", (tmp_path / "1.xml").read_text())
    text(tmp_path / "notes.xml", "<notes/>")
    found, [problem] = read_all(tmp_path, "voc")
    assert {key: len(item.boxes) for key, (_, item) in found.items()} == {
        "train/1.png": 1,
        "train/2.png": 1,
        "train/background.png": 0,
    }
    assert problem.path.name == "gone.xml"


def test_the_box_around_a_rotated_box_and_a_polygon(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    rotated = "<robndbox><cx>40</cx><cy>30</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>"
    polygon = "<polygon><x1>1</x1><y1>2</y1><x2>30</x2><y2>2</y2><x3>30</x3><y3>40</y3></polygon>"
    objects = "".join(f"<object><name>cone</name>{shape}</object>" for shape in (rotated, polygon))
    file = text(tmp_path / "a.xml", f"<annotation>{objects}</annotation>")
    found, problems = read_all(tmp_path, "voc")
    assert problems == []
    assert found["train/a.png"][1].boxes == ((35, 20, 45, 40), (1, 2, 30, 40))
    for wrong in (rotated.replace("1.57", "x"), rotated.replace("1.5707963", "inf"), polygon.replace("40", "nan"), ""):
        text(file, f"<annotation><object><name>cone</name>{wrong}</object></annotation>")
        _, [problem] = read_all(tmp_path, "voc")
        assert problem.line == 1


def test_every_picture_is_written_where_loaders_look() -> None:
    name = PurePosixPath("sub/a.tif")
    assert format_voc.picture_path("train", name) == PurePosixPath("JPEGImages/train/sub/a.jpg")
    labelled = LabelledPicture(name, 60, 80, [(1.2, 2, 30, 40)], ["cone"])
    path, content = format_voc.label_file("train", labelled, {})
    assert path == PurePosixPath("Annotations/train/sub/a.xml")
    root = ElementTree.fromstring(content)
    assert root.findtext("filename") == "a.jpg"
    assert [child.text for child in root.find("object/bndbox")] == ["1", "2", "30", "40"]
    [(path, listed)] = format_voc.indices({"train": [labelled]}, {})
    assert (path, listed) == (PurePosixPath("ImageSets/Main/train.txt"), "train/sub/a\n")
