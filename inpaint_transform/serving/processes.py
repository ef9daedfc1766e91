"""Processes by identity: a pid together with its start time, so that a recycled pid is not taken for the old one."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes:
        pid: Process id.
        started: Start time in clock ticks since boot; 0 where the system does not tell (no ``/proc``).
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this pid now."""
        return cls(pid, _start_time(pid) or 0)

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
        """Whether it still runs; a zombie does not."""
        if self.started:
            with suppress(OSError):  # out of descriptors: then the pid alone has to do
                return _start_time(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def kill(self) -> None:
        """Send SIGKILL if it still runs."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

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


def _start_time(pid: int) -> int | None:
    """Clock ticks since boot at which a process started; None if it has ended or there is no ``/proc``."""
    try:
        # The command name, in parentheses, may hold anything; fields are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
