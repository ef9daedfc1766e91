"""The table as text and as Markdown: the same cells."""

from __future__ import annotations

from studies import study
from test_study_result import BASE, plus

VALUES = {"nothing": BASE, "flip": plus(-0.1004), "painted": plus(0.0302), "late": [None] * 8}


def test_text_stands_in_columns() -> None:
    lines = study(VALUES, ("nothing", "flip"), VALUES).table().splitlines()
    assert lines[0].split() == [
        "arm",
        "draws",
        "map",
        "over",
        "best",
        "baseline",
        "95",
        "%",
        "interval",
        "p",
        "verdict",
    ]
    assert lines[1].split() == ["nothing", "8", "40.0", "best", "baseline"]
    assert lines[2].split() == ["flip", "8", "30.0", "-10.0", "-10.1", "to", "-9.9", "baseline"]
    assert lines[3].split() == ["painted", "8", "43.1", "+3.1", "+2.9", "to", "+3.2", "0.016", "better"]
    assert lines[4].split() == ["late", "0", "-", "no", "result", "yet"]
    assert lines[3].index("better") == lines[0].index("verdict")


def test_markdown_has_the_same_cells() -> None:
    found = study(VALUES, ("nothing", "flip"), VALUES)
    text, marked = found.table().splitlines(), found.table(markdown=True).splitlines()
    assert marked[1] == "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for plain, line in zip(text, [marked[0], *marked[2:]], strict=True):
        assert " ".join(plain.split()) == " ".join(line.replace("|", " ").split())


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    found = study({"nothing": BASE, "a": BASE})
    found.header["metric"]["test"] = "map|50"
    found = type(found)(found.name, found.header, found.arms, (), found.planned)
    assert found.table(markdown=True).splitlines()[0].count("|") == 8 + 1
