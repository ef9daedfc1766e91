"""The README's numbers are those of the result files, and nothing is said of runs that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study import publish


@pytest.mark.parametrize(("page", "said"), [(publish.README, publish.numbers), (publish.FIRST_PAGE, publish.headline)])
def test_the_readmes_say_what_the_files_say(page: Path, said: Callable[[Path], str]) -> None:
    text = page.read_text("utf-8")
    assert publish.fill(text, said(publish.RESULTS)) == text, "run python -m benchmarks.study.publish"


def test_results_do_not_tell_where_they_were_made() -> None:
    for file in publish.RESULTS.glob("*.jsonl"):
        text = file.read_text("utf-8")
        assert "/work" not in text
        assert "/root" not in text
        assert "/home" not in text


ARMS = {"nothing": True, "strong": True, "ours": False, "real-10-more": False}


def row(arm: str, draw: int, value: float, val: float, **metrics: float) -> dict[str, Any]:
    return {
        "run": f"{arm}{draw}",
        "arm": arm,
        "draw": draw,
        "seed": draw,
        "n": 20,
        "status": "done",
        "seconds": 90.0,
        "device": "cpu",
        "metrics": {
            "test.map": value,
            "test.map50": value + 0.3,
            "test.map75": value - 0.1,
            "test.by_class.RBC": value,
            "val.map": val,
            "changed": 2.0 if arm == "ours" else 0.0,
            "changed_by_class.RBC": 2.0 if arm == "ours" else 0.0,
            **metrics,
        },
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A study of six draws: ours is worth five pictures."""
    folder = tmp_path / "main_bccd-20"
    folder.mkdir()
    values = {"nothing": 0.3, "strong": 0.4, "ours": 0.41, "real-10-more": 0.42}
    rows = [row(arm, draw, values[arm] + draw / 1000, values[arm]) for draw in range(6) for arm in ARMS]
    header = {
        "name": "main_bccd-20",
        "command": "train",
        "metric": {"test": "test.map", "val": "val.map", "better": "higher", "scale": None},
        "draws": 6,
        "data": None,
        "n": 20,
        "seed": 0,
        "arms": [
            {"name": arm, "baseline": baseline, "n": 30 if arm.startswith("real") else 20}
            for arm, baseline in ARMS.items()
        ],
        "runs": {arm: [f"{arm}{draw}" for draw in range(6)] for arm in ARMS},
    }
    failed = {**row("ours", 9, 0, 0), "status": "failed", "tail": "in /root/x", "reason": "exit code 1"}
    del failed["metrics"]
    old = {**row("ours", 0, 0.9, 0.9), "run": "ours0-of-another-program"}
    lines = [{"study": {"name": "older"}}, failed, old, {"study": header}, *rows]
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return tmp_path


def test_rows_are_copied_and_numbers_written(out: Path, tmp_path: Path) -> None:
    results = tmp_path / "repository"
    [file] = publish.collect(out, results)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 1 + 24 + 1
    assert "/root" not in file.read_text()
    said = publish.numbers(results)
    assert "### main_bccd-20" in said
    assert "24 of 24 runs" in said
    # A training of another program counts for nothing, and is told.
    assert "One finished run of ours was made with other settings and was not counted" in said
    assert "Partial" not in said
    assert "| ours | 71.2 | 31.2 | 41.2 | 2.00 | RBC 2.00 | 1.5 |" in said
    assert "| 40.2 | 0.00 |  | 1.5 |" in said
    assert "ours 5." in said
    begin, end = publish.MARKS
    assert publish.fill(f"a\n{begin}\nold\n{end}\nb", said) == f"a\n{begin}\n\n{said}\n{end}\nb"


def test_a_training_that_failed_is_told_and_the_rest_published(out: Path, tmp_path: Path) -> None:
    file = out / "main_bccd-20" / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line.get("run") == "ours0":
            line |= {"status": "failed", "tail": "in /root/x", "reason": "exit code 1"}
            del line["metrics"]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    [copied] = publish.collect(out, tmp_path / "repository")
    assert "/root" not in copied.read_text()
    said = publish.numbers(tmp_path / "repository")
    assert "One run failed (ours)" in said
    assert "| ours | 5 |" in said


