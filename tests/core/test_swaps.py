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


def test_a_draw_does_not_depend_on_the_order_of_the_settings():
    """YAML sorts keys, and a transform that was saved and loaded draws what it drew."""
    weights = {2: 1, 1: 2, "x": 3}
    one, other = (Swap({0: dict(pairs)}) for pairs in (weights.items(), reversed(weights.items())))
    for seed in range(50):
        assert one.draw(0, SQUARE, random.Random(seed)) == other.draw(0, SQUARE, random.Random(seed))


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
    swap = Swap({"a": ["b"]}, sizes={"b": 100, "a": 20})
    assert swap.options("a", (0, 0, 200, 50)) == {"b": 1}
    assert swap.options("a", (0, 0, 20, 20)) == {}


def test_every_box_fits_the_class_that_it_has():
    swap = Swap({"a": ["b", "a"]}, sizes={"b": 100, "a": 100})
    assert swap.options("a", (0, 0, 20, 20)) == {"a": 1}
    assert swap.options("other", (0, 0, 20, 20)) == {"other": 1}
    assert Swap({"b": "a"}, sizes={"a": 100}).options("a", (0, 0, 20, 20)) == {"a": 1}


@pytest.mark.parametrize("value", [{"a": "b"}, {1: [2, 3]}, Swap({1: {2: 0.5}}, {2: 30.0}, 2.0)])
def test_json_gives_the_same_swap(value):
    swap = Swap.of(value)
    again = Swap.of(json.loads(json.dumps(swap.to_dict())))
    for label in ("a", 1):
        for side in (10, 30, 100):
            box = (0, 0, side, side)
            assert again.options(label, box) == swap.options(label, box)
    assert Swap.of(None) is None


COUNTS = st.dictionaries(st.text(min_size=1), st.integers(1, 10_000), min_size=2, max_size=6)


@given(COUNTS, st.floats(0, 1))
def test_a_balanced_policy_takes_from_frequent_classes_only(counts, share):
    swap = Swap.balanced(counts)
    after = swap.expected_counts(counts, share)
    mean = sum(counts.values()) / len(counts)
    assert sum(after.values()) == pytest.approx(sum(counts.values()), abs=len(counts))
    for label, count in counts.items():
        assert after[label] >= count - 1 if count <= mean else after[label] <= count + 1
        for target in set(swap.options(label, SQUARE)) - {label}:
            assert counts[target] < mean < count


@given(COUNTS, st.lists(st.tuples(st.integers(0, 5), st.integers(1, 300)), max_size=60))
def test_what_is_expected_is_what_fits(counts, drawn):
    """With every paintable box painted, only boxes that fit another class leave theirs."""
    labels = list(counts)
    swap = Swap.balanced(counts, sizes=dict.fromkeys(labels, 100))
    boxes = [(labels[index % len(labels)], (0, 0, side, side)) for index, side in drawn]
    before, after = class_counts(boxes), swap.expected_counts(boxes, 1.0)
    movable = swap.can_become(boxes)
    for label in before:
        fitting = (
            sum(side >= 67 and side <= 150 for index, side in drawn if labels[index % len(labels)] == label)
            if label in movable
            else 0
        )
        arrived = sum(movable[source].get(label, 0) for source in movable)
        assert before[label] - fitting - 1 <= after[label] <= before[label] - fitting + arrived + 1


def test_classes_that_are_even_stay_what_they_are():
    swap = Swap.balanced({"a": 7, "b": 7})
    assert (swap.options("a", SQUARE), swap.options("b", SQUARE)) == ({"a": 1}, {"b": 1})
    assert swap.can_become([("a", SQUARE), ("b", SQUARE)]) == {}


def test_small_boxes_are_promised_nothing():
    swap = Swap({"a": "b"})
    boxes = [("a", (0, 0, 100, 20)), ("a", (0, 0, 100, 40))]
    assert swap.can_become(boxes) == {"a": {"b": 1}}
    assert swap.expected_counts(boxes, 1.0) == {"a": 1, "b": 1}
    assert swap.expected_counts(boxes, {"a": 1.0}, min_box_size=10) == {"a": 0, "b": 2}
    assert swap.expected_counts(boxes, {"b": 1.0}) == {"a": 2, "b": 0}


def test_expected_counts_are_what_drawing_yields():
    counts = {"a": 900, "b": 100}
    swap = Swap.balanced(counts)
    rng = random.Random(0)
    seen = Counter(
        swap.draw(label, SQUARE, rng) if rng.random() < 0.3 else label
        for label, count in counts.items()
        for _ in range(count * 10)
    )
    for label, expected in swap.expected_counts(counts, 0.3).items():
        assert seen[label] / 10 == pytest.approx(expected, rel=0.05)


def test_counts_do_not_tell_which_boxes_fit():
    counts = {"a": 9, "b": 1}
    with pytest.raises(ValueError, match="give the labels and boxes themselves"):
        Swap.balanced(counts, sizes={"a": 50, "b": 90}).expected_counts(counts, 0.3)


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
