"""The feed: patches go where they belong, as often as is said, and arms of a draw see the same pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from feeding import BOX, HEIGHT, WIDTH, fed, patch, picture
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study import classical, feed
from benchmarks.study.sets import Seen


def test_a_patch_changes_its_box_and_nothing_else() -> None:
    seen = [picture(7, [BOX])]
    layer = feed.Layer([{0: [patch(0, 0, BOX, kind=1)]}], [{0: 1.0}])
    one = fed(seen, layer)
    pixels, boxes, classes = one.compose(0, np.random.default_rng(0))
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[20:50, 10:40] = True
    assert (pixels[inside] == 255).all()
    assert (pixels[~inside] == 7).all()
    assert boxes.tolist() == [list(BOX)]
    assert classes.tolist() == [1]
    assert one.changed == {1: 1}
    # The draw's own picture stays as it is.
    assert (seen[0].pixels == 7).all()
    assert seen[0].classes.tolist() == [0]


def test_boxes_are_painted_as_often_as_is_said() -> None:
    layer = feed.Layer([{0: [patch(0, 0, BOX)]}], [{0: 0.3}])
    one = fed([picture(7, [BOX])], layer)
    for number in range(2000):
        one.compose(0, np.random.default_rng(number))
    assert 0.27 < one.changed.total() / one.shown < 0.33


def test_new_objects_come_as_often_as_is_said_and_never_meet() -> None:
    places = [(x, y, x + 16, y + 16) for x in range(0, 100, 9) for y in range(0, 70, 9)]
    layer = feed.Layer([{-1 - n: [patch(0, -1 - n, box)] for n, box in enumerate(places)}], [], placed=2.0)
    one = fed([picture(7, [])], layer)
    counts = []
    for number in range(500):
        _, boxes, classes = one.compose(0, np.random.default_rng(number))
        assert len(boxes) == len(classes)
        taken = np.zeros((HEIGHT, WIDTH), int)
        for x0, y0, x1, y1 in boxes.astype(int):
            taken[y0:y1, x0:x1] += 1
        assert (taken > 1).sum() <= 0.1 * 256 * len(boxes)
        counts.append(len(boxes))
    assert 1.8 < np.mean(counts) < 2.2


def test_of_patches_that_meet_one_is_put_in() -> None:
    other = (20, 20, 50, 50)
    layer = feed.Layer([{0: [patch(0, 0, BOX, 255)], 1: [patch(0, 1, other, 99)]}], [{0: 1.0, 1: 1.0}])
    one = fed([picture(7, [BOX, other])], layer)
    pixels, _, _ = one.compose(0, np.random.default_rng(0))
    assert one.changed.total() == 1
    assert not (pixels == 99).any()


@pytest.mark.parametrize("level", classical.LEVELS)
def test_arms_of_a_draw_see_the_same_pictures_mirrored_and_moved_alike(level: str) -> None:
    seen = [picture(value, [BOX]) for value in (10, 60, 110, 160, 210)]
    layer = feed.Layer([{0: [patch(row, 0, BOX, 255)]} for row in range(5)], [{0: 0.5} for _ in range(5)])
    plain, painted = fed(seen, None, level), fed(seen, layer, level)
    for step in range(20):
        for (_, boxes, _), (_, others, _) in zip(plain.batch(step, 4), painted.batch(step, 4), strict=True):
            assert np.array_equal(boxes, others)
    assert painted.changed.total() > 0


def test_another_seed_is_another_order() -> None:
    seen = [picture(value, [BOX]) for value in range(0, 250, 10)]
    first, second = (
        [int(pixels[0, 0, 0]) for pixels, _, _ in fed(seen, None, seed=seed).batch(0, 12)] for seed in (0, 1)
    )
    assert first != second


def looks(count: int, echo: int, uses: int, known: int = 6) -> list[int]:
    """Which paintings are shown, one after the other."""
    every = [patch(0, 0, BOX, value) for value in range(known)]
    layer = feed.Layer([{0: every}], [{0: 1.0}], looks=count, echo=echo)
    rng = np.random.default_rng(0)
    return [int(layer.draw(0, rng)[0].pixels[0, 0, 0]) for _ in range(uses)]


def test_looks_in_use() -> None:
    assert set(looks(1, 0, 50)) == {0}
    assert set(looks(3, 0, 200)) == {0, 1, 2}
    assert set(looks(0, 0, 300)) == set(range(6))
    assert set(looks(60, 0, 300)) == set(range(6))


def test_a_look_that_was_used_up_gives_way_to_the_next() -> None:
    assert looks(1, 3, 9) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    shown = looks(2, 4, 400)
    assert set(shown[:4]) <= {0, 1}
    assert set(shown) == set(range(6))


weights = st.lists(st.dictionaries(st.integers(0, 9), st.floats(0.01, 5), max_size=6), min_size=1, max_size=5)


@given(weights, st.floats(0, 40))
def test_probabilities_add_up_or_are_as_large_as_may_be(given_weights: list[dict[int, float]], wanted: float) -> None:
    found = feed.shares(given_weights, wanted)
    flat = [p for row in found for p in row.values()]
    most = feed.MAX_P * len(flat)
    assert [set(row) for row in found] == [set(row) for row in given_weights]
    assert all(0 <= p <= feed.MAX_P + 1e-9 for p in flat)
    assert sum(flat) == pytest.approx(min(wanted, most), abs=1e-6)
    pairs = sorted(zip([w for row in given_weights for w in row.values()], flat, strict=True))
    assert all(low <= high + 1e-9 for (_, low), (_, high) in pairwise(pairs))


def test_pictures_with_rare_classes_are_shown_more_often() -> None:
    common = Seen(np.zeros((8, 8, 3), np.uint8), np.zeros((9, 4)), np.zeros(9, int))
    rare = Seen(np.zeros((8, 8, 3), np.uint8), np.zeros((1, 4)), np.ones(1, int))
    empty = Seen(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int))
    rates = feed.repeat_factors([common, rare, empty], 2)
    assert rates.tolist() == [1.0, pytest.approx(5**0.5), 1.0]


@pytest.mark.parametrize("level", classical.LEVELS)
def test_boxes_stay_on_their_objects(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bright square on a dark floor is where its box says, whatever was done to the picture."""
    monkeypatch.setattr(classical, "_light", lambda example, *_: example)
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    image[30:60, 40:80] = 240
    one = fed([Seen(image, np.array([[40.0, 30.0, 80.0, 60.0]]), np.zeros(1, int))], None, level)
    boxes_seen = 0
    for step in range(40):
        [(pixels, boxes, classes)] = one.batch(step, 1)
        assert pixels.shape == image.shape
        assert len(boxes) == len(classes)
        # Between dark floor and bright square; what is outside the picture is grey.
        bright = pixels.min(axis=2) > 150
        for x0, y0, x1, y1 in boxes:
            part = bright[round(y0) + 1 : round(y1) - 1, round(x0) + 1 : round(x1) - 1]
            assert part.mean() > 0.97
            boxes_seen += 1
        around = bright.copy()
        for x0, y0, x1, y1 in boxes:
            around[max(int(y0) - 1, 0) : int(np.ceil(y1)) + 1, max(int(x0) - 1, 0) : int(np.ceil(x1)) + 1] = False
        # What no box tells of is a sliver that the edge has left.
        assert around.sum() < 0.3 * 1200 * 4
    assert boxes_seen >= 36
