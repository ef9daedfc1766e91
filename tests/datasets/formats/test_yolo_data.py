"""What lies with YOLO labels: names in any file, and declared splits in every form."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dataset_files import ROW, read_all, text, yolo

from inpaint_transform.datasets.formats.yolo_data import read_names

CAMERAS = ("camA", "camB", "camC")
EXPECTED = ["train/camA/a.png", "train/camB/b.png", "val/camC/c.png"]


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """Three folders whose names say nothing of a split."""
    for camera, name in zip(CAMERAS, "abc", strict=True):
        yolo(tmp_path / "s" / "images" / camera, tmp_path / "s" / "labels" / camera, name)
    return tmp_path / "s"


def declared(source: Path, data: str, **options: object) -> list[str]:
    text(source / "data.yaml", "names: [cone]\n" + data)
    found, problems = read_all(source, "yolo", **options)
    assert problems == []
    return sorted(found)


@pytest.mark.parametrize(
    "data",
    [
        "train: [images/camA, images/camB]\nval: [images/camC]\n",
        "train:\n- images/camA\n- ./images/camB/\nval: images/camC\ntest:\n",
        "path: ../s\ntrain: [images/camA, images/camB]\nval: images/camC\n",
        "path: /nowhere/else\ntrain: [images/camA, images/camB]\nvalid: images/camC\n",
        "path: SOURCE\ntrain: [images/camA, images/camB]\nvalidation: images/camC\ntest: images/camD\n",
        "train: [SOURCE/images/camA, SOURCE/images/camB]\nval: [SOURCE/images/camC]\n",
        "train: [/content/s/images/camA, /content/s/images/camB]\nval: /content/s/images/camC\n",
        "train: [../images/camA, ..\\images\\camB]\nval: ../images/camC\n",
        "train: lists/train.txt\nval: lists/val.txt\n",
        "train: [images/camA, lists/b.txt]\nval: lists/val.txt\n",
    ],
)
def test_every_form_of_a_declaration(cameras: Path, data: str) -> None:
    text(cameras / "lists" / "train.txt", f"images/camA/a.png\n{cameras}/images/camB/b.png\n\n")
    text(cameras / "lists" / "val.txt", "./../images/camC/c.png\n")
    text(cameras / "lists" / "b.txt", "data/images/camB/b.png\r\n")
    assert declared(cameras, data.replace("SOURCE", str(cameras))) == EXPECTED


def test_the_data_file_itself_is_a_source(cameras: Path) -> None:
    declared(cameras, "train: [images/camA, images/camB]\nval: images/camC\n")
    (cameras / "data.yaml").rename(cameras / "cones.yaml")
    for source in (cameras / "cones.yaml", cameras):
        assert sorted(read_all(source, "yolo")[0]) == EXPECTED


def test_a_declaration_counts_with_named_places_too(cameras: Path) -> None:
    data = "train: [images/camA, images/camB]\nval: images/camC\n"
    text(cameras / "data.yaml", "names: [cone]\n" + data)
    found, _ = read_all(cameras / "images", "yolo", boxes=cameras / "labels")
    assert sorted(found) == EXPECTED


def test_lists_of_darknet(tmp_path: Path) -> None:
    yolo(tmp_path / "obj_train_data", tmp_path / "obj_train_data", "a", "b")
    text(tmp_path / "obj.names", "cone\n")
    text(tmp_path / "train.txt", "data/obj_train_data/a.png\n")
    text(tmp_path / "valid.txt", "data/obj_train_data/b.png\n")
    for data in (None, "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n"):
        if data:
            text(tmp_path / "obj.data", data)
        found, problems = read_all(tmp_path, "yolo")
        assert problems == []
        assert sorted(found) == ["train/obj_train_data/a.png", "val/obj_train_data/b.png"]


def test_no_val_yet(cameras: Path) -> None:
    found = declared(cameras, "train: images\nval: images\n")
    assert [key.partition("/")[0] for key in found] == ["train"] * 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("train: images\nval: images/camC\n", r"c\.png is in train and in val"),
        ("train: [images/camA, images/camC]\nval: images/camC\n", "is in train and in val"),
        ("train: {a: b}\n", "is no folder, no list file"),
    ],
)
def test_contradictions_are_refused(cameras: Path, data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declared(cameras, data)


@pytest.mark.parametrize(
    "data", ["train: ../train/images\nval: ../valid/images\n", "train: images/camD\nval: images\n"]
)
def test_places_that_are_not_there_are_asked_about(cameras: Path, data: str) -> None:
    with pytest.raises(ValueError, match=r"data\.yaml: train: .* there is no such place.*--split camA=train"):
        declared(cameras, data)
    wanted = {"camA": "train", "camB": "train", "camC": "val"}
    assert declared(cameras, data, wanted=wanted) == EXPECTED
    # Folders that say it themselves need no word.
    for camera, split in zip(CAMERAS, ("train", "train2", "val"), strict=True):
        for place in ("images", "labels"):
            shutil.move(cameras / place / camera, cameras / place / split)
    if "camD" not in data:
        assert declared(cameras, data) == ["train/a.png", "train/b.png", "val/c.png"]


def test_pictures_in_no_split_are_left_out_and_those_that_are_gone_are_named(cameras: Path) -> None:
    text(cameras / "data.yaml", "names: [cone]\ntrain: train.txt\nval: images/camC\n")
    text(cameras / "train.txt", "images/camA/a.png\nimages/camA/gone.png\n")
    found, problems = read_all(cameras, "yolo")
    assert sorted(found) == ["train/camA/a.png", "val/camC/c.png"]
    assert [problem.path.name for problem in problems] == ["gone.png"]


def test_names_are_read_from_any_file_and_never_from_its_name(tmp_path: Path) -> None:
    for name in ("obj.names", "classes.lst", "names", "classes.txt"):
        assert read_names(str(text(tmp_path / name, "cone\nbig cube\n"))) == {0: "cone", 1: "big cube"}
    assert read_names("cone, cube") == {0: "cone", 1: "cube"}
    assert read_names("cone") == {0: "cone"}
    assert read_names(str(text(tmp_path / "a.json", '{"names": ["cone", "cube"]}'))) == {0: "cone", 1: "cube"}
    assert read_names(str(text(tmp_path / "b.json", '["cone", "no"]'))) == {0: "cone", 1: "no"}
    assert read_names(str(text(tmp_path / "c.json", '{"0": "cone", "2": "cube"}'))) == {0: "cone", 2: "cube"}
    wheels = {0: "2 wheeler", 1: "3 wheeler"}
    assert read_names(str(text(tmp_path / "wheels.txt", "2 wheeler\n3 wheeler\n"))) == wheels
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.names").write_bytes(b"\x00\x01\xff")
    for wrong in (
        tmp_path / "folder",
        tmp_path / "binary.names",
        tmp_path / "no.names",
        "obj.names",
        "no/such",
        "no.json",
    ):
        with pytest.raises(ValueError, match=r"no file|no class name|not UTF-8|No such file"):
            read_names(str(wrong))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("map.pbtxt", "item {\n  id: 1\n  name: 'cone'\n}\n", "names in .pbtxt files are not read"),
        ("classes.csv", "id,name\n0,cone\n", "names in .csv files are not read"),
        ("classes.txt", "0: cone\n1: cube\n", "a number and a name a line"),
        ("classes.txt", "1 cone\n2 cube\n", "a number and a name a line"),
        ("classes.json", "", "no list 'names'"),
        ("classes.json", '"cone"', "is no list"),
    ],
)
def test_what_is_more_than_names_never_becomes_some(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_names(str(text(tmp_path / name, content)))


def test_yaml_names_are_the_words_that_stand_there(tmp_path: Path) -> None:
    data = text(tmp_path / "data.yaml", "names: [no, yes]\n")
    assert read_names(str(data)) == {0: "no", 1: "yes"}
    text(data, "names: {0: off, 1: 1.0, 2: null}\n")
    assert read_names(str(data)) == {0: "off", 1: "1.0", 2: "null"}
    for wrong in ("names: {01: a}", "names: {0: a, 0: b}", "names: [[a]]", "names: {x: a}", "names: cone"):
        text(data, wrong)
        with pytest.raises(ValueError, match="not a class id|twice|is no list"):
            read_names(str(data))


def test_two_data_files_are_one_question(tmp_path: Path) -> None:
    yolo(tmp_path / "images", tmp_path / "labels", "a", row=ROW)
    for name in ("cones.yaml", "cubes.yaml"):
        text(tmp_path / name, "names: [cone]\n")
    with pytest.raises(ValueError, match=r"cones\.yaml and cubes\.yaml"):
        read_all(tmp_path, "yolo")
    text(tmp_path / "data.yaml", "names: [cone]\n")
    assert sorted(read_all(tmp_path, "yolo")[0]) == ["train/a.png"]
