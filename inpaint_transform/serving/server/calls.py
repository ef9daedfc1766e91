"""Calls: what clients have asked for, on its way through the queues to the engine and back."""

from __future__ import annotations

from dataclasses import dataclass

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.serving.server.peer import Peer
from inpaint_transform.serving.transport.paint_frames import Later


@dataclass(eq=False)
class Call:
    """One PAINT frame: its requests go to the device in whatever batches, its answer goes out whole.

    Of a frame for which nobody waits, every request is a call of its own, without a peer.
    """

    peer: Peer | None
    requests: list[InpaintRequest]
    timeout: float
    results: list[InpaintResult | None]
    missing: int
    error: Exception | None = None
    later: Later | None = None


@dataclass(eq=False)
class Job:
    """One request on its way through a queue."""

    call: Call
    index: int

    @property
    def request(self) -> InpaintRequest:
        """The request."""
        return self.call.requests[self.index]


@dataclass(eq=False)
class Batch:
    """Requests that the engine paints together."""

    taken: list[tuple[Job, float]]
    requests: list[InpaintRequest]
    since: float

    @property
    def timeout(self) -> float:
        """When it counts as hung, in seconds."""
        # Every client has its own deadline besides; the least patient one must not end it for the others.
        return max(job.call.timeout for job, _ in self.taken)

    @property
    def background(self) -> bool:
        """Whether nobody waits for it."""
        return self.taken[0][0].call.peer is None
