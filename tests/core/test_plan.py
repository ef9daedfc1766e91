"""Planning: which boxes are edited, and that the same draws give the same plan."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painters import Painter

from inpaint_transform.core import masks, selection
from inpaint_transform.core import plan as plan_module
from inpaint_transform.core.boxes import intersection, sides
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.paint import paint
from inpaint_transform.core.plan import Scene, obstacles, plan, plan_box, plan_each
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap

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
    boxes = [(i * 50, 10, i * 50 + 45, 90) for i in range(12)]
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


@given(st.integers(0, 2**31), st.booleans())
@settings(max_examples=40, deadline=None)
def test_each_box_that_may_ever_be_drawn_has_its_edit(seed: int, protect: bool) -> None:
    rng = random.Random(seed)
    corners = [(rng.randrange(300), rng.randrange(200)) for _ in range(6)]
    boxes = [(x, y, x + rng.randrange(5, 150), y + rng.randrange(5, 150)) for x, y in corners]
    scene = Scene(480, 640, boxes, [rng.choice(["car", "bus"]) for _ in boxes])
    recipe = Recipe(protect=protect, exclude_labels=["bus"], prompts="a {label}")
    found = plan_each(recipe, scene, random.Random(0))
    assert [edit.index for edit in found] == [
        index for index, why in enumerate(obstacles(recipe, scene)) if why is None
    ]
    for draw in range(10):  # alone or beside others, what is drawn is one of these
        for edit in plan(dataclasses.replace(recipe, box_p=0.5), scene, random.Random(draw)):
            [same] = [other for other in found if other.index == edit.index]
            assert dataclasses.replace(edit, seed=0) == dataclasses.replace(same, seed=0)
            alone = plan_box(recipe, scene, edit.index, random.Random(draw))
            assert dataclasses.replace(edit, seed=0) == dataclasses.replace(alone, seed=0)


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


def test_a_random_region_is_not_painted_where_every_class_is_left_out() -> None:
    recipe = Recipe(when_no_box="random", class_names=["cat", "dog"], exclude_labels=["cat", "dog"])
    assert plan(recipe, Scene(200, 300), random.Random(1)) == []


# Edits that meet


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.sampled_from(["box", "ellipse", "mask"]))
def test_no_pixel_is_painted_by_two_edits(seed: int, protect: bool, masked: bool, shape: str) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 100, (8, 2))
    boxes = [
        (int(x), int(y), int(x) + int(w), int(y) + int(h))
        for (x, y), (w, h) in zip(corners, corners[::-1] + 30, strict=True)
    ]
    boxes = [(x0, y0, min(x1, 200), min(y1, 200)) for x0, y0, x1, y1 in boxes]
    instances = [rng.random((200, 200)) < 0.3 for _ in boxes] if masked else None
    recipe = Recipe(num_boxes=8, protect=protect, shape=shape, mask_dilation=0.0, relabel=Swap({"a": "z"}))
    scene = Scene(200, 200, boxes, ["a", "b"] * 4, masks=instances)
    count, kept = np.zeros((200, 200), int), set()
    for edit in plan(recipe, scene, random.Random(seed)):
        x0, y0, x1, y1 = edit.window
        count[y0:y1, x0:x1] += edit.mask(shape)
        kept.add(edit.index)
    assert count.max(initial=0) <= 1
    if boxes and not kept:
        assert None not in obstacles(recipe, scene)


def test_what_meets_another_edit_makes_room_for_a_third() -> None:
    boxes = [(10, 10, 60, 60), (12, 10, 62, 60), (100, 100, 150, 150)]
    recipe = Recipe(num_boxes=2, protect=False)
    for seed in range(10):
        kept = [edit.index for edit in edits(recipe, boxes, seed=seed)]
        assert len(kept) == 2
        assert 2 in kept


@pytest.mark.parametrize(
    ("other", "protect", "drawn"),
    [
        ((100, 100, 200, 180), True, False),  # a double
        ((105, 102, 205, 180), True, False),
        ((90, 95, 210, 190), True, False),  # of the same object, a little larger
        ((60, 60, 400, 400), True, True),  # what it stands in
        ((120, 120, 160, 150), True, True),  # what stands in it, and is protected
        ((120, 120, 160, 150), False, False),
        ((195, 175, 260, 240), False, True),  # a corner
    ],
)
def test_a_swap_leaves_no_other_box_with_the_old_class_on_its_pixels(other, protect: bool, drawn: bool) -> None:
    recipe = Recipe(include_labels=["car"], relabel=Swap({"car": "bus"}), protect=protect)
    planned = edits(recipe, [BOX, other], ["car", "vehicle"])
    assert bool(planned) == drawn
    scene = Scene(480, 640, [BOX, other], ["car", "vehicle"])
    assert (obstacles(recipe, scene)[0] == "another box is of the same object") == (not drawn)
    # Painted as what it is, it stays true.
    assert edits(dataclasses.replace(recipe, relabel=Swap({"car": "car"})), [BOX, other], ["car", "vehicle"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"min_box_size": 90}, "smaller than min_box_size=90"),
        ({"area_range": (0.5, 1.0)}, "outside area_range"),
        ({"include_labels": ["bus"]}, "not in include_labels"),
        ({"exclude_labels": ["car"]}, "in exclude_labels"),
        ({"box_p": {"bus": 1.0}}, "box_p is 0"),
        ({"relabel": Swap({"car": "bus"}, sizes={"bus": 5.0})}, "fits no class of relabel by its size"),
        ({"stale": "skip"}, "holds masks or keypoints (stale='skip')"),
        ({}, None),
    ],
)
def test_it_says_why_a_box_is_left_alone(settings: dict, reason) -> None:
    scene = Scene(480, 640, [BOX], ["car"], occupied=lambda index: True)
    assert obstacles(Recipe(**settings), scene) == [reason]
    assert bool(plan(Recipe(**settings), scene, random.Random(0))) == (reason is None)
    assert obstacles(Recipe(**settings), Scene(480, 640)) == []


side = st.integers(0, 40)
corner = st.tuples(st.integers(0, 60), st.integers(0, 60), side, side)
crowds = st.lists(corner, min_size=1, max_size=14).map(lambda found: [(x, y, x + w, y + h) for x, y, w, h in found])


@settings(max_examples=200, deadline=None)
@given(crowds)
def test_a_box_is_covered_when_its_pixels_say_so(boxes) -> None:
    found = obstacles(Recipe(min_box_size=1), Scene(100, 100, boxes, ["a"] * len(boxes)))
    for index, box in enumerate(boxes):
        free = masks.free_share(box, [boxes[other] for other in selection.neighbours(index, boxes)])
        assert (found[index] == "covered by neighbours") == (min(sides(box)) >= 1 and free < selection.MIN_FREE_SHARE)


@settings(max_examples=100, deadline=None)
@given(crowds, st.booleans(), st.integers(0, 10**6))
def test_what_is_drawn_of_a_crowd_never_meets(boxes, protect: bool, seed: int) -> None:
    recipe = Recipe(min_box_size=1, box_p=0.9, protect=protect)
    edits = plan(recipe, Scene(100, 100, boxes, ["a"] * len(boxes)), random.Random(seed))
    count = np.zeros((100, 100), int)
    for edit in edits:
        x0, y0, x1, y1 = edit.window
        count[y0:y1, x0:x1] += edit.mask("box")
    assert count.max(initial=0) <= 1


def test_thousands_of_boxes_are_not_compared_each_with_every_other(monkeypatch) -> None:
    compared = []

    def counted(one, other):
        compared.append(one)
        return intersection(one, other)

    monkeypatch.setattr(plan_module, "intersection", counted)
    boxes = [(x, y, x + 45, y + 45) for x in range(0, 2000, 40) for y in range(0, 1600, 40)]
    scene = Scene(1700, 2100, boxes, ["a"] * len(boxes))
    edits = plan(Recipe(box_p=1.0, relabel=Swap({"a": "b"}), protect=False), scene, random.Random(0))
    assert edits
    assert len(compared) < 20 * len(boxes)
