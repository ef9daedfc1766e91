"""COCO's mAP50-95 of detections, also on resampled test pictures, where a picture counts as often as it was drawn.

pycocotools matches detections with boxes once, and the precision of every resampling follows from weights on matches.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.datasets.files import read_json
from inpaint_transform.tools.study.significance import resampling_weights

MISSING = "pycocotools is missing, which reads detections; pip install pycocotools"


def resampled(ground_truth: Path, found: Sequence[Any]) -> tuple[float, np.ndarray, list[str]]:
    """The mAP50-95 of detections.

    Args:
        ground_truth: COCO file with the boxes of all test pictures.
        found: Detections as pycocotools loads them.

    Returns:
        On all pictures as they are; ``(RESAMPLINGS,)`` on resampled ones; and the ids of the pictures.

    Raises:
        ValueError: pycocotools is missing, or cannot read them.
    """
    matches, pictures = _matches(ground_truth, found)
    weights = np.concatenate([np.ones((1, len(pictures)), int), resampling_weights(len(pictures))])
    by_class = np.stack([_precision(match, weights) for match in matches])
    seen = ~np.isnan(by_class)
    # A resampling may have no box of a class; COCO leaves such a class out of the mean.
    means = np.where(seen, by_class, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return float(means[0]), means[1:], [str(picture) for picture in pictures]


def fingerprint(pictures: Sequence[str]) -> str:
    """What tells test pictures, by name or id, from others."""
    return hashlib.blake2b(json.dumps(list(pictures)).encode(), digest_size=8).hexdigest()


class _Match:
    """The detections of one class, best first: their pictures, and whether each is right or wrong at each overlap."""

    def __init__(self, evaluated: Sequence[Any], most: int) -> None:
        given = [(at, one) for at, one in enumerate(evaluated) if one is not None]
        self.boxes = np.zeros(len(evaluated), int)
        for at, one in given:
            self.boxes[at] = np.sum(np.asarray(one["gtIgnore"]) == 0)
        pictures = [np.full(len(one["dtScores"][:most]), at) for at, one in given]
        scores = np.concatenate([[], *(one["dtScores"][:most] for _, one in given)])
        order = np.argsort(-scores, kind="mergesort")
        self.pictures = np.concatenate([[], *pictures]).astype(int)[order]
        if given:
            matched = (
                np.concatenate([np.asarray(one["dtMatches"])[:, :most] for _, one in given], axis=1)[:, order] != 0
            )
            ignored = np.concatenate([np.asarray(one["dtIgnore"])[:, :most] for _, one in given], axis=1)[:, order] != 0
            self.right, self.wrong = matched & ~ignored, ~matched & ~ignored
        else:
            self.right = self.wrong = np.zeros((1, 0), bool)


def read_truth(path: Path) -> Any:
    """The boxes of the test pictures, a ``pycocotools.coco.COCO``.

    Args:
        path: COCO file.

    Raises:
        ValueError: pycocotools is missing, or the file has no pictures or boxes.
    """
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise ValueError(MISSING) from error
    content = read_json(path)
    lacking = [
        key for key in ("images", "annotations", "categories") if not isinstance(content, dict) or not content.get(key)
    ]
    if lacking:
        raise ValueError(f"it has no {', '.join(lacking)}; give the COCO file of the test pictures")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            return COCO(str(path))
    except (KeyError, TypeError) as error:
        raise ValueError(f"pycocotools cannot read it: {type(error).__name__}: {error}") from error


def _matches(ground_truth: Path, found: Sequence[Any]) -> tuple[list[_Match], list[Any]]:
    truth = read_truth(ground_truth)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            # pycocotools cannot load an empty list, which an untrained detector may well give.
            judged = COCOeval(truth, truth.loadRes(list(found)) if found else COCO(), "bbox")
            judged.evaluate()
        except (AssertionError, AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"pycocotools cannot read it: {type(error).__name__}: {error}") from error
    most, pictures = judged.params.maxDets[-1], list(judged.params.imgIds)
    areas, classes = len(judged.params.areaRng), len(judged.params.catIds)
    # One of each class, range of areas (of which the first is all) and picture.
    starts = [number * areas * len(pictures) for number in range(classes)]
    return [_Match(judged.evalImgs[start : start + len(pictures)], most) for start in starts], pictures


def _precision(match: _Match, weights: np.ndarray) -> np.ndarray:
    """Average precision of a class over COCO's overlaps, by resampling; NaN where it has no box.

    Args:
        match: The class.
        weights: ``(resamplings, pictures)``.
    """
    boxes = weights @ match.boxes
    counts = weights[:, match.pictures]
    recalls = np.linspace(0, 1, 101)
    result = np.zeros(len(weights))
    for right, wrong in zip(match.right, match.wrong, strict=True):
        hits, misses = np.cumsum(counts * right, axis=1), np.cumsum(counts * wrong, axis=1)
        precision = hits / np.maximum(hits + misses, np.spacing(1))
        # The best precision at this recall or a higher one.
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        best = np.concatenate([best, np.zeros((len(weights), 1))], axis=1)
        for row in range(len(weights)):
            if boxes[row]:
                result[row] += best[row, np.searchsorted(hits[row] / boxes[row], recalls, side="left")].mean()
    return np.where(boxes > 0, result / len(match.right), np.nan)
