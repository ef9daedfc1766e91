"""The plan: every picture is decoded once, names fit, and labels that are named exist."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from dataset_files import picture, text, yolo
from PIL import Image

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.export_plan import Plan, Settings, make_plan
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.reading import find


def plan_of(
    source: Path, templates: Any = None, recipe: Any = None, **options: Any
) -> tuple[Plan, list[Problem], BalanceSheet]:
    problems: list[Problem] = []
    balance = BalanceSheet()
    settings = Settings(BoxFormat.YOLO, **options)
    found = find(source, BoxFormat.YOLO)
    recipe = Recipe(min_box_size=8, **(recipe or {}))
    plan = make_plan(found, recipe, settings, problems.append, balance, Pictures(), templates or {None: ["a"]})
    return plan, problems, balance


@pytest.fixture
def source(tmp_path: Path) -> Path:
    yolo(tmp_path / "images" / "train", tmp_path / "labels" / "train", "a", "b")
    yolo(tmp_path / "images" / "val", tmp_path / "labels" / "val", "c")
    text(tmp_path / "data.yaml", "names: [cone, cube]\n")
    return tmp_path


def test_a_picture_is_decoded_once_whatever_is_planned(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda content: decoded.append(1) or real(content))
    plan, _, _ = plan_of(source, copies=3)
    assert len(plan.copies) == 6
    assert len(decoded) == 3
    assert {(original.annotation.height, original.annotation.width) for original in plan.originals} == {(60, 80)}


def test_long_names_get_copies_all_the_same(source: Path) -> None:
    for stem in ("x" * 245, "x" * 246, "ü" * 120):
        yolo(source / "images" / "train", source / "labels" / "train", stem)
    plan, problems, _ = plan_of(source, copies=2)
    assert problems == []
    names = [copy.name.name for copy in plan.copies]
    assert len(set(names)) == 10
    assert max(len(name.encode()) for name in names) <= 255
    assert "a_painted1.png" in names


def test_names_that_no_loader_looks_for_are_changed(source: Path) -> None:
    for suffix in ("jfif", "gif", "TIF"):
        place = picture(source / "images" / "train" / f"{suffix}.png")
        place.rename(place.with_suffix(f".{suffix}"))
        text(source / "labels" / "train" / f"{suffix}.txt", "")
    plan, _, _ = plan_of(source)
    names = {original.name: original.encoded for original in plan.originals}
    assert names[PurePosixPath("jfif.jpg")] is False
    assert names[PurePosixPath("gif.png")] is True
    assert names[PurePosixPath("TIF.TIF")] is False
    assert names[PurePosixPath("a.png")] is False


def test_pictures_of_one_name_are_told(source: Path) -> None:
    Image.new("RGB", (80, 60)).save(source / "images" / "train" / "a.webp")
    plan, [problem], balance = plan_of(source)
    assert "a.png is exported under the same name" in str(problem)
    for original in plan.originals:
        balance.use(original.annotation)
    assert balance.to_dict()["pictures"]["left_out"] == {"of the same name as another": 1}
    assert balance.missing("pictures") == balance.missing("boxes") == 0


def test_labels_of_prompts_and_budgets_exist(source: Path) -> None:
    for options in ({"templates": {None: ["a"], "cnoe": ["b"]}}, {"budget": {"cnoe": 1}}):
        with pytest.raises(ValueError, match="no class is called 'cnoe'; the classes are cone, cube"):
            plan_of(source, **options)


def test_identities_differ_with_the_picture_and_with_its_labels(source: Path) -> None:
    first = {original.key: original.identity() for original in plan_of(source)[0].originals}
    assert len({tuple(identity.values()) for identity in first.values()}) == 2  # c has the pixels and labels of a
    text(source / "labels" / "train" / "a.txt", "1 0.4 0.4 0.4 0.4\n")
    picture(source / "images" / "val" / "c.png", 99)
    now = {original.key: original.identity() for original in plan_of(source)[0].originals}
    assert now["train/a.png"]["picture"] == first["train/a.png"]["picture"]
    assert now["train/a.png"]["labels"] != first["train/a.png"]["labels"]
    assert now["val/c.png"]["picture"] != first["val/c.png"]["picture"]
    assert now["val/c.png"]["labels"] == first["val/c.png"]["labels"]
    assert now["train/b.png"] == first["train/b.png"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "4 with boxes smaller than min_box_size=8, 1 without a box of a label that is painted, 1 without boxes"),
        ({"budget": {"cone": 1}}, "2 beyond the budget"),
        ({"p": 0.0}, "3 not drawn"),
    ],
)
def test_pictures_without_a_copy_are_counted_with_what_keeps_them_from_one(source: Path, options, said: str) -> None:
    for number in range(4):
        yolo(source / "images" / "train", source / "labels" / "train", f"small{number}")
        text(source / "labels" / "train" / f"small{number}.txt", "0 0.5 0.5 0.05 0.05\n1 0.2 0.2 0.2 0.2\n")
    for name, labels in (("cube", "1 0.5 0.5 0.4 0.4\n"), ("none", "")):
        yolo(source / "images" / "train", source / "labels" / "train", name)
        text(source / "labels" / "train" / f"{name}.txt", labels)
    for name in ("a", "b", "c"):
        folder = "val" if name == "c" else "train"
        text(source / "labels" / folder / f"{name}.txt", "0 0.5 0.5 0.4 0.4\n")
    text(source / "labels" / "train" / "d.txt", "0 0.5 0.5 0.4 0.4\n")
    picture(source / "images" / "train" / "d.png")
    plan, _, balance = plan_of(source, recipe={"include_labels": ["cone"]}, **options)
    [note] = [line for line in str(balance).splitlines() if line.startswith("training pictures without")]
    assert said in note
    assert note.endswith(f": {9 - len(plan.copies)}")
