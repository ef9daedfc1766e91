"""Painting a data set on a cluster's painters: the pixels that one machine would paint, from several threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Destination, InpaintRequest, InpaintResult
from inpaint_transform.serving.known_words import Listener
from inpaint_transform.serving.ray.ray_engine import RayEngine
from inpaint_transform.serving.transport import paint_frames
from inpaint_transform.serving.transport.wire import MAX_REQUESTS


class BulkInpainter:
    """An inpainter of a process that is itself a part of the cluster.

    What it is asked for at once shares pipeline calls with nothing else, as in a process of its own: neighbours in a
    batch may change a result by a grey level.

    Args:
        spec: What to paint with; ``address`` names the cluster.

    Raises:
        InpaintError: The cluster cannot be joined, or has no painter of this model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._batch = spec.resolved().max_batch_size
        self._engine = RayEngine(spec)
        self._listener = Listener(spec.resolved())

    @property
    def size(self) -> int:
        """Side of the working crop in pixels."""
        return self._engine.size

    @property
    def slots(self) -> int:
        """How many calls keep the painters busy now."""
        return self._engine.slots

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint every request; safe to call from several threads.

        Raises:
            ValueError: A request is not valid.
            InpaintError: Painting failed, or a painter's batches are of another size.
        """
        for request in requests:
            paint_frames.check_request(request)
        self._listener.hear(request.prompt for request in requests)
        for row in self._engine.stats()["painters"]:
            if row["usable"] and row["max_batch_size"] != self._batch:
                raise InpaintError(
                    f"painter {row['painter']} runs with max_batch_size={row['max_batch_size']}, and"
                    f" max_batch_size={self._batch} gives other pixels; start some with --max-batch-size {self._batch}"
                )
        # Cut where the batches of one machine end.
        step = max(MAX_REQUESTS // self._batch, 1) * self._batch
        answers = [
            answer
            for start in range(0, len(requests), step)
            for answer in self._engine.paint_alone(requests[start : start + step])
        ]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in answers if isinstance(answer, InpaintResult)]

    def paint_later(
        self, requests: Sequence[InpaintRequest], names: Sequence[bytes], destination: Destination
    ) -> float:
        """Not here: whoever paints in bulk waits for what is painted."""
        raise NotImplementedError("a pool is filled through serving='ray' in the training, or on one machine")

    def stats(self) -> dict[str, Any]:
        """What the painters say of themselves."""
        return self._engine.stats()

    def close(self) -> None:
        """Leave the cluster."""
        self._engine.close()
