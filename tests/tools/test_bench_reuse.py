"""The third way of the benchmark: measured from a full pool, drawn, said, and part of the advice."""

from __future__ import annotations

from pathlib import Path

from inpaint_transform import ModelSpec
from inpaint_transform.tools.bench import advice, plot, report, run
from inpaint_transform.tools.bench.reuse import measure_reuse
from inpaint_transform.tools.bench.samples import embedded
from inpaint_transform.tools.bench.settings import Settings

BARE = [{"batch": 8, "images_per_s": 10.0, "p50_ms": 1.0, "p95_ms": 1.0}]


def case(p: float, rate: float, workers: int = 4) -> dict:
    zero = dict.fromkeys(("painted_per_s", "attempts_per_s", "busy_share"), 0.0)
    nothing = dict.fromkeys(("p50_ms", "p95_ms", "mean_batch", "share_of_bare", "host_pss_mib"))
    painted = {"images": 1000, "painted": 1000 * p, "edits": 1000 * p, "accepted": 1000 * p}
    return {"workers": workers, "p": p, "concurrent": False, "images_per_s": rate, **painted, **zero, **nothing}


def results(device: str = "cuda") -> dict:
    return {
        "model": {"id": "tiny", "size": 64, "steps": 12, "device": device},
        "data": {"source": "photos", "pictures": 100, "total": 100, "boxes": 300, "edits": 1.0, "drawn": 1.0},
        "bare": BARE,
        "loader": [case(0.0, 450.0), case(0.5, 15.0)],
        "reuse": [case(0.1, 440.0), case(0.5, 400.0)],
    }


def reuse_lines(found: dict, rate: float) -> list[str]:
    return [line for line in advice.advise(found, rate) if "with reuse=" in line]


def test_the_advice_names_it_with_how_long_its_looks_take() -> None:
    [line] = reuse_lines(results(), 30.0)
    assert "affords p = 0.5 (4 workers), once the looks are painted" in line
    # Three looks of three boxes a picture, 30 pictures/s, 10 paintings/s.
    assert "all of them in 27 epochs, if painting has a device of its own" in line


def test_a_machine_without_another_device_is_not_told_of_one() -> None:
    [line] = reuse_lines(results("cpu"), 30.0)
    assert line.endswith("with reuse={} it affords p = 0.5 (4 workers), once the looks are painted")


def test_every_rate_has_its_line() -> None:
    """Also where reuse affords less than was measured, or nothing."""
    [line] = reuse_lines(results("cpu"), 445.0)
    # Hardly half way from what was measured without edits to 0.1: times are interpolated, not rates.
    assert "affords p = 0.04 (4 workers)" in line
    [line] = reuse_lines(results("cpu"), 449.99)
    assert "with reuse={} none either" in line


def test_without_a_measurement_nothing_is_promised() -> None:
    assert not reuse_lines({**results(), "reuse": []}, 30.0)


def test_it_is_one_line_and_a_curve(tmp_path: Path) -> None:
    assert "from a pool" in run.line("reuse", case(0.5, 400.0))
    described = report.describe("bench", [], results())
    plot.draw(described, tmp_path / "with.png")
    plot.draw(report.describe("bench", [], {**results(), "reuse": []}), tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_it_is_measured_without_painting(inverting) -> None:
    settings = Settings(ModelSpec("tiny", device="cpu"), workers=(0,), p=(0.0, 1.0), batch_size=2, seconds=0.2)
    [(section, found)] = measure_reuse(settings, embedded())
    assert section == "reuse"
    assert found["painted"] == found["images"] == found["edits"] == found["accepted"] > 0
    assert found["attempts_per_s"] == 0
    assert found["mean_batch"] is None
