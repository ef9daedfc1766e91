"""The preview's page: what it shows, that it needs no network, and that its sliders work in a real browser."""

import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browse, needs_browser, overflow
from PIL import Image
from test_preview import Painter, annotate, rows_of

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.preview import PaintedRow, Sheet, paint_row
from inpaint_transform.datasets.preview_page import About, _duration, page
from inpaint_transform.gates import ChangeGate, ClipGate, FillGate

EVIL = "<script>alert('evil')</script> & \"co\""


def painted(folder: Path, texts: list[str], labels: tuple[str, ...] = ("cone", "cube")) -> list[PaintedRow]:
    recipe = Recipe(retries=0, num_boxes=2)
    rows = rows_of(annotate(folder, labels=labels), recipe, texts, max(2, len(texts)))
    return [paint_row(row, recipe, Painter(rejects="nonsense"), FillGate(0.1)) for row in rows]


def about(rows: list[PaintedRow], **more: Any) -> About:
    values = {"spec": ModelSpec("sd15"), "size": 512, "gate": FillGate(0.1), "pictures": 200}
    sheet = Sheet([one.row for one in rows], read=more.pop("read", 10), paintable=30, missing=more.pop("missing", ()))
    return About(**{**values, "sheet": sheet, **more})


def made(rows: list[PaintedRow], title: str = "preview", **more: Any) -> str:
    return page(rows, title, about(rows, **more))


def facts(text: str) -> dict[str, str]:
    return {html.unescape(term): html.unescape(said) for term, said in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text)}


def test_the_summary_stands_above(tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, seconds=2.0) for row in painted(tmp_path, ["a {label}", "nonsense"])]
    text = made(
        rows,
        spec=ModelSpec("sd15", steps=8, lora=["style.safetensors", ("more", 0.6)], offload="model"),
        gate=ChangeGate() & ClipGate(min_margin=0.1, background=["sky"]),
        missing=["tree"],
        config=tmp_path / "recipe.json",
    )
    found = facts(text)
    assert (
        found["Model"]
        == "sd15, 512 pixels, 8 steps, guidance 7.5, LoRA style.safetensors, LoRA more at 0.6, offload model"
    )
    # The threshold, and whatever else somebody has set.
    assert found["Gate"] == "change (min_inside 5.0) and clip (min_margin 0.1, background ('sky',))"
    assert found["Accepted"] == "2 of 4 variants (50%)"
    # Two variants in two seconds; 30 boxes in 10 pictures are 600 in 200.
    assert found["Speed"].startswith("1 s a variant")
    assert found["Whole set"] == (
        "about 600 boxes in 200 pictures may be painted (as many a picture as in the first 10); at this speed one "
        "painting of each takes about 10 min"
    )
    assert found["Not shown"].startswith("tree")
    assert "recipe.json" in found["Settings"]
    assert text.index("<dl>") < text.index("<section")


def test_boxes_that_were_all_counted_are_not_about(tmp_path: Path) -> None:
    rows = painted(tmp_path, ["a {label}"])
    assert facts(made(rows, read=10, pictures=10))["Whole set"].startswith("30 boxes in 10 pictures")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.123, "0.12 s"), (9.4, "9.4 s"), (42, "42 s"), (600, "10 min"), (9000, "2 h 30 min"), (864000, "10.0 days")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert _duration(seconds) == words


def test_every_class_has_one_box_above(tmp_path: Path) -> None:
    rows = painted(tmp_path, ["nonsense", "a {label}"])
    text = made([*rows, *rows])
    [strip] = re.findall('<div class="classes">(.*?)</div>\n<section', text, re.DOTALL)
    assert re.findall('<a href="#(.*?)">(.*?)</a>', strip) == [("box-1", "cone"), ("box-2", "cube")]
    assert strip.count("2 of 4") == 2
    # An accepted variant stands for its class.
    assert strip.count(", after") == 2
    assert set(re.findall('href="#(.*?)"', text)) <= set(re.findall('id="(.*?)"', text))


