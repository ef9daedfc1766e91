"""References: which pictures are admitted, which is drawn, and that the pixels of an edit are found again."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core import references
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.protocol import REFERENCE_SIDE
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.references import Reference
from inpaint_transform.core.swaps import Swap

RED = np.full((40, 60, 3), (200, 10, 10), np.uint8)
BLUE = np.full((60, 30, 3), (10, 10, 200), np.uint8)


def saved(path: Path, picture: np.ndarray) -> str:
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
    return str(path)


def edits(recipe: Recipe, labels: list[Any], seed: int = 0) -> list[Edit]:
    boxes = [(40 * index, 0, 40 * index + 40, 40) for index in range(len(labels))]
    return plan(recipe, Scene(100, 400, boxes, labels), random.Random(seed))


def pixels_of(recipe: Recipe, edit: Edit) -> np.ndarray:
    assert edit.reference is not None
    return references.find(recipe.reference, edit.reference)


# What a model gets


@given(st.integers(16, 700), st.integers(16, 700))
def test_a_picture_is_whole_in_the_middle_of_a_square(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :] = (250, 120, 3)
    seen = references._seen(picture)
    assert seen.square.shape == (REFERENCE_SIDE, REFERENCE_SIDE, 3)
    assert seen.square.dtype == np.uint8
    assert (seen.square == (250, 120, 3)).all(), "the rest continues the border"
    assert not seen.square.flags.writeable


def test_proportions_stay() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[25:75, 75:225] = 255
    square = references._seen(picture).square
    rows, columns = np.where(square[:, :, 0] > 127)
    assert abs((columns.max() - columns.min() + 1) / (rows.max() - rows.min() + 1) - 3) < 0.05
    assert abs(rows.mean() - REFERENCE_SIDE / 2) < 2


@pytest.mark.parametrize("picture", [RED[:, :, 0], RED[:, :, :1], np.dstack([RED, RED[:, :, :1]])], ids=["2", "1", "4"])
def test_grey_and_alpha_are_pictures_too(picture: np.ndarray) -> None:
    assert references._seen(picture).square.shape == (REFERENCE_SIDE, REFERENCE_SIDE, 3)


def test_a_file_and_the_array_in_it_are_the_same(tmp_path: Path) -> None:
    file = saved(tmp_path / "red.png", RED)
    assert references._open(file).digest == references._seen(RED).digest != references._seen(BLUE).digest


# Drawing


def test_every_label_gets_one_of_its_own(tmp_path: Path) -> None:
    red, blue = saved(tmp_path / "red.png", RED), saved(tmp_path / "blue.png", BLUE)
    recipe = Recipe(reference={"car": [red, blue], "bus": [blue]}, num_boxes=3)
    drawn = [edits(recipe, ["car", "bus", "dog"], seed) for seed in range(20)]
    assert {one[0].reference.source for one in drawn} == {red, blue}
    assert {one[1].reference.source for one in drawn} == {blue}
    assert {one[2].reference for one in drawn} == {None}
    assert (pixels_of(recipe, drawn[0][1]) == BLUE[0, 0]).all()


def test_a_swap_takes_the_reference_of_what_is_painted() -> None:
    recipe = Recipe(reference={"police car": [RED]}, relabel=Swap.of({"car": ["police car"]}))
    [edit] = edits(recipe, ["car"])
    assert edit.target == "police car"
    assert edit.reference is not None


def test_the_other_draws_stay_as_they_are_without_references() -> None:
    def words(recipe: Recipe) -> list[Any]:
        [edit] = edits(recipe, ["car"])
        return [edit.prompt, edit.seed, edit.strength]

    plain = {"prompts": ["a", "b", "c"], "strength": (0.5, 1.0)}
    assert words(Recipe(**plain)) == words(Recipe(**plain, reference={"car": [RED, BLUE]}))


@pytest.mark.parametrize(("given_by", "spoken"), [("car", 3), (3, "car"), (3, 3), ("car", "car"), ("3", 3)])
def test_classes_are_called_by_name_or_id(given_by: Any, spoken: Any) -> None:
    recipe = Recipe(reference={given_by: [RED]}, class_names={3: "car", 4: "bus"})
    [edit] = edits(recipe, [spoken])
    assert edit.reference is not None


def test_a_class_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="reference has 'caar', which is none of class_names; did you mean 'car'"):
        edits(Recipe(reference={"caar": [RED]}, class_names={3: "car"}), [3])
    with pytest.raises(ValueError, match="reference has 'Car', but a label is 'car'"):
        edits(Recipe(reference={"Car": [RED]}), ["car"])
    with pytest.raises(ValueError, match="reference chooses by label"):
        plan(Recipe(reference={"car": [RED]}, prompts="x"), Scene(100, 100, [(0, 0, 50, 50)]), random.Random(0))


# The record of an edit


def test_an_edit_says_which_and_survives_json(tmp_path: Path) -> None:
    file = saved(tmp_path / "red.png", RED)
    [edit] = edits(Recipe(reference={"car": [file]}), ["car"])
    values = json.loads(json.dumps(edit.to_dict()))
    assert values["reference"] == {"digest": references._open(file).digest, "source": file}
    assert Edit.from_dict(values) == edit
    assert "reference" not in edits(Recipe(), ["car"])[0].to_dict()


def test_without_the_recipe_a_file_is_found_and_an_array_is_not(tmp_path: Path) -> None:
    file = saved(tmp_path / "red.png", RED)
    [of_file] = edits(Recipe(reference={"car": [file]}), ["car"])
    assert (pixels_of(Recipe(), of_file) == RED[0, 0]).all()
    [of_array] = edits(Recipe(reference={"car": [RED]}), ["car"])
    with pytest.raises(ValueError, match="painted after an array.*give files"):
        pixels_of(Recipe(), of_array)


def test_a_file_that_changed_or_went_is_named(tmp_path: Path) -> None:
    file = Path(saved(tmp_path / "red.png", RED))
    [edit] = edits(Recipe(reference={"car": [file]}), ["car"])
    saved(file, BLUE)
    os.utime(file, (1, 1))
    with pytest.raises(ValueError, match=r"red.png': the file has changed"):
        pixels_of(Recipe(), edit)
    file.unlink()
    with pytest.raises(ValueError, match=r"red.png': cannot be read"):
        pixels_of(Recipe(), edit)


def test_a_recipe_goes_to_workers_with_its_pictures() -> None:
    recipe = Recipe(reference={"car": [RED, BLUE]})
    [edit] = edits(recipe, ["car"])
    there = pickle.loads(pickle.dumps(recipe))
    assert np.array_equal(pixels_of(there, edit), pixels_of(recipe, edit))
    assert dataclasses.replace(recipe, retries=0).reference == recipe.reference


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(reference={"car": [saved(tmp_path / "once.png", RED)]})
    [edit] = edits(recipe, ["car"])
    monkeypatch.setattr(np, "fromfile", None)
    assert pixels_of(recipe, edit) is pixels_of(recipe, edit)


# What is refused


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ("photo.jpg", "give {label: [files or arrays]}"),
        ({}, "give {label: [files or arrays]}"),
        ([RED], "give {label: [files or arrays]}"),
        ({"car": []}, "at least one file or array"),
        ({"car": "photo.jpg"}, "give a list"),
        ({"car": RED}, "give a list"),
        ({"car": [3]}, "a int is neither a file nor an array"),
        ({"car": ["gone.jpg"]}, "'gone.jpg']}: there is no such file; it was looked for in /"),
        ({"car": [RED.astype(np.float32)]}, "dtype float32; give uint8"),
        ({"car": [RED[:8]]}, "at least 16 pixels"),
        ({"car": [RED[None]]}, "an array of shape (1, 40, 60, 3)"),
        ({"car": [RED[:, :, :0]]}, "an array of shape (40, 60, 0)"),
    ],
)
def test_what_can_be_no_reference_is_refused_at_once(given_: Any, said: str) -> None:
    with pytest.raises(ValueError, match="^reference=") as caught:
        Recipe(reference=given_)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "odd.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd.png': is no picture"):
        edits(Recipe(reference={"car": [file]}), ["car"])
    saved(file, RED[:5])
    with pytest.raises(ValueError, match=r"odd.png': is 60 x 5 pixels"):
        edits(Recipe(reference={"car": [file]}), ["car"])


def test_reference_is_a_plain_value() -> None:
    assert Reference("a", "b") == Reference("a", "b")
    assert hash(Reference("a")) == hash(Reference("a"))
