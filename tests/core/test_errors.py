"""Failures have the same names wherever painting runs."""

from __future__ import annotations

import pytest

from inpaint_transform.core.errors import GateError, InpaintError, of_engine


@pytest.mark.parametrize("error", [ValueError("strength=2"), InpaintError("late"), GateError("no score")])
def test_what_callers_know_stays_what_it_is(error: Exception) -> None:
    assert of_engine(error) is error


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), MemoryError(), KeyError("unet")])
def test_anything_else_is_named_and_keeps_its_cause(error: Exception) -> None:
    found = of_engine(error)
    assert type(found) is InpaintError
    assert type(error).__name__ in str(found)
    assert found.__cause__ is error
