"""What every result file says about itself."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "diffusers", "transformers", "albumentations", "numpy", "opencv-python-headless")


def machine() -> dict[str, Any]:
    """Processor, cores and, where there is one, the CUDA device."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "system": platform.platform(terse=True),
    }


def write(name: str, results: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` with machine, versions, date and command."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    report = {
        # A path's name only: where things lie on the machine that measured is nobody's business.
        "command": " ".join(["python", "-m", f"benchmarks.{name}", *(Path(part).name for part in sys.argv[1:])]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "results": results,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path
