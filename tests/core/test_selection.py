"""Selection: which boxes are eligible, how many are drawn, and that only the given generator is asked."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.boxes import Box, sides
from inpaint_transform.core.selection import BEHIND, Overlaps, draw, neighbours, obstacle, random_region, touches_border

ANYTHING: dict[str, Any] = {
    "min_box_size": 0,
    "area_range": (0.0, 1.0),
    "include_labels": None,
    "exclude_labels": (),
    "truncated": True,
}
HEIGHT, WIDTH = 100, 200


def kept(boxes: list[Box], labels: list[Any] | None = None, **rules: Any) -> list[int]:
    named = zip(boxes, labels or ["car"] * len(boxes), strict=True)
    why = [obstacle(box, label, HEIGHT, WIDTH, **{**ANYTHING, **rules}) for box, label in named]
    assert all(reason is None or isinstance(reason, str) for reason in why)
    return [index for index, reason in enumerate(why) if reason is None]


@pytest.mark.parametrize(("size", "expected"), [(0, [0, 1, 2]), (20, [0, 1, 2]), (21, [0, 2]), (30, [0, 2]), (31, [])])
def test_the_shorter_side_counts(size: int, expected: list[int]) -> None:
    assert kept([(5, 5, 35, 35), (50, 50, 110, 70), (120, 10, 180, 40)], min_box_size=size) == expected


@pytest.mark.parametrize("box", [(5, 5, 5, 40), (5, 5, 40, 5), (5, 5, 5, 5)])
def test_an_empty_box_is_never_eligible(box: Box) -> None:
    assert kept([box], min_box_size=0) == []


@pytest.mark.parametrize(
    ("area_range", "expected"),
    [
        ((0.0, 1.0), [0, 1, 2]),
        ((0.02, 0.5), [0, 1]),
        ((0.021, 1.0), [1, 2]),
        ((0.0, 0.499), [0]),
        ((1.0, 1.0), [2]),
    ],
)
def test_the_share_of_the_image_counts_with_both_ends(area_range: tuple[float, float], expected: list[int]) -> None:
    # Shares of 0.02, 0.5 and 1 of an image that is not square.
    assert kept([(10, 10, 30, 30), (0, 0, 100, 100), (0, 0, 200, 100)], area_range=area_range) == expected


def test_labels_are_included_and_excluded() -> None:
    boxes = [(10, 10, 50, 50)] * 4
    labels = ["car", "bus", 3, None]
    assert kept(boxes, labels) == [0, 1, 2, 3]
    assert kept(boxes, labels, include_labels=["car", 3]) == [0, 2]
    assert kept(boxes, labels, include_labels=[]) == []
    assert kept(boxes, labels, exclude_labels=["bus"]) == [0, 2, 3]
    assert kept(boxes, labels, include_labels=["car", "bus"], exclude_labels=["car"]) == [1]


@pytest.mark.parametrize(
    ("box", "truncated"),
    [
        ((0, 10, 50, 50), True),
        ((10, 0, 50, 50), True),
        ((150, 10, 200, 50), True),
        ((10, 50, 50, 100), True),
        ((1, 1, 199, 99), False),
    ],
)
def test_boxes_at_the_border_count_as_truncated(box: Box, truncated: bool) -> None:
    assert touches_border(box, HEIGHT, WIDTH) is truncated
    assert kept([box], truncated=False) == ([] if truncated else [0])
    assert kept([box], truncated=True) == [0]


def test_one_label_a_box() -> None:
    with pytest.raises(ValueError, match="zip"):
        kept([(1, 1, 50, 50)], ["car", "bus"])


# Drawing

candidates = st.lists(st.integers(0, 1000), unique=True, max_size=20).map(sorted)
seeds = st.integers(0, 2**32)


@given(candidates, seeds, st.integers(1, 30))
def test_an_exact_number_is_drawn_or_all_there_are(indices: list[int], seed: int, count: int) -> None:
    drawn = draw(indices, random.Random(seed), count, None)
    assert len(drawn) == min(count, len(indices))
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(indices)
    assert draw(indices, random.Random(seed), count, None) == drawn


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_range_draws_every_count_with_both_ends(kind: type) -> None:
    rng = random.Random(0)
    counts = Counter(len(draw(range(10), rng, kind((2, 4)), None)) for _ in range(600))
    assert set(counts) == {2, 3, 4}
    assert min(counts.values()) > 120


def test_every_candidate_has_its_turn() -> None:
    rng = random.Random(0)
    turns = Counter(draw([3, 5, 8, 9], rng, 1, None)[0] for _ in range(800))
    assert set(turns) == {3, 5, 8, 9}
    assert min(turns.values()) > 120


@given(candidates, seeds)
def test_box_p_at_its_ends(indices: list[int], seed: int) -> None:
    # num_boxes is unused beside it.
    length = max(indices, default=0) + 1
    assert draw(indices, random.Random(seed), 1, [1.0] * length) == indices
    assert draw(indices, random.Random(seed), 1, [0.0] * length) == []


def test_box_p_draws_each_box_on_its_own() -> None:
    rng = random.Random(0)
    pairs = Counter(tuple(draw([0, 1], rng, 1, [0.3, 0.3])) for _ in range(2000))
    assert pairs[()] / 2000 == pytest.approx(0.49, abs=0.05)
    assert pairs[(0,)] / 2000 == pytest.approx(0.21, abs=0.05)
    assert pairs[(1,)] / 2000 == pytest.approx(0.21, abs=0.05)
    assert pairs[(0, 1)] / 2000 == pytest.approx(0.09, abs=0.05)


def test_every_box_has_its_own_probability() -> None:
    drawn = Counter(index for seed in range(1000) for index in draw([0, 2], random.Random(seed), 1, [0.9, 1.0, 0.1]))
    assert drawn[1] == 0
    assert drawn[0] / 1000 == pytest.approx(0.9, abs=0.05)
    assert drawn[2] / 1000 == pytest.approx(0.1, abs=0.05)


@given(candidates, seeds, st.integers(1, 5))
def test_unusable_boxes_are_replaced_by_others(indices: list[int], seed: int, count: int) -> None:
    drawn = draw(indices, random.Random(seed), count, None, lambda index: index % 2 == 0)
    assert all(index % 2 == 0 for index in drawn)
    assert len(drawn) == min(count, sum(index % 2 == 0 for index in indices))


# Random regions


@settings(max_examples=300)
@given(st.integers(1, 6000), st.integers(1, 8000), seeds, st.integers(0, 200))
def test_random_region_is_a_square_inside_the_image(height: int, width: int, seed: int, size: int) -> None:
    region = random_region(height, width, random.Random(seed), size)
    shorter = min(height, width)
    if shorter < size:
        assert region is None
        return
    assert region is not None
    x0, y0, x1, y1 = region
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    side, other = sides(region)
    assert side == other
    # A fifth to a half of the shorter side, rounded, unless the least size asks for more.
    assert max(1, size, round(0.2 * shorter)) <= side <= max(1, size, round(0.5 * shorter))
    assert random_region(height, width, random.Random(seed), size) == region


def test_random_regions_cover_the_whole_image() -> None:
    rng = random.Random(0)
    seen = np.zeros((60, 90), bool)
    for _ in range(1500):
        region = random_region(60, 90, rng, 8)
        assert region is not None
        x0, y0, x1, y1 = region
        seen[y0:y1, x0:x1] = True
    # The corners themselves come up too rarely to ask for.
    assert seen[10:-10, 10:-10].all()
    assert all(edge.any() for edge in (seen[0], seen[-1], seen[:, 0], seen[:, -1]))


def test_only_the_given_generator_is_asked() -> None:
    before, numpy_before = random.getstate(), np.random.get_state()
    rng = random.Random(0)
    draw(range(10), rng, (1, 5), None)
    draw(range(10), rng, 1, [0.5] * 10)
    random_region(100, 200, rng, 10)
    assert random.getstate() == before
    numpy_after = np.random.get_state()
    assert numpy_before[2] == numpy_after[2]
    assert np.array_equal(numpy_before[1], numpy_after[1])


many_boxes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30)).map(
        lambda drawn: (drawn[0], drawn[1], drawn[0] + drawn[2], drawn[1] + drawn[3])
    ),
    min_size=1,
    max_size=8,
)


def area_mask(box):
    mask = np.zeros((60, 60), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@given(many_boxes)
def test_neighbours_overlap_and_do_not_cover(found):
    for index, box in enumerate(found):
        mine = area_mask(box)
        expected = [
            other
            for other, candidate in enumerate(found)
            if other != index and 0 < (mine & area_mask(candidate)).sum() < BEHIND * mine.sum()
        ]
        assert neighbours(index, found) == expected


@given(many_boxes)
def test_overlaps_are_those_that_a_comparison_of_all_finds(found):
    overlaps = Overlaps(found)
    for index, box in enumerate(found):
        shared = [int((area_mask(box) & area_mask(other)).sum()) for other in found]
        others, area = overlaps.of(index)
        assert others.tolist() == [other for other, count in enumerate(shared) if count and other != index]
        assert area.tolist() == [shared[other] for other in others]


def test_the_helmet_may_be_painted_but_not_from_the_rider():
    rider, helmet = (0, 0, 100, 200), (30, 0, 60, 30)
    assert neighbours(1, [rider, helmet]) == []
    assert neighbours(0, [rider, helmet]) == [1]


def test_an_empty_box_has_no_neighbours():
    assert neighbours(0, [(5, 5, 5, 9), (0, 0, 20, 20)]) == []
