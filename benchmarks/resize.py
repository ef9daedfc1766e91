"""How to shrink a picture a little: ``python -m benchmarks.resize --data DIR ...``.

For each way of OpenCV, against Lanczos' of Pillow: PSNR in dB, sharpness (variance of the Laplacian, its share of
Lanczos'), and the time beside that of the bilinear way. Medians over the pictures, whose upper left squares are shrunk.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import report

WAYS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
SHRINKINGS = (1.05, 1.15, 1.3, 1.49, 1.75, 2.0, 2.5)
SIDE = 512
ROUNDS = 5


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of a picture's grey levels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise in dB."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(np.float64) - other) ** 2)))


def measure(files: list[Path], shrinking: float) -> dict[str, dict[str, float]]:
    """All ways at one shrinking."""
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    for file in files:
        picture = Image.open(file).convert("RGB")
        side = min(*picture.size, SIDE)
        picture = picture.crop((0, 0, side, side))
        image, small = np.asarray(picture), round(side / shrinking)
        wanted = np.asarray(picture.resize((small, small), Image.Resampling.LANCZOS))
        for name, way in WAYS.items():
            seconds = []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                found = cv2.resize(image, (small, small), interpolation=way)
                seconds.append(time.perf_counter() - begun)
            rows[name].append((psnr(found, wanted), sharpness(found) / sharpness(wanted), min(seconds)))
    medians = {name: [statistics.median(column) for column in zip(*row, strict=True)] for name, row in rows.items()}
    return {
        name: {
            "psnr_db": round(near, 2),
            "sharpness": round(sharp, 3),
            "time_beside_bilinear": round(seconds / medians["bilinear"][2], 2),
        }
        for name, (near, sharp, seconds) in medians.items()
    }


def main() -> None:
    """Write ``results/resize.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with .jpg pictures")
    parser.add_argument("--pictures", type=int, default=12, help="of each folder")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    files = [file for root in arguments.data for file in sorted(root.rglob("*.jpg"))[: arguments.pictures]]
    results = {f"{shrinking:g}": measure(files, shrinking) for shrinking in SHRINKINGS}
    for shrinking, ways in results.items():
        print(shrinking, ways)
    print(f"wrote {report.write('resize', {'pictures': len(files), 'shrinking': results})}")


if __name__ == "__main__":
    main()
