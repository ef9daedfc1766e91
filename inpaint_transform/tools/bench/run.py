"""A whole benchmark: measure, say each result as it comes, and write what was measured, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaint_transform.tools.bench import advice, duration, plot, report
from inpaint_transform.tools.bench.measure import Result, measure
from inpaint_transform.tools.bench.samples import Data
from inpaint_transform.tools.bench.settings import Settings


def run(
    settings: Settings,
    data: Data,
    out: Path,
    command: tuple[str, Sequence[str]],
    say: Callable[[str], object],
    train_rate: float | None = None,
) -> list[Path]:
    """Measure and write ``out`` and the plot beside it.

    Ctrl-C ends the measurement; what was measured until then is written and raised after.

    Args:
        settings: What to measure.
        data: What to measure with.
        out: JSON file to write.
        command: Program and arguments, for the report.
        say: Hears how long it takes, a line for each result, and the advice.
        train_rate: Images/s of the user's own training step.

    Returns:
        The files written; without matplotlib there is no plot.

    Raises:
        ValueError, OSError, InpaintError: The model does not load or does not paint, or ``out`` cannot be written.
        KeyboardInterrupt: After what was measured has been written.
    """
    results: dict[str, Any] = {
        "settings": settings.to_dict(),
        "data": data.to_dict(),
        # How many processes were running or waiting in the last minute; not every system tells.
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "complete": False,
        "bare": [],
        "loader": [],
        "reuse": [],
    }
    if (busy := advice.busy(results["load_before"])) is not None:
        say(f"the machine is busy ({busy}): {advice.BETTER}")
    least = duration.in_words(duration.least(settings))
    say(f"this takes at least {least}, and the starting of processes; how long it really takes is said in a moment")
    begun = time.perf_counter()
    try:
        for section, found in measure(settings, data.pictures):
            if section == "loader":
                found = {**found, "share_of_bare": _share(found, results["bare"])}
            if section in ("bare", "loader", "reuse"):
                results[section].append(found)
            else:
                results[section] = found
            say(line(section, found))
            if section == "model":
                start = time.perf_counter() - begun
                rest = duration.expected(settings, start, found["paint_s"], data.boxes)
                say(f"about {duration.in_words(rest)} to go; Ctrl-C ends it, with advice from what is measured by then")
        results["complete"] = True
    finally:
        written = []
        if results["bare"]:
            results["advice"] = advice.advise(results, train_rate)
            for sentence in results["advice"]:
                say(sentence)
            written = _write(out, report.describe(*command, results))
            say(f"wrote {' and '.join(path.name for path in written)}")
    return written


def line(section: str, found: Mapping[str, Any]) -> str:
    """A result as one line of text."""
    if section == "model":
        return f"model       {found['id']}, {found['size']} pixels, {found['steps']} steps{_memory(found)}"
    rate = f"{found['images_per_s']:>8.4g} images/s{_latency(found)}"
    if section == "bare":
        return f"bare        batch {found['batch']:>2}  {rate}"
    if section == "transform":
        return f"transform   alone     {rate}"
    mode = "from a pool" if section == "reuse" else "concurrent" if found["concurrent"] else "per sample"
    parts = [f"loader      {found['workers']} workers, p {found['p']:<4g} {mode} {rate}"]
    parts.append(f"painted {found['painted'] / max(found['images'], 1):.0%}, {found['painted_per_s']:.4g}/s")
    if found["mean_batch"] is not None:
        parts.append(f"batch {found['mean_batch']:.3g}")
    parts.append(f"busy {found['busy_share']:.0%}")
    if section == "loader" and found["painted"] and found["share_of_bare"] is not None:
        doubt = " (doubtful: the machine was busy)" if found["share_of_bare"] > advice.MAX_SHARE else ""
        parts.append(f"{found['share_of_bare']:.0%} of bare{doubt}")
    if found["host_pss_mib"] is not None:
        parts.append(f"host {found['host_pss_mib']:.0f} MiB")
    return ", ".join(parts)


def _share(found: Result, bare: Sequence[Result]) -> float | None:
    """Of the bare pipeline's best throughput, what the model did for a loader; what was rejected counts too."""
    best = max((each["images_per_s"] for each in bare), default=0.0)
    return round(found["attempts_per_s"] / best, 4) if best else None


def _latency(found: Mapping[str, Any]) -> str:
    if found["p50_ms"] is None:
        return ""
    return f", p50 {found['p50_ms']:.4g} ms, p95 {found['p95_ms']:.4g} ms"


def _memory(found: Mapping[str, Any]) -> str:
    device, host = found["model_device_mib"], found["model_process_mib"]
    on_device = f", {device:.0f} MiB on the device" if device is not None else ""
    return on_device + (f", {host:.0f} MiB in its process" if host is not None else "")


def _write(out: Path, described: dict[str, Any]) -> list[Path]:
    report.save(out, described)
    if not plot.available():
        return [out]
    picture = out.with_suffix(".png")
    plot.draw(described, picture)
    return [out, picture]
