"""The runs of a study: one training of one arm on one draw, and the digest of all that its result depends on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inpaint_transform.datasets.files import Problem, read_bytes
from inpaint_transform.tools.study import transforms
from inpaint_transform.tools.study.config import ALL, EXPORT, ONLINE, Arm, Config, fill
from inpaint_transform.tools.study.draws import DataSet, Draw, data_file, digest_of

VARIABLE = "INPAINT_STUDY_{}"
OUTPUT = "output.txt"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        arm: Of which arm.
        draw: Number of the draw, from 0.
        seed: The draw's.
        digest: What tells it from a run whose result may differ.
        pictures: The draw's; None where a study has no data set.
    """

    arm: Arm
    draw: int
    seed: int
    digest: str
    pictures: Draw | None = None

    @property
    def name(self) -> str:
        """How its folder is called, and messages call it."""
        return f"{self.arm.name}-{self.draw:03d}-{self.digest[:8]}"


def plan(config: Config, dataset: DataSet | None) -> list[Run]:
    """All runs of a study, draw by draw: whenever it is stopped, the arms have the same draws.

    Raises:
        ConfigError: A file cannot be read, or there are too few pictures.
    """
    shared = {
        "command": config.command,
        "file": config.metric.file,
        "images": config.metric.images,
        "ground_truth": _content(config.metric.ground_truth) if config.metric.ground_truth is not None else None,
        "depends": [[path.name, _content(path)] for path in config.depends],
    }
    contents = {arm: _transform(arm) for arm in config.arms}
    draws: dict[tuple[int, int | None], Draw] = {}
    runs = []
    for number in range(config.draws):
        seed = config.seed + number
        for arm in config.arms:
            size = arm.n or config.n
            if dataset is not None and (seed, size) not in draws:
                draws[seed, size] = dataset.draw(seed, size)
            pictures = draws.get((seed, size))
            own = {
                "arm": arm.name,
                "args": arm.args,
                "use": arm.use,
                "copies": arm.copies if arm.use == EXPORT else None,
                "transform": contents[arm],
                "n": size,
                "draw": number,
                "seed": seed,
                "pictures": pictures.digest if pictures is not None else None,
            }
            runs.append(Run(arm, number, seed, digest_of(shared | own), pictures))
    return runs


def _transform(arm: Arm) -> Any:
    return None if arm.transform is None else transforms.identity_of(arm.transform)


def _content(path: Path) -> str:
    return digest_of(read_bytes(path).decode("latin-1"))


class Places:
    """Where the sets and the outputs of a study's runs are, and what a command is told of them.

    Args:
        config: The study.
        report: Is told of problems with pictures.
    """

    def __init__(self, config: Config, report: Callable[[Problem], None]) -> None:
        self._config = config
        self._report = report

    def out(self, run: Run) -> Path:
        """The folder of a run."""
        return self._config.out / "runs" / run.name

    def make_set(self, run: Run) -> Path | None:
        """Write the set that a run reads, unless it is there; None where a study has no data set."""
        if run.pictures is None:
            return None
        folder = self._config.out / "sets"
        original = run.pictures.write(folder, self._report)
        return run.pictures.paint(folder, run.arm, original, self._report) if run.arm.use == EXPORT else original

    def begin(self, run: Run) -> Path:
        """Empty the folder of a run, in which a broken-off one may have left something, and put its transform there.

        Returns:
            The folder.
        """
        out = self.out(run)
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        if run.arm.use == ONLINE and run.arm.transform is not None:
            self._transform(run).write_text(json.dumps(transforms.content_of(run.arm.transform)), encoding="utf-8")
        return out

    def _transform(self, run: Run) -> Path:
        # Beside the folder, which is to be empty.
        return self._config.out / "runs" / f"{run.name}.transform.json"

    def values(self, run: Run, device: str, data: Path | None) -> dict[str, str]:
        """What the placeholders of a command stand for.

        Args:
            run: The run.
            device: Where it runs.
            data: The folder of its set.
        """
        settings = self._config.data
        online = run.arm.use == ONLINE
        return {
            "data": str(data_file(data, settings.to)) if data is not None and settings is not None else "",
            "folder": str(data) if data is not None else "",
            "seed": str(run.seed),
            "out": str(self.out(run)),
            "device": device,
            "draw": str(run.draw),
            "arm": run.arm.name,
            "n": str(run.arm.n or self._config.n or ALL),
            "args": run.arm.args,
            "transform": str(self._transform(run)) if online else "",
            "python": sys.executable,
        }

    def metric_file(self, template: str, values: Mapping[str, str]) -> Path:
        """A file that the command is to write."""
        return self._config.folder / fill(template, values)


def command_line(template: str, values: Mapping[str, str]) -> str:
    """The command for the shell: values are quoted where they need it, options of an arm stay as they are."""
    return fill(template, {name: text if name == "args" else shlex.quote(text) for name, text in values.items()})


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: this process's, and the values."""
    own = {VARIABLE.format(name.upper()): text for name, text in values.items() if name != "python"}
    return {**os.environ, **own}
