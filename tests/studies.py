"""What the tests of studies share: a training that takes milliseconds, configurations, and studies made of numbers."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaint_transform.tools.study import rows
from inpaint_transform.tools.study.result import Study, study_of

# Writes what it was told, and a metric that an arm called "better" improves.
TRAINING = textwrap.dedent(
    """
    import json, os, sys
    told = {name[14:].lower(): text for name, text in os.environ.items() if name.startswith("INPAINT_STUDY_")}
    value = 0.4 + 0.01 * int(told["seed"]) + (0.05 if told["arm"] == "better" else 0)
    print("training", told["arm"])
    with open(os.path.join(told["out"], "metrics.json"), "w") as file:
        json.dump({"test": {"map": value}, "val": {"map": value}, "told": told, "argv": sys.argv[1:]}, file)
    """
)
# Fails in four ways, until there is a file "mended" in the working folder.
FAILING = """
import os, sys
if os.environ["INPAINT_STUDY_ARM"] == "better" and not os.path.exists("mended"):
    seed = int(os.environ["INPAINT_STUDY_SEED"])
    print("out of memory", flush=True)
    if seed == 0: sys.exit(3)
    if seed == 1: os.kill(os.getpid(), 9)
    if seed == 2: sys.exit(0)
    if seed == 3:
        with open(os.environ["INPAINT_STUDY_OUT"] + "/metrics.json", "w") as file: file.write('{"test": {"map": NaN}}')
        sys.exit(0)
"""
ARMS: dict[str, Any] = {"nothing": {"baseline": True}, "better": None}


def configuration(folder: Path, training: str = TRAINING, **changes: Any) -> dict[str, Any]:
    """A configuration whose training command runs a script."""
    script = folder / "train.py"
    script.write_text(training)
    return {
        "command": f"SEED={{seed}} {{python}} -S {script} {{args}}",
        "metric": {"test": "test.map", "val": "val.map"},
        "arms": ARMS,
        "draws": 6,
        "out": folder / "study",
        **changes,
    }


def study(
    values: Mapping[str, Sequence[float | None]],
    baselines: Sequence[str] = ("nothing",),
    val: Mapping[str, Sequence[float | None]] | None = None,
    references: Sequence[str] = (),
    resampled: Mapping[str, Sequence[Sequence[float]]] | None = None,
    args: Mapping[str, str] | None = None,
    **metric: Any,
) -> Study:
    """A study of these values by arm and draw; None for a run that is not there."""
    header = {
        "name": "cones",
        "command": "train {seed}",
        "metric": {"test": "map", "val": "val", "better": "higher", "scale": None, **metric},
        "data": None,
        "draws": max(map(len, values.values())),
        "n": 20,
        "seed": 0,
        "arms": [
            {
                "name": name,
                "baseline": name in baselines,
                "n": 40 if name in references else 20,
                "args": (args or {}).get(name, ""),
            }
            for name in values
        ],
        "runs": {name: [f"{name}-{draw}" for draw in range(len(listed))] for name, listed in values.items()},
    }
    runs: dict[str, dict[str, Any]] = {}
    for name, listed in values.items():
        for draw, value in enumerate(listed):
            if value is None:
                continue
            row: dict[str, Any] = {"arm": name, "draw": draw, "status": "done", "metrics": {"map": value}}
            if val is not None:
                row["metrics"]["val"] = val[name][draw]
            if resampled is not None:
                row["resampled"] = {"metric": "map", "pictures": "same", "values": resampled[name][draw]}
            runs[f"{name}-{draw}"] = row
    return study_of(header, runs, Path("results.jsonl"))


def results(out: Path) -> list[dict[str, Any]]:
    """The rows of runs in a results file."""
    lines = [json.loads(line) for line in (out / rows.NAME).read_text().splitlines()]
    return [line for line in lines if "run" in line]
