"""An engine in the user's own process: what of the settings of torch there must not reach it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from inpaint_transform.core.errors import InpaintError


def foreign_dtype() -> Any:
    """The default dtype of torch in this process where it is not float32, which engines are made for; None otherwise.

    Unlike the settings that ``isolated`` undoes, it belongs to all threads of a process: to change it while an engine
    works would change what the user's other threads compute.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.get_default_dtype() is torch.float32:
        return None
    return torch.get_default_dtype()


@contextmanager
def isolated() -> Iterator[None]:
    """Work without the caller's autocast, inference mode and default device.

    Raises:
        InpaintError: The default dtype of torch is not float32.
    """
    dtype = foreign_dtype()
    if dtype is not None:
        raise InpaintError(
            f"torch's default dtype is {dtype} in this process, and the model would take it on: use serving='shared',"
            " which paints in a process of its own (not on Windows), or torch.set_default_dtype(torch.float32)"
        )
    with ExitStack() as stack:
        torch = sys.modules.get("torch")
        if torch is not None:
            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(False))
            for device in ("cpu", "cuda", "mps"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
        yield
