"""The session: which training job this process belongs to, so that all its workers meet at one server."""

from __future__ import annotations

import multiprocessing
import os

from inpaint_transform.serving.processes import Process

Session = Process

_session: Session | None = None


def current_session() -> Session:
    """The owner of this process's servers: the main process of the training job.

    In a ``multiprocessing`` child that is its parent, whatever the start method; otherwise this process itself. A
    transform keeps the answer from where it was made and carries it to further children by fork and by pickling.
    """
    global _session
    # A forked child inherits the variable, so grandchildren keep the first owner.
    if _session is None or not _session.alive():
        parent = multiprocessing.parent_process()
        _session = Process.of(os.getpid() if parent is None or parent.pid is None else parent.pid)
    return _session
