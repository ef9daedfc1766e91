"""The GPU benchmark as a command: its whole flow on small models without a GPU, and its counted work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.full_size import FULL, flops

ROOT = Path(__file__).parents[2]


def run(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_without_cuda_it_says_so_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out")])
    gpu.main()
    said = capsys.readouterr().out
    assert "no CUDA device" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_stage_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "sd15-slow", "--tiny", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "'sd15-slow'" in said
    assert "sd15-eager" in said


@pytest.mark.slow
def test_the_flow_runs_through_on_small_models(tmp_path: Path) -> None:
    done = run("sd15-eager", "sd15-served", "--tiny", "--minutes", "4", "--out", str(tmp_path), timeout=280)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert content["command"].startswith("python -m benchmarks.gpu sd15-eager")
    assert {"machine", "versions", "date"} <= set(content)
    results = content["results"]
    assert results["note"] == "random weights: speed only"
    assert results["complete"]
    assert results["skipped"] == []
    found = results["models"]["sd15"]
    assert found["matmul_peak_tflops"] > 0

    assert set(found["eager"]) == {"turbo", "fast", "balanced", "turbo-small", "quality"}
    for preset in found["eager"].values():
        assert "error" not in preset
        assert list(preset["batches"]) == ["1", "2", "4"]
        for batch, case in preset["batches"].items():
            assert case["rejected"] == 0
            assert case["images_per_s"] == pytest.approx(int(batch) / case["seconds"], rel=0.05)
            share = preset["tflops"][batch] / found["matmul_peak_tflops"]
            assert preset["share_of_matmul_peak"][batch] == pytest.approx(share, rel=0.05, abs=1e-3)
        assert set(preset["split"]) == {"batch", "unet", "encoder", "decoder", "rest"}
    assert work(found, "fast") == pytest.approx(networks(found, "tiny", evaluations=4), rel=0.02)
    assert work(found, "balanced") == pytest.approx(networks(found, "kl", evaluations=4), rel=0.02)
    # Both halves of classifier-free guidance are evaluated.
    assert work(found, "quality") == pytest.approx(networks(found, "kl", evaluations=40), rel=0.02)

    padded = found["neighbours"]["reproducible=True"]
    for case in ("alone", "reversed"):
        assert padded[case] == {"images": 4, "unequal_images": 0, "largest_difference": 0}
    assert found["neighbours"]["reproducible=False"]["alone"]["images"] == 4

    served = found["served"]
    assert set(served["throughput"]) == {f"{n} workers x {m}" for n, m in ((1, 1), (1, 16), (8, 1), (8, 2), (8, 4))}
    for case in served["throughput"].values():
        assert case["images_per_s"] > 0
        assert case["rejected"] == 0
    assert served["throughput"]["1 workers x 1"]["mean_batch"] == 1
    assert served["throughput"]["8 workers x 4"]["mean_batch"] > 1
    assert set(served["memory"]) == {"1 workers x 1", "8 workers x 2"}
    assert set(served["share_of_bare_at_batch_4"]) == set(served["throughput"])


def work(found: dict, preset: str) -> float:
    return found["eager"][preset]["tflop_per_image"]


def networks(found: dict, vae: str, evaluations: int) -> float:
    cost = found["tflop_per_image_and_network"]["64"]
    return evaluations * cost["unet"] + cost[f"{vae}_encode"] + cost[f"{vae}_decode"]


@pytest.mark.slow
def test_the_counted_work_of_the_full_size_models() -> None:
    counted = {
        name: {part: count / 1e12 for part, count in flops(model, model.size).items()} for name, model in FULL.items()
    }
    expected = {"unet": 0.803, "kl_encode": 1.117, "kl_decode": 2.515, "tiny_encode": 0.122, "tiny_decode": 0.141}
    assert counted["sd15"] == pytest.approx(expected, abs=1e-3)
    expected = {"unet": 6.761, "kl_encode": 4.879, "kl_decode": 10.470, "tiny_encode": 0.489, "tiny_decode": 0.565}
    assert counted["sdxl"] == pytest.approx(expected, abs=2e-3)
