"""Out of memory: batches that do not fit are halved, and what cannot be made smaller is an error with its mend."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ResolvedSpec
from inpaint_transform.engine.speed import bucket_for

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Result = TypeVar("Result")


class BatchLimit:
    """How many crops go into one pipeline call: fewer from the first time on that the device's memory is too small.

    Args:
        spec: Which model, and how to run it.
        device: Where it runs.
        size: Side of the working crop in pixels.

    Attributes:
        most: Most crops in one call, >= 1.
    """

    def __init__(self, spec: ResolvedSpec, device: torch.device, size: int) -> None:
        self._spec = spec
        self._device = device
        self._size = size
        self.most = spec.max_batch_size

    def padded(self, count: int) -> int:
        """The size of the pipeline call that paints so many requests."""
        if self._spec.reproducible:
            return self.most
        return bucket_for(count, self.most) if self._spec.compile else count

    def in_batches(self, requests: list[Request], paint: Callable[[list[Request]], list[Result]]) -> list[Result]:
        """Paint requests that may share a call, as many in each as fit.

        Args:
            requests: Any number of requests.
            paint: Paints at most ``most`` of them, in one call of ``padded`` size.

        Returns:
            One result a request, in their order.

        Raises:
            InpaintError: The device has too little memory for a single request.
        """
        results: list[Result] = []
        while len(results) < len(requests):
            some = requests[len(results) : len(results) + self.most]
            try:
                results += paint(some)
                continue
            except torch.cuda.OutOfMemoryError as error:
                said = str(error)
            # Only here has the exception let go of the tensors in its frames.
            release(self._device)
            self._halve(len(some), said)
        return results

    def _halve(self, count: int, said: str) -> None:
        if self.most == 1:
            raise InpaintError(
                f"size={self._size}: {self._device} has too little memory for a single crop; use a smaller size, a"
                f" smaller model, a larger memory_fraction, or a device with more free memory ({said})"
            )
        half = max(1, self.padded(count) // 2)
        # What is left should be a size that is compiled already.
        self.most = 1 << half.bit_length() - 1 if self._spec.compile else half
        logger.warning("%s ran out of memory; at most %d crops go into one batch now", self._device, self.most)


def release(device: torch.device) -> None:
    """Give memory that nothing refers to any more back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextlib.contextmanager
def explained(problem: str) -> Iterator[None]:
    """Where too little memory is an error that says what does not fit, and what helps.

    Raises:
        InpaintError: The device's memory is too small; with the problem, and with the device's own words.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise InpaintError(f"{problem} ({error})") from error
