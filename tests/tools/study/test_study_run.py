"""The study: every result is kept as it comes, a killed one goes on, failures are named, stale rows unused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import yaml
from dataset_files import text, yolo
from studies import ARMS, FAILING, TRAINING, configuration, results
from test_draws import Painter
from test_supervise import wait_until_gone

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.datasets import export as exports
from inpaint_transform.study import ConfigError, read_study, run_study
from inpaint_transform.tools.study import plot, rows


@pytest.fixture(autouse=True)
def no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes longer than all trainings; the test of the command looks at it."""
    monkeypatch.setattr(plot, "available", lambda: False)


def test_it_trains_every_arm_on_every_draw_and_writes_everything_down(tmp_path: Path) -> None:
    said: list[str] = []
    study = run_study(configuration(tmp_path, devices=["a", "b"]), say=said.append, report=pytest.fail)
    assert study.finished == study.planned == 12
    [comparison] = study.comparisons()
    assert comparison.mean == pytest.approx(0.05)
    assert (comparison.adjusted, comparison.verdict) == (0.03125, "better")
    out = tmp_path / "study"
    assert said[0] == f"12 runs, 0 of them finished; results go to {out / rows.NAME}"
    found = results(out)
    assert {(row["arm"], row["draw"], row["seed"]) for row in found} == {(arm, d, d) for arm in ARMS for d in range(6)}
    assert {row["device"] for row in found} == {"a", "b"}
    assert "5.0 points" in (out / "study.md").read_text()
    assert {path.name for path in out.iterdir()} == {rows.NAME, "runs", "study.md", "study.html"}
    again = read_study(out)
    assert again.table() == study.table()
    assert again.words() == study.words()
    before = (out / rows.NAME).read_bytes()
    assert run_study(configuration(tmp_path), report=pytest.fail).table() == study.table()
    assert (out / rows.NAME).read_bytes() == before


def test_a_changed_configuration_reuses_no_stale_row(tmp_path: Path) -> None:
    depends = {"depends": [tmp_path / "train.py"], "draws": 2}
    run_study(configuration(tmp_path, **depends))
    changed = TRAINING.replace("0.05", "0.07")
    study = run_study(configuration(tmp_path, training=changed, **depends))
    assert study.comparisons()[0].mean == pytest.approx(0.07)
    assert len(results(tmp_path / "study")) == 8
    arms = {**ARMS, "third": None}
    run_study(configuration(tmp_path, training=changed, arms=arms, **{**depends, "draws": 3}))
    assert len(results(tmp_path / "study")) == 8 + 3 + 2
    # And what has been undone is known again.
    run_study(configuration(tmp_path, **depends))
    assert len(results(tmp_path / "study")) == 8 + 3 + 2


def test_failed_runs_are_named_stop_nobody_and_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reports: list[object] = []
    study = run_study(configuration(tmp_path, training=FAILING + TRAINING), report=reports.append)
    assert (study.finished, len(study.failed)) == (8, 4)
    reasons = {row["draw"]: row["reason"] for row in study.failed}
    assert reasons == {
        0: "exit code 3",
        1: "killed by SIGKILL",
        2: "the command has written no metrics.json",
        3: "the metric file has no finite number 'test.map'; it has none",
    }
    assert all(row["tail"].startswith("out of memory") for row in study.failed)
    assert "better, draw 0 failed (exit code 3); see " in str(reports[0])
    assert str(reports[0]).endswith("\nout of memory")
    assert any(
        sentence == "Four runs failed (better); the same command tries them again." for sentence in study.words()
    )
    assert study.words()[0].startswith("Nothing can be concluded")
    (tmp_path / "mended").touch()
    study = run_study(configuration(tmp_path, training=FAILING + TRAINING), report=pytest.fail)
    assert (study.finished, study.failed) == (12, ())


def test_a_metric_that_finished_runs_lack_is_named(tmp_path: Path) -> None:
    run_study(configuration(tmp_path))
    with pytest.raises(ConfigError, match=r"metric\.test='test\.other': runs that are finished have .* they have "):
        run_study(configuration(tmp_path, metric={"file": "{out}/metrics.json", "test": "test.other"}))


def test_a_misspelt_metric_costs_no_training(tmp_path: Path) -> None:
    training = f"open({str(tmp_path / 'starts')!r}, 'a').write('x'){TRAINING}"
    told: list[object] = []
    misspelt = {"file": "{out}/metrics.json", "test": "test.mAP"}
    study = run_study(configuration(tmp_path, training, metric=misspelt), report=told.append)
    assert study.finished == 0
    assert "no finite number 'test.mAP'; it has" in str(told[0])
    study = run_study(configuration(tmp_path, training), report=pytest.fail)
    assert study.comparisons()[0].verdict == "better"
    assert (tmp_path / "starts").read_text() == "x" * 12
    # Nobody has seen a number before it was corrected.
    assert not any("plan was changed" in one for one in study.words())


