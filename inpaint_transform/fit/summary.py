"""The page at the end: what was learnt, in numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaint_transform.fit.evaluate import Shown
from inpaint_transform.reports import page

CHART_WIDTH, CHART_HEIGHT = 300, 100


def write(card: Mapping[str, Any], shown: Sequence[Shown], stages: Mapping[str, Any], out: Path) -> None:
    """Write the page.

    Args:
        card: The card with what came of the run.
        shown: Edits to look at.
        stages: What is known of each stage: steps and held-out losses.
        out: The file.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in shown:
        groups.setdefault(one.target, []).append(
            {
                "name": f"{one.label} painted as {one.target}" if one.label != one.target else one.label,
                "before": page.data_uri(one.before),
                "after": page.data_uri(one.after),
                "nearest": page.data_uri(one.nearest),
            }
        )
    page.write(
        page.render(
            "fit",
            title=f"Fit: {out.parent.name}",
            card=card,
            warnings=card["warnings"],
            rows=_rows(card["evaluation"]),
            charts=[(name, _line(stage["held_out"])) for name, stage in stages.items() if len(stage["held_out"]) > 1],
            groups=groups,
        ),
        out,
    )


def _rows(numbers: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The measurements as a table: what, the value, what it is compared with."""
    if numbers is None:
        return []
    strict, lenient = numbers["read_back_without_blur"], numbers["read_back_with_blur"]
    resampled, alone = numbers["resampling_alone"], numbers.get("autoencoder_alone", {})
    return [
        ("edits", str(numbers["edits"]), f"{numbers['swaps']} swaps, {numbers['rejected']} rejected"),
        (
            "read back, strict reader",
            _share(strict["balanced_accuracy"]),
            f"real {_share(strict['real_unseen_boxes'])}",
        ),
        (
            "read back, lenient reader",
            _share(lenient["balanced_accuracy"]),
            f"real {_share(lenient['real_unseen_boxes'])}",
        ),
        ("swaps, strict reader", _share(strict["swaps_only"]), ""),
        (
            "found by a detector",
            _share(numbers["detector"]["painted_found"]),
            f"real {_share(numbers['detector']['real_found'])}",
        ),
        (
            "told from real ones",
            _share(numbers["real_or_painted"]),
            f"50 % is perfect; resampling alone {_share(resampled['real_or_painted'])}, "
            f"the autoencoder alone {_share(alone.get('real_or_painted'))}",
        ),
        (
            "told from real ones, coarse",
            _share(numbers["real_or_painted_coarse"]),
            f"50 % is perfect; resampling alone {_share(resampled['real_or_painted_coarse'])}, "
            f"the autoencoder alone {_share(alone.get('real_or_painted_coarse'))}",
        ),
        (
            "sharpness over real ones",
            _share(numbers["sharpness"]["all"]),
            f"resampling alone {_share(resampled['sharpness']['all'])}, "
            f"the autoencoder alone {_share((alone.get('sharpness') or {}).get('all'))}",
        ),
        ("sharpness over resampled real ones", _share(numbers["sharpness_over_resampled"]["all"]), ""),
        *(
            (f"difference of seeds, {label}", _share(ratio), "real objects 100 %")
            for label, ratio in numbers["diversity"].items()
        ),
        *(
            (f"distance to the nearest training box, {label}", _share(ratio), "unseen real boxes 100 %")
            for label, ratio in numbers["nearest"].items()
        ),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _line(history: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The held-out losses as the points of a polyline, and its ends in words."""
    steps, losses = zip(*history, strict=True)
    low, high = min(losses), max(losses)
    across, up = max(steps[-1] - steps[0], 1), (high - low) or 1.0
    points = " ".join(
        f"{(step - steps[0]) / across * CHART_WIDTH:.1f},{(high - loss) / up * CHART_HEIGHT:.1f}"
        for step, loss in history
    )
    return {"points": points, "low": f"{low:.4f}", "high": f"{high:.4f}", "steps": int(steps[-1])}
