"""What balances the classes of a data set."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.balancing import balance
from inpaint_transform.core.swaps import Swap, class_counts, class_sizes

LABELS = ("a", "b", "c", "d")
BOXES = st.lists(st.tuples(st.sampled_from(LABELS), st.integers(1, 200)), min_size=2, max_size=120)


def square(side):
    return (0, 0, side, side)


@given(BOXES, st.floats(0.05, 1))
def test_nobody_is_worse_off(drawn, max_share):
    boxes = [(label, square(side)) for label, side in drawn]
    counts = class_counts(boxes)
    if len(counts) < 2:
        with pytest.raises(ValueError, match="at least two classes"):
            balance(boxes)
        return
    found = balance(boxes, max_share=max_share)
    mean = len(boxes) / len(counts)
    assert found.counts == counts
    assert sum(found.expected.values()) == pytest.approx(len(boxes), abs=len(counts))
    for label, count in counts.items():
        low, high = min(count, mean), max(count, mean)
        assert low - 1 <= found.expected[label] <= high + 1, "a class leaves its side of the mean"
        assert found.box_p.get(label, 0) <= max_share
    for source, targets in found.can_become.items():
        assert counts[source] > mean
        assert all(counts[target] < mean for target in targets)
    # An export with these numbers can be made.
    paintable = Counter(label for label, side in drawn if side >= 32)
    for label, count in found.budget.items():
        assert count <= found.copies * paintable[label]
    assert str(found)


def test_where_sizes_allow_swaps_make_the_classes_even():
    boxes = [("cone", square(100))] * 90 + [("cube", square(90))] * 30
    found = balance(boxes)
    assert found.expected == {"cone": 60, "cube": 60}
    assert "swaps alone" not in str(found)


def test_where_they_do_not_the_rare_classes_own_boxes_are_painted():
    boxes = [("cell", square(100))] * 90 + [("platelet", square(40))] * 30 + [("platelet", square(20))] * 3
    found = balance(boxes)
    assert found.can_become == {"cell": {"platelet": 0}}
    assert found.box_p == {"platelet": 0.5}
    assert found.expected == {"cell": 90, "platelet": 33}
    assert found.fresh == {"platelet": 15}
    assert found.budget == {"platelet": 28}
    assert found.copies == 1
    assert "--copies 1 --boxes-per-image 100 --only 'platelet' --budget 'platelet=28'" in str(found)


def test_classes_that_are_even_are_all_painted_alike():
    found = balance([("a", square(50))] * 4 + [("b", square(50))] * 4)
    assert found.box_p == {"a": 0.5, "b": 0.5}
    assert found.expected == {"a": 4, "b": 4}
    assert found.budget == {}


def test_empty_boxes_do_not_count():
    boxes = [("a", square(50))] * 4 + [("b", square(50))] * 2
    assert balance([*boxes, ("b", square(0))]) == balance(boxes)


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_share_out_of_range_is_named(share):
    with pytest.raises(ValueError, match="max_share="):
        balance([("a", square(50)), ("b", square(50))], max_share=share)


def test_what_it_prints_can_be_pasted():
    plan = balance([("cone", square(100))] * 90 + [(7, square(90))] * 30)
    [line] = [line for line in str(plan).splitlines() if line.startswith("with ")]
    pasted = line.removeprefix("with ").partition(", where plan = balance(")[0]
    assert eval(f"dict({pasted})", {"plan": plan}) == {"relabel": plan.swap, "box_p": plan.box_p, "p": 1.0}


@pytest.mark.parametrize(
    "box", [[10, 10, 40, 5], (40, 40, 10, 10), (10, 10, 5, 40), (0, 0, float("nan"), 5), (1, 2, 3)]
)
def test_a_box_that_is_no_corners_is_named(box):
    boxes = [("a", (10, 10, 60, 40)), ("b", box)]
    swap = Swap({"a": "b", "b": "a"})
    for count in (balance, class_sizes, swap.can_become, lambda given: swap.expected_counts(given, 0.5)):
        with pytest.raises(ValueError, match="give corners in pixels, x0, y0, x1, y1") as caught:
            count(boxes)
        assert f"boxes has {box!r} of label 'b'" in str(caught.value)
