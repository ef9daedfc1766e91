"""What a training command has written: its metrics and, where it tells of them, its results on each test picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inpaint_transform.datasets.files import read_json, read_text
from inpaint_transform.tools.study import detections
from inpaint_transform.tools.study.significance import resampling_weights

# How far the metric of the results on each picture may be from the one that the command says.
TOLERANCE = 0.005


class OutcomeError(ValueError):
    """A command has ended well and its result cannot be used; the message says why."""


@dataclass(frozen=True)
class Resampled:
    """The test metric on resampled test pictures.

    Attributes:
        values: One a resampling.
        pictures: Fingerprint of the pictures: only equal ones can be compared.
    """

    values: tuple[float, ...]
    pictures: str


def read_metrics(path: Path) -> dict[str, float]:
    """All finite numbers of a metric file by key: of CSV the last row, of JSON by path, ``{"bbox.map": 0.4}``.

    Raises:
        OutcomeError: There is no file, or it cannot be read.
    """
    if not path.is_file():
        raise OutcomeError(f"the command has written no {path.name}")
    try:
        found = _last_row(read_text(path)) if path.suffix.lower() == ".csv" else dict(_flat("", read_json(path)))
    except ValueError as error:
        raise OutcomeError(f"{path.name}: {error}") from error
    return {key: value for key, value in found.items() if math.isfinite(value)}


def check(metrics: Mapping[str, float], *keys: str | None) -> None:
    """Refuse metrics that lack one that is asked for.

    Raises:
        OutcomeError: One is not there, or no finite number.
    """
    for key in keys:
        if key is not None and key not in metrics:
            known = ", ".join(sorted(metrics)) or "none"
            raise OutcomeError(f"the metric file has no finite number {key!r}; it has {known}")


def read_resampled(path: Path, ground_truth: Path | None, test: float) -> Resampled:
    """Read the results on each test picture.

    Args:
        path: ``{picture: number}``, or detections as pycocotools loads them.
        ground_truth: COCO file, for detections.
        test: The test metric, which must be the same.

    Raises:
        OutcomeError: There is no file, it holds something else, or its metric is another.
    """
    if not path.is_file():
        raise OutcomeError(f"the command has written no {path.name} with the results on each test picture")
    try:
        content = read_json(path)
        if isinstance(content, list):
            if ground_truth is None:
                raise ValueError("it holds detections; give metric.ground_truth, a COCO file")
            whole, values, names = detections.resampled(ground_truth, content)
        else:
            whole, values, names = _mean(content)
    except ValueError as error:
        raise OutcomeError(f"{path.name}: {error}") from error
    if abs(whole - test) > TOLERANCE * max(1.0, abs(test)):
        raise OutcomeError(f"{path.name}: its metric is {whole:.4f}, and the test metric is {test:.4f}; give the same")
    return Resampled(tuple(round(float(value), 6) for value in values), detections.fingerprint(names))


def _mean(content: Any) -> tuple[float, np.ndarray, list[str]]:
    if not isinstance(content, dict) or not content:
        raise ValueError("give {picture: number}, or a list of detections")
    names = sorted(content)
    try:
        numbers = np.array([float(content[name]) for name in names])
    except (TypeError, ValueError):
        numbers = np.array([math.nan])
    if not np.isfinite(numbers).all():
        raise ValueError("a picture has no finite number")
    return float(numbers.mean()), resampling_weights(len(names)) @ numbers / len(names), names


def _last_row(text: str) -> dict[str, float]:
    # Ultralytics has long padded its columns.
    rows = [row for row in csv.DictReader(io.StringIO(text), skipinitialspace=True) if any(row.values())]
    if not rows:
        raise ValueError("it has no row")
    return {str(key).strip(): number for key, value in rows[-1].items() if (number := _number(value)) is not None}


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _flat(path: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, one in value.items() for pair in _flat(f"{path}.{key}" if path else key, one)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(path, float(value))]
    return []
