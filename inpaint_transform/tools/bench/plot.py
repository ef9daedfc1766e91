"""The plot of a benchmark. matplotlib is an extra: without it there are the numbers alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "no plot: matplotlib is missing; pip install 'inpaint_transform[bench]'"


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(report: Mapping[str, Any], out: Path) -> None:
    """Draw a benchmark's report, as far as it was measured, to a PNG file.

    Args:
        report: With the sections of ``run.run`` under ``"results"``.
        out: PNG file to write.
    """
    from matplotlib.figure import Figure

    results, model = report["results"], report["results"]["model"]
    # Without pyplot: no window system is asked for, and nothing stays open.
    figure = Figure(figsize=(15, 5), layout="constrained")
    device = report["machine"]["device"]
    processor = f"{report['machine']['processor']}, {report['machine']['cores']} cores"
    figure.suptitle(
        f"{model['id']}, {model['size']} pixels, steps: {model['steps']}, on "
        f"{processor if device == 'cpu' else device}, {report['date']}"
    )
    bare, loader, share = figure.subplots(1, 3)
    _draw_bare(bare, results["bare"], results.get("transform"))
    if results["loader"]:
        _draw_loaders(loader, results["loader"])
        _draw_reuse(loader, results.get("reuse", []))
        _draw_shares(share, results["loader"])
    else:
        loader.set_axis_off()
        share.set_axis_off()
    figure.savefig(out, dpi=100)


def _draw_bare(axes: Axes, found: Sequence[Mapping[str, Any]], transform: Mapping[str, Any] | None) -> None:
    rates = [each["images_per_s"] for each in found]
    bars = axes.bar([str(each["batch"]) for each in found], rates, color="tab:blue", label="pipeline")
    axes.bar_label(bars, fmt="%.3g")
    if transform is not None:
        axes.axhline(transform["images_per_s"], color="tab:orange", label="transform, one by one")
        axes.set_ylim(top=1.25 * max(*rates, transform["images_per_s"]))
        axes.legend(loc="upper left")
    axes.set(title="bare pipeline", xlabel="batch", ylabel="painted images/s")


def _draw_loaders(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for (workers, concurrent), cases in _groups(found).items():
        rates = [case["images_per_s"] for case in cases]
        axes.plot(
            [case["p"] for case in cases], rates, label=_label(workers, concurrent), **_style(workers, concurrent)
        )
    axes.set(title="DataLoader", xlabel="p", ylabel="images/s", yscale="log")
    # Rates as they are read, 20 and 50 and 100, instead of powers.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")


def _draw_reuse(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    for (workers, _), cases in _groups(found).items():
        rates = [case["images_per_s"] for case in cases]
        style = {**_style(workers, False), "linestyle": ":", "marker": "s"}
        axes.plot([case["p"] for case in cases], rates, label=f"workers: {workers}, reuse", **style)
    if found:
        axes.legend(fontsize="small")


def _draw_shares(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    for (workers, concurrent), cases in _groups(found).items():
        fired = [case for case in cases if case["p"] > 0 and case["share_of_bare"] is not None]
        shares = [100 * case["share_of_bare"] for case in fired]
        axes.plot(
            [case["p"] for case in fired], shares, label=_label(workers, concurrent), **_style(workers, concurrent)
        )
    axes.axhline(100, color="black", linewidth=0.8)
    axes.set(title="how much of the bare pipeline is used", xlabel="p", ylabel="% of its best images/s")
    axes.set(xlim=(0, 1.03), ylim=(0, max(105, 1.05 * axes.get_ylim()[1])))
    axes.grid(alpha=0.3)


def _groups(found: Sequence[Mapping[str, Any]]) -> dict[tuple[int, bool], list[Mapping[str, Any]]]:
    """The cases of each loader, by p."""
    groups: dict[tuple[int, bool], list[Mapping[str, Any]]] = {}
    for case in sorted(found, key=lambda case: (case["workers"], case["concurrent"], case["p"])):
        groups.setdefault((case["workers"], case["concurrent"]), []).append(case)
    return groups


def _label(workers: int, concurrent: bool) -> str:
    return f"workers: {workers}{', ConcurrentDataset' if concurrent else ''}"


def _style(workers: int, concurrent: bool) -> dict[str, Any]:
    """A colour for each number of workers; dashes for the mini-batch wrapper."""
    return {"color": f"C{workers % 10}", "linestyle": "--" if concurrent else "-", "marker": "o"}
