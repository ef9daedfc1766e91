"""What gives the autoencoder's copies away: ``python -m benchmarks.told --data DIR ...``.

Boxes of pictures that no training saw are copied by the autoencoder alone, then with some of what it lost given back,
and, without it, with fewer pixels. How often a classifier tells each kind of copy from the real boxes, at 32 pixels,
where no texture is left: its balanced accuracy, see ``fit.classifiers.real_or_painted``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks import report
from benchmarks.tiny import data
from inpaint_transform.core import crops
from inpaint_transform.core.boxes import relative
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.fit import classifiers
from inpaint_transform.fit.autoencoder import load_round_trip
from inpaint_transform.fit.pictures import Sample, read_picture
from inpaint_transform.fit.places import paintable

CONTEXT = 2.0


def coloured(brightness: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """A picture with the brightness of one and the colours of another, all ``(H, W, 3)`` uint8."""
    found, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb) for picture in (brightness, colours))
    found[..., 1:] = other[..., 1:]
    return cv2.cvtColor(found, cv2.COLOR_YCrCb2RGB)


def coarse(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture that went through one of fewer pixels: ``(H, W, 3)`` float32, its values may overshoot."""
    small = cv2.resize(picture.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def whole(picture: np.ndarray) -> np.ndarray:
    """Levels of 255, ``(H, W, 3)`` uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


# Of a working crop and what the autoencoder makes of it.
WAYS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "autoencoder": lambda _crop, copy: copy,
    "autoencoder, colours of the photograph": lambda crop, copy: coloured(copy, crop),
    "autoencoder, brightness of the photograph": lambda crop, copy: coloured(crop, copy),
    "autoencoder, 16x16 pixels of the photograph": lambda crop, copy: whole(copy - coarse(copy, 16) + coarse(crop, 16)),
    "autoencoder, 32x32 pixels of the photograph": lambda crop, copy: whole(copy - coarse(copy, 32) + coarse(crop, 32)),
    "photograph through 64x64 pixels": lambda crop, _copy: whole(coarse(crop, 64)),
    "photograph through 32x32 pixels": lambda crop, _copy: whole(coarse(crop, 32)),
}


def copies(
    samples: Sequence[Sample], labels: Sequence[str], size: int, round_trip: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Real boxes and the copies of each kind, as the classifier sees them: ``(32, 32, 3)`` uint8.

    Args:
        samples: Pictures and their boxes.
        labels: The classes whose boxes are copied.
        size: Side of the working crop in pixels.
        round_trip: The autoencoder on ``(B, size, size, 3)`` uint8 crops.
    """
    real: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in WAYS}
    for place in (place for some in paintable(samples, labels).values() for place in some):
        picture = read_picture(place.sample.image)
        window = crops.context_window(place.box, *picture.shape[:2], CONTEXT)
        crop = crops.crop(picture, window, size)
        [copy] = round_trip(crop[None])
        real.append(classifiers.box_picture(picture, place.box))
        for name, way in WAYS.items():
            back = crops.uncrop(way(crop, copy), window)
            found[name].append(classifiers.box_picture(back, relative(place.box, window)))
    return real, found


def main() -> None:
    """Run and write ``results/told.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spec = ModelSpec("tiny")
    results = {}
    for root in arguments.data:
        samples = data.samples([root], ["val", "test"])
        labels = sorted({label for sample in samples for label in sample.labels})
        real, found = copies(samples, labels, spec.resolved().size, load_round_trip(spec))
        told = {name: round(classifiers.real_or_painted(real, some, arguments.seed), 4) for name, some in found.items()}
        results[root.name] = {"boxes": len(real), "told": told}
    path = report.write("told", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
