"""Processes by identity: a pid together with its start time, so that a recycled pid is not taken for the old one."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

# Loaded where a process is looked at, so that whoever imports the transform does not wait for it.
if TYPE_CHECKING:
    import psutil

# Where the system does not tell of the end of a process.
_POLL_S = 0.5


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes:
        pid: Process id.
        started: Hundredths of a second from the system's start to its own; 0 for one that had ended before anybody
            asked, which is never alive.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this pid now, or one that has ended."""
        import psutil

        try:
            found = psutil.Process(pid)
            return cls(pid, 0 if found.status() == psutil.STATUS_ZOMBIE else _start_time(found))
        except psutil.NoSuchProcess:
            return cls(pid, 0)

    @classmethod
    def parse(cls, text: str) -> Process:
        """Read what ``str`` wrote.

        Raises:
            ValueError: The text is something else.
        """
        pid, started = text.split(":")
        return cls(int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"

    def alive(self) -> bool:
        """Whether it still runs; one that has ended and that its parent has yet to take note of does not.

        Where the system does not say, for this process has no descriptor left to ask with, it does.
        """
        import psutil

        if self.started == 0:
            return False
        try:
            found = _known.get(self)
            if found is None:
                found = psutil.Process(self.pid)
                if _start_time(found) != self.started:
                    return False
                _known[self] = found
            alive = found.is_running() and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            alive = False
        except (psutil.AccessDenied, OSError):
            return True
        if not alive:
            _known.pop(self, None)
        return alive

    def kill(self) -> None:
        """Send SIGKILL if it still runs."""
        import psutil

        if self.alive() and (found := _known.get(self)) is not None:
            with suppress(psutil.NoSuchProcess):
                found.kill()

    def open_pidfd(self) -> int | None:
        """A descriptor that becomes readable when the process ends; None where there is no such thing.

        Raises:
            ProcessLookupError: It has ended already.
        """
        if not hasattr(os, "pidfd_open"):
            return None
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            raise
        except OSError:  # an old kernel, or a sandbox that forbids the call
            return None
        if not self.alive():  # the pid was recycled before the descriptor was opened
            os.close(descriptor)
            raise ProcessLookupError(f"process {self} has ended")
        return descriptor


def wait_for_any(processes: Sequence[Process], timeout: float | None = None) -> None:
    """Return once one of some processes has ended, or the time has passed.

    Args:
        processes: The processes.
        timeout: Longest wait in seconds; None for no limit.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    poll = select.poll()
    watched = True
    with ExitStack() as stack:
        for process in processes:
            try:
                descriptor = process.open_pidfd()
            except ProcessLookupError:
                return
            if descriptor is None:
                watched = False
            else:
                stack.callback(os.close, descriptor)
                poll.register(descriptor, select.POLLIN)
        while all(process.alive() for process in processes):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            step = left if watched else min(_POLL_S, left or _POLL_S)
            poll.poll(None if step is None else 1e3 * step)


# Processes that were found alive: psutil recognises them from then on without asking when the system has started.
_known: dict[Process, psutil.Process] = {}


def _start_time(process: psutil.Process) -> int:
    """Hundredths of a second from the system's start to a process's; the same whoever asks and when."""
    import psutil

    while True:
        # The time of day may be set anew while a job runs. Both times move with it, their difference does not.
        begun = psutil.boot_time()
        started = process.create_time() - begun
        if psutil.boot_time() == begun:
            return max(round(100 * started), 1)
