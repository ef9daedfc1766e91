"""Lists of splits: every name and form that they have in public data sets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import read_all, text, voc, yolo

EXPECTED = ["train/1.png", "train/2.png", "val/3.png"]


def write(source: Path, lists: dict[str, str]) -> Path:
    voc(source / "JPEGImages", source / "Annotations", "1", "2", "3")
    for name, lines in lists.items():
        text(source / name, lines)
    return source


@pytest.mark.parametrize(
    "lists",
    [
        {"ImageSets/Main/train.txt": "1\n2\n", "ImageSets/Main/valid.txt": "3\n"},
        {"ImageSets/Main/train.txt": "1  1\n2 -1\n", "ImageSets/Main/val.txt": "3  0\n"},
        {"ImageSets/Main/train.txt": "1.png\r\n2.png\r\n", "ImageSets/Main/val.txt": "3.png\r\n"},
        {"ImageSets/Main/train.txt": "JPEGImages/1.png\nJPEGImages/2.png\n", "ImageSets/Main/val.txt": "3\n"},
        {"ImageSets/Main/cone_train.txt": "1  1\n2 -1\n", "ImageSets/Main/cone_val.txt": "3  1\n"},
        {"ImageSets/train.txt": "1\n2\n", "ImageSets/val.txt": "3\n"},
        {"ImageSets/Segmentation/train.txt": "1\n2\n", "ImageSets/Segmentation/val.txt": "3\n"},
        {
            "ImageSets/Main/trainval.txt": "1\n2\n3\n",
            "ImageSets/Main/train.txt": "1\n2\n",
            "ImageSets/Main/val.txt": "3\n",
        },
        {
            "train_list.txt": "JPEGImages/1.png Annotations/1.xml\n./JPEGImages/2.png ./Annotations/2.xml\n",
            "val_list.txt": "JPEGImages\\3.png Annotations\\3.xml\n",
        },
        {"train.txt": "1\n2\n", "val.txt": "3\n", "test.txt": "to do\n"},
        {"split.json": '{"train": ["1.png", "2.png"], "val": ["3.png"], "seed": 0}'},
        {"splits.json": '{"training": ["1", "2"], "valid": ["JPEGImages/3.png"], "test": []}'},
        {"train.txt": "/home/me/kit/JPEGImages/1.png\n/home/me/kit/JPEGImages/2.png\n", "val.txt": "3\n"},
    ],
)
def test_every_form_of_a_list(tmp_path: Path, lists: dict[str, str]) -> None:
    source = write(tmp_path, lists)
    (source / "test_notes.txt").write_bytes(b"\xff\xfe\x00")
    found, problems = read_all(source, "voc")
    assert problems == []
    assert sorted(found) == EXPECTED


def test_lists_count_for_yolo_too(tmp_path: Path) -> None:
    for place, folder in (("sets", "ImageSets"), ("root", ".")):
        source = tmp_path / place
        yolo(source / "images", source / "labels", "1", "2", "3")
        text(source / "data.yaml", "names: [cone]\n")
        text(source / folder / "train.txt", "1\n2\n")
        text(source / folder / "val.txt", "3\n")
        for options in ({}, {"boxes": source / "labels"}):
            found, problems = read_all(source / ("images" if options else ""), "yolo", **options)
            assert problems == []
            assert sorted(found) == EXPECTED


def test_what_ultralytics_splits_by_itself(tmp_path: Path) -> None:
    yolo(tmp_path / "images", tmp_path / "labels", "1", "2", "3")
    text(tmp_path / "data.yaml", "names: [cone]\n")
    text(tmp_path / "autosplit_train.txt", "./images/1.png\n./images/2.png\n")
    text(tmp_path / "autosplit_val.txt", "./images/3.png\n")
    assert sorted(read_all(tmp_path, "yolo")[0]) == EXPECTED


def test_a_list_that_looks_held_out_is_asked_about(tmp_path: Path) -> None:
    source = write(tmp_path, {"ImageSets/Main/train.txt": "1\n2\n", "ImageSets/Main/holdout.txt": "3\n"})
    with pytest.raises(ValueError, match=r"holdout\.txt: it looks like a list of held-out pictures"):
        read_all(source, "voc")
    # One that lists nothing that is there holds nothing out.
    text(source / "ImageSets" / "Main" / "holdout.txt", "9\n")
    assert sorted(read_all(source, "voc")[0]) == EXPECTED[:2]


def test_lists_that_say_no_split_say_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, {"ImageSets/Main/default.txt": "1\n2\n3\n", "notes.txt": "1\n"})
    assert sorted(read_all(source, "voc")[0]) == ["train/1.png", "train/2.png", "train/3.png"]


def test_names_with_spaces_are_no_flags(tmp_path: Path) -> None:
    voc(tmp_path / "JPEGImages", tmp_path / "Annotations", "frame 0", "frame 1")
    text(tmp_path / "ImageSets" / "Main" / "train.txt", "frame 0\n")
    text(tmp_path / "ImageSets" / "Main" / "val.txt", "frame 1 \n")
    assert sorted(read_all(tmp_path, "voc")[0]) == ["train/frame 0.png", "val/frame 1.png"]


def test_two_lists_with_one_picture_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, {"ImageSets/Main/train.txt": "1\n2\n", "ImageSets/Main/val.txt": "2.png\n"})
    with pytest.raises(ValueError, match="listed in train and in val"):
        read_all(source, "voc")
