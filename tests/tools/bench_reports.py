"""The schema of the reports that the benchmark writes."""

import json
import math
from pathlib import Path
from typing import Any

NUMBER = (int, float)
MAYBE = (int, float, type(None))
# The schema of a report: a type, a tuple of types, a list of one schema for every item, or a dict of keys, all needed.
CASE = {"images_per_s": NUMBER, "p50_ms": MAYBE, "p95_ms": MAYBE}
MEMORY = {"model_process_mib": MAYBE, "model_device_mib": MAYBE}
EVERY_REPORT = {
    "command": str,
    "date": str,
    "machine": {"processor": str, "cores": int, "threads": int, "device": str, "system": str},
    "versions": {"python": str, "torch": str, "diffusers": str, "transformers": str, "numpy": str},
    "results": dict,
}


def check(value: Any, schema: Any, where: str = "report") -> None:
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        assert not set(schema) - set(value), f"{where} lacks {set(schema) - set(value)}"
        for key, expected in schema.items():
            check(value[key], expected, f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            check(item, schema[0], f"{where}[{number}]")
    else:
        assert isinstance(value, schema), f"{where} is {value!r}"
        assert not isinstance(value, float) or math.isfinite(value), f"{where} is {value!r}"


def check_report(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    check(content, EVERY_REPORT)
    return content
