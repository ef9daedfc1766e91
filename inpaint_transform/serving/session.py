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
        _session = _find_owner()
    return _session


def _find_owner() -> Session:
    mine = Process.of(os.getpid())
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return mine
    owner = Process.of(parent.pid)
    # Who has the parent's pid and is younger than this process is not the parent, which has ended.
    return owner if owner.started <= mine.started else Process(parent.pid, 0)
