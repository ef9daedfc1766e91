"""The process of a shared server: from its start to the last file that it leaves behind, which is none."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.server.server import Server
from inpaint_transform.serving.server.watchdog import start_watchdog
from inpaint_transform.serving.server_directory import ServerDirectory
from inpaint_transform.serving.threads import own_process

logger = logging.getLogger(__name__)

# An hour without a request, and the model's memory is worth more than the next cold start.
IDLE_LIMIT_S = 3600.0


def serve(
    spec: ModelSpec,
    directory: ServerDirectory,
    lock: int,
    owner: Process | None = None,
    idle_limit: float | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve in this process until the owner ends, SIGTERM or SIGINT comes, or the idle limit passes.

    Only in the main thread. The directory is gone afterwards.

    Args:
        spec: The model that it serves; resolved here.
        directory: The directory of its socket.
        lock: The descriptor that ``directory.occupy`` gave.
        owner: The process whose end ends the server; None for no such process.
        idle_limit: Seconds without a request after which it ends; None for no limit.
        on_ready: The function that is called once the model is loaded.

    Raises:
        InpaintError: The model did not load.
    """
    server = Server(directory, lock, spec.resolved(), owner, idle_limit, on_ready)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, server.stop)
    try:
        server.run()
    finally:
        if server.at_home():
            directory.remove()


def main() -> None:
    """The process that ``launch`` starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--lock", type=int, required=True, help="inherited descriptor of the locked file")
    parser.add_argument("--owner", type=Process.parse, required=True)
    parser.add_argument("--spec", type=json.loads, required=True)
    arguments = parser.parse_args()
    _start_afresh(arguments.owner)
    own_process()
    # Held for life, but not by whatever the engine may start.
    os.set_inheritable(arguments.lock, False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = 1
    try:
        directory = ServerDirectory(arguments.directory)
        try:
            watchdog = start_watchdog(arguments.owner, directory)
            logger.info("started for process %d, watched by process %d", arguments.owner.pid, watchdog.pid)
        except OSError:
            logger.exception("no watchdog can be started")
        serve(ModelSpec.of(arguments.spec), directory, arguments.lock, arguments.owner, IDLE_LIMIT_S)
        code = 0
    except Exception:
        logger.exception("the server failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # A hung engine thread must not keep the process, and the system frees a model faster than Python does.
        os._exit(code)


def _start_afresh(owner: Process) -> None:
    """Undo what this process inherits from a worker that happened to need the server first."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # the owner has ended, or a sandbox forbids it
            os.sched_setaffinity(0, os.sched_getaffinity(owner.pid))
    import resource  # not on Windows, where there are no servers

    # Each client has a socket and shared memory: the usual limit of 1024 descriptors is little for hundreds of threads.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS says "unlimited" and means less
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
