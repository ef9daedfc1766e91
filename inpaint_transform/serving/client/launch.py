"""Starting and stopping servers: whoever needs one first starts it, the others wait for the same one."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import inpaint_transform
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.serving.client.connection import Connection, NotServing
from inpaint_transform.serving.forks import no_fork
from inpaint_transform.serving.processes import Process
from inpaint_transform.serving.server_directory import ServerDirectory, sweep
from inpaint_transform.serving.session import Session
from inpaint_transform.serving.threads import bound_spinning
from inpaint_transform.serving.transport import wire
from inpaint_transform.serving.transport.wire import Kind

# For an interpreter and numpy from a cold network disk; loading the model comes after and has ``timeout_s``.
BIND_TIMEOUT_S = 120.0
# For a running server to end when told to; then it is killed.
STOP_S = 2.0
_POLL_S = 0.01

# -m, and -c too, put the working directory first on the path, where a user's random.py waits. PYTHONSAFEPATH, which
# prevents that, is new in Python 3.11.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path);"
    " from inpaint_transform.serving.server.process import main; main()"
)

# Servers that this process has started and that it has yet to reap.
_started: list[subprocess.Popen[bytes]] = []
# Set when this process ends: a thread that began to start a server then could not finish it.
_ending = threading.Event()


def ensure_running(directory: ServerDirectory, spec: ModelSpec, owner: Session) -> None:
    """Return once a server listens in the directory, starting it if there is none.

    Args:
        directory: Its place.
        spec: The model that it serves, resolved, with the device it runs on.
        owner: The process whose end ends the server.

    Raises:
        InpaintError: It does not come up; the message has the end of its log. Or the owner has ended, or this process
            is about to.
    """
    if not owner.alive():  # a worker may outlive it by seconds, and would start one short-lived server after the other
        raise InpaintError(f"the main process {owner.pid} of this job has ended, and its inpainting server with it")
    reap()
    sweep()
    deadline = time.monotonic() + BIND_TIMEOUT_S
    _check_not_ending()  # before the directory is made
    with directory.held():
        if directory.occupied():
            _wait(directory, None, deadline)
            return
        # A worker forked in between would hold the server's lock for life, and the pipe on which Popen waits for the
        # new program: that worker would wait for this start, and this start for that worker.
        process = None
        with no_fork:
            try:
                _check_not_ending()  # it may have taken a while to get hold of it
                lock = directory.occupy()
                try:
                    process = _launch(directory, spec, owner, lock)
                finally:
                    os.close(lock)
                _started.append(process)
                # The server says so too, but one that hangs at its start never comes to it.
                directory.identity.write_text(str(Process.of(process.pid)))
            except OSError as error:
                if process is not None:
                    process.kill()
                    process.wait()
                directory.remove()
                raise InpaintError(
                    f"the inpainting server cannot be started in {directory.path} with {sys.executable!r}: {error}"
                ) from error
        _wait(directory, process, deadline)


def start_no_more() -> None:
    """At the end of this process: whoever of its threads wants to start a server now gets an error."""
    with no_fork:
        _ending.set()


def _check_not_ending() -> None:
    if _ending.is_set():
        raise InpaintError("this process ends, so it starts no more inpainting servers")


def stop(directory: ServerDirectory) -> None:
    """End the server in a directory, by force if it does not listen, and remove the directory."""
    if not directory.is_own():
        return
    server = directory.server()
    with suppress(NotServing, InpaintError, OSError):
        connection = Connection(directory, STOP_S)
        connection.tell(wire.pack(Kind.SHUTDOWN, {}), time.monotonic() + STOP_S)
        connection.close()
    if not _wait_for_end(directory, server) and server is not None:
        server.kill()
        _wait_for_end(directory, server)
    # A thread that is about to start the next one holds the directory for a moment.
    deadline = time.monotonic() + STOP_S
    while not directory.remove_if_dead() and not directory.occupied() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def reap() -> None:
    """Take note of the ends of servers that this process has started, or they stay zombies as long as it runs."""
    _started[:] = [process for process in _started if process.poll() is None]


def _wait_for_end(directory: ServerDirectory, server: Process | None) -> bool:
    """Wait for a while until a directory is free and its server's memory too; whether it came to that."""
    deadline = time.monotonic() + STOP_S
    while lives := directory.occupied() or (server is not None and server.alive()):
        if time.monotonic() > deadline:
            break
        reap()  # a zombie counts as alive where the system does not tell
        time.sleep(_POLL_S)
    return not lives


def _wait(directory: ServerDirectory, process: subprocess.Popen[bytes] | None, deadline: float) -> None:
    """Wait until the server listens, or, where it is someone else's, has gone."""
    while not directory.socket.exists():
        if process is not None and process.poll() is not None:
            tail = directory.log_tail()
            directory.remove()
            raise InpaintError(f"the inpainting server ended with exit code {process.returncode} at its start; {tail}")
        if process is None and not directory.occupied():
            return
        if time.monotonic() > deadline:
            tail = directory.log_tail()
            if process is not None:
                process.kill()
                process.wait()
                directory.remove()
            raise InpaintError(f"the inpainting server did not start to listen within {BIND_TIMEOUT_S:.0f} s; {tail}")
        time.sleep(_POLL_S)


def _launch(directory: ServerDirectory, spec: ModelSpec, owner: Session, lock: int) -> subprocess.Popen[bytes]:
    # Not multiprocessing: DataLoader workers are daemonic and may not have such children, and its spawn would import
    # the user's __main__ again. A session of its own keeps Ctrl-C at the terminal from reaching the server.
    with directory.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this interpreter and this package
            [
                *(sys.executable, "-c", _START),
                *("--directory", str(directory.path), "--lock", str(lock), "--owner", str(owner)),
                *("--spec", json.dumps(spec.to_dict())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    """The environment in which the server finds the package where this process found it, and nothing else instead."""
    environment = dict(os.environ)
    bound_spinning(environment)
    root = os.fspath(Path(inpaint_transform.__file__).parent.parent)
    # Site folders are found anyway, and on PYTHONPATH they would come before the standard library.
    if root not in {*site.getsitepackages(), site.getusersitepackages()}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), root]))
    return environment
