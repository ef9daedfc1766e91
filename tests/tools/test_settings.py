"""What is measured, and what makes no sense."""

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.bench.settings import Settings


def test_something_must_be_measured() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Settings(ModelSpec("tiny"), workers=())


def test_p_0_is_always_measured() -> None:
    assert Settings(ModelSpec("tiny"), p=(0.5, 0.1)).p == (0.0, 0.1, 0.5)
