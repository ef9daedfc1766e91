"""Who paints for a spec: one inpainter a process, made when it is first asked for."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Destination, Inpainter, InpaintRequest, InpaintResult
from inpaint_transform.serving.forks import call_after_fork
from inpaint_transform.serving.known_words import words_of
from inpaint_transform.serving.placement import resolve_serving
from inpaint_transform.serving.session import Session, current_session

logger = logging.getLogger(__name__)


class _Registry:
    """The inpainters of this process; a forked child begins without any."""

    def __init__(self) -> None:
        self._start_empty()
        call_after_fork(self, _Registry._start_empty)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._warned = False
        self._found: dict[tuple[ModelSpec, Session | None], Inpainter] = {}

    def get(self, spec: ModelSpec, session: Session | None) -> Inpainter:
        serving = resolve_serving(spec)
        local = serving == "local"
        if local and spec.serving == "auto" and multiprocessing.parent_process() is not None:
            self._warn_of_copies()
        if not local and (session is None or not session.alive()):
            # A transform from a file, whose job is long over.
            session = current_session()
        key = (dataclasses.replace(spec.resolved(), serving=serving), None if local else session)
        with self._lock:
            if key not in self._found:
                self._found[key] = _make(*key)
            return self._found[key]

    def _warn_of_copies(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "this worker loads the model for itself, as Windows has no way to share one: keep the workers few, or "
                "paint whole batches in the main process with BatchInpaint"
            )


def _make(spec: ModelSpec, session: Session | None) -> Inpainter:
    logger.info("painting with the model %s", words_of(spec) or spec.id)
    if session is None:
        from inpaint_transform.serving.local import LocalInpainter

        return LocalInpainter(spec)
    from inpaint_transform.serving.client.client import SharedInpainter

    return SharedInpainter(spec, session)


_registry = _Registry()


def connect(spec: ModelSpec, session: Session | None = None) -> Inpainter:
    """The inpainter for a spec: the same object however often it is asked for in one process.

    Nothing is loaded and no server started before its ``size`` or ``paint`` is first used.

    Args:
        spec: Which model, and with ``serving`` whether it runs in this process or in the server that all processes of
            the training job share.
        session: Which training job; by default the one that this process belongs to.

    Raises:
        ValueError: ``serving`` and ``address`` contradict each other.
        InpaintError: This system cannot share a server.
    """
    return _registry.get(spec, session)


def load(spec: ModelSpec, say: Callable[[str], None]) -> Inpainter:
    """Who paints for a command, with the model loaded; with ``serving="ray"`` the painters of a cluster do.

    Args:
        spec: Which model.
        say: Is told what takes a while now.

    Raises:
        InpaintError: The model does not load, or the cluster has no painter of it.
    """
    if spec.serving == "ray":
        from inpaint_transform.serving.ray.bulk import BulkInpainter

        say(f"looking for painters of {spec.id} ...")
        return BulkInpainter(spec)
    say(f"loading {words_of(spec.resolved()) or spec.id} ...")
    inpainter = connect(spec)
    inpainter.size  # noqa: B018 - asking for the size is what loads the model
    return inpainter


class OnDemand:
    """An inpainter that is connected to when it is asked for something.

    Args:
        connect: Gives the inpainter.
    """

    def __init__(self, connect: Callable[[], Inpainter]) -> None:
        self._connect = connect

    @property
    def size(self) -> int:
        """See ``Inpainter``, and so for the rest."""
        return self._connect().size

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request."""
        return self._connect().paint(requests)

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """Queue requests for which nobody waits."""
        return self._connect().paint_later(requests, names, destination)

    def stats(self) -> dict[str, Any]:
        """Counters of the engine."""
        return self._connect().stats()

    def close(self) -> None:
        """Free the model, or let go of the server."""
        self._connect().close()


_at_shutdown: list[Callable[[], None]] = []


def call_at_shutdown(forget: Callable[[], None]) -> None:
    """Call ``forget`` whenever the servers of this process's job are ended: what still waits would start them again."""
    _at_shutdown.append(forget)


def shutdown(session: Session | None = None) -> None:
    """End the servers of a training job at once and free their memory; the next edit starts them again.

    What this process wanted painted in the background is forgotten. Never needed for tidiness: servers end with the
    main process anyway.

    Args:
        session: Which training job; by default the one that this process belongs to.
    """
    job = session or current_session()
    if job == current_session():
        for forget in _at_shutdown:
            forget()
    _stop_servers(job)


def _stop_servers(job: Session) -> None:
    from inpaint_transform.serving.client.launch import reap, stop
    from inpaint_transform.serving.server_directory import directories_of

    for directory in directories_of(job):
        stop(directory)
    reap()


def _shutdown_own() -> None:
    """At the owner's exit. Its servers would notice by themselves; a killed one could not clear up."""
    if current_session().pid == os.getpid():
        from inpaint_transform.serving.client.launch import start_no_more

        start_no_more()
        with suppress(OSError, InpaintError):
            _stop_servers(current_session())


if hasattr(os, "fork"):
    atexit.register(_shutdown_own)
