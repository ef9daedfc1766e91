"""The study: sets are made, arms trained on them, and every result kept as it comes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.study import config as configs
from inpaint_transform.tools.study import detections, draws, outcome, plot, rows, runner, significance, transforms
from inpaint_transform.tools.study.config import EXPORT, Arm, Config
from inpaint_transform.tools.study.keys import ConfigError, UnfitError
from inpaint_transform.tools.study.result import Study, study_of
from inpaint_transform.tools.study.runs import OUTPUT, VARIABLE, Places, Run, command_line, environment, plan

logger = logging.getLogger(__name__)

MARKDOWN, PLOT, PAGE = "study.md", "study.png", "study.html"


def run_study(
    config: str | Path | Mapping[str, Any],
    *,
    devices: str | Sequence[str] | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
    say: Callable[[str], None] = logger.info,
    report: Callable[[object], None] = logger.warning,
) -> Study:
    """Train all arms of a study on the same draws; called again, it goes on where it stopped.

    Args:
        config: A YAML file, or its keys and values; see ``inpaint_transform/tools/study/README.md``.
        devices: One training at a time on each, instead of the configuration's.
        progress: Wraps what takes long, as ``tqdm`` does and with its arguments; ``progress=tqdm`` shows bars.
        say: Is told what happens.
        report: Is told of each problem with pictures, and of each run that fails.

    Returns:
        The study; its table, plot and page are beside the results too.

    Raises:
        ConfigError: A key or a value of the configuration is unusable; nothing was trained.
        ValueError: The data set cannot be read, or the folder holds other results.
        InpaintError: Another process is at the study, or the results cannot be written; the same call goes on later.

    Examples:
        Two arms, six draws, and a training that takes no time.

        >>> import tempfile
        >>> study = run_study(
        ...     {
        ...         "command": "echo map > {out}/metrics.csv; echo 0.{seed} >> {out}/metrics.csv",
        ...         "metric": {"file": "{out}/metrics.csv", "test": "map"},
        ...         "arms": {"nothing": {"baseline": True}, "painted": {}},
        ...         "draws": 6,
        ...         "out": tempfile.mkdtemp(),
        ...         "name": "example",
        ...     }
        ... )
        >>> study.comparisons()[0].verdict
        'not told apart'
    """
    settings = configs.read(config)
    if devices is not None:
        settings = dataclasses.replace(settings, devices=_devices(devices))
    _check_before(settings, say)
    for arm in settings.arms:
        transforms.check(arm)
    dataset = draws.read(settings.data, settings.out, report, progress) if settings.data is not None else None
    pictures = [] if dataset is None else [one.annotation for one in dataset.training]
    for arm in settings.arms:
        if (advice := transforms.advice(arm, pictures)) is not None:
            say(f"arm {arm.name}: {advice}")
    planned = plan(settings, dataset)
    family = sum(not arm.baseline and arm.n in (None, settings.n) for arm in settings.arms)
    if family and settings.draws < (needed := significance.draws_needed(family)):
        say(
            f"draws: nothing can be concluded from {settings.draws} where {family} arms are compared; it takes {needed}"
        )
    with rows.Rows(settings.out) as kept:
        _check_keys(settings, planned, kept.runs)
        kept.begin(_header(settings, planned))
        missing = [run for run in planned if not _is_done(kept.runs.get(run.digest))]
        if missing:
            say(f"{len(planned)} runs, {len(planned) - len(missing)} of them finished; results go to {kept.path}")
            _Work(settings, kept, report, progress).run(missing, len(planned))
        study = study_of(kept.header, kept.runs, kept.path)
    write(study, settings.out, say)
    return study


def write(study: Study, folder: Path, say: Callable[[str], None] = logger.info) -> None:
    """Write table, plot and page of a study.

    Args:
        study: As far as it has come.
        folder: Where to.
        say: Is told if matplotlib is missing.
    """
    text = "\n\n".join([f"# {study.name}", study.table(markdown=True), *study.words()])
    (folder / MARKDOWN).write_text(f"{text}\n", encoding="utf-8")
    if not plot.available():
        say(plot.MISSING)
    elif any(one.differences for one in study.comparisons()):
        study.plot(folder / PLOT)
    study.page(folder / PAGE)


def written(folder: Path) -> list[str]:
    """The names of what ``write`` has written."""
    return [name for name in (MARKDOWN, PLOT, PAGE) if (folder / name).exists()]


def _devices(given: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return configs.list_devices(given if isinstance(given, str) else list(given))
    except UnfitError as error:
        raise ConfigError(f"devices={given!r}: {error}") from None


def _check_before(config: Config, say: Callable[[str], None]) -> None:
    """Look at what would otherwise show only when a training has ended, or never."""
    truth = config.metric.ground_truth
    if truth is not None:
        try:
            detections.read_truth(truth)
        except ValueError as error:
            raise ConfigError(f"metric.ground_truth={str(truth)!r}: {error}") from error
    variable = VARIABLE.format("SEED")
    if (config.n is None or config.data is None) and not any(
        one in config.command for one in ("{seed}", "{draw}", variable)
    ):
        say(
            f"command: draws differ by their seed alone, and it has no {{seed}}; unless it reads {variable}, all draws "
            f"of an arm are the same training"
        )


def _check_keys(config: Config, planned: Sequence[Run], runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a metric that finished runs do not have: they would neither count nor be trained again."""
    for name, key in (("metric.test", config.metric.test), ("metric.val", config.metric.val)):
        for row in (runs.get(run.digest) for run in planned):
            if row is not None and _is_done(row) and key is not None and key not in row["metrics"]:
                raise ConfigError(
                    f"{name}={key!r}: runs that are finished have no such number; they have "
                    f"{', '.join(row['metrics'])}. To train them again, name what has changed in depends"
                )


