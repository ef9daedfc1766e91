"""What every command that paints does first and last: load the model, write the picture."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.cli.terminal import say, warn

if TYPE_CHECKING:
    import numpy as np

    from inpaint_transform.core.protocol import Inpainter


def load(spec: ModelSpec) -> "Inpainter":
    """The inpainter of a model, with the model loaded."""
    from inpaint_transform.serving.connect import connect
    from inpaint_transform.serving.words import words_of

    warn(f"loading {words_of(spec.resolved()) or spec.id} ...")
    inpainter = connect(spec)
    inpainter.size  # noqa: B018 - asking for the size is what loads the model
    return inpainter


def write(out: Path, picture: "np.ndarray", start: float) -> None:
    """Write a picture and tell how long it took since ``start``, a ``time.perf_counter``."""
    from PIL import Image

    Image.fromarray(picture).save(out)
    tell(out, start)


def tell(out: Path, start: float) -> None:
    """Say that a file is written and how long it took since ``start``, a ``time.perf_counter``."""
    say(f"wrote {out} in {time.perf_counter() - start:.1f} s")
