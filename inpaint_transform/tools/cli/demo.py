"""The demo command."""

import time
from pathlib import Path

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.cli.options import Out, Seed
from inpaint_transform.tools.cli.progress import load, progress_bar, write


def demo(out: Out = Path("before_after.png"), seed: Seed = 0) -> None:
    """Repaint boxes of a bundled picture with the embedded model: no network, no GPU."""
    from inpaint_transform.reports import drawing as pictures
    from inpaint_transform.tools import demo as bundled

    start = time.perf_counter()
    picture = bundled.load(seed)
    inpainter = load(ModelSpec("tiny", device="cpu", serving="local"))
    boxes_painted = bundled.paint(picture, inpainter)
    with progress_bar(boxes_painted, desc="painting", total=len(picture.edits), unit="box") as progress:
        painted = list(progress)[-1]
    boxes, labels, prompts = zip(*((edit.box, str(edit.label), edit.prompt) for edit in picture.edits), strict=True)
    write(out, pictures.before_after(picture.image, painted, boxes, labels, prompts), start)
