"""Runs one training command, and ends it with all that it has started once the study has ended, however that was.

A program of its own, on the standard library alone, that the study starts as ``python supervise.py COMMAND``. Standard
input is a pipe that only the study holds: when it closes it, or is killed, the command's process group is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

# For a training to end by itself after SIGTERM; torchrun gives its workers, which are not of its group, 30 seconds.
GRACE_S = 35.0


def main() -> None:
    """Run the command, and exit as it did; 128 and the signal's number where one ended it."""
    child = subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    threading.Thread(target=_end_with_the_study, args=(child.pid,), daemon=True).start()
    code = child.wait()
    _signal(child.pid, signal.SIGKILL)  # what it has left running
    # Not by way of the interpreter's end, for which the thread may hold a lock.
    os._exit(code if code >= 0 else 128 - code)


def _end_with_the_study(group: int) -> None:
    os.read(0, 1)
    _signal(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
