"""The benchmarks run to their end in quick mode, and their result files say what was measured, where and when."""

import datetime
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import model_speed, scaling
from benchmarks.study import quick
from inpaint_transform.tiny import CHECKPOINT

ROOT = Path(__file__).parents[2]
HEAD = {"command", "date", "machine", "versions", "results"}


def run(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """The results of a benchmark that runs as a process of its own; its file's head is checked."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT,
        env={**os.environ, "BENCHMARK_RESULTS": os.fspath(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / f"{name}.json").read_text("utf-8"))
    assert set(report) == HEAD
    # Folders are somebody's own.
    said = [Path(one).name if Path(one).is_absolute() else one for one in arguments]
    assert report["command"] == " ".join([f"python -m benchmarks.{name}", *said])
    assert abs(datetime.date.today() - datetime.date.fromisoformat(report["date"])) <= datetime.timedelta(days=1)
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["processor"]
    assert all(report["versions"][package] for package in ("python", "torch", "diffusers", "albumentations", "numpy"))
    assert all(map(math.isfinite, numbers(report["results"])))
    assert list(numbers(report["results"]))
    return report["results"]


def numbers(value: Any) -> list[float]:
    """All numbers in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def is_picture(file: Path) -> bool:
    """Whether a file is a picture that shows more than one colour."""
    with Image.open(file) as image:
        return any(low < high for low, high in image.convert("RGB").getextrema())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_peers_are_compared(tmp_path: Path) -> None:
    results = run("peers", tmp_path, "--quick")
    ways = results["ways"]
    assert {name[0] for name in ways} >= set("abdef")
    assert all(row["images_per_s"] > 0 for row in ways.values())
    # Ours and diffusers' own crop and the squashing differ in what they leave alone: that is the point of the table.
    assert ways["a: plain call, squashed picture"]["change_outside"] > 0
    ours = [row["change_outside"] for name, row in ways.items() if name.startswith("f")]
    assert ours == [0] * len(ours)
    assert len(ours) >= 3
    assert "imitated" in ways["d: kornia RandomDissolving"]["note"]
    for target in results["targets"].values():
        reached = (
            target["found"] >= target["at_least"] if "at_least" in target else target["found"] <= target["at_most"]
        )
        assert target["met"] is reached
    for row in results["profile_ms_per_image"].values():
        assert sum(row[part] for part in row if part != "total") == pytest.approx(row["total"], rel=0.01)
        assert row["unet"] > 0


@pytest.mark.slow
def test_the_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    results = run("scaling", tmp_path, "--quick")
    for name, unit in {"size": "megapixels", "boxes": "boxes", "workers": "workers", "prompts": "prompts"}.items():
        across = [row[unit] for row in results[name]]
        assert across == sorted(set(across))
        assert len(across) >= 2
        assert is_picture(tmp_path / f"scaling_{name}.png")


@pytest.mark.slow
def test_one_section_of_the_growth_can_be_asked_for(tmp_path: Path) -> None:
    assert set(run("scaling", tmp_path, "size", "--quick")) == {"size"}
    assert [file.name for file in tmp_path.glob("*.png")] == ["scaling_size.png"]


def test_an_unknown_section_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "colour"])
    with pytest.raises(SystemExit) as end:
        scaling.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "colour" in said
    assert "prompts" in said


