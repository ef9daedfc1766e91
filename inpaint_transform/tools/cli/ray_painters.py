"""What serve --ray does: start painters in a cluster, show them at work, end them."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.cli.terminal import rewind, say

LOOK_S = 1.0
# Where nobody watches, a table a second would only fill a log.
LOG_S = 60.0

COLUMNS = ("painter", "node", "queue", "mean batch", "busy", "images/s", "")


def serve(spec: ModelSpec, count: int, address: str, keep: bool, resource: str | None) -> None:
    """Start painters and show them until Ctrl-C ends them; with ``keep`` leave them as soon as they are ready."""
    from inpaint_transform.serving.ray import cluster, painters

    cluster.join(address)
    try:
        with _ended_by_signals():
            started = painters.start(spec, count, keep, resource, say)
        cluster.warn_if_open(all(said.get("tokens", True) for said in painters.look(started).values()))
        model = {**spec.to_dict(), "serving": "ray", "address": address}
        say(f"painting; use them with model={model}")
        if keep:
            say("they stay; 'inpaint-transform serve MODEL --ray --end' ends them")
            return
        with _ended_by_signals(), contextlib.suppress(KeyboardInterrupt):
            _show(started)
        say(f"ending {count} painters: what they have taken is painted first")
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C is for those who will not wait
            painters.end(started)
    finally:
        cluster.leave()


def end(spec: ModelSpec, address: str) -> None:
    """End all painters of a model, after what they have taken."""
    from inpaint_transform.serving.ray import cluster, painters

    cluster.join(address)
    try:
        found = painters.running(spec)
        if not found:
            raise InpaintError(f"the Ray cluster at address={address!r} has no painter of {spec.id!r}")
        painters.end(found)
        say(f"ended {len(found)} painters of {spec.id}")
    finally:
        cluster.leave()


def show_once(address: str) -> None:
    """Print what the painters of all models do; images/s over a second."""
    from inpaint_transform.serving.ray import cluster, painters

    cluster.join(address)
    try:
        found = painters.running()
        if not found:
            raise InpaintError(
                f"the Ray cluster at address={address!r} has no painters; start some with 'inpaint-transform serve"
                " MODEL --ray --painters N'"
            )
        before = painters.look(found)
        time.sleep(LOOK_S)
        say(table(painters.look(found), before, LOOK_S))
    finally:
        cluster.leave()


def table(now: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]], seconds: float) -> str:
    """A line for each painter, and one for all.

    Args:
        now: What each says of itself, by name.
        before: What it said some time ago.
        seconds: How long ago.
    """
    lines: list[Sequence[str]] = [COLUMNS]
    total = 0.0
    for name, said in now.items():
        short = name.rpartition("/")[2]
        if "requests" not in said:
            lines.append((short, "", "", "", "", "", str(said.get("error", ""))))
            continue
        # A painter that was started anew counts from nothing.
        earlier = before.get(name, {}).get("requests", said["requests"])
        rate = max(said["requests"] - earlier, 0) / seconds
        total += rate
        state = said["error"] or ("is removed" if said["draining"] else "" if said["ready"] else "loads the model")
        busy, queue = f"{said['busy_share']:.0%}", str(said["queued"] + said["running"])
        lines.append((short, said["node"], queue, f"{said['mean_batch']:.1f}", busy, f"{rate:.1f}", state))
    lines.append((f"{len(now)} in all", "", "", "", "", f"{total:.1f}", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    # Words to the left, numbers to the right.
    layout = "  ".join(f"{{:{'>' if 2 <= column <= 5 else '<'}{width}}}" for column, width in enumerate(widths))
    return "\n".join(layout.format(*line).rstrip() for line in lines)


def _show(started: Sequence[Any]) -> None:
    """Show the painters until a signal comes."""
    from inpaint_transform.serving.ray import painters

    watched = sys.stdout.isatty()
    before, then, drawn = painters.look(started), time.monotonic(), 0
    while True:
        time.sleep(LOOK_S if watched else LOG_S)
        found, now = painters.look(started), time.monotonic()
        text = table(found, before, now - then)
        # Over the one before, which has as many lines.
        if watched and drawn:
            rewind(drawn)
        say(text)
        before, then, drawn = found, now, text.count("\n") + 1


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
