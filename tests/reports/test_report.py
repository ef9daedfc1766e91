"""The report of a log: what it counts and shows, and what it does without what is missing or damaged."""

from __future__ import annotations

import base64
import dataclasses
import html
import html.parser
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browse, needs_browser, overflow
from PIL import Image

from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.reports import log as provenance
from inpaint_transform.reports import report
from inpaint_transform.reports.log import Log

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
BEFORE = np.full((40, 40, 3), 90, np.uint8)
SPEC = ModelSpec("tiny", device="cpu", serving="local", steps=2)


def outcome(label: str, score: float, accepted: bool = True, **more: Any) -> Outcome:
    edit = Edit(0, (10, 10, 30, 30), (0, 0, 40, 40), label, more.pop("prompt", f"a {label}"), "", 1.0, 5)
    values = {
        "edit": edit,
        "accepted": accepted,
        "reason": None if accepted else "clip",
        "seed": 5,
        "attempts": 1 if accepted else 3,
        "scores": {"clip": score},
        "milliseconds": 10.0,
        "before": BEFORE,
        "after": lambda: np.full((40, 40, 3), int(200 * min(max(score, 0), 1)) if score == score else 0, np.uint8),
    }
    return Outcome(**{**values, **more})


def write(path: Path, *outcomes: Outcome, crops: bool = True, key: str | None = None) -> Path:
    Log(path, save_crops=crops).write(IMAGE, list(outcomes), Recipe(), SPEC, 0, key)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Four cones of which one was accepted, ten cubes of which all were, and a swap."""
    swapped = Edit(0, (10, 10, 30, 30), (0, 0, 40, 40), "cone", "a cube", "", 1.0, 5, new_label="cube")
    return write(
        tmp_path / "edits.jsonl",
        outcome("cone", 0.71),
        *(outcome("cone", score, accepted=False) for score in (0.11, 0.33, 0.22)),
        *(outcome("cube", 0.8 + number / 100) for number in range(10)),
        outcome("cone", 0.95, edit=swapped),
    )


class Page(html.parser.HTMLParser):
    """The cells of every table row, the text, the addresses and the tags of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words = ""
        self.sources: list[str] = []
        self.tags: list[str] = []
        self._in_cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._in_cell:
            self.rows[-1][-1] += data


def page(log: Path, **more: Any) -> Page:
    out = log.with_name("page.html")
    report.write(log, out, **more)
    return Page(out)


def test_the_page_counts_by_class_and_swap(log: Path) -> None:
    rows = {row[0]: row[1:] for row in page(log).rows if row}
    assert rows["cone"][:4] == ["4", "1", "25%", "2.50"]
    assert rows["cube"][:4] == ["10", "10", "100%", "1.00"]
    assert rows["cone -> cube"][:3] == ["1", "1", "100%"]
    assert rows["all"][:3] == ["15", "12", "80%"]
    assert rows["clip"] == ["3"]


def test_the_page_needs_nothing_else(log: Path) -> None:
    found = page(log)
    assert found.tags.count("script") == 1
    assert found.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)


def test_the_worst_accepted_and_the_best_rejected_come_first(log: Path) -> None:
    summary = report.write(log, log.with_name("page.html"), limit=2)
    assert [record.scores["clip"] for _, record in summary.worst] == [0.71, 0.8]
    assert [record.scores["clip"] for _, record in summary.best] == [0.33, 0.22]
    assert len(Page(log.with_name("page.html")).sources) == 8  # each before and after


def test_a_long_log_keeps_the_right_ones(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(1000)
    log = write(
        tmp_path / "log.jsonl",
        *(outcome("cone", number / 1000, accepted=bool(number % 2)) for number in order),
        crops=False,
    )
    summary = report.write(log, tmp_path / "page.html", limit=3)
    assert [record.scores["clip"] for _, record in summary.worst] == [0.001, 0.003, 0.005]
    assert [record.scores["clip"] for _, record in summary.best] == [0.998, 0.996, 0.994]


def test_the_histogram_holds_every_edit(log: Path) -> None:
    text = log.with_name("page.html")
    report.write(log, text)
    [drawing] = re.findall("<svg.*?</svg>", text.read_text(encoding="utf-8"), re.DOTALL)
    heights = {
        colour: sum(float(height) for height in re.findall(rf'height="([\d.]+)" fill="{colour}"', drawing))
        for colour in ("#0069aa", "#be1e2d")
    }
    assert heights["#0069aa"] / heights["#be1e2d"] == pytest.approx(12 / 3, rel=0.02)


def test_equal_scores_still_draw(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *(outcome("cone", 0.5) for _ in range(3)))
    assert "svg" in page(log).tags


def test_words_from_the_log_stay_words(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    log = write(
        tmp_path / "log.jsonl",
        outcome(evil, 0.5, prompt=evil, scores={evil: 0.5}),
        outcome(evil, 0.5, accepted=False, reason=evil),
        key=evil,
    )
    found = page(log)
    assert found.tags.count("script") == 1
    assert found.words.count(evil) >= 4


def test_the_edited_box_is_marked_in_both_pictures(log: Path) -> None:
    summary = report.write(log, log.with_name("page.html"), limit=1)
    [first] = re.findall('<div class="pair">(.*?)</div></div>', report.page(summary, log), re.DOTALL)[:1]
    assert re.findall('<span class="faint">(.*?)</span><img alt="(.*?)"', first) == [
        ("before", "before"),
        ("after", "after"),
    ]
    for source in re.findall('src="data:image/jpeg;base64,(.*?)"', first):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))).astype(int)
        # The box is (10, 10, 30, 30) in the window; inside it, and between the brackets, nothing is drawn.
        flat = pixels[20, 20]
        assert np.abs(pixels[7:10, 7:10] - flat).max() > 60
        assert np.abs(pixels[30:33, 30:33] - flat).max() > 60
        assert np.abs(pixels[12:28, 12:28] - flat).max() < 30


