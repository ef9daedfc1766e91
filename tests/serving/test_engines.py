"""Making the engine that paints."""

from __future__ import annotations

import mmap

import pytest

from inpaint_transform.core.errors import InpaintError, of_engine
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.engines import ENGINE_VARIABLE, engine_name, load_engine, memory_bytes


def test_the_engine_is_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    assert engine_name() == "inpaint_transform.engine:Engine"


def test_a_stand_in_takes_its_place(inverting: None) -> None:
    engine = load_engine(ModelSpec("x", device="cpu"))
    assert engine.size == 16
    engine.close()


def test_memory_is_that_of_this_process() -> None:
    before = memory_bytes()["resident_bytes"]
    # Fresh from the system: an allocator may hand out again what this process holds already.
    with mmap.mmap(-1, 64 << 20) as kept:
        for page in range(0, len(kept), mmap.PAGESIZE):
            kept[page] = 1
        assert memory_bytes()["resident_bytes"] > before + (48 << 20)


@pytest.mark.parametrize("error", [ValueError("x"), InpaintError("x")])
def test_errors_that_callers_know_stay_what_they_are(error: Exception) -> None:
    assert of_engine(error) is error


def test_other_errors_are_named_and_keep_their_cause() -> None:
    cause = KeyError("unet")
    named = of_engine(cause)
    assert isinstance(named, InpaintError)
    assert str(named) == "the engine failed: KeyError: 'unet'"
    assert named.__cause__ is cause
