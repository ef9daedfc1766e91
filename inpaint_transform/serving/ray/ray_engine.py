"""The engine that a node's server holds when painters of a Ray cluster paint for it.

Requests carry their seeds and painting has no side effects, so what a lost painter leaves undone is sent to another
one and comes back with the same pixels.
"""

from __future__ import annotations

import itertools
import logging
import os
import platform
import random
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.engines import EngineLostError
from inpaint_transform.serving.ray import cluster, messages, names
from inpaint_transform.serving.transport import paint_frames
from inpaint_transform.serving.transport.wire import WireError

logger = logging.getLogger(__name__)

# Of the pixels of one call: a batch of eight crops of 512 pixels, so that painters get whole batches.
MAX_CALL_BYTES = 8 << 20
# Idle painters share a batch down to so few crops a call.
MIN_CALL_CROPS = 4
# In flight for every painter: one call is painted, the next one waits there, one travels there and one back.
CALLS_A_PAINTER = 4
GREET_S = 1.0
FIND_S = 2.0
# A painter that has not answered a greeting for so long is not asked any more.
SILENT_S = 15.0
# What loses its painters so often is lost because of it.
MAX_TRIES = 4
# How long to wait for one of the painters when the last one is lost, for Ray starts them anew.
GRACE_S = 10.0
# How long to look for the first one.
FIRST_S = 4.0


@dataclass(eq=False)
class _Painter:
    """A painter as this server sees it; fields are read and written under the engine's lock."""

    name: str
    handle: Any
    usable: bool = False
    problem: str = "it loads its model"
    outstanding: int = 0
    max_batch_size: int = 1
    heard: float = field(default_factory=time.monotonic)
    row: dict[str, Any] = field(default_factory=dict)
    greeting: Future[Any] | None = None


@dataclass(eq=False)
class _Call:
    """Requests on their way to a painter."""

    requests: Sequence[InpaintRequest]
    painter: _Painter
    answer: Future[Any]
    tries: int
    alone: bool


