"""YOLO: rows of every kind that trainers take, pictures without labels, and labels without pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import CORNERS, ROW, read_all, text, yolo
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.formats.base import Part
from inpaint_transform.datasets.formats.yolo import YoloReader

NAMES = "names: [cone, cube]\n"


def write(source: Path, *rows: str, more: str = "") -> Path:
    yolo(source / "images", source / "labels", "a", row="\n".join(rows))
    text(source / "data.yaml", NAMES + more)
    return source


def test_the_box_of_a_polygon_and_of_a_rotated_box(tmp_path: Path) -> None:
    polygon = "0 0.2 0.2 0.6 0.2 0.6 0.7 0.3 0.8 0.2 0.7"
    rotated = "1 0.5 0.2 0.7 0.5 0.5 0.8 0.3 0.5"
    found, problems = read_all(write(tmp_path, ROW, polygon, rotated), "yolo")
    assert problems == []
    _, item = found["train/a.png"]
    assert item.boxes == (CORNERS, (16, 12, 48, 48), (24, 12, 56, 48))
    assert item.labels == ("cone", "cone", "cube")


points = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=20)


@given(points=points)
def test_a_polygon_touches_every_side_of_its_box(points: list[tuple[float, float]]) -> None:
    row = " ".join(["0", *(f"{x!r} {y!r}" for x, y in points)])
    reader = YoloReader(Part(Path("a.png"), Path("a.txt"), ()), {0: "cone"}, False)
    _, _, corners, outline = reader._box(row.split(), 100, 200)
    assert len(outline) == len(points)
    across, down = [x * 200 for x, _ in points], [y * 100 for _, y in points]
    assert corners == pytest.approx((min(across), min(down), max(across), max(down)))


def test_keypoints_are_told_from_polygons_by_the_data_file(tmp_path: Path) -> None:
    row = f"{ROW} 0.9 0.9 0.1 0.1"
    found, _ = read_all(write(tmp_path / "with", row, more="kpt_shape: [2, 2]\n"), "yolo")
    assert found["train/a.png"][1].boxes == (CORNERS,)
    _, problems = read_all(write(tmp_path / "mixed", ROW, more="kpt_shape: [2, 2]\n"), "yolo")
    assert "found 5 columns" in str(problems[0])
    _, problems = read_all(write(tmp_path / "without", f"{ROW} 0.9 0.9 2 0.1 0.1"), "yolo")
    assert "kpt_shape" in str(problems[0])


@pytest.mark.parametrize("row", ["0 0.1 0.1 nan 0.2 0.3 0.3", "0 0.1 0.1 inf 0.2 0.3 0.3", "0 0.1 0.1 1.2 0.2 0.3 0.3"])
def test_a_bad_polygon_is_named(tmp_path: Path, row: str) -> None:
    found, [problem] = read_all(write(tmp_path, row), "yolo")
    assert found == {}
    assert (problem.path.name, problem.line) == ("a.txt", 1)


def test_a_picture_without_labels_shows_nothing_but_a_split_without_any_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    yolo(tmp_path / "images", tmp_path / "gone", "background")
    yolo(tmp_path / "images" / "test", tmp_path / "gone", "t1", "t2")
    balance = BalanceSheet()
    found, problems = read_all(tmp_path, "yolo", balance)
    assert {key: len(item.boxes) for key, (_, item) in found.items()} == {"train/a.png": 1, "train/background.png": 0}
    assert [str(problem) for problem in problems] == [
        f"{tmp_path / 'labels'}: no picture of the split test has labels; it is left out"
    ]
    for _, item in found.values():
        balance.use(item)
    assert balance.to_dict()["pictures"] == {"seen": 4, "used": 2, "left_out": {"of a split without labels": 2}}
    assert balance.to_dict()["entries"] == {"seen": 1, "used": 1, "left_out": {}}


def test_labels_without_a_picture_are_named_and_notes_are_not(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    text(tmp_path / "labels" / "sub" / "gone.txt", f"{ROW}\n{ROW}\n")
    text(tmp_path / "labels" / "classes.txt", "cone\ncube\n")
    text(tmp_path / "labels" / "README.txt", "1 picture and its box, read by 2 people\n")
    balance = BalanceSheet()
    _, problems = read_all(tmp_path, "yolo", balance)
    assert [problem.path.name for problem in problems] == ["gone.txt"]
    assert balance.to_dict()["boxes"]["left_out"] == {"without a picture": 2, "not reached": 1}
    # Labels of a whole folder whose pictures were forgotten.
    yolo(tmp_path / "forgotten" / "images", tmp_path / "extra" / "labels", "x")
    (tmp_path / "both").mkdir()
    (tmp_path / "labels" / "sub" / "gone.txt").unlink()
    _, problems = read_all(tmp_path, "yolo")
    assert {problem.path.name for problem in problems} == {"x.txt"}


def test_amodal_boxes_are_cut_off_on_demand(tmp_path: Path) -> None:
    write(tmp_path, "0 0.9 0.5 0.6 0.4", "1 1.5 0.5 0.2 0.2", ROW)
    _, problems = read_all(tmp_path, "yolo")
    assert [problem.line for problem in problems] == [1, 2]
    assert "--clip" in str(problems[0])
    balance = BalanceSheet()
    found, problems = read_all(tmp_path, "yolo", balance, clip=True)
    assert problems == []
    assert found["train/a.png"][1].boxes == ((48, 18, 80, 42), CORNERS)
    assert balance.to_dict()["boxes"]["left_out"]["outside of their picture"] == 1


def test_a_hair_outside_is_cut_off(tmp_path: Path) -> None:
    found, problems = read_all(write(tmp_path, "0 0.1 0.5 0.202 0.4"), "yolo")  # 0.1 % beyond the left side
    assert problems == []
    assert found["train/a.png"][1].boxes == ((0, 18, 16, 42),)
