"""The watchdog: a small process that ends a server which outlives its owner.

A server notices the end of its owner by itself, unless native code keeps the interpreter's lock, in a call or while a
model loads, or somebody has stopped the process: then none of its threads gets to know anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from inpaint_transform.serving.processes import Process, wait_for_any
from inpaint_transform.serving.server_directory import ServerDirectory

# For a server to end by itself once its owner has ended.
GRACE_S = 2.0
# For the system to end one that is killed, which may have gigabytes to give back.
REMOVAL_S = 30.0
_POLL_S = 0.05

_START = (
    "import sys; sys.path[:] = filter(None, sys.path);"
    " from inpaint_transform.serving.server.watchdog import main; main()"
)


def start_watchdog(owner: Process, directory: ServerDirectory) -> subprocess.Popen[bytes]:
    """Have this process watched.

    Args:
        owner: The process whose end ends this one.
        directory: The directory of this server, which is to be gone then too.

    Raises:
        OSError: The system lets no process start.
    """
    own = Process.of(os.getpid())
    arguments = [sys.executable, "-c", _START, str(owner), str(own), str(directory.path)]
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL)  # noqa: S603 - this interpreter and this package


def main() -> None:
    """The process that ``start_watchdog`` starts."""
    owner, server = map(Process.parse, sys.argv[1:3])
    directory = ServerDirectory(Path(sys.argv[3]))
    wait_for_any([owner, server])
    if owner.alive():
        return  # whoever needs a server next wants to read how this one ended
    wait_for_any([server], GRACE_S)
    server.kill()
    # Its first thread may have ended before the last, with which the lock of the directory goes.
    deadline = time.monotonic() + REMOVAL_S
    while directory.is_own() and time.monotonic() < deadline:
        directory.remove_if_dead()
        time.sleep(_POLL_S)
