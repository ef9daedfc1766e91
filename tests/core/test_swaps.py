"""Which class an object becomes."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.swaps import Swap, class_counts, class_sizes

SQUARE = (0, 0, 100, 100)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"a": "b"}, {"b": 1}),
        ({"a": ["b", "c"]}, {"b": 1, "c": 1}),
        ({"a": {"b": 1, "a": 3}}, {"b": 1, "a": 3}),
        ({"x": "b"}, {"a": 1}),
    ],
)
def test_what_a_label_may_become(targets, expected):
    assert Swap(targets).options("a", SQUARE) == expected


def test_weights_are_the_frequencies_of_the_draws():
    swap = Swap({1: {2: 1, 1: 3}})
    drawn = Counter(swap.draw(1, SQUARE, random.Random(seed)) for seed in range(4000))
    assert set(drawn) == {1, 2}
    assert 0.21 < drawn[2] / 4000 < 0.29


@given(st.integers(1, 500), st.integers(1, 500), st.floats(1, 5))
def test_only_boxes_of_about_the_typical_size_are_swapped(side, typical, ratio):
    swap = Swap({"a": "b"}, sizes={"b": typical}, max_size_ratio=ratio)
    fits = max(side, typical) <= min(side, typical) * ratio
    assert swap.options("a", (5, 5, 5 + side, 5 + side)) == ({"b": 1} if fits else {})


def test_the_size_is_that_of_the_box_not_of_its_old_class():
    swap = Swap({"a": ["b", "a"]}, sizes={"b": 100, "a": 100})
    assert swap.options("a", (0, 0, 200, 50)) == {"a": 1, "b": 1}
    assert swap.options("a", (0, 0, 20, 20)) == {}
    assert swap.options("other", (0, 0, 20, 20)) == {"other": 1}


@pytest.mark.parametrize("value", [{"a": "b"}, {1: [2, 3]}, Swap({1: {2: 0.5}}, {2: 30.0}, 2.0)])
def test_json_gives_the_same_swap(value):
    swap = Swap.of(value)
    again = Swap.of(json.loads(json.dumps(swap.to_dict())))
    for label in ("a", 1):
        for side in (10, 30, 100):
            box = (0, 0, side, side)
            assert again.options(label, box) == swap.options(label, box)
    assert Swap.of(None) is None


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 10_000), min_size=2, max_size=6), st.floats(0, 1))
def test_a_balanced_policy_closes_the_gap(counts, share):
    swap = Swap.balanced(counts)
    after = swap.expected_counts(counts, share)
    assert sum(after.values()) == pytest.approx(sum(counts.values()), abs=len(counts))
    rarest, commonest = min(counts, key=counts.get), max(counts, key=counts.get)
    assert after[rarest] >= counts[rarest] - 1
    assert after[commonest] <= counts[commonest] + 1


def test_expected_counts_are_what_drawing_yields():
    counts = {"a": 900, "b": 100}
    swap = Swap.balanced(counts)
    rng = random.Random(0)
    seen = Counter(
        swap.draw(label, SQUARE, rng) if rng.random() < 0.5 else label
        for label, count in counts.items()
        for _ in range(count * 10)
    )
    for label, expected in swap.expected_counts(counts, 0.5).items():
        assert seen[label] / 10 == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Swap({}), "relabel={}"),
        (lambda: Swap.of("b"), "relabel='b'"),
        (lambda: Swap({"a": []}), r"relabel={'a': \[\]}"),
        (lambda: Swap({"a": {"b": 0}}), "weight above 0"),
        (lambda: Swap({"a": {"b": float("nan")}}), "weight above 0"),
        (lambda: Swap({"a": {"b": "1"}}), "weight above 0"),
        (lambda: Swap({"a": "b"}, sizes={"b": -1}), "sizes={'b': -1}"),
        (lambda: Swap({"a": "b"}, max_size_ratio=0.5), "max_size_ratio=0.5"),
        (lambda: Swap.balanced({"a": 3}), "at least two classes"),
        (lambda: Swap.balanced({"a": 3, "b": 0}), "count of at least 1"),
    ],
)
def test_bad_policies_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_counts_and_sizes_of_a_data_set():
    boxes = [("a", (0, 0, 10, 10)), ("b", (0, 0, 4, 9)), ("a", (5, 5, 35, 35)), ("b", (3, 3, 3, 9))]
    assert class_counts(boxes) == {"a": 2, "b": 2}
    assert class_sizes(boxes) == {"a": 20.0, "b": 6.0}
