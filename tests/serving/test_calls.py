"""Calls: a batch hangs when its most patient client says so, and tells whether anybody waits."""

from __future__ import annotations

import numpy as np

from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.server.calls import Batch, Call, Job

REQUEST = InpaintRequest(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), "a thing")


def job(timeout: float, peer: object = None) -> Job:
    return Job(Call(peer, [REQUEST], timeout, [None], 1), 0)  # type: ignore[arg-type]


def test_the_most_patient_client_decides() -> None:
    batch = Batch([(job(3.0, object()), 0.0), (job(9.0, object()), 0.0)], [REQUEST] * 2, 0.0)
    assert batch.timeout == 9.0
    assert not batch.background
    assert batch.taken[0][0].request is REQUEST


def test_nobody_waits_for_a_call_without_a_peer() -> None:
    assert Batch([(job(3.0), 0.0)], [REQUEST], 0.0).background