def test_the_plot_of_other_rows_goes(out: Path, tmp_path: Path) -> None:
    results = tmp_path / "repository"
    results.mkdir()
    (results / "main_bccd-20.png").write_bytes(b"old")
    file = out / "main_bccd-20" / "results.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-7]) + "\n")
    publish.collect(out, results)
    assert not (results / "main_bccd-20.png").exists()


def test_arms_that_were_left_out_are_named(out: Path, tmp_path: Path) -> None:
    publish.collect(out, tmp_path / "repository")
    said = publish.numbers(tmp_path / "repository")
    assert "not run: weak, repeat-factor, copy-paste, copy-paste-new, identity, ours-gated" in said


def test_no_gain_is_counted_in_pictures_that_gain_nothing(out: Path, tmp_path: Path) -> None:
    file = out / "main_bccd-20" / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line.get("arm") == "real-10-more" and "metrics" in line:
            line["metrics"]["test.map"] = 0.2
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    publish.collect(out, tmp_path / "repository")
    assert "so no gain can be counted in them" in publish.numbers(tmp_path / "repository")


@pytest.mark.parametrize("painted", [2, 3])
def test_how_real_paint_looks_is_drawn_of_three_arms_at_least(out: Path, tmp_path: Path, painted: int) -> None:
    file = out / "main_bccd-20" / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for one in lines:
        if one.get("arm") in list(ARMS)[:painted] and "metrics" in one:
            one["metrics"]["told_apart"] = 0.9
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    publish.collect(out, tmp_path / "results")
    assert (tmp_path / "results" / "main_bccd-20_told.png").exists() == (painted == 3)


def test_pairs_beside_the_best_baseline_are_told(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "PAIRS", (("ours", "nothing"), ("ours", "not there")))
    publish.collect(out, tmp_path / "repository")
    said = publish.numbers(tmp_path / "repository")
    assert "| ours | nothing | 6 | +11.0 | +11.0 to +11.0 | 0.031 |" in said
    assert "would be found in 80%" in said
    assert "not there" not in said


def test_the_first_page_has_table_conclusion_and_plot_of_one_study(out: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    results = tmp_path / "repository"
    publish.collect(out, results)
    said = publish.headline(results)
    assert "| ours |" in said
    assert "](benchmarks/results/study/main_bccd-20.png)" in said
    assert "What is gained" not in said
    assert (results / "main_bccd-20.png").exists()


def test_the_first_page_tells_of_all_parts_what_they_gain(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "PAINTED", ("not there", "ours"))
    monkeypatch.setattr(publish, "BASELINE", "nothing")
    publish.collect(out, tmp_path / "repository")
    said = publish.headline(tmp_path / "repository")
    assert "| 20 | 6 |  | +11.0 (+11.0 to +11.0) |" in said
    assert "| 40 |" not in said


def test_the_first_page_has_no_table_of_few_draws(out: Path, tmp_path: Path) -> None:
    file = out / "main_bccd-20" / "results.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-7]) + "\n")
    results = tmp_path / "repository"
    publish.collect(out, results)
    assert publish.headline(results) == "Not known yet: 17 trainings are done, too few to say anything.\n"
    assert not (results / "main_bccd-20.png").exists()


def test_what_is_not_finished_is_called_partial(out: Path, tmp_path: Path) -> None:
    file = out / "main_bccd-20" / "results.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-7]) + "\n")
    publish.collect(out, tmp_path / "repository")
    assert "**Partial: 17 of 24 runs" in publish.numbers(tmp_path / "repository")


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    assert publish.numbers(tmp_path) == publish.headline(tmp_path) == "Nothing was run yet.\n"
    with pytest.raises(ValueError, match="each once"):
        publish.fill("no marks", "")


@pytest.mark.parametrize(("gain", "said"), [(-0.01, "none"), (0.01, "5"), (0.03, "15"), (0.09, "more than 20")])
def test_a_gain_in_pictures(gain: float, said: str) -> None:
    assert publish._pictures(gain, [(0, 0.0), (10, 0.02), (20, 0.04)]) == said
