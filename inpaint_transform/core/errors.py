"""The library's run-time failures."""


class InpaintError(RuntimeError):
    """Something went wrong while painting: the model does not load, the server is gone, the answer is late."""


class GateError(InpaintError):
    """A gate gave no usable verdict: it raised, or returned too few scores, NaN or no number."""


def of_engine(error: Exception) -> Exception:
    """An engine's error as callers know it: ``ValueError`` where a request is wrong, ``InpaintError`` otherwise."""
    if isinstance(error, ValueError | InpaintError):
        return error
    named = InpaintError(f"the engine failed: {type(error).__name__}: {error}")
    named.__cause__ = error
    return named


def of_loading(error: BaseException) -> InpaintError:
    """What callers are told of a model that does not load: the library's own words as they are, others' introduced."""
    if isinstance(error, InpaintError):
        return error
    # What the library raises names the argument and the mend; what the system raises has a number.
    own = isinstance(error, ValueError | FileNotFoundError) and getattr(error, "errno", None) is None
    named = InpaintError(str(error) if own else f"the model does not load: {type(error).__name__}: {error}")
    named.__cause__ = error
    return named
