"""Run the study: ``python -m benchmarks.study NAME --data DIR``, from a checkout.

A part that was stopped goes on where it stopped; every finished training stays in ``results.jsonl``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from benchmarks.study import quick
from benchmarks.study.parts import PARTS, QUICK, QUICK_OPTIONS, Settings, environment, studies
from inpaint_transform.study import run_study


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a part and print its table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=list(PARTS), nargs="?", help="which part")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of bccd/ and cones_cubes/")
    parser.add_argument("--out", type=Path, default=Path("study-runs"), help="folder for results, banks and runs")
    parser.add_argument("--draws", type=int, help="how many draws; more of them later keep those that are there")
    parser.add_argument("--n", type=int, nargs="+", help="pictures of a draw, 0 for all; the part's own by default")
    parser.add_argument("--arms", nargs="+", help="only these arms")
    parser.add_argument("--devices", nargs="+", default=["cpu"], help="one training at a time for each")
    parser.add_argument("--model", default="tiny", help="the prior: a name or folder of an inpainting model")
    parser.add_argument(
        "--quick", action="store_true", help="the whole path with drawn pictures and hardly any training"
    )
    given = parser.parse_args(arguments)
    if given.name is None and not given.quick:
        parser.error("name a part, or give --quick")
    settings = Settings(given.data, given.out, given.draws, given.arms, given.n, given.devices, model=given.model)
    if given.quick:
        settings = replace(settings, data=quick.draw(given.out / "data").parent, options=QUICK_OPTIONS)
        name, part = "quick", QUICK
    else:
        name, part = given.name, PARTS[given.name]
    os.environ.update(environment(settings))
    for study in studies(name, part, settings):
        found = run_study(study, progress=tqdm, say=print, report=print)
        print(found.table(), *found.words(), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
