"""Places: what is painted beside which neighbours, and as which class."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate import Drawer

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.paint import paint
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import places
from inpaint_transform.fit.pictures import Sample, read_picture

RECIPE = Recipe(prompts="{label}", min_box_size=16)


def sample_of(**boxes: Box) -> Sample:
    return Sample(Path("a.png"), tuple(boxes.values()), tuple(label[0] for label in boxes))


def test_neighbours_stay_as_they_are(samples: list[Sample]) -> None:
    sample = samples[0]
    picture = read_picture(sample.image)
    x0, y0, x1, y1 = sample.boxes[0]
    third = (x1 - (x1 - x0) // 3, y0, x1, y1)
    beside = Sample(sample.image, (sample.boxes[0], third), ("disc", "square"))
    covered = Sample(sample.image, (sample.boxes[0], (x0 + 4, y0, x1, y1)), ("disc", "square"))
    for one, kept in ((beside, third), (covered, None)):
        edit = places.edit_as("square", picture, places.Place(one, 0), RECIPE, random.Random(0))
        assert (edit.box, edit.prompt) == (one.boxes[0], "square")
        after = paint(RECIPE, picture, [edit], Drawer())[0]
        changed = np.nonzero((after != picture).any(axis=2))
        assert changed[1].max() >= x1 - 2 if kept is None else changed[1].max() < kept[0]


def test_boxes_that_the_transform_never_paints_are_taken_where_there_are_no_others() -> None:
    sample = sample_of(a=(0, 0, 40, 40), b=(12, 0, 52, 40), b2=(100, 0, 140, 40))
    found = places.paintable([sample], ["a", "b", "c"])
    assert {label: [place.index for place in of_label] for label, of_label in found.items()} == {
        "a": [0],
        "b": [2],
        "c": [],
    }


BOXES = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(20, 200), min_size=1, max_size=4), min_size=1, max_size=3
)


@given(BOXES, st.integers(1, 40))
def test_half_of_the_rows_are_swaps_that_fit(widths: dict[str, list[int]], edits: int) -> None:
    held = {
        label: [places.Place(Sample(Path("a.png"), ((0, 0, side, side),), (label,)), 0) for side in found]
        for label, found in widths.items()
    }
    sizes = {"a": 30.0, "b": 40.0, "c": 150.0}
    rows = places.rows(held, edits, 0, sizes)
    assert rows == places.rows(held, edits, 0, sizes)
    own = Counter(target for place, target in rows if place.label == target)
    swaps = [(place, target) for place, target in rows if place.label != target]
    assert len(rows) >= edits
    assert set(own) == set(held)
    assert len(set(own.values())) == 1
    assert all(1 / 1.5 <= math.sqrt(math.prod(sides(place.box))) / sizes[target] <= 1.5 for place, target in swaps)
    possible = any(
        1 / 1.5 <= side / sizes[other] <= 1.5
        for label in widths
        for side in widths[label]
        for other in widths
        if other != label
    )
    assert bool(swaps) == possible
    pairs = Counter((place.label, target) for place, target in swaps)
    assert len(set(pairs.values())) <= 1
    assert not swaps or sum(own.values()) <= len(swaps) < sum(own.values()) + len(pairs)
