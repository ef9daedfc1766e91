"""What p and how many workers a machine affords: ``python -m benchmarks.throughput [--quick] [--model tiny]``.

The same as ``inpaint-transform bench``, written to ``results/throughput.json`` and ``.png``.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.report import RESULTS
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.tools.bench import samples
from inpaint_transform.tools.bench.run import run
from inpaint_transform.tools.bench.settings import QUICK, Settings


def main() -> None:
    """Run and write ``results/throughput.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", default="tiny")
    arguments = parser.parse_args()
    settings = Settings(ModelSpec(arguments.model), **(QUICK if arguments.quick else {}))
    command = ("python -m benchmarks.throughput", sys.argv[1:])
    data = samples.Data.of("embedded", samples.embedded(), Recipe())
    run(settings, data, RESULTS / "throughput.json", command, print)


if __name__ == "__main__":
    main()
