"""The golden test's scenarios: what the library gives for fixed inputs, as digests that must not change.

The code may be moved and cleaned as one likes while these digests stay equal. They hold for the versions of NumPy,
OpenCV, Pillow, torch and Albumentations that they were recorded with, which ``golden.json`` names. They hold on any x86
processor, for the scenarios run without Intel's IPP, whose cubic enlargement differs by a grey level between one with
AVX-512 and one without. OpenCV reads that setting once a process, so they run in a process of their own. Only the
public API and the command line are used. In this folder, with the package on the path,

    python -m golden              # compares all scenarios with golden.json and names those that differ
    python -m golden --record     # writes golden.json anew, after a change that is meant to change results
    python -m golden --show NAME  # prints the parts of one scenario

Look at what a new recording changes: ``git diff tests/golden.json`` has a line for each part of each scenario.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import golden_albumentations
import golden_export
from golden_samples import CASES

TESTS = Path(__file__).parent
RECORDED = TESTS / "golden.json"
ENGINE = {"INPAINT_TRANSFORM_ENGINE": "golden_engine:Painter"}
PORTABLE = {"OPENCV_IPP": "disabled"}
PACKAGES = ("albumentations", "numpy", "opencv-python-headless", "pillow", "torch", "torchvision")
# In ``golden_vision``, which only imports where torchvision does.
VISION = (
    "box formats",
    "image kinds",
    "pillow images",
    "videos",
    "label layouts",
    "labels getter",
    "generator",
    "batch",
)

SHARED = "shared server: two forked workers"


def names() -> list[str]:
    """The names of all scenarios, whether or not they can run here."""
    return [
        *(f"albumentations: {name}" for name in CASES),
        *_SCENARIOS,
        *(f"torchvision: {name}" for name in (*CASES, *VISION)),
    ]


def missing(name: str) -> str | None:
    """Why a scenario cannot run here, or None."""
    if name.startswith("torchvision") and importlib.util.find_spec("torchvision") is None:
        return "torchvision is not installed"
    return "the server needs memfd and fork" if name == SHARED and sys.platform != "linux" else None


@functools.cache
def results() -> dict[str, dict[str, Any]]:
    """What each scenario that can run here gives now; where it raised, its traceback."""
    found: dict[str, dict[str, Any]] = _own_process("--results")
    return found


@functools.cache  # counters of the engine cover all that a process asked of a model
def run(name: str) -> dict[str, Any]:
    """Run a scenario: a digest for each part of what it gave, and a few plain values."""
    face, _, case = name.partition(": ")
    with _environment(ENGINE), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of many rejects, which are wanted here
        if name in _SCENARIOS:
            return _SCENARIOS[name](name)
        if face == "albumentations":
            return golden_albumentations.run_case(name, CASES[case])
        import golden_vision

        if case in CASES:
            return golden_vision.run_case(name, CASES[case])
        found: dict[str, Any] = getattr(golden_vision, case.replace(" ", "_"))(name)
        return found


def recorded() -> dict[str, dict[str, Any]]:
    """The recorded parts of each scenario."""
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())["scenarios"]
    return found


def differences(before: dict[str, Any], after: dict[str, Any], within: str = "") -> list[str]:
    """A line for each part, and each value in it, in which two results of a scenario differ."""
    found = []
    for part in {**before, **after}:
        then, now = before.get(part), after.get(part)
        if isinstance(then, dict) and isinstance(now, dict):
            found += differences(then, now, f"{within}{part}, ")
        elif then != now:
            found.append(f"{within}{part}: recorded {then}, now {now}")
    return found


def other_versions() -> list[str]:
    """The packages whose versions are not those of the recording."""
    then = json.loads(RECORDED.read_text())["versions"]
    now = _versions()
    return [
        f"{package}: recorded {then.get(package)}, now {now.get(package)}"
        for package in then
        if then.get(package) != now.get(package)
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _shared_server(_: str) -> dict[str, Any]:
    """Run the workers in a process of their own: the server ends with that one, whoever runs the test."""
    with tempfile.TemporaryDirectory(prefix="rt-", dir="/tmp", ignore_cleanup_errors=True) as runtime:
        parts: dict[str, Any] = _own_process("--serve", XDG_RUNTIME_DIR=runtime)
    return parts


def _own_process(option: str, **environment: str) -> Any:
    """What this module prints, as JSON, when it is run with an option."""
    path = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    found = subprocess.run(
        [sys.executable, "-m", "golden", option],
        env={**os.environ, **PORTABLE, "PYTHONPATH": path, **environment},
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise RuntimeError(found.stderr)
    return json.loads(found.stdout.splitlines()[-1])


def _title(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", " ")


_SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    **{f"albumentations: {_title(function)}": function for function in golden_albumentations.SCENARIOS},
    SHARED: _shared_server,
    **{f"export: {_title(function)}": function for function in golden_export.SCENARIOS},
}


def _results() -> dict[str, dict[str, Any]]:
    found = {}
    for name in names():
        if missing(name):
            continue
        try:
            found[name] = run(name)
        except Exception:  # the other scenarios are still worth a look
            found[name] = {"raised": traceback.format_exc()}
    return found


def _record() -> None:
    lacking = [reason for name in names() if (reason := missing(name))]
    if lacking:
        raise SystemExit(f"nothing is recorded: {lacking[0]}")
    found = results()
    for name, parts in found.items():
        if "raised" in parts:
            raise SystemExit(f"nothing is recorded: {name} raised\n{parts['raised']}")
    scenarios = ",\n".join(f"{json.dumps(name)}: {_by_lines(parts)}" for name, parts in found.items())
    RECORDED.write_text(f'{{"versions": {_by_lines(_versions())},\n"scenarios": {{\n{scenarios}\n}}}}\n')
    print(f"recorded {len(found)} scenarios")  # noqa: T201


def _by_lines(values: dict[str, Any]) -> str:
    """JSON with a line for each value, whatever is in it."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _compare() -> None:
    before, after = recorded(), results()
    different = 0
    for name in names():
        if reason := missing(name):
            print(f"{name}: skipped, {reason}")  # noqa: T201
        elif lines := differences(before.get(name, {}), after[name]):
            different += 1
            print(name, *lines, sep="\n  ")  # noqa: T201
    print(f"{different} of {len(names())} scenarios differ", *other_versions(), sep="\n")  # noqa: T201
    if different:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what the library gives with what was recorded.")
    parser.add_argument("--record", action="store_true", help="write golden.json anew")
    parser.add_argument("--show", metavar="NAME", help="print the parts of one scenario")
    parser.add_argument("--results", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        print(json.dumps(golden_albumentations.with_workers()))  # noqa: T201
    elif arguments.results:
        print(json.dumps(_results()))  # noqa: T201
    elif arguments.show is not None:
        print(json.dumps(results()[arguments.show], indent=1))  # noqa: T201
    elif arguments.record:
        _record()
    else:
        _compare()


if __name__ == "__main__":
    main()
