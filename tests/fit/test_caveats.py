"""What is said honestly: each warning where it applies and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inpaint_transform.fit import caveats
from inpaint_transform.fit.pictures import Sample

GOOD = [Sample(Path(f"{n}.png"), ((0, 0, 40, 40),), ("cone",)) for n in range(10)]


def test_held_out_pictures_that_the_base_has_seen_are_no_proof() -> None:
    [said] = caveats.before(GOOD, GOOD[:4], [], np.inf, seen=3)
    assert "trained on 3 of 4 held-out pictures" in said


def test_good_data_is_not_criticised() -> None:
    assert caveats.before(GOOD, GOOD[:1], [], np.inf) == []


@pytest.mark.parametrize(
    ("train", "held_out", "words", "psnr", "match"),
    [
        (GOOD[:9], GOOD[:1], [], np.inf, "'cone' has 9 boxes"),
        ([Sample(one.image, ((0, 0, 31, 90),), one.labels) for one in GOOD], GOOD[:1], [], np.inf, "31 pixels small"),
        ([*GOOD, Sample(Path("x.png"), ((0, 0, 9, 9),), ("dot",))], GOOD[:1], [], np.inf, "'dot' has no box of 16"),
        (GOOD, [], [], np.inf, "'cone' has no held-out box"),
        (GOOD, GOOD[:1], ["arduino"], np.inf, "does not know the words arduino"),
        (GOOD, GOOD[:1], [], 15.25, "never seen anything like it.*15.2 dB"),
    ],
)
def test_what_speaks_against_success(
    train: list[Sample], held_out: list[Sample], words: list[str], psnr: float, match: str
) -> None:
    said = caveats.before(train, held_out, words, psnr)
    assert any(re.search(match, sentence) for sentence in said), said
    assert not any(sentence.endswith(".") for sentence in said)


def numbers(**changed: Any) -> dict[str, Any]:
    """What an evaluation gives of two classes that are painted well."""
    return {
        "classes": ["a", "b"],
        "read_back_with_blur": {"real_by_class": {"a": 0.95, "b": 0.95}, "by_class": {"a": 0.9, "b": 0.9}},
        "detector": {"by_class": {"a": 0.8, "b": 0.7}, "real_found": 0.9},
        "nearest": {"a": 1.0, "b": None},
        "diversity": {"a": 0.6, "b": None},
        **changed,
    }


def test_good_paint_is_not_criticised() -> None:
    assert caveats.after(numbers()) == []


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (
            {"read_back_with_blur": {"real_by_class": {"a": 0.95, "b": 0.8}, "by_class": {"a": 0.9, "b": 0.8}}},
            "real unseen boxes of b apart",
        ),
        ({"nearest": {"a": 0.2, "b": None}}, "boxes of a are copies"),
        ({"diversity": {"a": 1.0, "b": 0.1}}, "paints b nearly the same"),
        (
            {"read_back_with_blur": {"real_by_class": {"a": 0.95, "b": 0.95}, "by_class": {"a": 0.9, "b": 0.6}}},
            "recognised by a reader: b \\(60%, real ones 95%\\);",
        ),
        (
            {"detector": {"by_class": {"a": 0.3, "b": 0.5}, "real_found": 0.9}},
            "found by a detector: a \\(30%, real ones 90%\\), b \\(50%",
        ),
        # Who does not know real boxes is no judge of painted ones.
        (
            {"read_back_with_blur": {"real_by_class": {"a": 0.95, "b": 0.4}, "by_class": {"a": 0.9, "b": 0.1}}},
            "real unseen boxes of b apart",
        ),
        ({"detector": {"by_class": {"a": 0.1, "b": 0.1}, "real_found": 0.4}}, "finds 40% of real unseen boxes"),
        # A class of which no real box is held out: there is nothing to compare with.
        ({"detector": {"by_class": {"a": 0.3}, "real_found": None}}, None),
    ],
)
def test_what_the_evaluation_speaks_against(changed: dict[str, Any], match: str | None) -> None:
    said = caveats.after(numbers(**changed))
    assert len(said) == (match is not None)
    assert match is None or re.search(match, said[0])
