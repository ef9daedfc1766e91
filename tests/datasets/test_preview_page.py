"""The preview's page: what it shows, that it needs no network, and that its sliders work in a real browser."""

import re
from pathlib import Path

import numpy as np
import pytest
from browser import browse, needs_browser, overflow
from PIL import Image
from test_preview import Painter, annotate, rows_of

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.preview import PaintedRow, paint_row
from inpaint_transform.datasets.preview_page import page
from inpaint_transform.gates import FillGate

EVIL = "<script>alert('evil')</script> & \"co\""


def painted(folder: Path, texts: list[str], labels: tuple[str, ...] = ("cone", "cube")) -> list[PaintedRow]:
    recipe = Recipe(retries=0, num_boxes=2)
    rows = rows_of(annotate(folder, labels=labels), recipe, texts, 2)
    return [paint_row(row, recipe, Painter(rejects="nonsense"), FillGate(0.1)) for row in rows]


def test_each_variant_says_what_it_is(tmp_path: Path) -> None:
    rows = painted(tmp_path, ["a shiny {label}", "nonsense"])
    text = page(rows, "tiny on cones")
    assert text.count('type="range"') == 2  # what the model rejected has nothing to uncover
    for row in rows:
        for outcome in row.outcomes:
            assert f"seed {outcome.seed}" in text
            assert outcome.edit.prompt in text
    assert text.count("original kept: near constant") == 2
    assert len(re.findall(r"fill 0\.9\d", text)) == 2
    assert "<h1>tiny on cones</h1>" in text


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    text = page(painted(tmp_path, ["a {label}"]), "preview")
    assert "default-src 'none'" in text
    assert not re.search(r"""(?:src|href)="(?!data:)""", text)
    assert not re.search(r"https?://", text)


def test_what_users_wrote_stays_words(tmp_path: Path) -> None:
    text = page(painted(tmp_path, [f"a {EVIL}"], (EVIL,)), EVIL)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 4
    assert '"co"' not in text.replace("&quot;", "")


def test_large_pictures_make_no_large_page(tmp_path: Path) -> None:
    [first, *_] = painted(tmp_path, ["a {label}"])
    Image.fromarray(np.zeros((3000, 4000, 3), np.uint8)).save(tmp_path / "large.png")
    large = PaintedRow(first.row, np.zeros((3000, 4000, 3), np.uint8), first.outcomes)
    assert len(page([large], "large")) < 500_000


@needs_browser
def test_a_slider_uncovers_the_painted_picture(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    move = """<script>
    const slider = document.querySelector("input"), before = document.querySelector(".before");
    const at = () => getComputedStyle(before).clipPath;
    const seen = [at()];
    for (const value of ["0", "100"]) {
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
      seen.push(at());
    }
    document.body.dataset.seen = seen.join(" | ");
    document.body.dataset.scripts = document.scripts.length;
    document.body.dataset.sizes = [...document.images].map((image) => image.naturalWidth > 0).join();
    </script></body>"""
    text = page(painted(tmp_path, [f"a {EVIL}"], (EVIL,)), "preview").replace("</body>", move)
    file.write_text(text, encoding="utf-8")
    seen = browse(file, "--virtual-time-budget=3000", "--dump-dom")
    assert 'data-seen="inset(0px 50% 0px 0px) | inset(0px 100% 0px 0px) | inset(0px 0% 0px 0px)"' in seen
    assert re.search(r'data-sizes="true(,true)*"', seen)
    assert 'data-scripts="2"' in seen  # the page's own and this test's


@needs_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_a_phone_and_a_screen(tmp_path: Path, width: int) -> None:
    text = page(painted(tmp_path, ["a {label}", "a" * 300]), "preview of a very long name" * 10)
    assert overflow(text, tmp_path / "page.html", width) <= 0
