"""What result files say about themselves, and what they keep to themselves."""

import re
from pathlib import Path

import pytest
from bench_reports import check_report

from inpaint_transform.tools.bench import report

ROOT = Path(__file__).parents[2]


def test_a_command_keeps_only_the_names_of_paths() -> None:
    described = report.describe(
        "inpaint-transform", ["bench", "/home/somebody/model", "--out=/home/somebody/a.json"], {}
    )
    assert described["command"] == "inpaint-transform bench model a.json"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_committed_result_says_where_it_comes_from(path: Path) -> None:
    content = check_report(path)
    assert content["results"]
    # What a call of some sections has measured is a file of its own, SCRIPT_SECTION, named by the first of them.
    script, *arguments = content["command"].removeprefix("python -m benchmarks.").split()
    assert path.stem in (script, f"{script}_{arguments[0] if arguments else ''}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])
    assert not re.search(r"/(home|root|Users|work|tmp)/", path.read_text())
