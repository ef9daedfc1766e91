"""Failures have the same names wherever painting runs."""

from __future__ import annotations

import pytest

from inpaint_transform.core.errors import GateError, InpaintError, of_engine, of_loading


@pytest.mark.parametrize("error", [ValueError("strength=2"), InpaintError("late"), GateError("no score")])
def test_what_callers_know_stays_what_it_is(error: Exception) -> None:
    assert of_engine(error) is error


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), MemoryError(), KeyError("unet")])
def test_anything_else_is_named_and_keeps_its_cause(error: Exception) -> None:
    found = of_engine(error)
    assert type(found) is InpaintError
    assert type(error).__name__ in str(found)
    assert found.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("size=33: use 32"), FileNotFoundError("id='x': no such folder")])
def test_a_model_that_the_library_refuses_is_refused_in_its_own_words(error: Exception) -> None:
    found = of_loading(error)
    assert (type(found), str(found), found.__cause__) == (InpaintError, str(error), error)
    assert of_loading(found) is found


@pytest.mark.parametrize("error", [OSError("no such model"), FileNotFoundError(2, "No such file"), MemoryError()])
def test_what_others_say_of_a_model_is_introduced(error: Exception) -> None:
    found = of_loading(error)
    assert str(found) == f"the model does not load: {type(error).__name__}: {error}"
    assert found.__cause__ is error
