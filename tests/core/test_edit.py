"""Edits: they are JSON, and fit themselves into an image of another size."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_plan import BOX, edits

from inpaint_transform.core.boxes import intersection, sides
from inpaint_transform.core.edit import Edit, failed
from inpaint_transform.core.masks import encode_rle
from inpaint_transform.core.recipe import Recipe


def test_an_edit_is_json() -> None:
    [edit] = edits(Recipe(prompts="a {label}", strength=(0.5, 0.9)), [BOX])
    assert Edit.from_dict(json.loads(json.dumps(edit.to_dict()))) == edit
    assert edit.prompt == "a car"
    assert 0.5 <= edit.strength <= 0.9


def rectangles(inside: tuple[int, int, int, int]) -> st.SearchStrategy[tuple[int, int, int, int]]:
    x0, y0, x1, y1 = inside
    columns = st.tuples(st.integers(x0, x1), st.integers(x0, x1)).map(sorted).filter(lambda ends: ends[0] < ends[1])
    rows = st.tuples(st.integers(y0, y1), st.integers(y0, y1)).map(sorted).filter(lambda ends: ends[0] < ends[1])
    return st.tuples(columns, rows).map(lambda ends: (ends[0][0], ends[1][0], ends[0][1], ends[1][1]))


@st.composite
def planned(draw: st.DrawFn) -> Edit:
    """An edit as a plan could have made it: a window inside an image, a box inside the window, some part of the box."""
    window = draw(rectangles((0, 0, 60, 60)))
    box = draw(rectangles(window))
    width, height = sides(box)
    part: dict[str, Any] = {}
    if draw(st.booleans()):
        bits = np.random.default_rng(draw(st.integers(0, 99))).random((height, width)) < draw(
            st.sampled_from([0, 0.5, 1])
        )
        part["mask_runs"] = encode_rle(bits)
    elif draw(st.booleans()):
        corner = st.tuples(st.floats(box[0], box[2]), st.floats(box[1], box[3]))
        part["outline"] = tuple(draw(st.lists(corner, min_size=4, max_size=4)))
    protected = tuple(draw(st.lists(rectangles((0, 0, 60, 60)), max_size=2)))
    return Edit(0, box, window, "car", "a car", "", 1.0, 5, protected=protected, **part)


@settings(deadline=None)
@given(planned())
def test_whatever_is_planned_is_json(edit: Edit) -> None:
    assert Edit.from_dict(json.loads(json.dumps(edit.to_dict()))) == edit


# The ellipse in an outline follows from its four corners, also where these are all the same or no pixel is large.
PIXEL = Edit(0, (0, 0, 1, 1), (0, 0, 1, 1), "car", "a car", "", 1.0, 5)


@settings(deadline=None)
@given(planned(), st.sampled_from(["box", "ellipse"]))
@example(dataclasses.replace(PIXEL, outline=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))), "ellipse")
@example(dataclasses.replace(PIXEL, outline=((0.5, 0.5),) * 4), "ellipse")
@example(dataclasses.replace(PIXEL, mask_runs=encode_rle(np.ones((1, 1), bool))), "ellipse")
def test_what_is_painted_lies_in_the_box_and_outside_protected_boxes(edit: Edit, shape: str) -> None:
    mask = edit.mask(shape)
    width, height = sides(edit.window)
    assert mask.shape == (height, width)
    whole = np.zeros((70, 70), bool)
    x0, y0, x1, y1 = edit.window
    whole[y0:y1, x0:x1] = mask
    for left, top, right, bottom in edit.protected:
        assert not whole[top:bottom, left:right].any()
    x0, y0, x1, y1 = edit.box
    whole[y0:y1, x0:x1] = False
    assert not whole.any()


@settings(deadline=None)
@given(planned(), st.integers(1, 80), st.integers(1, 80))
def test_an_edit_fits_itself_into_any_image(edit: Edit, height: int, width: int) -> None:
    frame = (0, 0, width, height)
    fitted = edit.fitted(height, width)
    if fitted is None:
        assert intersection(edit.box, frame) is None
        return
    assert fitted.box == intersection(edit.box, frame)
    assert intersection(fitted.window, frame) == fitted.window
    assert intersection(fitted.box, fitted.window) == fitted.box
    x0, y0, x1, y1 = fitted.box_in_window
    assert (x1 - x0, y1 - y0) == sides(fitted.box)
    fitted.mask("box")
    if intersection(edit.window, frame) == edit.window:
        assert fitted is edit


@pytest.mark.parametrize(("new_label", "target"), [(None, "car"), ("bus", "bus"), (0, 0), ("", "")])
def test_the_target_is_the_new_label_where_there_is_one(new_label: Any, target: Any) -> None:
    assert Edit(0, BOX, BOX, "car", "", "", 1.0, 5, new_label=new_label).target == target


def test_what_could_not_be_tried_kept_its_pixels() -> None:
    [edit] = edits(Recipe(), [BOX])
    outcome = failed(edit, "outside the image")
    assert (outcome.accepted, outcome.reason, outcome.attempts, outcome.after()) == (
        False,
        "outside the image",
        0,
        None,
    )
