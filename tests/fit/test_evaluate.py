"""The evaluation: painters whose quality is known are told apart by the right measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import COLOURS

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import caveats, classifiers, finder
from inpaint_transform.fit.evaluate import evaluate
from inpaint_transform.fit.pictures import Sample

# What the painters paint is measured as they paint it, not as sharp as its surroundings.
RECIPE = Recipe(prompts="{label}", min_box_size=16, match_border=False)


class Drawer:
    """Paints what is asked for, or always a disc, in the box or in a corner of it; sharp or blurred."""

    size = 64

    def __init__(self, obedient: bool = True, blurred: bool = False) -> None:
        self.obedient, self.blurred = obedient, blurred

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [InpaintResult(self._painted(request)) for request in requests]

    def _painted(self, request: InpaintRequest) -> np.ndarray:
        label = request.prompt if self.obedient else "disc"
        rng = np.random.default_rng(request.seed)
        image = request.image.copy()
        image[request.mask] = 120
        rows, columns = np.nonzero(request.mask)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max(), rows.max()
        if label == "disc":
            centre = (int(x0 + x1) // 2, int(y0 + y1) // 2)
            cv2.circle(image, centre, int(min(x1 - x0, y1 - y0)) // 2, COLOURS[label], -1)
        else:
            cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), COLOURS[label], -1)
        image += rng.integers(0, 25, image.shape, np.uint8)
        return cv2.GaussianBlur(image, (0, 0), 3) if self.blurred else image

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


@pytest.mark.slow
def test_the_measures(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "STEPS", 40)
    monkeypatch.setattr(classifiers, "BATCH", 12)
    monkeypatch.setattr(finder, "STEPS", 3)

    def same(images: np.ndarray) -> np.ndarray:
        return images

    found = {
        name: evaluate(painter, samples[:8], samples[8:], RECIPE, 12, round_trip=same if name == "good" else None)
        for name, painter in {
            "good": Drawer(),
            "deaf": Drawer(obedient=False),
            "blurred": Drawer(blurred=True),
        }.items()
    }
    numbers = {name: evaluation.numbers for name, evaluation in found.items()}
    good = numbers["good"]
    assert (good["edits"], good["swaps"], good["rejected"], good["boxes"]) == (12, 6, 0, 8)
    assert good["classes"] == ["disc", "square"]
    assert good["read_back_with_blur"]["balanced_accuracy"] == 1
    assert good["read_back_with_blur"]["real_by_class"] == {"disc": 1, "square": 1}
    assert numbers["deaf"]["read_back_with_blur"]["swaps_only"] == 0.5
    assert numbers["deaf"]["read_back_with_blur"]["by_class"] == {"disc": 1, "square": 0}
    assert numbers["blurred"]["sharpness"]["all"] < 0.5 * good["sharpness"]["all"]
    assert good["resampling_alone"] == good["autoencoder_alone"]
    assert good["sharpness_over_resampled"]["all"] > good["sharpness"]["all"]
    # Through an autoencoder that changes nothing, a crop loses what resampling takes away.
    assert numbers["blurred"]["sharpness"]["all"] < good["autoencoder_alone"]["sharpness"]["all"] < 1.5
    assert {one.target for one in found["good"].shown} == {"disc", "square"}
    assert all(one.before.shape == one.after.shape == (156, 156, 3) for one in found["good"].shown)
    assert set(good["diversity"]) == set(good["nearest"]) == {"disc", "square"}


def test_texture_gives_away_fine_pictures_and_colour_coarse_ones_too(
    samples: list[Sample], hasty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifiers, "STEPS", 40)
    monkeypatch.setattr(Drawer, "size", 128)
    large = []
    for sample in samples:
        path = tmp_path / sample.image.name
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(sample.image)), None, fx=2, fy=2))
        large.append(Sample(path, tuple(tuple(2 * side for side in box) for box in sample.boxes), sample.labels))

    def chequered(images: np.ndarray) -> np.ndarray:
        rows, columns = np.indices(images.shape[1:3])
        return np.clip(images + np.where((rows + columns) % 2, 40, -40)[None, ..., None], 0, 255).astype(np.uint8)

    def darker(images: np.ndarray) -> np.ndarray:
        return images // 2

    fine, coarse = (
        evaluate(Drawer(), large[:4], large[4:], RECIPE, 4, round_trip=trip).numbers["autoencoder_alone"]
        for trip in (chequered, darker)
    )
    assert fine["real_or_painted"] >= fine["real_or_painted_coarse"] + 0.2
    assert coarse["real_or_painted_coarse"] >= 0.9


def test_a_memory_is_nearer_than_what_is_new(samples: list[Sample], hasty: None) -> None:
    # Held-out boxes that are training boxes: nothing can be nearer than these.
    numbers = evaluate(Drawer(), samples[:8], samples[:2], RECIPE, 4).numbers
    assert numbers["nearest"]["disc"] is None
    numbers = evaluate(Drawer(), samples[:8], samples[8:], RECIPE, 4).numbers
    assert numbers["nearest"]["disc"] > 0
    assert "autoencoder_alone" not in numbers


def test_one_class_has_no_swaps(samples: list[Sample], hasty: None) -> None:
    discs = [Sample(sample.image, sample.boxes[:1], sample.labels[:1]) for sample in samples]
    numbers = evaluate(Drawer(), discs[:8], discs[8:], RECIPE, 4).numbers
    assert (numbers["edits"], numbers["swaps"]) == (4, 0)
    # Who knows one class recognises it in anything: that would be a hundred per cent of nothing.
    for name in ("read_back_with_blur", "read_back_without_blur"):
        assert numbers[name]["swaps_only"] is numbers[name]["balanced_accuracy"] is None
        assert numbers[name]["by_class"] == numbers[name]["real_by_class"] == {}
    assert any("one class" in sentence for sentence in caveats.after(numbers))


def test_nothing_is_held_out(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="held_out: none of 0 pictures"):
        evaluate(Drawer(), samples, [], RECIPE)
