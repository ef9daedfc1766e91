"""Models of a test's own, painted by the stand-in engines of ``tests/integration/standins.py``."""

from __future__ import annotations

import itertools

from inpaint_transform import ModelSpec

_numbers = itertools.count()


def spec(name, **fields):
    """A server or engine of the test's own."""
    return ModelSpec(f"/no/{name}-{next(_numbers)}", device="cpu", dtype="float32", **fields)
