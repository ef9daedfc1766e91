"""The benchmark: it measures end to end, says what the numbers mean, and refuses what it cannot measure."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.tools.bench import advice, plot, report
from inpaint_transform.tools.bench.run import line
from inpaint_transform.tools.bench.settings import Settings, read_numbers
from inpaint_transform.tools.cli import app

ROOT = Path(__file__).parents[2]
SMALL = ["--workers", "0,1", "--p", "0,1", "--batch-size", "2", "--seconds", "0.05", "--steps", "1"]

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
RESULTS = {
    "settings": {"workers": [int], "p": [NUMBER], "batch_size": int, "seconds": NUMBER},
    "data": {"source": str, "pictures": int, "boxes": int},
    "complete": bool,
    "model": {
        "id": str,
        "size": int,
        "steps": int,
        "guidance_scale": MAYBE,
        "dtype": str,
        "device": str,
        "max_batch_size": int,
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
            "painted_per_s": NUMBER,
            "mean_batch": MAYBE,
            "busy_share": NUMBER,
            "host_pss_mib": MAYBE,
            "share_of_bare": NUMBER,
        }
    ],
    "advice": [str],
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
        assert 0 <= found["busy_share"] <= 1
        assert (found["mean_batch"] is None) == (p == 0)
        if p == 1:
            assert found["busy_share"] > 0.1
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


rates = st.floats(0.1, 1e5)
shares = st.floats(0, 1)
curves = st.dictionaries(shares, rates, min_size=1, max_size=6)


@given(curves, rates, rates)
def test_faster_training_never_affords_more(curve: dict[float, float], a: float, b: float) -> None:
    low, high = (advice.affordable_p(curve, rate) for rate in sorted((a, b), reverse=True))
    assert 0 <= low <= high <= max(curve)


@given(curves, rates, st.floats(0.01, 100))
def test_only_the_ratio_of_the_rates_matters(curve: dict[float, float], rate: float, factor: float) -> None:
    scaled = {p: factor * each for p, each in curve.items()}
    # Away from the rates themselves, where rounding decides.
    expected = [advice.affordable_p(curve, rate * slack) for slack in (1 + 1e-9, 1 - 1e-9)]
    assert expected[0] - 1e-9 <= advice.affordable_p(scaled, rate * factor) <= expected[1] + 1e-9


@given(
    st.floats(1e-4, 1), st.floats(1e-3, 10), st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.floats(0.1, 1e4)
)
def test_a_linear_cost_is_found_exactly(base: float, cost: float, measured: list[float], rate: float) -> None:
    curve = {p: 1 / (base + p * cost) for p in [0.0, *measured]}
    expected = min(max((1 / rate - base) / cost, 0), max(measured))
    assert advice.affordable_p(curve, rate) == pytest.approx(expected, abs=1e-6)


def test_a_slow_measurement_counts_and_a_lucky_one_does_not() -> None:
    assert advice.affordable_p({0.0: 100.0, 0.5: 10.0, 1.0: 20.0}, 15.0) < 0.5
    assert advice.affordable_p({0.0: 100.0, 0.5: 10.0, 1.0: 20.0}, 10.0) == 1.0


@given(st.one_of(st.just({}), st.dictionaries(shares, st.floats(-5, 0), min_size=1)))
def test_rates_that_are_none_are_refused(curve: dict[float, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        advice.affordable_p(curve, 10.0)


def case(workers: int, p: float, rate: float, concurrent: bool = False) -> dict[str, Any]:
    return {"workers": workers, "p": p, "concurrent": concurrent, "images_per_s": rate, "painted_per_s": p * rate}


MEASURED = {
    "model": {"id": "tiny", "steps": 12, "size": 64},
    "bare": [{"batch": 1, "images_per_s": 30.0}, {"batch": 8, "images_per_s": 80.0}],
    "loader": [case(0, 0, 400.0), case(0, 1, 28.0), case(4, 0, 800.0), case(4, 1, 72.0), case(8, 1, 72.0, True)],
}


def test_the_advice_names_p_the_loader_and_what_gives_more() -> None:
    first, reached, more, ahead = advice.advise(MEASURED, 220.0)
    # (1/220 - 1/800) / (1/72 - 1/800) = 0.26; of the loader that was not measured at 0 nothing is promised.
    assert first == "at 220 images/s of training this machine affords p = 0.26 (4 workers)"
    assert "80 images/s" in reached
    assert "90%" in reached
    for way in ("half of the 12", "half of the 64 pixels", "reuse"):
        assert way in more
    # 80 a second: 12.5 s, 125 s.
    assert ahead.endswith("takes about: 1000 boxes 0.21 min, 10000 boxes 2.1 min")


def test_the_users_own_boxes_are_told_about() -> None:
    data = {"source": "photos", "boxes": 4800}
    assert "4800 boxes 1 min," in advice.advise({**MEASURED, "data": data}, 50.0)[-1]


def test_more_than_the_pipeline_alone_is_doubted() -> None:
    fast = {**MEASURED, "loader": [case(0, 0, 400.0), case(0, 1, 110.0)]}
    assert any("doubtful" in sentence for sentence in advice.advise(fast))
    assert not any("doubtful" in sentence for sentence in advice.advise(MEASURED))
    found = {**case(0, 1, 110.0), "p50_ms": None, "mean_batch": 2.0, "busy_share": 0.9, "painted": 9, "host_pss_mib": 1}
    assert "137% of bare (doubtful" in line("loader", {**found, "share_of_bare": 1.37})
    assert "90% of bare, " in line("loader", {**found, "share_of_bare": 0.9})


def test_nothing_more_is_advised_where_every_sample_can_be_painted() -> None:
    assert advice.advise(MEASURED, 50.0)[:-1] == ["at 50 images/s of training this machine affords p = 1 (4 workers)"]


def test_a_loader_that_is_too_slow_is_called_so() -> None:
    sentence, _ = advice.advise(MEASURED, 2000.0)
    assert "too slow by itself" in sentence
    assert "800" in sentence


def test_a_loader_that_was_not_measured_without_edits_is_not_called_slow() -> None:
    some = {**MEASURED, "loader": [case(0, 0.1, 445.0), case(0, 1, 28.0)]}
    sentence, _ = advice.advise(some, 500.0)
    assert "does not afford p = 0.1, the smallest measured, which delivers 445 images/s" in sentence
    assert "too slow" not in sentence


def test_a_busy_machine_is_named() -> None:
    cores = os.cpu_count() or 1
    assert "busy" in advice.advise({**MEASURED, "load_before": 0.6 * cores})[0]
    assert "busy" not in advice.advise({**MEASURED, "load_before": 0.2 * cores})[0]


def test_p_0_is_always_measured() -> None:
    assert Settings(ModelSpec("tiny"), p=(0.5, 0.1)).p == (0.0, 0.1, 0.5)


def test_without_a_rate_round_ones_are_told_about() -> None:
    lines = [sentence for sentence in advice.advise(MEASURED) if sentence.startswith("at ")]
    told = [(float(sentence.split()[1]), float(re.findall(r"p = (\S+)", sentence)[0])) for sentence in lines]
    assert 2 <= len(told) <= advice.MAX_LINES
    assert all(28 < rate <= 800 for rate, _ in told)
    assert [p for _, p in told] == sorted((p for _, p in told), reverse=True)


def test_before_any_loader_there_is_no_advice() -> None:
    assert advice.advise({"bare": MEASURED["bare"], "loader": []}, 10.0) == []


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
        ([*OWN, "--boxes", "small"], 1, "no box to paint"),
        (OWN, 2, "--boxes and --format"),
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
        (["--out", "bench.txt"], 2, "bench.txt"),
        (["--out", "nowhere/bench.json"], 2, "nowhere"),
    ],
)
def test_bad_input_is_one_clear_error(data: Path, arguments: list[str], code: int, words: str) -> None:
    found, said = bench(*arguments)
    assert found == code, said
    assert words in " ".join(re.sub(r"[│╭╮╰╯─]", " ", said).split())
    assert not (data / "bench.json").exists()


def test_a_model_that_does_not_load_is_one_clear_error(data: Path) -> None:
    (data / "model").mkdir()
    code, said = bench("./model", *SMALL)
    assert code == 1, said
    assert said.count("Error: ") == 1
    assert not (data / "bench.json").exists()


def test_numbers_are_read_once_and_in_order() -> None:
    assert read_numbers("4, 0,4,2", "workers", int) == (0, 2, 4)
    with pytest.raises(ValueError, match="workers=''"):
        read_numbers("", "workers", int)
    with pytest.raises(ValueError, match="at least one value"):
        Settings(ModelSpec("tiny"), workers=())


def test_a_plot_is_drawn_of_what_there_is(tmp_path: Path) -> None:
    content = {
        "date": "2026-01-01",
        "machine": {"device": "cpu", "processor": "some", "cores": 2},
        "results": {**MEASURED, "loader": []},
    }
    plot.draw(content, tmp_path / "part.png")
    with Image.open(tmp_path / "part.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_without_matplotlib_the_numbers_are_there(data: Path) -> None:
    # In a process of its own, where matplotlib cannot be found.
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *more: None if name == 'matplotlib' else find(name, *more);"
        "from inpaint_transform.tools.bench import plot;"
        "print(plot.available(), 'matplotlib' in sys.modules, plot.MISSING)"
    )
    said = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert said.stdout.startswith("False False")
    assert "pip install 'inpaint_transform[bench]'" in said.stdout


def test_a_command_keeps_only_the_names_of_paths() -> None:
    described = report.describe(
        "inpaint-transform", ["bench", "/home/somebody/model", "--out=/home/somebody/a.json"], {}
    )
    assert described["command"] == "inpaint-transform bench model a.json"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_committed_result_says_where_it_comes_from(path: Path) -> None:
    content = check_report(path)
    assert content["results"]
    assert f"benchmarks.{path.stem}" in content["command"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])
    assert not re.search(r"/(home|root|Users|work|tmp)/", path.read_text())
