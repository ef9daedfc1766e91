"""Where the benchmarks write their results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from inpaint_transform.tools.bench import report

# Tests write elsewhere.
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS") or Path(__file__).parent / "results")


def command(name: str) -> str:
    """How this benchmark was called."""
    return report.command(f"python -m benchmarks.{name}", sys.argv[1:])


def write(name: str, results: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` with machine, versions, date and command."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    report.save(path, report.describe(f"python -m benchmarks.{name}", sys.argv[1:], results))
    return path
