"""Running a measurement in a process of its own, so that what others loaded is not in its memory."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from inpaint_transform.core.errors import InpaintError

_T = TypeVar("_T")
# Longest wait in seconds for DataLoader workers to finish the batch at hand.
ENDING_S = 10.0


def in_fresh_process(work: Callable[..., Iterable[_T]], *arguments: Any) -> Iterator[_T]:
    """Iterate over ``work(*arguments)`` in a new process; it ends with the iteration.

    Args:
        work: A function of a module.
        *arguments: What pickles.

    Raises:
        ValueError, OSError, InpaintError: What ``work`` raised of them.
        InpaintError: The process died; what it said is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # Not a daemon: those may not have DataLoader workers.
    start_method = multiprocessing.get_start_method()
    process = context.Process(target=_send_each, args=(sender, start_method, work, arguments))
    process.start()
    sender.close()
    try:
        while True:
            try:
                found = receiver.recv()
            except EOFError:
                break
            if isinstance(found, Exception):
                raise found
            yield found
        process.join()
    finally:
        receiver.close()
        process.join(ENDING_S)
        if process.is_alive():
            process.terminate()
            process.join()
    if process.exitcode:
        raise InpaintError(f"the measuring process ended with exit code {process.exitcode}; see its words above")


def _send_each(
    sender: Connection, start_method: str, work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]
) -> None:
    # What a training should be told, that its batches are small or its workers many, is measured here on purpose. The
    # variable reaches workers and server.
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    # A spawned process would spawn its DataLoader workers too, and they are to start as they do in a training.
    multiprocessing.set_start_method(start_method, force=True)
    try:
        for found in work(*arguments):
            sender.send(found)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)  # nobody listens any more
    except (ValueError, OSError, InpaintError) as error:
        sender.send(error)