def test_each_variant_says_what_it_is(tmp_path: Path) -> None:
    rows = painted(tmp_path, ["a shiny {label}", "nonsense"])
    text = made(rows, "tiny on cones")
    assert text.count('type="range"') == 2  # what the model rejected has nothing to uncover
    for row in rows:
        for outcome in row.outcomes:
            assert f"seed {outcome.seed}" in text
            assert outcome.edit.prompt in text
    assert text.count("original kept: near constant") == 2
    assert len(re.findall(r"fill 0\.9\d", text)) == 2
    assert "<h1>tiny on cones</h1>" in text


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    text = made(painted(tmp_path, ["a {label}"]))
    assert "default-src 'none'" in text
    assert not re.search(r"""(?:src|href)="(?!data:|#)""", text)
    assert not re.search(r"https?://", text)


def test_what_users_wrote_stays_words(tmp_path: Path) -> None:
    text = made(painted(tmp_path, [f"a {EVIL}"], (EVIL,)), EVIL, missing=[EVIL])
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 4
    assert '"co"' not in text.replace("&quot;", "")


def test_large_pictures_make_no_large_page(tmp_path: Path) -> None:
    [first, *_] = painted(tmp_path, ["a {label}"])
    Image.fromarray(np.zeros((3000, 4000, 3), np.uint8)).save(tmp_path / "large.png")
    large = PaintedRow(first.row, np.zeros((3000, 4000, 3), np.uint8), first.outcomes)
    assert len(made([large], "large")) < 500_000


@needs_browser
def test_a_slider_uncovers_the_painted_picture(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    move = """<script>
    const slider = document.querySelector(".variants input"), before = document.querySelector(".variants .before");
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
    text = made(painted(tmp_path, [f"a {EVIL}"], (EVIL,))).replace("</body>", move)
    file.write_text(text, encoding="utf-8")
    seen = browse(file, "--virtual-time-budget=3000", "--dump-dom")
    assert 'data-seen="inset(0px 50% 0px 0px) | inset(0px 100% 0px 0px) | inset(0px 0% 0px 0px)"' in seen
    assert re.search(r'data-sizes="true(,true)*"', seen)
    assert 'data-scripts="2"' in seen  # the page's own and this test's


@needs_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_a_phone_and_a_screen(tmp_path: Path, width: int) -> None:
    rows = painted(tmp_path, ["a {label}", "a" * 300, "nonsense", "b", "c", "d"], ("cone", "x" * 200))
    text = made(rows, "preview of a very long name" * 10, missing=["y" * 300])
    assert overflow(text, tmp_path / "page.html", width) <= 0


@needs_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_variants_stand_in_one_row_and_pictures_are_not_tiny(tmp_path: Path, width: int) -> None:
    places = """<script>
    const boxes = [...document.querySelectorAll(".variants")].map((row) => [...row.children].map((figure) => {
      const place = figure.getBoundingClientRect();
      return [Math.round(place.top), Math.round(place.width)];
    }));
    document.body.dataset.boxes = JSON.stringify(boxes);
    </script></body>"""
    text = made(painted(tmp_path, ["a {label}", "b", "c", "d" * 200])).replace("</body>", places)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    [found] = re.findall(
        'data-boxes="(.*?)"', browse(tmp_path / "page.html", f"--window-size={width},1400", "--dump-dom")
    )
    for row in json.loads(html.unescape(found)):
        assert len(row) == 4
        assert len({top for top, _ in row}) == 1
        assert min(wide for _, wide in row) >= 170


@needs_browser
def test_the_switch_turns_all_pictures(tmp_path: Path) -> None:
    press = """<script>
    const all = (which, what) => [...document.querySelectorAll(which)].map(what);
    const clip = (one) => getComputedStyle(one).clipPath;
    const parts = () => [...new Set(all(".before", clip))];
    const sliders = () => [...new Set(all("input", (one) => one.value))];
    const pressed = () => document.querySelector('[aria-pressed="true"]').textContent;
    const seen = [];
    for (const button of document.querySelectorAll(".switch button")) {
      button.click();
      seen.push([pressed(), ...parts(), ...sliders()].join(" / "));
    }
    // What was not painted shows the original whatever the switch says.
    seen.push(all(".stack img:only-child", clip).join());
    document.body.dataset.seen = seen.join(" | ");
    </script></body>"""
    text = made(painted(tmp_path, ["a {label}", "nonsense"])).replace("</body>", press)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    [seen] = re.findall('data-seen="(.*?)"', browse(tmp_path / "page.html", "--dump-dom"))
    assert seen.split(" | ") == [
        "all before / inset(0px 0% 0px 0px) / 100",
        "half and half / inset(0px 50% 0px 0px) / 50",
        "all after / inset(0px 100% 0px 0px) / 0",
        "none,none",
    ]
