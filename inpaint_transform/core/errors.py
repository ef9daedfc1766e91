"""The library's run-time failures."""


class InpaintError(RuntimeError):
    """Something went wrong while painting: the model does not load, the server is gone, the answer is late."""


class GateError(InpaintError):
    """A gate gave no usable verdict: it raised, or returned too few scores, NaN or no number."""
