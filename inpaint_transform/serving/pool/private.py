"""A pool that ends with its job: a private folder that all processes of the job find, and that is cleared away."""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.session import Session

# Jobs whose folders this process removes at its end.
_owned: set[Session] = set()

_PREFIX = f"inpaint-transform-pool-{os.getuid() if hasattr(os, 'getuid') else 0}-"


def private_folder(session: Session) -> Path:
    """Where the pool of a job is; the folder is made by whoever opens it.

    Folders of jobs that were killed, and could not clear up, go now.
    """
    sweep()
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{str(session).replace(':', '-')}"


def clear_at_end(session: Session) -> None:
    """Remove the folder of a job when this process ends, if the job is its own."""
    if session.pid == os.getpid() and session not in _owned:
        _owned.add(session)
        # After the last looks are written, which has the priority 10.
        multiprocessing.util.Finalize(None, sweep, args=(session,), exitpriority=5)


def sweep(ended: Session | None = None) -> None:
    """Remove the folders of jobs that have ended.

    Args:
        ended: A job that is just ending, whose process still runs.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(ValueError, OSError):
            owner = Process.parse(folder.name[len(_PREFIX) :].replace("-", ":"))
            if (
                (owner == ended or not owner.alive())
                and folder.lstat().st_uid == os.getuid()
                and not folder.is_symlink()
            ):
                shutil.rmtree(folder, ignore_errors=True)
