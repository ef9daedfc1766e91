"""The page of a study: everything on it, escaped, within the window, also of a study that has hardly begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import needs_browser, overflow
from studies import study
from test_study_result import BASE, plus

from inpaint_transform.tools.study.result import Study

VALUES = {"nothing": BASE, "painted": plus(0.03), "a-long-name-of-an-arm": [None] * 8}


@pytest.fixture
def found() -> Study:
    failed = {"arm": "painted", "draw": 3, "status": "failed", "reason": "exit code 3", "tail": "<b>out</b> of memory"}
    made = study(VALUES)
    return Study("<cones>", made.header, made.arms, (failed,), made.planned)


def test_it_says_what_there_is(found: Study, tmp_path: Path) -> None:
    found.page(tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    for text in (
        *found.words()[:2],
        "Study &lt;cones&gt;",
        "&lt;b&gt;out&lt;/b&gt; of memory",
        "exit code 3",
        "train {seed}",
    ):
        assert text in page
    assert "<b>" not in page
    assert page.count("data:image/png;base64,") == 1
    assert page.count("<td>43.") >= 3


def test_a_study_without_results_has_a_page(tmp_path: Path) -> None:
    study({"nothing": [None], "a": [None]}).page(tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert "no result yet" in page
    assert "data:image" not in page


@needs_browser
@pytest.mark.parametrize("width", [1280, 500])
def test_it_fits_the_window(found: Study, tmp_path: Path, width: int) -> None:
    found.page(tmp_path / "p.html")
    assert overflow((tmp_path / "p.html").read_text(), tmp_path / "q.html", width) <= 0
