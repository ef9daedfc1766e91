"""The benchmark: it measures end to end, says what the numbers mean, and refuses what it cannot measure."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench_reports import CASE, MAYBE, MEMORY, NUMBER, check, check_report
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform.tools.bench.run import line
from inpaint_transform.tools.cli import app

ROOT = Path(__file__).parents[2]
SMALL = ["--workers", "0,1", "--p", "0,1", "--batch-size", "2", "--seconds", "0.05", "--steps", "1"]

# What the command measures, see ``bench_reports.check``.
RESULTS = {
    "settings": {"workers": [int], "p": [NUMBER], "batch_size": int, "seconds": NUMBER},
    "data": {"source": str, "pictures": int, "total": int, "boxes": int, "edits": NUMBER, "drawn": NUMBER},
    "complete": bool,
    "model": {
        "id": str,
        "size": int,
        "steps": int,
        "guidance_scale": MAYBE,
        "dtype": str,
        "device": str,
        "max_batch_size": int,
        "paint_s": NUMBER,
        **MEMORY,
    },
    "bare": [{**CASE, "batch": int}],
    "transform": {**CASE, "painted_per_s": NUMBER},
    "loader": [
        {
            **CASE,
            **MEMORY,
            "workers": int,
            "p": NUMBER,
            "concurrent": bool,
            "images": int,
            "painted": int,
            "edits": int,
            "accepted": int,
            "painted_per_s": NUMBER,
            "attempts_per_s": NUMBER,
            "mean_batch": MAYBE,
            "busy_share": NUMBER,
            "host_pss_mib": MAYBE,
            "share_of_bare": NUMBER,
        }
    ],
    "advice": [str],
}


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def bench(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.mark.slow
def test_it_runs_end_to_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inpaint_transform", "bench", "--quick", *SMALL, "--out", str(tmp_path / "bench.json")],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    content = check_report(tmp_path / "bench.json")
    results = content["results"]
    check(results, RESULTS)
    assert results["complete"]
    assert results["model"]["id"] == "tiny"
    assert [found["batch"] for found in results["bare"]] == [1, 2, 4, 8, 16]
    cases = {(found["workers"], found["p"], found["concurrent"]): found for found in results["loader"]}
    assert set(cases) == {(workers, p, mode) for workers in (0, 1) for p in (0, 1) for mode in (False, True)}
    for (_, p, _), found in cases.items():
        assert (found["painted"], found["p50_ms"] is None) == ((0, True) if p == 0 else (found["images"], False))
        assert found["edits"] == found["accepted"] == found["painted"]
        assert 0 <= found["busy_share"] <= 1
        assert (found["mean_batch"] is None) == (p == 0)
        if p == 1:
            assert found["busy_share"] > 0.1
    # How long it takes was said before the first loader.
    assert done.stdout.index("this takes at least") < done.stdout.index("model ")
    assert done.stdout.index(" to go; ") < done.stdout.index("loader")
    # Every result came as a line of its own, and the advice last.
    for found in results["loader"]:
        assert line("loader", found) in done.stdout
    assert results["advice"]
    assert all(sentence in done.stdout for sentence in results["advice"])
    # Nobody learns where it was measured.
    assert str(tmp_path) not in json.dumps(content)
    assert content["command"].endswith("--out bench.json")
    with Image.open(tmp_path / "bench.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_measured(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "inpaint_transform", "bench", "--seconds", "0.05", "--steps", "1"],
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith("bare"):
            os.killpg(process.pid, signal.SIGINT)
            break
    _, problems = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in problems
    results = check_report(tmp_path / "bench.json")["results"]
    assert not results["complete"]
    assert results["bare"]
    assert results["loader"] == []


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of which one has a box that is too small; it is the working folder."""
    for folder in ("images", "labels", "small"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "small" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OWN = ["--images", "images", "--format", "yolo", "--names", "cone"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--images", "nowhere", "--boxes", "labels", "--format", "yolo", "--names", "cone"], 1, "nowhere"),
        ([*OWN, "--boxes", "nolabels"], 1, "nolabels"),
        (["--images", "nowhere"], 1, "nowhere: there is no such picture or folder"),
        ([*OWN, "--boxes", "small"], 1, "no box to paint"),
        (["--images", "images"], 2, "--images images needs --format yolo, coco or voc, and --boxes where"),
        (["--boxes", "labels", "--format", "yolo"], 2, "give --images too"),
        (["--format", "coco"], 2, "give --images too"),
        (OWN, 1, "pictures and labels are not found in it"),
        ([*OWN, "--boxes", "labels", "--split", "images=val"], 1, "no picture of the split train"),
        (["--names", "cone"], 2, "--names"),
        (["--p", "0,1.5"], 2, "p=1.5"),
        (["--p", "0,nan"], 2, "p=nan"),
        (["--p", "0,half"], 2, "p='0,half'"),
        (["--workers", "2,-1"], 2, "workers=-1"),
        (["--workers", "1.5"], 2, "workers='1.5'"),
        (["--batch-size", "0"], 2, "batch-size"),
        (["--seconds", "0"], 2, "seconds=0"),
        (["--train-rate", "0"], 2, "train-rate"),
        (["--steps", "0"], 2, "steps"),
        (["--strength", "0"], 2, "strength=0"),
        (["--only", "nothing"], 1, "no box to paint"),
        (["--config", "nowhere.json"], 1, "nowhere.json"),
        (["--out", "bench.txt"], 2, "bench.txt"),
        (["--out", "nowhere/bench.json"], 2, "nowhere"),
    ],
)
def test_bad_input_is_one_clear_error(data: Path, arguments: list[str], code: int, words: str) -> None:
    found, said = bench(*arguments)
    assert found == code, said
    assert words in " ".join(re.sub(r"[│╭╮╰╯─]", " ", said).split())
    assert not (data / "bench.json").exists()


@pytest.mark.slow
def test_a_model_that_does_not_load_is_one_clear_error(data: Path) -> None:
    (data / "model").mkdir()
    code, said = bench("./model", *SMALL)
    assert code == 1, said
    assert said.count("Error: ") == 1
    assert not (data / "bench.json").exists()


def test_a_prompt_that_the_model_has_no_word_for_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr("inpaint_transform.tools.bench.run.run", lambda *given: ran.append(given))
    for prompt, count in (("a helmet", 1), ("a red blood cell", 0)):
        arguments = ["bench", "tiny", *SMALL, "--prompt", prompt, "--out", str(tmp_path / "b.json")]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert result.output.count("has no word that the model knows") == count
    assert len(ran) == 2
