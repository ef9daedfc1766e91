"""What every result file says about itself."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def versions() -> dict[str, str | None]:
    """Of Python and the packages that decide the speed; None for one that is not installed under this name."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def command(program: str, arguments: Sequence[str]) -> str:
    """How a program was called. Of a path only the name is kept: where things lie on a machine is nobody's business."""
    return shlex.join([*program.split(), *(Path(argument).name for argument in arguments)])


def describe(program: str, arguments: Sequence[str], results: dict[str, Any]) -> dict[str, Any]:
    """A report: the results, and the command, date, machine and versions that they belong to.

    Args:
        program: How the program is called.
        arguments: Its arguments, see ``command``.
        results: JSON values.
    """
    return {
        "command": command(program, arguments),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "results": results,
    }


def save(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
