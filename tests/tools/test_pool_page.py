"""What is in a pool, in words, as a page and as a sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from painters import Painter
from PIL import Image

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.tools import paint_ahead as ahead
from inpaint_transform.tools import pool_page

IMAGE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
SAMPLE = ahead.Sample(IMAGE, [(20, 30, 80, 80), (120, 20, 180, 90)], ["cat", "<dog>"])


def never(original, painted, label, box) -> bool:
    return label != "<dog>"


@pytest.fixture
def pool(tmp_path: Path, painter: Painter) -> Path:
    transform = ahead.with_pool(BBoxInpaint(prompts="a {label}", gate=never, retries=0), tmp_path / "pool", 2)
    ahead.paint_ahead(transform, [SAMPLE])
    return tmp_path / "pool"


def test_words_count_by_class_with_reasons(pool: Path) -> None:
    said = "\n".join(pool_page.words(pool_page.read(pool, 5)))
    assert "4 looks of 2 objects" in said
    assert "cat: 2 accepted, 0 rejected" in said
    assert "<dog>: 0 accepted, 2 rejected (2 " in said
    assert "filled by tiny, gate" in said


def test_a_page_shows_and_escapes(pool: Path, tmp_path: Path) -> None:
    pool_page.write(pool_page.read(pool, 1), tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert "&lt;dog&gt;" in page
    assert "<dog>" not in page
    assert page.count("data:image/jpeg") == 1
    assert "a cat" in page


def test_a_sheet_shows_what_was_accepted(pool: Path, tmp_path: Path) -> None:
    pool_page.write(pool_page.read(pool, 5), tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").width > 200


def test_no_pool_is_named(tmp_path: Path) -> None:
    with pytest.raises(InpaintError, match="there is no pool"):
        pool_page.read(tmp_path / "none", 5)


def test_classes_are_called_by_their_names(tmp_path: Path, painter: Painter) -> None:
    names = {1: "cat", 2: "dog"}
    transform = ahead.with_pool(BBoxInpaint(class_names=names, relabel={1: 2}), tmp_path / "pool", 1)
    sample = ahead.Sample(IMAGE, SAMPLE.boxes, [1, 2])
    done = ahead.paint_ahead(transform, [sample])
    assert set(pool_page.read(tmp_path / "pool", 5).classes) == {"dog"}
    assert set(done.accepted) == {"dog"}
