"""The two measuring scripts of the engine's switches and stages run, and their result files say what they must."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(script: str, out: Path) -> dict[str, Any]:
    """Run a script as a user does; its results, once the file has told where they come from."""
    command = [sys.executable, "-m", f"benchmarks.{script}", "--quick", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    found = json.loads(out.read_text("utf-8"))
    assert found["command"] == f"python -m benchmarks.{script} --quick --out {out.name}"
    assert set(found) == {"command", "date", "machine", "versions", "results"}
    assert found["machine"]["processor"]
    assert found["versions"]["torch"]
    return found["results"]


@pytest.mark.slow
def test_ablation(tmp_path: Path) -> None:
    rows = run("ablation", tmp_path / "ablation.json")["rows"]
    assert len(rows) >= 16
    for name, row in rows.items():
        assert row["images_per_s"] > 0, name
        assert row["speed_ratio"] > 0, name
        assert row["against"] in rows, name
        assert row["read_back"] == {}  # there was no data to read
    assert rows["default"]["speed_ratio"] == rows["default"]["of_default"] == 1
    # What is only another way to the same picture.
    for name in ("no prompt cache", "pictures encoded one by one", "PIL in and out", "batch 1", "channels_last"):
        assert rows[name]["difference"]["largest"] <= 3, name
    assert rows["4-channel UNet, unused encode"]["difference"]["largest"] == 0
    # And what is not.
    assert rows["no guidance"]["difference"]["mean"] > 0
    assert rows["AutoencoderTiny"]["difference"] is None
    assert "random weights" in rows["AutoencoderTiny"]["note"]


@pytest.mark.slow
def test_engine_profile(tmp_path: Path) -> None:
    results = run("engine_profile", tmp_path / "profile.json")
    table = results["milliseconds_per_call"]
    assert set(table) == {
        "tiny, batch 1",
        "tiny, batch 2",
        "wide, batch 1",
        "wide, batch 2",
        "tiny, batch 2, new prompts",
    }
    for case, stages in table.items():
        assert all(ms > 0 for ms in stages.values()), case
        parts = [ms for stage, ms in stages.items() if stage != "total"]
        assert sum(parts) == pytest.approx(stages["total"], abs=0.01)
        assert results["own_loop"]["gain_at_most"][case] > 0
        assert 0 < results["own_handling_share"][case] < 1
    assert "%" in results["own_loop"]["conclusion"]
