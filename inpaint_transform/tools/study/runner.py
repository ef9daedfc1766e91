"""Runs commands side by side, one on each device, and leaves none of their processes behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from inpaint_transform.serving.processes import Process, wait_for_any
from inpaint_transform.tools.study import supervise

# Of the output of a command that has failed.
TAIL_LINES = 20
TAIL_BYTES = 20_000
# For a supervisor to end what it supervises; it kills what has not ended within its own grace.
END_S = supervise.GRACE_S + 10

Job = TypeVar("Job")


@dataclass(frozen=True)
class Command:
    """What is to be run.

    Attributes:
        line: For the shell.
        environment: All variables.
        folder: Working folder.
        output: File for what it says.
    """

    line: str
    environment: Mapping[str, str]
    folder: Path
    output: Path


@dataclass(frozen=True)
class Ended(Generic[Job]):
    """A command that has ended.

    Attributes:
        job: What it was for.
        device: Where it ran.
        seconds: How long.
        reason: Why it has failed; empty where it ended well.
    """

    job: Job
    device: str
    seconds: float
    reason: str


@dataclass
class _Running(Generic[Job]):
    job: Job
    device: str
    process: subprocess.Popen[bytes]
    identity: Process
    started: float


def run(
    jobs: Sequence[Job], devices: Sequence[str], start: Callable[[Job, str], Command]
) -> Generator[Ended[Job], None, None]:
    """Run jobs, and give each as it ends. Whoever stops listening stops them all: close the generator.

    Args:
        jobs: In the order in which they begin.
        devices: One job at a time on each.
        start: Gives the command of a job on a device.
    """
    waiting, free = deque(jobs), deque(devices)
    running: list[_Running[Job]] = []
    try:
        while waiting or running:
            while waiting and free:
                job, device = waiting.popleft(), free.popleft()
                running.append(_start(job, device, start(job, device)))
            wait_for_any([one.identity for one in running])
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                _close(one.process)
                free.append(one.device)
                yield Ended(one.job, one.device, time.monotonic() - one.started, _reason(one.process.returncode))
    finally:
        _stop([one.process for one in running])


def _start(job: Job, device: str, command: Command) -> _Running[Job]:
    supervised = [sys.executable, "-I", str(Path(supervise.__file__)), command.line]
    started = time.monotonic()
    with command.output.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            supervised,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.folder,
            env=dict(command.environment),
            start_new_session=True,  # Ctrl-C is for the study, which ends its runs one after the other
        )
    return _Running(job, device, process, Process.of(process.pid), started)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _close(process)  # a supervisor ends its command when this pipe does
    deadline = time.monotonic() + END_S
    for process in processes:
        _await(process, max(deadline - time.monotonic(), 0.1))


def _await(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _reason(code: int) -> str:
    if code == 0:
        return ""
    number = code - 128 if code > 128 else -code
    with contextlib.suppress(ValueError):
        if number > 0:
            return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"


def tail(output: Path) -> str:
    """The last lines of what a command has said, of a progress bar its last state."""
    try:
        with output.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - TAIL_BYTES, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return "\n".join([line for line in lines if line][-TAIL_LINES:])
