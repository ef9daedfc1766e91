"""Planning: which boxes are edited, and that the same draws give the same plan."""

from __future__ import annotations

import random

import numpy as np
import pytest
from painters import Painter

from inpaint_transform.core.edit import Edit
from inpaint_transform.core.paint import paint
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.recipe import Recipe

BOX = (100, 100, 200, 180)


def edits(recipe: Recipe, boxes: list, labels: list | None = None, seed: int = 0, shape=(480, 640)) -> list[Edit]:
    return plan(recipe, Scene(*shape, boxes, labels or ["car"] * len(boxes)), random.Random(seed))


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        ([], 0),
        ([(5, 5, 20, 20)] * 3, 0),
        ([(5, 5, 6, 6)], 0),
        ([(0, 0, 640, 480)], 1),
        ([(i, i, i + 40, i + 40) for i in range(100)], 1),
    ],
    ids=["no boxes", "all too small", "one pixel", "whole image", "a hundred"],
)
def test_what_is_no_error(boxes: list, count: int) -> None:
    planned = edits(Recipe(protect=False), boxes)
    assert len(planned) == count
    image = np.full((480, 640, 3), 90, np.uint8)
    result, outcomes = paint(Recipe(), image, planned, Painter())
    assert (result is image) == (count == 0)
    assert all(outcome.accepted for outcome in outcomes)


def test_one_pixel_boxes_can_be_painted_where_asked_for() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    recipe = Recipe(min_box_size=0, match_border=False)
    result, _ = paint(recipe, image, edits(recipe, [(30, 30, 31, 31)], shape=(64, 64)), Painter())
    changed = (result != image).any(axis=2)
    assert changed.sum() == 1
    assert changed[30, 30]


def test_the_same_draws_give_the_same_plan() -> None:
    boxes = [(i * 30, 10, i * 30 + 60, 90) for i in range(12)]
    recipe = Recipe(
        num_boxes=(1, 4),
        prompts=["a {label}", "one {color} {label}"],
        attributes={"color": ["red", "blue"]},
        protect=False,
    )
    assert edits(recipe, boxes, seed=3) == edits(recipe, boxes, seed=3)
    assert len({len(edits(recipe, boxes, seed=seed)) for seed in range(40)}) == 4
    assert len(edits(Recipe(box_p=1.0, protect=False), boxes)) == 12
    assert edits(Recipe(box_p=0.0), boxes) == []


def test_a_random_region_gets_a_prompt() -> None:
    for recipe in (
        Recipe(when_no_box="random", prompts="a puddle"),
        Recipe(when_no_box="random", class_names=["cat", "dog"]),
        Recipe(when_no_box="random", prompts={"cat": "a grey cat"}),
    ):
        [edit] = plan(recipe, Scene(200, 300), random.Random(1))
        assert edit.index is None
        assert 0 <= edit.box[0] < edit.box[2] <= 300
        assert "{" not in edit.prompt
