"""What an inpainter counts."""

from __future__ import annotations

import json

import numpy as np

from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.serving.server.counters import Counters

IMAGE = np.zeros((4, 4, 3), np.uint8)


def test_nothing_is_counted_before_the_first_batch() -> None:
    snapshot = Counters().snapshot()
    assert (snapshot["requests"], snapshot["batches"], snapshot["busy_share"]) == (0, 0, 0.0)


def test_sizes_waits_rejections_and_errors_add_up() -> None:
    counters = Counters()
    counters.count_batch([InpaintResult(IMAGE), InpaintResult(None, "near constant")], 2, waited=0.2, busy=0.5)
    counters.count_batch([], 3, waited=0.1, busy=0.5)
    counters.count_batch([InpaintResult(IMAGE)], 1, waited=0.0, busy=0.5)
    snapshot = counters.snapshot()
    assert snapshot["requests"] == 6
    assert snapshot["batch_sizes"] == {"1": 1, "2": 1, "3": 1}
    assert snapshot["mean_batch"] == 2.0
    assert snapshot["mean_wait_ms"] == 50.0
    assert snapshot["rejected"] == {"near constant": 1}
    assert snapshot["errors"] == 3
    assert snapshot["busy_s"] == 1.5
    assert 0 < snapshot["busy_share"] <= 1
    assert counters.batches() == (3, 2.0)
    json.dumps(snapshot)
