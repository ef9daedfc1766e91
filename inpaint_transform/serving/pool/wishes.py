"""Painting in the background, as the process that wants it sees it: asked for in passing, handed over by a thread."""

from __future__ import annotations

import logging
import multiprocessing.util
import threading
import time
from collections.abc import Callable, Hashable, Iterable

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import Destination, Inpainter, InpaintRequest
from inpaint_transform.serving.forks import call_after_fork
from inpaint_transform.serving.pool.contents import raw_key
from inpaint_transform.serving.pool.keeper import Keeper
from inpaint_transform.serving.registry import call_at_shutdown

logger = logging.getLogger(__name__)

# Wishes that wait in a process; each holds a window's pixels. The oldest is dropped, and comes again some day.
MAX_WISHES = 64
# How many are handed over at once while the painter keeps up, and while it has enough to do.
GROUP = 16
TRICKLE = 4
# A painter with more than so much to do has enough, and is left alone for half of it: many processes hand over together
# what it can paint, for whatever is dropped again was cut out and scaled in vain.
ENOUGH_S = 0.5
MAX_PAUSE_S = 10.0
# How long to leave a painter alone that failed, and how long after it should be there to ask again for the same thing.
PAUSE_S = 1.0
AGAIN_S = 2.0
MAX_REMEMBERED = 4096
# Longest wait at a process's end: the server takes a group of wishes in a few milliseconds if it is up.
END_S = 0.2
# And for what is being cut out: a thread that comes back from OpenCV while the interpreter ends is an abort.
CUT_S = 5.0
# Longest wait before the server is ended, for what is on its way there: it would start the server again.
FORGET_S = 2.0


class Background:
    """Wishes of one process. Thread-safe and fork-safe.

    Args:
        keeper: Of the pool for which is painted.
        inpainter: Gives who paints; asked in the thread.
    """

    def __init__(self, keeper: Keeper, inpainter: Callable[[], Inpainter]) -> None:
        self._keeper = keeper
        self._inpainter = inpainter
        self._start_empty()
        call_after_fork(self, Background._start_empty)

    def _start_empty(self) -> None:
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wishes: dict[bytes, Callable[[int], InpaintRequest]] = {}
        self._asked: dict[bytes, float] = {}  # until when not to be asked for again
        self._failure: InpaintError | None = None
        self._handing_over = 0
        self._pausing = False
        self._cutting = False
        self._ending = False

    def ask(self, key: bytes, attempt: int, request: Callable[[int], InpaintRequest]) -> None:
        """Ask for a look; returns at once.

        Raises:
            InpaintError: Painting has failed since the last call.
        """
        name = raw_key(key, attempt)
        now = time.monotonic()
        with self._news:
            failure, self._failure = self._failure, None
            if failure is None and now >= self._asked.get(name, float("-inf")):
                self._wishes.pop(name, None)
                self._wishes[name] = request
                if len(self._wishes) > MAX_WISHES:
                    del self._wishes[next(iter(self._wishes))]
                if self._thread is None:
                    # A worker of a DataLoader may end with its epoch, a moment after its last wish.
                    multiprocessing.util.Finalize(None, self._end, exitpriority=20)
                    self._thread = threading.Thread(target=self._run, name="inpaint-background", daemon=True)
                    self._thread.start()
                self._news.notify_all()
        if failure is not None:
            raise failure

    def _end(self) -> None:
        with self._news:
            # A painter that has enough to do is asked for no more.
            self._news.wait_for(lambda: self._pausing or not (self._wishes or self._handing_over), END_S)
            self._ending = True
            self._news.wait_for(lambda: not self._cutting, CUT_S)

    def waiting(self) -> int:
        """How many wishes are not handed over yet."""
        with self._news:
            return len(self._wishes) + self._handing_over

    def forget(self) -> None:
        """Drop what is not being handed over yet, and wait a while for what is; it comes again with later edits."""
        with self._news:
            self._wishes.clear()
            self._news.wait_for(lambda: not self._handing_over, FORGET_S)

    def _run(self) -> None:
        # What the painter has to do it tells with the first wishes: until then it may have enough.
        ahead = 2 * ENOUGH_S
        while True:
            with self._news:
                self._news.wait_for(lambda: bool(self._wishes))
                # The latest: what was asked for last is the likeliest to still be wanted.
                names = list(self._wishes)[-(TRICKLE if ahead > ENOUGH_S else GROUP) :]
                group = {name: self._wishes.pop(name) for name in names}
                self._remember(names, ahead)
                self._handing_over = len(group)
            try:
                ahead = self._hand_over(group)
            except InpaintError as error:
                ahead = 2 * PAUSE_S
                with self._news:
                    self._failure = error
            except Exception as error:
                logger.exception("painting in the background failed")
                ahead = 2 * PAUSE_S
                with self._news:
                    self._failure = InpaintError(f"painting in the background failed: {type(error).__name__}: {error}")
            with self._news:
                self._handing_over = 0
                self._pausing = ahead > ENOUGH_S
                self._news.notify_all()
            if self._pausing:
                time.sleep(min(ahead / 2, MAX_PAUSE_S))
                self._pausing = False

    def _remember(self, names: list[bytes], ahead: float) -> None:
        """Do not ask for these again before they should be there."""
        now = time.monotonic()
        if len(self._asked) > MAX_REMEMBERED:
            self._asked = {name: until for name, until in self._asked.items() if now < until}
        self._asked.update(dict.fromkeys(names, now + ahead + AGAIN_S))

    def _hand_over(self, group: dict[bytes, Callable[[int], InpaintRequest]]) -> float:
        """Make requests and queue them; for how many seconds the painter has enough to do."""
        inpainter = self._inpainter()
        size = inpainter.size
        store = self._keeper.store
        destination = Destination(str(store.path.absolute()), store.max_bytes, self._keeper.echo)
        return inpainter.paint_later(self._cut(size, group.values()), list(group), destination)

    def _cut(self, size: int, group: Iterable[Callable[[int], InpaintRequest]]) -> list[InpaintRequest]:
        requests = []
        for make in group:
            with self._news:
                if self._ending:
                    raise InpaintError("the process is ending")
                self._cutting = True
            try:
                requests.append(make(size))
            finally:
                with self._news:
                    self._cutting = False
                    self._news.notify_all()
        return requests


_backgrounds: dict[tuple[Keeper, Hashable], Background] = {}


def background_of(keeper: Keeper, who: Hashable, inpainter: Callable[[], Inpainter]) -> Background:
    """The background painting of a pool and a painter: the same for all copies of a transform in a process.

    Args:
        keeper: Of the pool.
        who: What tells painters apart.
        inpainter: Gives the painter.
    """
    return _backgrounds.setdefault((keeper, who), Background(keeper, inpainter))


def _forget_all() -> None:
    for background in list(_backgrounds.values()):
        background.forget()


call_at_shutdown(_forget_all)
