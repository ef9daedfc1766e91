"""The results file: one JSON object a line, each on the disk before the next run begins.

Where the last line is torn, its run is made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.datasets.json_lines import JsonLines, read_lines

NAME = "results.jsonl"
DONE, FAILED = "done", "failed"

_FOREIGN = "not the results of a study; name another folder as out"


class Rows:
    """The results of a study, open for appending; one process at a time has them.

    Args:
        folder: The study's folder; made if need be.

    Attributes:
        header: What the study was when it was last started.
        runs: The last row of each run, by digest.

    Raises:
        ValueError: The file is no results file.
        InpaintError: Another process has it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._lines = JsonLines(self.path, f"another process is at the study in {folder}; wait for its end")
        try:
            self.header, self.runs = read(self.path)
            self._lines.read()  # cuts off a torn line
        except BaseException:
            self.close()
            raise

    def begin(self, header: Mapping[str, Any]) -> None:
        """Note what the study is now, if that has changed, and what it was first."""
        plain = json.loads(json.dumps(header))
        # What was changed before there was a result was changed unseen.
        if self.header and any(row["status"] == DONE for row in self.runs.values()):
            first = self.header.get("first") or plan_of(self.header)
            plain |= {"first": first} if first != plan_of(plain) else {}
        if plain != self.header:
            self._write({"study": plain})
            self.header = plain

    def add(self, row: Mapping[str, Any]) -> None:
        """Note the end of a run."""
        self._write(row)
        self.runs[row["run"]] = dict(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        try:
            self._lines.append(row, sync=True)
        except OSError as error:
            raise InpaintError(
                f"{self.path}: {error.strerror or error}; what is there is whole; mend that, and the study goes on"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def plan_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """Of a header, what is to be fixed before anybody looks: a change makes claims that chance does not allow."""
    metric = header["metric"]
    arms = {arm["name"]: arm["baseline"] for arm in header["arms"]}
    return {
        **{key: header[key] for key in ("draws", "n", "seed")},
        **{key: metric[key] for key in ("test", "val", "better")},
        "baselines": ", ".join(sorted(name for name, baseline in arms.items() if baseline)),
        "other arms": ", ".join(sorted(name for name, baseline in arms.items() if not baseline)),
    }


def read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read a results file: its last header, and the last row of each run by digest; a torn line does not count.

    Raises:
        ValueError: It holds something else.
    """
    header: dict[str, Any] = {}
    runs: dict[str, dict[str, Any]] = {}
    try:
        lines = read_lines(path)
    except ValueError as error:
        raise ValueError(f"{error}, so {_FOREIGN}") from error
    for number, row in enumerate(lines, start=1):
        if "study" in row:
            header = row["study"]
        elif "run" in row:
            runs[row["run"]] = row
        else:
            raise ValueError(f"{path}:{number}: {_FOREIGN}")
    return header, runs
