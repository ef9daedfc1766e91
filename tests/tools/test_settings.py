"""What is measured, and what makes no sense."""

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.bench.settings import Case, Settings


def test_something_must_be_measured() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Settings(ModelSpec("tiny"), workers=())


def test_p_0_is_always_measured() -> None:
    assert Settings(ModelSpec("tiny"), p=(0.5, 0.1)).p == (0.0, 0.1, 0.5)


def test_every_loader_is_measured_once_and_those_with_edits_again_from_a_pool() -> None:
    settings = Settings(ModelSpec("tiny"), workers=(0, 2), p=(0.0, 0.5))
    assert settings.loaders(shared=False) == [Case(0, p, mode) for mode in (False, True) for p in (0.0, 0.5)]
    assert settings.loaders(shared=True) == [Case(2, p, mode) for mode in (False, True) for p in (0.0, 0.5)]
    assert settings.pooled() == [Case(2, 0.5)]
    assert Settings(ModelSpec("tiny"), workers=(0,), p=(0.5,)).pooled() == [Case(0, 0.5)]
