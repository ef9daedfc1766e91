"""What is measured: read from what was typed, and refused where it makes no sense."""

import pytest

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.bench.settings import Settings, read_numbers


def test_numbers_are_read_once_and_in_order() -> None:
    assert read_numbers("4, 0,4,2", "workers", int) == (0, 2, 4)
    with pytest.raises(ValueError, match="workers=''"):
        read_numbers("", "workers", int)
    with pytest.raises(ValueError, match="at least one value"):
        Settings(ModelSpec("tiny"), workers=())


def test_p_0_is_always_measured() -> None:
    assert Settings(ModelSpec("tiny"), p=(0.5, 0.1)).p == (0.0, 0.1, 0.5)
