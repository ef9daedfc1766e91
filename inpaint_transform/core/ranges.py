"""Ranges of values: how bright a picture of 16 bits must be to show anything."""

from __future__ import annotations

# Cameras and microscopes of 10 and 12 bits write their values as they are: of 65536 levels that is black.
MIN_WHITE = 2**12


def looks_black(brightest: float) -> bool:
    """Whether a picture's brightest value leaves it black over the range of 16 bits, although it shows something.

    Values up to 255 are a picture of 8 bits in a larger type.

    Examples:
        >>> [looks_black(brightest) for brightest in (0, 255, 4095, 16383, 65535)]
        [False, False, True, False, False]
    """
    return 255 < brightest < MIN_WHITE