def _is_done(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["status"] == rows.DONE


def _header(config: Config, planned: Sequence[Run]) -> dict[str, Any]:
    metric = dataclasses.asdict(config.metric)
    metric["ground_truth"] = config.metric.ground_truth.name if config.metric.ground_truth is not None else None
    return {
        "name": config.name,
        "command": config.command,
        "metric": metric,
        "data": config.data.source.name if config.data is not None else None,
        "draws": config.draws,
        "n": config.n,
        "seed": config.seed,
        "arms": [_settings(arm, config) for arm in config.arms],
        "runs": {arm.name: [run.digest for run in planned if run.arm == arm] for arm in config.arms},
    }


def _settings(arm: Arm, config: Config) -> dict[str, Any]:
    return {
        "name": arm.name,
        "baseline": arm.baseline,
        "n": arm.n or config.n,
        "transform": arm.transform.name if arm.transform is not None else None,
        "use": arm.use,
        "copies": arm.copies if arm.use == EXPORT else None,
        "args": arm.args,
    }


class _Work:
    """Makes the sets of runs, trains them, and notes what becomes of each."""

    def __init__(
        self,
        config: Config,
        kept: rows.Rows,
        report: Callable[[object], None],
        progress: Callable[..., Iterable[Any]] | None,
    ) -> None:
        self._config = config
        self._kept = kept
        self._report = report
        self._progress = progress
        self._places = Places(config, report)
        self._sets: dict[str, Path | None] = {}
        self._failed = 0

    def run(self, missing: Sequence[Run], total: int) -> None:
        """Do all that is missing of so many runs."""
        ready = [run for run in self._make_sets(missing) if not self._found(run)]
        bar = self._bar(total, total - len(ready), "training", "run")
        with contextlib.closing(runner.run(ready, self._config.devices, self._start)) as ended, bar as shown:
            for one in ended:
                self._note(one)
                if shown is not None:
                    shown.update()
                    if self._failed:
                        shown.set_postfix_str(f"{self._failed} failed")

    def _make_sets(self, missing: Sequence[Run]) -> list[Run]:
        """Make the sets that runs read, before any device trains; the runs whose sets are there then."""
        ready = []
        with self._bar(len(missing), 0, "making sets", "set") if self._config.data else contextlib.nullcontext() as bar:
            for run in missing:
                try:
                    self._sets[run.digest] = self._places.make_set(run)
                    ready.append(run)
                except (ValueError, OSError, InpaintError) as error:
                    self._fail(run, "", 0.0, f"its set cannot be made: {error}", "")
                if bar is not None:
                    bar.update()
        # The device is for training now.
        exported = {run.arm.transform for run in ready if run.arm.use == EXPORT}
        for path in filter(None, exported):
            _free(transforms.model_of(path))
        return ready

    def _found(self, run: Run) -> bool:
        """Whether a training that ended well, and whose result could not be read then, can be read now."""
        row = self._kept.runs.get(run.digest)
        if row is None or not row.get("trained"):
            return False
        try:
            found = self._read(run, row["device"])
        except outcome.OutcomeError:
            return False
        self._kept.add(self._row(run, row["device"], row["seconds"]) | {"status": rows.DONE, **found})
        return True

    def _bar(self, total: int, initial: int, what: str, unit: str) -> Any:
        if self._progress is None:
            return contextlib.nullcontext()
        return self._progress(None, total=total, initial=initial, desc=what, unit=unit)

    def _start(self, run: Run, device: str) -> runner.Command:
        out = self._places.begin(run)
        values = self._places.values(run, device, self._sets[run.digest])
        line = command_line(self._config.command, values)
        return runner.Command(line, environment(values), self._config.folder, out / OUTPUT)

    def _note(self, ended: runner.Ended[Run]) -> None:
        run = ended.job
        output = self._places.out(run) / OUTPUT
        if ended.reason:
            self._fail(run, ended.device, ended.seconds, ended.reason, runner.tail(output))
            return
        try:
            found = self._read(run, ended.device)
        except outcome.OutcomeError as error:
            self._fail(run, ended.device, ended.seconds, str(error), runner.tail(output), trained=True)
            return
        self._kept.add(self._row(run, ended.device, ended.seconds) | {"status": rows.DONE, **found})

    def _read(self, run: Run, device: str) -> dict[str, Any]:
        metric, values = self._config.metric, self._places.values(run, device, self._sets[run.digest])
        metrics = outcome.read_metrics(self._places.metric_file(metric.file, values))
        outcome.check(metrics, metric.test, metric.val)
        found: dict[str, Any] = {"metrics": metrics}
        if metric.images is not None:
            images = self._places.metric_file(metric.images, values)
            resampled = outcome.read_resampled(images, metric.ground_truth, metrics[metric.test])
            found["resampled"] = {"metric": metric.test, **dataclasses.asdict(resampled)}
        return found

    def _fail(self, run: Run, device: str, seconds: float, reason: str, tail: str, trained: bool = False) -> None:
        self._failed += 1
        failed = {"status": rows.FAILED, "reason": reason, "tail": tail, "trained": trained}
        self._kept.add(self._row(run, device, seconds) | failed)
        said = f"; see {self._places.out(run) / OUTPUT}\n{tail}" if tail else ""
        self._report(f"{run.arm.name}, draw {run.draw} failed ({reason}){said}")

    def _row(self, run: Run, device: str, seconds: float) -> dict[str, Any]:
        return {
            "run": run.digest,
            "arm": run.arm.name,
            "draw": run.draw,
            "seed": run.seed,
            "n": run.arm.n or self._config.n,
            "seconds": round(seconds, 1),
            "device": device,
        }


def _free(spec: ModelSpec) -> None:
    from inpaint_transform.serving.registry import connect

    if spec.serving != "ray":
        connect(spec).close()