class RayEngine:
    """Paints through the painters of a model in a cluster; ``paint`` is for several threads at once.

    Args:
        spec: What to paint with; ``address`` names the cluster.

    Raises:
        InpaintError: The cluster cannot be joined, or has no painter of this model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec.resolved()
        self._address = spec.address or "auto"
        self._joined = cluster.join(self._address)
        self._server = f"{platform.node()}/{os.getpid()}/{secrets.token_hex(3)}"
        self._family = names.family(self._spec)
        self._painters: dict[str, _Painter] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._none_since = time.monotonic()
        self._warned = False
        self._found = time.monotonic()  # when the cluster last told its painters
        self.size = 0
        for work, pause in ((self._find, FIND_S), (self._greet, GREET_S)):
            threading.Thread(target=self._repeat, args=(work, pause), name=work.__name__, daemon=True).start()
        try:
            self._wait_for_first()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """How many calls of ``paint`` keep the painters busy now."""
        mini_batch = self._spec.max_batch_size
        with self._changed:
            usable = [painter.max_batch_size for painter in self._painters.values() if painter.usable]
        return max(1, sum(CALLS_A_PAINTER * max(1, -(-largest // mini_batch)) for largest in usable))

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult | Exception]:
        """Paint every request; an answer to each, so that one that fails is nobody else's failure."""
        try:
            # All on their way before the first one is waited for.
            calls = [self._send(part) for part in self._parts(requests)]
            return [answer for call in calls for answer in self._answers(call)]
        except InpaintError as error:
            return [error] * len(requests)

    def paint_alone(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult | Exception]:
        """Paint every request in pipeline calls with no others, of at most ``wire.MAX_REQUESTS``."""
        try:
            return self._answers(self._send(requests, alone=True))
        except InpaintError as error:
            return [error] * len(requests)

    def stats(self) -> dict[str, Any]:
        """Under ``"painters"`` a row for each: its counters as last heard, and what this server has in flight there."""
        with self._changed:
            rows = [
                {"painter": name, "usable": painter.usable, "in_flight": painter.outstanding, **painter.row}
                for name, painter in sorted(self._painters.items())
            ]
        return {"painters": rows}

    def close(self) -> None:
        """Leave the cluster; painters forget what is still queued there."""
        self._closing.set()
        if self._joined:
            cluster.leave()

    # Painting

    def _parts(self, requests: Sequence[InpaintRequest]) -> list[Sequence[InpaintRequest]]:
        """A batch as the calls that carry it."""
        with self._changed:
            idle = len([one for one in self._painters.values() if one.usable and not one.outstanding])
        by_size = -(-paint_frames.bytes_of(requests) // MAX_CALL_BYTES)
        count = min(max(by_size, min(idle, len(requests) // MIN_CALL_CROPS), 1), len(requests))
        cuts = [len(requests) * part // count for part in range(count + 1)]
        return [requests[start:stop] for start, stop in itertools.pairwise(cuts)]

    def _send(self, requests: Sequence[InpaintRequest], tries: int = 1, alone: bool = False) -> _Call:
        """Send requests to the painter with the fewest crops outstanding."""
        message = messages.pack_requests(requests, self._spec.timeout_s)
        painter = self._reserve(len(requests))
        try:
            answer = _ask(painter.handle.paint, self._server, *message, alone)
            return _Call(requests, painter, answer, tries, alone)
        except BaseException:
            self._release(painter, len(requests))
            raise

    def _reserve(self, crops: int) -> _Painter:
        with self._changed:
            while True:
                usable = [painter for painter in self._painters.values() if painter.usable]
                if usable:
                    painter = min(usable, key=lambda one: (one.outstanding, random.random()))  # noqa: S311 - a tie
                    painter.outstanding += crops
                    return painter
                # None that Ray could start anew: then there is nothing to wait for.
                left = self._none_since + GRACE_S - time.monotonic() if self._painters else 0.0
                if time.monotonic() - self._found > GRACE_S:
                    raise EngineLostError(
                        f"the Ray cluster at address={self._address!r} does not answer any more: its head, or this"
                        " machine's node, has ended. 'ray status' tells; start it and its painters again"
                    )
                if left <= 0 or self._closing.is_set():
                    raise InpaintError(self._why_none())
                self._changed.wait(min(left, GREET_S))

    def _release(self, painter: _Painter, crops: int) -> None:
        with self._changed:
            painter.outstanding -= crops

    def _answers(self, call: _Call) -> list[InpaintResult | Exception]:
        """The answers to a call; where its painter is lost, those of the next one."""
        while True:
            count = len(call.requests)
            try:
                message = self._receive(call)
            finally:
                self._release(call.painter, count)
            if message is not None:
                return messages.unpack_answers(message, count)
            if call.tries == MAX_TRIES:
                raise InpaintError(f"painters were lost {MAX_TRIES} times under the same crops: {call.painter.problem}")
            call = self._send(call.requests, call.tries + 1, call.alone)

    def _receive(self, call: _Call) -> messages.Message | None:
        """What a painter answers; None where it does not, and another one is to be asked."""
        import ray

        while True:
            try:
                text, pixels = call.answer.result(GREET_S)
                break
            except TimeoutError:
                with self._changed:
                    silent = time.monotonic() - call.painter.heard > SILENT_S
                if silent:
                    self._lose(call.painter, f"it has not answered for {SILENT_S:g} s")
                    return None
            except (ray.exceptions.RayError, OSError) as error:
                self._lose(call.painter, _told(error))
                return None
        header = messages.load(text)
        if "refused" in header:
            raise InpaintError(f"painter {call.painter.name} refused: {header['refused']}")
        if "elsewhere" in header:
            self._lose(call.painter, str(header["elsewhere"]))
            return None
        return text, pixels

    # Painters

    def _repeat(self, work: Any, pause: float) -> None:
        while not self._closing.is_set():
            try:
                work()
            except Exception:
                if self._closing.is_set():
                    return
                logger.warning("looking after the painters failed", exc_info=True)
            self._closing.wait(pause)

    def _find(self) -> None:
        """Painters that were started since, and those that were removed."""
        found = names.listed(self._family)
        with self._changed:
            self._found = time.monotonic()
            gone = set(self._painters) - set(found)
            new = set(found) - set(self._painters)
        for name in new:
            handle = names.handle_of(name)
            if handle is not None:
                with self._changed:
                    self._painters[name] = _Painter(name, handle)
        for name in gone:
            with self._changed:
                painter = self._painters.pop(name)
            self._lose(painter, "it was removed")

    def _greet(self) -> None:
        """Tell every painter that this server lives, and learn how it is."""
        import ray

        with self._changed:
            painters = list(self._painters.values())
        for painter in painters:
            if painter.greeting is None:
                painter.greeting = _ask(painter.handle.greet, self._server)
        greetings = {painter.greeting: painter for painter in painters if painter.greeting is not None}
        if not greetings:
            return
        for greeting in wait(greetings, GREET_S).done:
            painter = greetings[greeting]
            try:
                said = messages.load(greeting.result())
            except (ray.exceptions.RayError, WireError, OSError) as error:
                self._lose(painter, _told(error))
                continue
            if painter.greeting is greeting:  # else it was lost since
                painter.greeting = None
                self._learn(painter, said)

    def _learn(self, painter: _Painter, said: dict[str, Any]) -> None:
        """How a painter is, by its answer to a greeting."""
        if said.get("error") is not None:
            problem = str(said["error"])
        elif said.get("draining"):
            problem = "it is being removed"
        elif not said.get("ready"):
            problem = "it loads its model"
        else:
            differs = names.difference(self._spec, said.get("paints") or {})
            problem = f"refused, for {differs}" if differs else ""
        with self._changed:
            painter.heard = time.monotonic()
            painter.row = {key: value for key, value in said.items() if key not in ("paints", "error")}
            if problem == "" and not painter.usable:
                logger.info("painter %s on %s paints", painter.name, said.get("node"))
                painter.max_batch_size = int(said.get("max_batch_size", 1))
                self.size = int(said.get("size", 0))
            painter.usable = problem == ""
            painter.problem = problem
            self._note_change()
        if problem == "":
            self._warn_once_if_open(bool(said.get("tokens")))

    def _lose(self, painter: _Painter, how: str) -> None:
        """Do not ask a painter again until it answers a greeting."""
        with self._changed:
            if painter.usable:
                logger.warning("painter %s is lost: %s", painter.name, how)
            painter.usable = False
            painter.problem = how
            painter.greeting = None  # an answer to it would be from before
            self._note_change()

    def _note_change(self) -> None:
        """Keep since when there is no painter; under the lock."""
        if any(painter.usable for painter in self._painters.values()):
            self._none_since = float("inf")
        elif self._none_since == float("inf"):
            self._none_since = time.monotonic()
        self._changed.notify_all()

    def _warn_once_if_open(self, tokens: bool) -> None:
        if not self._warned:
            self._warned = True
            cluster.warn_if_open(tokens)

    def _wait_for_first(self) -> None:
        """Wait until a painter paints: for as long as one loads, otherwise for a moment."""
        begun = time.monotonic()
        with self._changed:
            while self._none_since != float("inf"):
                loading = any(painter.problem == "it loads its model" for painter in self._painters.values())
                if not loading and time.monotonic() - begun > FIRST_S:
                    break
                self._changed.wait(GREET_S)
            else:
                return
            if self._painters:
                raise InpaintError(self._why_none())
        raise InpaintError(self._why_not_found())

    def _why_none(self) -> str:
        problems = [f"{painter.name}: {painter.problem}" for painter in self._painters.values()]
        said = "; ".join(problems[:3]) or "all were removed"
        return (
            f"no painter of {self._spec.id!r} is left in the Ray cluster at address={self._address!r} ({said}). Start"
            " some with 'inpaint-transform serve MODEL --ray --painters N'"
        )

    def _why_not_found(self) -> str:
        """No painter of this model is there: name what the others differ in."""
        import ray

        mend = "Start some with 'inpaint-transform serve MODEL --ray --painters N', with the same settings"
        where = f"the Ray cluster at address={self._address!r}"
        for name in names.listed():
            handle = names.handle_of(name)
            try:
                there = messages.load(ray.get(handle.greet.remote(""), timeout=GREET_S)) if handle else {}
            except (ray.exceptions.RayError, WireError):
                continue
            differs = names.difference(self._spec, there.get("paints") or {})
            if differs:
                return f"{differs}; {where} has no painter of this model. {mend}"
        return f"{where} has no painter of {self._spec.id!r}. {mend}"


def _ask(method: Any, *arguments: Any) -> Future[Any]:
    """Call a method of an actor.

    Not ``ray.get`` from several threads: the raylet keeps one request of a process, so the thread that has its object
    cancels what the others wait for, which then takes seconds (Ray 2.60).
    """
    answer: Future[Any]
    try:
        answer = method.remote(*arguments).future()
    except Exception as error:  # Ray raises a plain one where the actor has gone
        answer = Future()
        answer.set_exception(ConnectionError(str(error)))
    return answer


def _told(error: Exception) -> str:
    """An error of Ray's in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
