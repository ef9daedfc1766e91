"""Hints: said only when a whole epoch shows it, and with the mend that fits."""

from __future__ import annotations

import re

import pytest

from inpaint_transform.serving.pool.hints import frozen_share, judged, low_share

POOR = {"edits": 400, "accepted": 100, "cold": 300}


def test_the_first_epoch_is_not_judged() -> None:
    assert judged({"0": POOR}, 0) is None
    assert judged({"0": POOR, "1": POOR}, 1) is None
    second = {**POOR, "edits": 401}
    assert judged({"0": POOR, "1": second, "2": {"edits": 1}}, 2) == second
    assert judged({"9": POOR, "10": second}, 11) == second


def test_without_epochs_many_edits_are_judged() -> None:
    assert judged({"0": {**POOR, "edits": 1999}}, 0) is None
    assert judged({"0": {**POOR, "edits": 2000}}, 0) is not None


def test_few_edits_say_nothing() -> None:
    assert judged({"0": POOR, "1": {"edits": 99, "accepted": 0}}, 2) is None


def test_the_few_edits_of_small_epochs_add_up() -> None:
    small = {"edits": 30, "accepted": 3, "cold": 27}
    epochs = {str(number): small for number in range(5)}
    assert judged(epochs, 4) is None
    assert judged(epochs, 5) == {"edits": 120, "accepted": 12, "cold": 108}


@pytest.mark.parametrize(
    ("counts", "more", "words"),
    [
        (
            POOR,
            {},
            r"p=0.4 is 0.1: painting does not keep up: 700 looks are missing, at 120 looks/min full in about 5.83",
        ),
        (POOR, {"rate": 0.0}, "none is painted"),
        (POOR, {"evicted_early": 5}, "5 looks had to go before they were due.*max_bytes"),
        ({**POOR, "new": 290}, {}, "before random crops"),
        ({"edits": 400, "accepted": 100, "rejected": 250, "cold": 50}, {}, "250 of 400 looks were rejected"),
    ],
)
def test_the_mend_fits(counts, more, words: str) -> None:
    settings = {"p": 0.4, "evicted_early": 0, "looks": 300, "wanted": 1000, "rate": 2.0, **more}
    said = low_share(counts, **settings)
    assert said is not None
    assert re.search(words, said), said


def test_half_is_enough() -> None:
    assert low_share({"edits": 400, "accepted": 200}, 0.5, 0, 0, 0, 0.0) is None


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"edits": 120, "accepted": 40, "hit": 40, "cold": 80}, "p=0.3 is 0.1: the frozen pool pool/ lacks the others"),
        ({"edits": 120, "accepted": 0, "cold": 120}, "has 50 looks, but none of these objects"),
        ({"edits": 120, "accepted": 10, "hit": 120, "rejected": 110}, "110 of 120 looks were rejected"),
    ],
)
def test_a_frozen_pool_in_which_little_is_found_is_told(counts, words: str) -> None:
    said = frozen_share(counts, 0.3, "pool/", 50)
    assert said is not None
    assert words in said


def test_a_frozen_pool_is_not_judged_by_few_edits_nor_told_of_where_most_is_found() -> None:
    assert frozen_share({"edits": 19, "accepted": 0, "cold": 19}, 0.3, "pool/", 50) is None
    assert frozen_share({"edits": 99, "accepted": 1, "hit": 1, "cold": 98}, 0.3, "pool/", 50) is None
    assert frozen_share({"edits": 120, "accepted": 60, "hit": 60, "cold": 60}, 0.3, "pool/", 50) is None
