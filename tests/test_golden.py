"""Behaviour stays equal to the byte while code is moved: every scenario gives what was recorded, see ``golden``."""

from __future__ import annotations

import golden
import pytest


def test_every_scenario_is_recorded_and_no_other() -> None:
    assert sorted(golden.recorded()) == sorted(golden.names())


@pytest.mark.parametrize("name", golden.names())
def test_it_gives_what_was_recorded(name: str) -> None:
    if reason := golden.missing(name):
        pytest.skip(reason)
    different = golden.differences(golden.recorded()[name], golden.results()[name])
    # Other versions of NumPy or OpenCV may be to blame.
    assert not different, "\n".join([f"{name} differs", *different, *golden.other_versions()])
