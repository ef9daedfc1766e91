"""The plot of a study: every arm's differences from the best baseline. matplotlib is an extra."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

from inpaint_transform.tools.study import result
from inpaint_transform.tools.study.words import number

if TYPE_CHECKING:
    from inpaint_transform.tools.study.result import Study

MISSING = "no plot: matplotlib is missing; pip install 'inpaint_transform[bench]'"
COLORS = {result.BETTER: "tab:green", result.WORSE: "tab:red", result.NOT_TOLD: "tab:blue"}


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(study: Study, out: Path) -> None:
    """Draw a dot for each draw, and mean and interval of each arm, to a PNG or SVG file.

    Args:
        study: With a baseline and another arm that have finished a draw.
        out: The file.

    Raises:
        ValueError: There is nothing to draw yet.
    """
    from matplotlib.figure import Figure

    best = study.baseline
    found = [one for one in study.comparisons() if one.differences]
    if best is None or not found:
        raise ValueError("nothing to draw yet: no arm has a draw in common with a baseline")
    # Without pyplot: no window system is asked for, and nothing stays open.
    figure = Figure(figsize=(8, 1.4 + 0.55 * len(found)), layout="constrained")
    axes = figure.subplots()
    names = []
    for row, listed in enumerate(reversed(found)):
        # The axis has one zero.
        one = listed if listed.other == best.name else study.compare(listed.arm, best.name)
        beside = "" if one is listed else f" ({number(study, listed.mean or 0.0, True)} over {listed.other})"
        said = "baseline" if study.arm(one.arm).baseline else one.verdict
        color = COLORS.get(one.verdict, "tab:gray")
        shown = [difference * study.scale for difference in one.differences]
        spread = [row - 0.22 + 0.08 * math.sin(7 * at) for at in range(len(shown))]
        axes.plot(shown, spread, ".", color=color, alpha=0.45, markersize=6)
        mean = (one.mean or 0.0) * study.scale
        if one.interval is not None:
            low, high = (end * study.scale for end in one.interval)
            axes.plot([low, high], [row, row], color=color, linewidth=2.5, solid_capstyle="round")
        axes.plot([mean], [row], "o", color=color, markersize=8)
        axes.annotate(
            f"{number(study, one.mean or 0.0, True)}, {said}{beside}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color="0.2",
        )
        names.append(f"{one.arm}\n{len(one.draws)} draws")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(found)), names, fontsize=9)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"{study.header['metric']['test']}, {study.unit or 'difference'} better than {best.name}")
    axes.set_title(f"{study.name}: dots are draws, bars 95 % intervals of the mean", fontsize=10)
    figure.savefig(out, dpi=110)
