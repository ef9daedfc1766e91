"""Two states of the package side by side: ``python -m benchmarks.house PART ... --before CHECKOUT [--turns N]``.

Each part runs in another checkout and in this one, alternating, each time in a process of its own:

- overhead, serving: ``benchmarks.overhead`` and the hand-over and throughput of ``benchmarks.serving``;
- start: the start of a server with ``tiny``, and its first images;
- imports: ``from inpaint_transform import BBoxInpaint`` behind ``import albumentations``, as it is and with the garbage
  collector off, one of whose passes over all that torch has made may fall into it.

The parts that a call leaves out stay in the file as they were, with the commits that they were measured at.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report

HERE = Path(__file__).parents[1]
IMPORT = """
import albumentations, gc, time
{}
begun = time.perf_counter()
from inpaint_transform import BBoxInpaint
print(time.perf_counter() - begun)
"""


def run(checkout: Path, *command: str, **environment: str) -> str:
    """What a Python prints that finds the package and its benchmarks in a checkout."""
    found = subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return found.stdout


def benchmark(module: str, *arguments: str) -> Callable[[Path], dict[str, Any]]:
    """A part that is another benchmark."""

    def part(checkout: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            run(checkout, "-m", f"benchmarks.{module}", *arguments, BENCHMARK_RESULTS=folder)
            results: dict[str, Any] = json.loads((Path(folder) / f"{module}.json").read_text())["results"]
        return results

    return part


def imports(checkout: Path) -> dict[str, float]:
    """Seconds."""
    return {
        name: round(float(run(checkout, "-c", IMPORT.format(line))), 3)
        for name, line in (("as_it_is_s", ""), ("without_collector_s", "gc.disable()"))
    }


PARTS: dict[str, tuple[int, Callable[[Path], dict[str, Any]]]] = {
    "overhead": (2, benchmark("overhead")),
    "serving": (2, benchmark("serving", "handover", "throughput")),
    "start": (12, lambda checkout: dict(benchmark("serving", "start", "--quick")(checkout)["start"])),
    "imports": (12, imports),
}


def commit(checkout: Path) -> str:
    """Which commit a checkout is at."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run the parts in turns and write ``results/house.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the other state")
    parser.add_argument("--turns", type=int, help="of every part; default: as many as each needs")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; use any of {', '.join(PARTS)}")
    checkouts = {"before": arguments.before.resolve(), "after": HERE}
    path = report.RESULTS / "house.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for part in arguments.parts or PARTS:
        turns, measure = PARTS[part]
        found: dict[str, Any] = {
            name: {"commit": commit(checkout), "turns": []} for name, checkout in checkouts.items()
        }
        for _ in range(arguments.turns or turns):
            for name, checkout in checkouts.items():
                found[name]["turns"].append(measure(checkout))
        for one in found.values():
            numbers = [turn for turn in one["turns"] if all(isinstance(value, float) for value in turn.values())]
            if numbers:
                one["median"] = {row: round(statistics.median(turn[row] for turn in numbers), 3) for row in numbers[0]}
            print(part, one.get("median", one["turns"]), flush=True)
        results[part] = found
    print(f"wrote {report.write('house', results)}")


if __name__ == "__main__":
    main()
