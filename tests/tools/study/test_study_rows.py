"""The results file survives a kill in the middle of a line, and belongs to one process at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform import InpaintError
from inpaint_transform.tools.study import rows


def row(number: int, **more: object) -> dict[str, object]:
    return {"run": f"r{number}", "status": "done", **more}


def header(name: str, draws: int = 10, **baselines: bool) -> dict[str, Any]:
    arms = [{"name": arm, "baseline": baseline} for arm, baseline in baselines.items()]
    metric = {"test": "map", "val": "val", "better": "higher"}
    return {"name": name, "draws": draws, "n": 20, "seed": 0, "metric": metric, "arms": arms}


def test_what_was_planned_first_is_kept(tmp_path: Path) -> None:
    """Fewer draws once there is a claim, or arms left out that have none, would leave no trace."""
    with rows.Rows(tmp_path) as kept:
        kept.begin(header("a", 10, nothing=True, painted=False, other=False))
        kept.add(row(1))
        kept.begin(header("renamed", 10, nothing=True, painted=False, other=False))
        assert "first" not in kept.header
        kept.begin(header("a", 7, nothing=True, painted=False))
    for _ in range(2):
        with rows.Rows(tmp_path) as kept:
            first = kept.header["first"]
            assert (first["draws"], first["baselines"], first["other arms"]) == (10, "nothing", "other, painted")
            kept.begin(header("a", 8, nothing=True, painted=False))
    with rows.Rows(tmp_path) as kept:
        kept.begin(header("a", 10, nothing=True, painted=False, other=False))
        assert "first" not in kept.header


def test_what_was_planned_before_there_was_a_result_is_no_plan(tmp_path: Path) -> None:
    with rows.Rows(tmp_path) as kept:
        kept.begin(header("a", 10, nothing=True, painted=False))
        kept.add(row(1, status="failed"))
        kept.begin(header("a", 7, nothing=True, painted=False))
        assert "first" not in kept.header


def test_the_last_row_of_a_run_and_the_last_header_count(tmp_path: Path) -> None:
    with rows.Rows(tmp_path / "new") as kept:
        kept.begin(header("a"))
        kept.begin(header("a"))
        kept.add(row(1, status="failed"))
        kept.add(row(1, seconds=2))
    with rows.Rows(tmp_path / "new") as kept:
        assert kept.header == header("a")
        assert kept.runs == {"r1": row(1, seconds=2)}
        kept.begin(header("b"))
    lines = (tmp_path / "new" / rows.NAME).read_text().splitlines()
    assert len(lines) == 4
    assert rows.read(tmp_path / "new" / rows.NAME)[0] == header("b")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 400))
def test_a_torn_line_does_not_count_and_the_file_goes_on(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = folder / rows.NAME
    with rows.Rows(folder) as kept:
        kept.begin({"name": "a"})
        for number in range(4):
            kept.add(row(number, text="x" * 40))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - cut, 0)])
    complete = path.read_bytes().count(b"\n")
    with rows.Rows(folder) as kept:
        assert len(kept.runs) == max(complete - 1, 0)
        kept.add(row(9))
    assert [json.loads(line) for line in path.read_text().splitlines()][-1] == row(9)
    assert len(rows.read(path)[1]) == max(complete - 1, 0) + 1


def test_two_processes_do_not_share_a_study(tmp_path: Path) -> None:
    with rows.Rows(tmp_path), pytest.raises(InpaintError, match="another process is at the study"):
        rows.Rows(tmp_path)
    rows.Rows(tmp_path).close()


@pytest.mark.parametrize("text", ["no json\n", "[1]\n", '{"a": 1}\n', "7\n"])
def test_other_files_are_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / rows.NAME
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.jsonl:1: .*not the results of a study; name another folder"):
        rows.Rows(tmp_path)
    assert path.read_text() == text
