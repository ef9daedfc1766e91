"""The balance sheet: nothing that was seen is missing from it, whatever happens to it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.datasets.balance_sheet import KINDS, BalanceSheet
from inpaint_transform.datasets.formats.base import Annotation

counts = st.dictionaries(st.sampled_from(["crowds", "unreadable", "outside"]), st.integers(0, 50))


@given(used=st.integers(0, 50), left=counts, unreached=st.integers(0, 50))
def test_what_is_seen_is_used_or_left_out_or_not_reached(used: int, left: dict[str, int], unreached: int) -> None:
    balance = BalanceSheet()
    balance.seen("boxes", used + sum(left.values()) + unreached)
    balance.used("boxes", used)
    for reason, count in left.items():
        balance.left_out("boxes", reason, count)
    sheet = balance.to_dict()["boxes"]
    assert sheet["used"] == used
    assert balance.missing("boxes") == unreached
    expected = {reason: count for reason, count in {**left, "not reached": unreached}.items() if count}
    assert sheet["left_out"] == expected
    assert sheet["seen"] == used + sum(expected.values())


def test_a_picture_counts_with_its_entry_and_boxes() -> None:
    balance = BalanceSheet()
    two = Annotation(Path("a.png"), ((0, 0, 1, 1), (2, 2, 3, 3)), ("cone", "cube"))
    none = Annotation(Path("b.png"), (), (), entries=0)
    for kind, count in zip(KINDS, (3, 2, 4), strict=True):
        balance.seen(kind, count)
    balance.use(two)
    balance.use(none)
    balance.lose(two, "of the same name as another")
    balance.note("pictures without a label file")
    assert str(balance) == (
        "pictures: 3 seen, 2 used, 1 left out (1 of the same name as another)\n"
        "entries: 2 seen, 1 used, 1 left out (1 of the same name as another)\n"
        "boxes: 4 seen, 2 used, 2 left out (2 of the same name as another)\n"
        "pictures without a label file: 1"
    )
