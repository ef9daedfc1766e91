"""Host memory of several processes, shared pages counted once."""

from __future__ import annotations

import multiprocessing
import os
import sys

import numpy as np
import pytest

from inpaint_transform.tools.bench.memory import pss_mib


def hold(ready, done) -> None:
    ready.set()
    done.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_fork_shares_is_counted_once() -> None:
    # Large beside what a child of the tests' own process writes to: reference counts of whatever was imported.
    block = np.ones(256 * 2**20, np.uint8)
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    child = context.Process(target=hold, args=(ready, done))
    alone = pss_mib([os.getpid()])
    child.start()
    ready.wait()
    both, twice = pss_mib([os.getpid(), child.pid]), pss_mib([os.getpid(), child.pid, child.pid])
    done.set()
    child.join()
    assert alone is not None
    assert both is not None
    assert twice == pytest.approx(both, abs=2)
    assert alone > 256
    assert both < alone + block.nbytes / 2**20 / 2
    assert pss_mib([child.pid]) is None  # it has ended
