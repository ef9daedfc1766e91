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
    zero = dict.fromkeys(("painted", "painted_per_s", "busy_share"), 0.0)
    nothing = dict.fromkeys(("p50_ms", "p95_ms", "mean_batch", "share_of_bare", "host_pss_mib"))
    return {"workers": workers, "p": p, "concurrent": False, "images_per_s": rate, **zero, **nothing}


def results() -> dict:
    return {
        "model": {"id": "tiny", "size": 64, "steps": 12},
        "data": {"pictures": 100, "boxes": 300},
        "bare": BARE,
        "loader": [case(0.0, 450.0), case(0.5, 15.0)],
        "reuse": [case(0.1, 440.0), case(0.5, 400.0)],
    }


def test_the_advice_names_it_with_how_often_an_object_is_painted_anew() -> None:
    said = advice.advise(results(), 30.0)
    [line] = [line for line in said if "with reuse=" in line]
    assert "affords p = 0.5 (4 workers)" in line
    assert "anew every 9 epochs" in line  # three boxes a picture, 30 pictures/s, 10 paintings/s


def test_without_a_measurement_nothing_is_promised() -> None:
    assert not [line for line in advice.advise({**results(), "reuse": []}, 30.0) if "with reuse=" in line]


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
    assert found["painted"] == found["images"] > 0
    assert found["mean_batch"] is None