def test_a_smaller_picture_is_marked_where_its_box_is(log: Path) -> None:
    for picture in provenance.crops_of(log).iterdir():
        with Image.open(picture) as opened:
            half = opened.resize((opened.width // 2, opened.height // 2))
        half.save(picture)
    assert report._box(next(provenance.read(log))[1], np.zeros((20, 20, 3), np.uint8)) == (5, 5, 15, 15)
    assert len(page(log, limit=1).sources) == 4


@needs_browser
def test_a_threshold_is_tried_and_says_which_would_go(tmp_path: Path) -> None:
    log = tmp_path / "edits.jsonl"
    outcomes = [outcome("cone", score, accepted=score >= 0.3) for score in (0.1, 0.25, 0.35, 0.5, 0.7, 0.95)]
    Log(log, save_crops=True).write(IMAGE, outcomes, Recipe(), SPEC, 0, None, {"clip": {"min_margin": 0.3}})
    move = """<script>
    const slider = document.querySelector(".trial input"), output = document.querySelector(".trial output");
    const { steps } = JSON.parse(document.querySelector(".trial").dataset.trial);
    const marked = (kind) => [...document.querySelectorAll("." + kind)].map((one) => one.dataset.scores).join(" ");
    const seen = [];
    for (const wanted of [null, 0.6, 0.2]) {
      if (wanted !== null) slider.value = steps.findIndex((step) => step >= wanted - 1e-9);
      slider.dispatchEvent(new Event("input"));
      seen.push([output.textContent, marked("goes"), marked("stays"),
        document.querySelector(".tried").getAttribute("visibility")].join(" / "));
    }
    document.body.dataset.seen = seen.join(" | ");
    </script></body>"""
    text = report.page(report.summarise(provenance.read(log), 24), log)
    assert text.count('class="threshold"') == 1
    (tmp_path / "page.html").write_text(text.replace("</body>", move), encoding="utf-8")
    [seen] = re.findall('data-seen="(.*?)"', browse(tmp_path / "page.html", "--dump-dom"))
    assert html.unescape(seen).split(" | ") == [
        "min_margin = 0.3: 67 % of 6 edits are kept /  /  / hidden",
        'at min_margin = 0.6 you would keep 33 % of 6 edits: 2 that are accepted now would go / {"clip": 0.35} '
        '{"clip": 0.5} /  / visible',
        "at min_margin = 0.2 you would keep 83 % of 6 edits: 1 more, if nothing else is wrong with them /  / "
        '{"clip": 0.25} / visible',
    ]


def test_a_log_names_no_picture_outside_its_folder(tmp_path: Path) -> None:
    Image.fromarray(BEFORE).save(tmp_path / "private.png")
    log = write(tmp_path / "log.jsonl", outcome("cone", 0.5))
    name = str(next(provenance.read(log))[1].crop)
    log.write_text(log.read_text().replace(name, "../private.png"))
    assert page(log).sources == []


def test_a_sheet_shows_each_pair(log: Path) -> None:
    out = log.with_name("sheet.png")
    report.write(log, out, limit=1)
    small = np.asarray(Image.open(out))
    report.write(log, out, limit=3)
    large = np.asarray(Image.open(out))
    assert small.shape[1] == large.shape[1]
    assert large.shape[0] > 2 * small.shape[0]
    # The window of the worst accepted edit, before and after.
    colours = {tuple(colour) for colour in small.reshape(-1, 3)[::7].tolist()}
    assert {(90, 90, 90), (142, 142, 142)} <= colours


def test_what_was_not_painted_yet_is_no_rejection(tmp_path: Path) -> None:
    cold = {"accepted": False, "reason": "cold", "reuse": "cold", "scores": {}, "after": lambda: None, "attempts": 0}
    hit = outcome("cone", 0.5, reuse="hit")
    log = write(tmp_path / "log.jsonl", hit, *[outcome("cone", 0, **cold)] * 3, outcome("cube", 0, **cold))
    found = page(log)
    assert [row[-1] for row in found.rows] == ["not painted yet", "3", "1", "4"]
    assert [row[1:4] for row in found.rows[1:]] == [["1", "1", "100%"], ["0", "0", "-"], ["1", "1", "100%"]]
    assert "Rejected" not in found.words
    assert "best rejected" not in found.words


def test_classes_are_called_by_their_names(tmp_path: Path) -> None:
    edit = Edit(0, (10, 10, 30, 30), (0, 0, 40, 40), 0, "a cube", "", 1.0, 5, new_label=1)
    log, names = tmp_path / "log.jsonl", Recipe(class_names=["cone", "cube"])
    made = [outcome("", 0.5, edit=dataclasses.replace(edit, new_label=None)), outcome("", 0.5, edit=edit)]
    Log(log, save_crops=True).write(IMAGE, made, names, SPEC, 0, None)
    found = page(log)
    assert [row[0] for row in found.rows if row] == ["class", "cone", "cone -> cube", "all"]
    report.write(log, tmp_path / "sheet.png")


def test_a_slow_first_call_does_not_count_for_all(tmp_path: Path) -> None:
    """Models, kernels and gates start with the first edit; so it is in logs of before."""
    log = write(tmp_path / "log.jsonl", outcome("cone", 0.5, milliseconds=60_000.0), *[outcome("cone", 0.5)] * 9)
    found = page(log)
    [column] = [at for at, title in enumerate(found.rows[0]) if title == "ms, median"]
    assert found.rows[1][column] == "10"


def test_a_page_without_pictures_says_how_to_get_them(log: Path) -> None:
    assert "No pictures" not in page(log).words
    without = write(log.with_name("plain.jsonl"), outcome("cone", 0.5), crops=False)
    assert "the log was written without them. With log_crops=True" in page(without).words
    moved = log.with_name("moved.jsonl")
    moved.write_text(log.read_text())
    assert "the folder moved.jsonl.crops does not lie beside the log" in page(moved).words
    with pytest.raises(ValueError, match="moved.jsonl.crops does not lie.*A .html report needs none"):
        report.write(moved, log.with_name("sheet.png"))
    # Where the model gave nothing there is nothing to log.
    failed = write(log.with_name("failed.jsonl"), outcome("cone", 0, accepted=False, scores={}, after=lambda: None))
    assert "No pictures" not in page(failed).words


def test_pictures_that_are_gone_leave_the_numbers(log: Path) -> None:
    for picture in provenance.crops_of(log).iterdir():
        picture.unlink()
    found = page(log)
    assert found.sources == []
    assert any(row[:1] == ["cube"] for row in found.rows)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", "thin"])
def test_pictures_that_are_damaged_leave_the_numbers(log: Path, content: bytes | str) -> None:
    for picture in provenance.crops_of(log).iterdir():
        if isinstance(content, str):
            Image.fromarray(BEFORE[:, :1]).save(picture)
        else:
            picture.write_bytes(content)
    found = page(log)
    assert found.sources == []
    assert any(row[:1] == ["cube"] for row in found.rows)


def test_damaged_lines_leave_the_rest(log: Path) -> None:
    lines = log.read_text().splitlines()
    lines[1:3] = ["{", lines[2].replace('"scores": {', '"scores": 3, "x": {')]
    log.write_text("\n".join(lines) + "\n")
    found = page(log)
    assert {row[0]: row[1] for row in found.rows if row}["cone"] == "2"
    assert "2 of the log's lines could not be read" in found.words
    assert "line 2" in found.words


def test_scores_that_are_no_numbers_are_left_out_of_the_drawing(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.jsonl",
        *(outcome("cone", score) for score in (float("nan"), float("inf"), -1e308, 1e308, 0.5, 5e-324)),
        crops=False,
    )
    found = page(log)
    assert "svg" in found.tags
    assert "nan" in found.words  # under its picture


def test_an_edit_without_scores_and_picture_is_counted(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", outcome("cone", 0, accepted=False, scores={}, after=lambda: None))
    assert "no picture: clip" in page(log).words


@needs_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_a_phone_and_a_screen(log: Path, width: int) -> None:
    write(
        log, outcome("cone " * 30 + "x" * 200, 0.4, prompt="a" * 300, reason="x" * 300, accepted=False), key="k" * 300
    )
    text = report.page(report.summarise(provenance.read(log), 5), log)
    assert overflow(text, log.with_name("page.html"), width) <= 0