def test_other_settings_until_an_arm_wins_are_told(tmp_path: Path) -> None:
    for args in ("a", "b", "c"):
        arms = {"nothing": {"baseline": True}, "better": {"args": args}}
        study = run_study(configuration(tmp_path, arms=arms))
    assert len(study.unused) == 12
    assert any(one.startswith("Twelve finished runs of better were made with other") for one in study.words())
    fewer = run_study(configuration(tmp_path, arms=arms, draws=5))
    assert len(fewer.unused) == 10


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("{}", "it has no images, annotations, categories"),
        ("no", "not JSON"),
        ('{"images": [1]}', "it has no annotations"),
    ],
)
def test_boxes_of_test_pictures_are_looked_at_before_training(tmp_path: Path, truth: str, said: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(truth)
    metric = {"test": "test.map", "images": "{out}/detections.json", "ground_truth": path}
    with pytest.raises(ConfigError, match=rf"metric\.ground_truth=.*truth\.json.*{said}"):
        run_study(configuration(tmp_path, metric=metric))
    assert not (tmp_path / "study").exists()


def test_a_command_that_lacks_the_seed_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    run_study(configuration(tmp_path, command="exit 1", draws=1), say=said.append, report=lambda _: None)
    assert said[0].startswith("command: draws differ by their seed alone, and it has no {seed}; unless it reads ")
    said.clear()
    run_study(configuration(tmp_path, draws=6), say=said.append, report=lambda _: None)
    assert not any("{seed}" in one for one in said)


def test_too_few_draws_are_told_before_training(tmp_path: Path) -> None:
    said: list[str] = []
    arms = {"nothing": {"baseline": True}, "better": None, "third": None}
    run_study(configuration(tmp_path, arms=arms, draws=6), say=said.append)
    assert said[0] == "draws: nothing can be concluded from 6 where 2 arms are compared; it takes 7"


def test_pictures_sets_and_painted_copies_reach_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "cones"
    yolo(source / "images" / "train", source / "labels" / "train", *"abcdef")
    yolo(source / "images" / "val", source / "labels" / "val", "v")
    text(source / "data.yaml", "names: [cone]\n")
    A.save(BBoxInpaint(min_box_size=8, p=1.0), str(tmp_path / "painted.json"))
    monkeypatch.setattr(exports, "load", lambda *_: Painter())
    training = TRAINING.replace(
        "value = 0.4", "value = len(os.listdir(os.path.join(told['folder'], 'images', 'train'))) / 100\nignored = 0.4"
    )
    painted = {"transform": str(tmp_path / "painted.json")}
    arms = {
        "nothing": {"baseline": True},
        "offline": {**painted, "use": "export", "copies": 2},
        "online": {**painted, "use": "online"},
        "more": {"n": 6},
    }
    changes = {"n": 2, "draws": 2, "arms": arms, "data": {"source": source, "format": "yolo"}}
    study = run_study(configuration(tmp_path, training=training, **changes), report=pytest.fail)
    assert {arm.name: dict(arm.test) for arm in study.arms} == {
        "nothing": {0: 0.02, 1: 0.02},
        "offline": {0: 0.06, 1: 0.06},
        "online": {0: 0.02, 1: 0.02},
        "more": {0: 0.06, 1: 0.06},
    }
    told = {}
    for folder in (tmp_path / "study" / "runs").glob("*-000-????????"):
        told[folder.name.rpartition("-000-")[0]] = json.loads((folder / "metrics.json").read_text())["told"]
    assert all(one["data"] == f"{one['folder']}/data.yaml" for one in told.values())
    assert yaml.safe_load(Path(told["nothing"]["data"]).read_text())["names"] == {0: "cone"}
    assert told["online"]["folder"] == told["nothing"]["folder"]
    assert isinstance(A.load(told["online"]["transform"]), BBoxInpaint)
    assert told["offline"]["transform"] == ""
    assert (told["nothing"]["n"], told["more"]["n"]) == ("2", "6")


def test_a_set_that_cannot_be_made_fails_its_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "cones"
    yolo(source / "images" / "train", source / "labels" / "train", *"ab")
    text(source / "data.yaml", "names: [cone]\n")
    A.save(BBoxInpaint(min_box_size=5000, p=1.0), str(tmp_path / "painted.json"))
    arms = {"nothing": {"baseline": True}, "big": {"transform": str(tmp_path / "painted.json"), "use": "export"}}
    reports: list[object] = []
    changes = {"draws": 2, "arms": arms, "data": {"source": source, "format": "yolo"}}
    study = run_study(configuration(tmp_path, **changes), report=reports.append)
    assert (study.finished, len(study.failed)) == (2, 2)
    assert "its set cannot be made: nothing to paint" in study.failed[0]["reason"]


def test_results_on_each_test_picture_widen_the_interval(tmp_path: Path) -> None:
    training = TRAINING + (
        "\nimport random\nrng = random.Random(told['arm'])\n"
        "values = {f'{at}.jpg': value + rng.gauss(0, 0.2) for at in range(30)}\n"
        "shift = sum(values.values()) / 30 - value\n"
        "values = {name: one - shift for name, one in values.items()}\n"
        "json.dump(values, open(os.path.join(told['out'], 'images.json'), 'w'))\n"
    )
    plain = run_study(configuration(tmp_path, out=tmp_path / "plain")).comparisons()[0]
    metric = {"test": "test.map", "images": "{out}/images.json"}
    config = configuration(tmp_path, training=training, metric=metric)
    study = run_study(config, report=pytest.fail)
    [found] = study.comparisons()
    assert found.over_pictures
    assert found.mean == pytest.approx(plain.mean)
    assert found.interval is not None
    assert plain.interval is not None
    assert found.interval[1] - found.interval[0] > 10 * (plain.interval[1] - plain.interval[0])
    assert any("of draws and of test pictures" in sentence for sentence in study.words())
    # Another metric of the same file is compared without training; its pictures are not known.
    config["metric"] = {"test": "val.map", "images": "{out}/images.json"}
    again = run_study(config)
    assert len(results(tmp_path / "study")) == 12
    assert not again.comparisons()[0].over_pictures


SLOW = TRAINING + (
    "\nimport time\nopen(os.path.join(told['out'], 'pid'), 'w').write(f'{os.getpid()}\\n')\n"
    "time.sleep(600 if told['draw'] == '2' and not os.path.exists('go') else 0)\n"
)


@contextlib.contextmanager
def command(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The study command, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inpaint_transform", "study", str(path)],
        cwd=path.parent,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a script, Ctrl-C is ignored, and so it is by all of their processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_whatever_ends_it_no_process_stays_and_it_goes_on(tmp_path: Path, end: signal.Signals) -> None:
    config = configuration(tmp_path, training=SLOW, devices=["a", "b"])
    config["command"] = config["command"].replace("{args}", "& wait")  # a child of a child
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({**config, "out": str(config["out"])}))
    out = tmp_path / "study"
    pids: list[int] = []
    deadline = time.monotonic() + 120
    with command(path) as process:
        while len(pids) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
            found = [path.read_text() for path in out.glob("runs/*-002-*/pid")]
            pids = [int(text) for text in found if text.endswith("\n")]
        os.kill(process.pid, end)
        _, said = process.communicate(timeout=60)
        code = process.returncode
    wait_until_gone(*pids)
    finished = results(out)
    assert len(finished) == 4
    if end == signal.SIGINT:
        assert code == 130
        assert f"stopped; what is finished is in {out}, and the same command goes on" in said
    # A line that the kill has torn.
    with (out / rows.NAME).open("a") as file:
        file.write('{"run": "to')
    (tmp_path / "go").touch()
    told: list[str] = []
    study = run_study(path, say=told.append, report=pytest.fail)
    assert told[0].startswith("12 runs, 4 of them finished")
    assert study.words()[0].startswith("better beats nothing by 5.0 points")
    after = results(out)
    assert after[:4] == finished
    assert len(after) == 12
    assert len({row["run"] for row in after}) == 12


class Bars:
    """Stands in for tqdm, and counts."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, _: Sequence[Any] | None, **options: Any) -> Any:
        seen = {**options, "updates": 0}
        self.seen.append(seen)
        return Bar(seen)


class Bar:
    def __init__(self, seen: dict[str, Any]) -> None:
        self.seen = seen

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def update(self) -> None:
        self.seen["updates"] += 1


def test_the_bar_counts_what_was_there(tmp_path: Path) -> None:
    run_study(configuration(tmp_path, draws=2))
    bars = Bars()
    run_study(configuration(tmp_path, draws=3), progress=bars)
    [bar] = bars.seen
    assert (bar["desc"], bar["total"], bar["initial"], bar["updates"]) == ("training", 6, 4, 2)


def test_one_process_at_a_time_and_devices_must_be(tmp_path: Path) -> None:
    with rows.Rows(tmp_path / "study"), pytest.raises(InpaintError, match="another process is at the study"):
        run_study(configuration(tmp_path))
    with pytest.raises(ConfigError, match=r"devices=\[\]: name at least one"):
        run_study(configuration(tmp_path), devices=[])
    for devices in (["z"], "cuda:0"):
        run_study(configuration(tmp_path, draws=1, out=tmp_path / devices[0]), devices=devices)
    assert {row["device"] for row in results(tmp_path / "z")} == {"z"}
    # One device, not one for each letter.
    assert {row["device"] for row in results(tmp_path / "c")} == {"cuda:0"}


def test_few_draws_conclude_nothing_however_large_the_effect(tmp_path: Path) -> None:
    study = run_study(configuration(tmp_path, draws=5))
    assert study.words()[0].startswith("Nothing can be concluded: with five draws")
    assert study.comparisons()[0].verdict == "too few draws"
    assert np.isclose(study.comparisons()[0].mean or 0, 0.05)
