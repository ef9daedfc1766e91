"""Splits: held out stays held out, whoever says so, and where nobody can know the user is asked."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from dataset_files import coco, read_all, text, voc, yolo

from inpaint_transform.datasets.splits import looks_held_out, split_named, split_of_list


@pytest.mark.parametrize(
    ("name", "split", "held_out"),
    [
        ("train", "train", False),
        ("Train2017", "train", False),
        ("valid", "val", True),
        ("validation_2", "val", True),
        ("TEST", "test", True),
        ("dev", None, True),
        ("eval", None, True),
        ("test_set", None, True),
        ("val_images", None, True),
        ("valImages", None, True),
        ("validate", None, True),
        ("holdout", None, True),
        ("held-out", None, True),
        ("minival", None, True),
        ("valset", None, True),
        ("testimages", None, True),
        ("TestData", None, True),
        ("development", None, True),
        ("benchmark_v2", None, True),
        ("测试集", None, True),
        ("trainval", None, False),
        ("contest", None, False),
        ("valve", None, False),
        ("device_3", None, False),
        ("latest", None, False),
        ("camA", None, False),
        ("VOCdevkit", None, False),
        ("testimony", None, False),
        ("valley", None, False),
    ],
)
def test_names_of_folders(name: str, split: str | None, held_out: bool) -> None:
    assert split_named(name) == split
    assert looks_held_out(name) is held_out


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("train", "train"),
        ("valid", "val"),
        ("train_list", "train"),
        ("autosplit_val", "val"),
        ("test-images", "test"),
        ("car_train", None),
        ("trainval", None),
        ("train_val", None),
        ("list", None),
    ],
)
def test_names_of_lists(stem: str, split: str | None) -> None:
    assert split_of_list(stem) == split


def placed(source: Path, box_format: str = "yolo", **options: object) -> list[str]:
    found, problems = read_all(source, box_format, **options)
    assert problems == []
    return sorted(found)


def write(source: Path, *folders: str, data: str = "names: [cone]\n") -> Path:
    for folder in folders:
        yolo(source / "images" / folder, source / "labels" / folder, folder.rpartition("/")[2])
    text(source / "data.yaml", data)
    return source


def test_a_folder_anywhere_in_the_tree_says_the_split(tmp_path: Path) -> None:
    source = write(tmp_path, "train/deep", "cam1/val", "test2017", "other")
    assert placed(source) == ["test/test2017.png", "train/deep/deep.png", "train/other/other.png", "val/cam1/val.png"]


@pytest.mark.parametrize("folder", ["dev", "eval", "test_set", "val_images", "validate", "holdout", "cam1/dev"])
def test_a_folder_that_looks_held_out_needs_a_word(tmp_path: Path, folder: str) -> None:
    source = write(tmp_path, "train", folder)
    name = folder.rpartition("/")[2]
    with pytest.raises(ValueError, match=f"looks held out.*--split {name}=train"):
        read_all(source, "yolo")
    for split in ("train", "val", "test"):
        assert placed(source, wanted={name: split}) == sorted([f"{split}/{folder}/{name}.png", "train/train.png"])


def test_two_splits_in_one_path_need_a_word(tmp_path: Path) -> None:
    source = write(tmp_path, "train/val")
    with pytest.raises(ValueError, match="names two splits"):
        read_all(source, "yolo")
    assert placed(source, wanted={"val": "val"}) == ["val/train/val.png"]
    with pytest.raises(ValueError, match="different splits"):
        read_all(source, "yolo", wanted={"val": "val", "train": "train"})


def test_a_word_for_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder with pictures is called 'dve'"):
        read_all(write(tmp_path, "dev"), "yolo", wanted={"dve": "val"})


def test_declared_training_pictures_in_a_held_out_folder_are_refused(tmp_path: Path) -> None:
    data = "names: [cone]\ntrain: images/val\nval: images/train\n"
    source = write(tmp_path, "train", "val", data=data)
    with pytest.raises(ValueError, match=r"data.yaml has pictures of the folder 'val' in train"):
        read_all(source, "yolo")
    assert placed(source, wanted={"val": "val", "train": "train"}) == ["train/train.png", "val/val.png"]


def test_the_folder_that_the_user_names_counts_too(tmp_path: Path) -> None:
    source = write(tmp_path, "val", "dev")
    assert placed(source / "images" / "val", boxes=source / "labels" / "val") == ["val/val.png"]
    with pytest.raises(ValueError, match="looks held out"):
        read_all(source / "images" / "dev", "yolo", boxes=source / "labels" / "dev")


def test_train_and_test_side_by_side_with_labels_beside_the_pictures(tmp_path: Path) -> None:
    for split in ("train", "test"):
        yolo(tmp_path / "yolo" / split, tmp_path / "yolo" / split, f"y{split}")
        voc(tmp_path / "voc" / split, tmp_path / "voc" / split, f"v{split}")
    text(tmp_path / "yolo" / "classes.txt", "cone\n")
    assert placed(tmp_path / "yolo") == ["test/ytest.png", "train/ytrain.png"]
    assert placed(tmp_path / "voc", "voc") == ["test/vtest.png", "train/vtrain.png"]


def test_names_of_coco_files_are_read_like_folders(tmp_path: Path) -> None:
    yolo(tmp_path / "images", tmp_path / "unused", "a", "b")
    for name, picture in (("train", "a"), ("dev", "b")):
        text(tmp_path / "annotations" / f"{name}.json", coco([(1, f"{picture}.png")], []))
    with pytest.raises(ValueError, match="'dev' looks held out"):
        read_all(tmp_path, "coco")
    assert placed(tmp_path, "coco", wanted={"dev": "val"}) == ["train/a.png", "val/dev/b.png"]


def test_the_name_of_the_label_file_or_folder_counts_too(tmp_path: Path) -> None:
    yolo(tmp_path / "images", tmp_path / "labels" / "val", "a")
    text(tmp_path / "data.yaml", "names: [cone]\n")
    file = text(tmp_path / "annotations" / "instances_val2017.json", coco([(1, "a.png")], []))
    assert placed(tmp_path / "images", "coco", boxes=file) == ["val/a.png"]
    assert placed(tmp_path / "images", boxes=tmp_path / "labels" / "val") == ["val/a.png"]
    file.rename(file.with_name("dev.json"))
    with pytest.raises(ValueError, match="'dev' looks held out"):
        read_all(tmp_path / "images", "coco", boxes=file.with_name("dev.json"))


def test_one_file_in_two_splits_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "train")
    for place in ("images", "labels"):
        (source / place / "val").symlink_to(source / place / "train")
    with pytest.raises(ValueError, match="are one file, in train and in val"):
        read_all(source, "yolo")


def test_a_data_set_one_level_deeper_declares_its_own_splits(tmp_path: Path) -> None:
    data = "names: [cone]\ntrain: images/camA\nval: images/camB\n"
    write(tmp_path / "set", "camA", "camB", data=data)
    assert placed(tmp_path) == ["train/set/camA/camA.png", "val/set/camB/camB.png"]


def test_suffixes_in_capitals_are_the_same(tmp_path: Path) -> None:
    source = write(tmp_path / "yolo", "train")
    voc(tmp_path / "voc" / "JPEGImages", tmp_path / "voc" / "Annotations", "1")
    for file in (source / "labels" / "train" / "train.txt", tmp_path / "voc" / "Annotations" / "1.xml"):
        file.rename(file.with_suffix(file.suffix.upper()))
    for place, box_format in ((source, "yolo"), (tmp_path / "voc", "voc")):
        found, problems = read_all(place, box_format)
        assert problems == []
        assert [len(item.boxes) for _, item in found.values()] == [1]


@pytest.mark.parametrize("of_picture", ["NFC", "NFD"])
@pytest.mark.parametrize("box_format", ["yolo", "voc", "yolo declared"])
def test_an_accent_of_its_own_is_the_same(tmp_path: Path, box_format: str, of_picture: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[of_picture]
    source, suffix, labels = {
        "yolo": ("images", "txt", "labels"),
        "voc": ("JPEGImages", "xml", "Annotations"),
        "yolo declared": ("set", "txt", "set"),
    }[box_format]
    (voc if box_format == "voc" else yolo)(tmp_path / source, tmp_path / labels, "a")
    text(tmp_path / "data.yaml", f"names: [cone]\ntrain: {source}\n" if "declared" in box_format else "names: [cone]\n")
    (tmp_path / source / "a.png").rename(tmp_path / source / unicodedata.normalize(of_picture, "Kühe né.png"))
    (tmp_path / labels / f"a.{suffix}").rename(tmp_path / labels / unicodedata.normalize(other, f"Kühe né.{suffix}"))
    found, problems = read_all(tmp_path, box_format.split()[0])
    assert problems == []
    assert [item.labels for _, item in found.values()] == [("cone",)]


def test_the_name_of_the_data_sets_own_folder_counts_where_nothing_inside_says_a_split(tmp_path: Path) -> None:
    yolo(tmp_path / "valid" / "images", tmp_path / "valid" / "labels", "a")
    text(tmp_path / "data.yaml", "names: [cone]\n")
    assert placed(tmp_path / "valid") == ["val/a.png"]
    assert placed(tmp_path / "valid", wanted={"valid": "train"}) == ["train/valid/a.png"]
    text(tmp_path / "test" / "coco.json", coco([(1, "b.png")], []))
    yolo(tmp_path / "test" / "images", tmp_path / "unused", "b")
    assert placed(tmp_path / "test", "coco") == ["test/b.png"]
    # A folder for trying things out, with splits of its own.
    write(tmp_path / "test2", "train", "val")
    assert placed(tmp_path / "test2") == ["train/train.png", "val/val.png"]
