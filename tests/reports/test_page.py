"""Pages: what is put into one is words, and it holds its pictures."""

from __future__ import annotations

import base64
import html.parser
import io
import re
from pathlib import Path

import jinja2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.reports import page as pages

TEMPLATES = sorted(path.name for path in (Path(pages.__file__).parent / "templates").iterdir())


class Reader(html.parser.HTMLParser):
    """The text of the headings and the names of all tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.heading = ""
        self.feed(page)

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "h1":
            self.heading += data


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_a_title_is_words_whatever_it_says(title: str) -> None:
    plain = Reader(pages.render("preview", title="", facts=[], classes=[], rows=[]))
    found = Reader(pages.render("preview", title=title, facts=[], classes=[], rows=[]))
    assert found.tags == plain.tags
    assert found.heading.rstrip("\n") == title


def test_every_value_must_be_given() -> None:
    with pytest.raises(jinja2.UndefinedError, match="facts"):
        pages.render("preview", title="x")


def test_a_picture_is_its_own_address() -> None:
    pixels = np.full((20, 30, 3), (200, 40, 40), np.uint8)
    kind, _, data = pages.data_uri(pixels).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        np.testing.assert_allclose(np.asarray(picture), pixels, atol=3)


def test_a_page_with_bytes_that_are_no_text_is_written(tmp_path: Path) -> None:
    pages.write(pages.render("preview", title="caf\udce9", facts=[], classes=[], rows=[]), tmp_path / "page.html")
    assert "<h1>caf?</h1>" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_switches_escaping_off(name: str) -> None:
    text = (Path(pages.__file__).parent / "templates" / name).read_text("utf-8")
    assert not re.search(r"\|\s*safe|autoescape", text)
