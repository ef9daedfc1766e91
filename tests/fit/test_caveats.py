"""What is said honestly: each warning where it applies and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inpaint_transform.fit import caveats
from inpaint_transform.fit.pictures import Sample

GOOD = [Sample(Path(f"{n}.png"), ((0, 0, 40, 40),), ("cone",)) for n in range(10)]


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
    import re

    said = caveats.before(train, held_out, words, psnr)
    assert any(re.search(match, sentence) for sentence in said), said
    assert not any(sentence.endswith(".") for sentence in said)


def test_what_the_evaluation_speaks_against() -> None:
    numbers = {
        "read_back_with_blur": {"real_by_class": {"a": 0.95, "b": 0.8}},
        "nearest": {"a": 0.2, "b": None},
        "diversity": {"a": 1.0, "b": 0.1},
    }
    alike, copies, same = caveats.after(numbers)
    assert "of b apart" in alike
    assert "boxes of a are copies" in copies
    assert "paints b nearly the same" in same
    fine = {"read_back_with_blur": {"real_by_class": {"a": 1.0}}, "nearest": {"a": 1.0}, "diversity": {"a": 0.6}}
    assert caveats.after(fine) == []
