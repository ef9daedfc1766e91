"""How a model is served: the half of ``ModelSpec`` that decides nothing about pixels."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

DEVICES = ("auto", "cpu", "cuda", "mps")
SERVING = ("auto", "local", "shared", "ray")
OFFLOADS = ("model", "sequential")
NETWORK_ADDRESS = re.compile(r"\w+://|[\w.-]+:[0-9]+$")

# Eleven days; a socket counts the milliseconds of its time-out in 32 bits.
MAX_TIMEOUT_S = 1e6


@dataclass(frozen=True)
class Service:
    """Where a model runs, how much it may take, and who shares it.

    Attributes:
        device: ``"auto"`` (``cuda:LOCAL_RANK`` where there is CUDA, else a Mac's Metal device, else the CPU),
            ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
        offload: For a card that is too small: ``"model"`` keeps on the device only the part of the model that works
            (text encoder, denoiser or autoencoder), ``"sequential"`` only the layer that does, which is far slower.
            None keeps all of it there. On the CPU nothing moves.
        max_batch_size: Most requests in one pipeline call, >= 1. Default 8.
        max_wait_ms: Longest wait for a batch to fill while some worker has nothing in flight, >= 0. Default 10.
        memory_fraction: Share of the CUDA device's memory that this model may take, in (0, 1].
        device_share: Most of the device's time, in (0, 1], that painting in the background (see ``Reuse``) may take,
            measured as busy time over wall time; for a device that also trains. Default 1. Painting that somebody
            waits for is not limited.
        serving: ``"local"`` (this process), ``"shared"`` (one server for all processes of a job), ``"ray"`` (that
            server hands on to the painters of a Ray cluster) or ``"auto"`` (local in a main process without CUDA, and
            everywhere on Windows; shared otherwise).
        address: Socket folder of a server started by hand with ``inpaint-transform serve``. With ``serving="ray"`` the
            cluster: ``"host:port"`` of its head, or ``"auto"`` (the default), the one that this machine belongs to.
        timeout_s: Longest wait in seconds for one answer of the shared server, in (0, 1e6]. Default 600.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.
    """

    device: str = "auto"
    offload: str | None = None
    max_batch_size: int | None = None
    max_wait_ms: float | None = None
    memory_fraction: float | None = None
    device_share: float | None = None
    serving: str = "auto"
    address: str | None = None
    timeout_s: float | None = None

    def _check_service(self) -> None:
        address: Any = self.address
        if isinstance(address, os.PathLike):
            object.__setattr__(self, "address", os.fspath(address))
        if not isinstance(self.device, str) or not (self.device in DEVICES or re.fullmatch("cuda:[0-9]+", self.device)):
            raise ValueError(f"device={self.device!r}: use one of {', '.join(DEVICES)} or cuda:N")
        one_of("serving", self.serving, SERVING)
        if self.offload is not None:
            one_of("offload", self.offload, OFFLOADS)
        at_least("max_batch_size", self.max_batch_size, 1, whole=True)
        at_least("max_wait_ms", self.max_wait_ms, 0)
        for name in ("memory_fraction", "device_share"):
            share = getattr(self, name)
            if share is not None and not (isinstance(share, int | float) and 0 < share <= 1):
                raise ValueError(f"{name}={share!r}: use a share in (0, 1]")
        wait = self.timeout_s
        if wait is not None and not (isinstance(wait, int | float) and 0 < wait <= MAX_TIMEOUT_S):
            raise ValueError(f"timeout_s={wait!r}: use a number of seconds above 0 and at most {MAX_TIMEOUT_S:g}")
        self._check_address()

    def _check_address(self) -> None:
        address = self.address
        if address is None:
            return
        if not isinstance(address, str) or not address:
            raise ValueError(f"address={address!r}: give the folder that 'inpaint-transform serve' prints")
        if self.serving == "ray" and not is_cluster_address(address):
            raise ValueError(
                f"address={address!r}: with serving='ray' give 'auto' or the 'host:port' that 'ray start --head'"
                " printed (not ray://, which is too slow for pixels)"
            )
        if self.serving != "ray" and NETWORK_ADDRESS.match(address):
            raise ValueError(
                f"address={address!r}: a server is reached on its own machine only, by the folder that "
                f"'inpaint-transform serve' prints there; for painters on other machines use serving='ray'"
            )


def rank_device(count: int) -> int:
    """Index of the CUDA device that belongs to this process's ``LOCAL_RANK``.

    Args:
        count: How many devices this process sees.

    Raises:
        ValueError: ``LOCAL_RANK`` is not a number.
    """
    rank = os.environ.get("LOCAL_RANK", "0")
    if not rank.isdecimal():
        raise ValueError(f"LOCAL_RANK={rank!r}: a launcher sets it to 0, 1, ...; unset it, or give device='cuda:N'")
    # A launcher that shows each rank one device only numbers it 0 whatever the rank: hence the remainder.
    return int(rank) % max(count, 1)


def is_cluster_address(address: str) -> bool:
    """Whether an address is that of a Ray cluster: ``"auto"`` or ``"host:port"``."""
    host, _, port = address.rpartition(":")
    named = re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) is not None
    return address == "auto" or (named and re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 65536)


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise ``ValueError`` where a field has a value that it may not have."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: use one of {', '.join(allowed)}")


def at_least(name: str, value: float | None, least: float, whole: bool = False) -> None:
    """Raise ``ValueError`` where a field is neither None nor a number of at least ``least``."""
    kind = int if whole else int | float
    if value is not None and not (isinstance(value, kind) and math.isfinite(value) and value >= least):
        raise ValueError(f"{name}={value!r}: use a {'whole ' if whole else ''}number of at least {least}")
