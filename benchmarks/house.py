"""Two states of the package side by side: ``python -m benchmarks.house --before CHECKOUT [--turns N] [--starts N]``.

Runs ``benchmarks.overhead``, parts of ``benchmarks.serving``, and the server's start, in another checkout and in this
one, alternating, each in a process of its own. The start is measured most often: it differs most from time to time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report

HERE = Path(__file__).parents[1]


def measured(checkout: Path, module: str, *arguments: str) -> dict[str, Any]:
    """The results of one benchmark in a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "BENCHMARK_RESULTS": folder}
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
        results: dict[str, Any] = json.loads((Path(folder) / f"{module}.json").read_text())["results"]
    return results


def commit(checkout: Path) -> str:
    """Which commit a checkout is at."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run both in turns and write ``results/house.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the other state")
    parser.add_argument("--turns", type=int, default=2, help="of overhead, hand-over and throughput")
    parser.add_argument("--starts", type=int, default=12, help="turns of the server's start")
    arguments = parser.parse_args()
    checkouts = {"before": arguments.before.resolve(), "after": HERE}
    results: dict[str, Any] = {
        name: {"commit": commit(checkout), "overhead": [], "serving": [], "starts": []}
        for name, checkout in checkouts.items()
    }
    for turn in range(max(arguments.turns, arguments.starts)):
        for name, checkout in checkouts.items():
            if turn < arguments.turns:
                results[name]["overhead"].append(measured(checkout, "overhead"))
                results[name]["serving"].append(measured(checkout, "serving", "handover", "throughput"))
            if turn < arguments.starts:
                results[name]["starts"].append(measured(checkout, "serving", "start", "--quick")["start"])
                print(name, results[name]["starts"][-1])
    for found in results.values():
        found["start"] = {
            row: round(statistics.median(start[row] for start in found["starts"]), 3) for row in found["starts"][0]
        }
    print(f"wrote {report.write('house', results)}")


if __name__ == "__main__":
    main()
