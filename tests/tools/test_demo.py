"""The demo: it paints what its file says, and nothing outside the boxes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.tools import demo

BOXES = [(20 + 50 * column, 20 + 50 * row, 60 + 50 * column, 60 + 50 * row) for row in range(3) for column in range(4)]


class Painter:
    """Paints a crop white, unless it sees white already: then black."""

    size = 32

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [
            InpaintResult(
                np.where(request.mask[:, :, None], 0 if request.image.max() > 200 else 255, request.image).astype(
                    np.uint8
                )
            )
            for request in requests
        ]

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (280, 220), (90, 120, 150)).save(tmp_path / "demo.png")
    annotations = [{"bbox": [x0, y0, x1 - x0, y1 - y0], "category": "cone"} for x0, y0, x1, y1 in BOXES]
    for annotation in annotations[::2]:
        annotation["prompt"] = "a cube"
    (tmp_path / "demo.json").write_text(json.dumps({"annotations": annotations}))
    return tmp_path


def test_boxes_and_prompts_come_from_the_file(folder: Path) -> None:
    loaded = demo.load(0, folder)
    assert len(loaded.edits) == demo.BOXES
    for edit in loaded.edits:
        swapped = BOXES.index(edit.box) % 2 == 0
        assert edit.prompt == ("a cube" if swapped else "a photo of a cone")
    assert demo.load(0, folder).edits == loaded.edits
    assert demo.load(1, folder).edits != loaded.edits


def test_only_the_boxes_change(folder: Path) -> None:
    loaded = demo.load(0, folder)
    stages = [stage.copy() for stage in demo.paint(loaded, Painter())]
    assert len(stages) == len(loaded.edits)
    changed = (stages[-1] != loaded.image).any(axis=2)
    for edit in loaded.edits:
        x0, y0, x1, y1 = edit.box
        # White, so this box did not see what was painted into its neighbours.
        assert (stages[-1][y0 + 10 : y1 - 10, x0 + 10 : x1 - 10] == 255).all()
        changed[y0:y1, x0:x1] = False
    assert not changed.any()
    assert (loaded.image == (90, 120, 150)).all()