@pytest.mark.slow
def test_the_overhead_is_measured(tmp_path: Path) -> None:
    results = run("overhead", tmp_path, "--quick")
    for found in (results["fired_against_bare_pipeline"], *results["not_fired_against_noop"].values()):
        assert found["ratio"] > 0
    assert results["imports"]["face_s"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_serving_is_measured(tmp_path: Path) -> None:
    results = run("serving", tmp_path, "--quick")
    assert set(results) == {"handover", "throughput", "strengths", "memory", "start", "neighbours", "busy"}
    assert all(case["ratio_to_best"] > 0 for case in results["busy"].values())
    assert results["memory"]["shared"]["processes"] == 3
    assert results["neighbours"]["reproducible=True"]["unequal_images"] == 0


@pytest.mark.slow
def test_a_hit_is_measured(tmp_path: Path) -> None:
    results = run("reuse", tmp_path, "hit", "--quick")["hit"]
    assert [results[name]["looks"] for name in ("100 looks", "many looks")] == [101, 2001]
    assert all(0 < found["read_ms"] < found["hit_ms"] for found in results.values())


@pytest.mark.slow
def test_reuse_is_measured_and_drawn(tmp_path: Path) -> None:
    results = run("reuse", tmp_path, "--quick")
    assert set(results) == {"epochs", "empty", "hit", "share", "memory", "tiny"}
    for way in ("wait=True", "wait=False", "without reuse"):
        assert all(row["images_per_s"] > 0 for row in results["epochs"][way])
    assert results["epochs"]["wait=True"][0]["effective_p"] == 0.25
    assert is_picture(tmp_path / "reuse.png")
    assert is_picture(tmp_path / "reuse_tiny.png")


@pytest.mark.slow
def test_the_memory_of_a_fit_is_counted(tmp_path: Path) -> None:
    results = run("fit_memory", tmp_path, "--quick")
    for name in ("sd15", "sdxl"):
        one, four = (results[name][f"batch {batch}"] for batch in (1, 4))
        for found in (one, four):
            assert found["with checkpointing"]["total"] <= found["without checkpointing"]["total"]
        assert one["with checkpointing"]["weights"] == four["with checkpointing"]["weights"]
        assert one["without checkpointing"]["total"] < four["without checkpointing"]["total"]


@pytest.mark.slow
def test_optimizers_are_compared(tmp_path: Path) -> None:
    few = ("--steps", "2", "--every", "1", "--batch", "2", "--crops", "4")
    results = run("optimizers", tmp_path, "--data", str(quick.draw(tmp_path)), *few)
    ways = {way: found for way, found in results.items() if way != "settings"}
    assert [way.split(",")[0] for way in ways] == ["AdamW", "AdamW", "Muon"]
    for found in ways.values():
        assert [step for step, _ in found["held_out"]] == [1, 2]
        assert found["seconds_a_step"] > 0
    ends = [found["held_out"][-1][1] for found in ways.values()]
    assert len(set(ends)) == 3, ends


@pytest.mark.slow
def test_the_embedded_model_is_fitted_to_a_set(tmp_path: Path) -> None:
    out = tmp_path / "model"
    results = run("fit", tmp_path, "--data", str(quick.draw(tmp_path)), "--out", str(out), "--quick", "--threads", "1")
    assert set(results["training"]) == {"autoencoder", "denoiser", "decoder"}
    assert results["evaluation"]["edits"] >= 12
    assert results["seconds_of_this_call"] > results["seconds"] > 0
    assert is_picture(tmp_path / "fit.png")


@pytest.mark.slow
def test_the_embedded_model_is_compared_with_another(tmp_path: Path) -> None:
    results = run("model_speed", tmp_path, "--before", str(CHECKPOINT), "--size", "32", "--steps", "2", "--turns", "2")
    assert results["settings"]["before"] == [32, 2, 2.0]
    assert all(results[batch]["speed_over_before"] > 0 for batch in ("batch 1", "batch 8"))


def test_the_first_turn_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(model_speed.time, "perf_counter", lambda: clock[0])

    class Slow:
        size = 32

        def __init__(self, *turns: float) -> None:
            self.turns = list(turns)

        def paint(self, requests: Any) -> None:
            assert len(requests) == 8
            clock[0] += self.turns.pop(0)

    assert model_speed.seconds([Slow(9, 2, 3), Slow(7, 1, 1)], 8, 2) == [[2, 3], [1, 1]]  # type: ignore[list-item]
