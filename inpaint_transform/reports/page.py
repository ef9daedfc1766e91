"""Pages: HTML from templates, which escape whatever they show; a page holds all of it and opens without network."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from PIL import Image

if TYPE_CHECKING:
    import numpy as np


def render(template: str, **values: object) -> str:
    """A whole page.

    Args:
        template: Name of a file in ``templates``, without its ending ``.html.j2``.
        values: What it shows; text is escaped. An iterable is read as the page is made.
    """
    return _templates().get_template(f"{template}.html.j2").render(values)


def write(page: str, out: Path) -> None:
    """Write a page; bytes of a file's name that are no text become question marks."""
    out.write_text(page, encoding="utf-8", errors="replace")


@functools.cache
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader(__package__)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def data_uri(pixels: np.ndarray) -> str:
    """A picture as the address of an ``<img>`` that holds its own pixels.

    Args:
        pixels: ``(H, W, 3)`` uint8, RGB.
    """
    content = io.BytesIO()
    # Without chroma subsampling, which would smear exactly the seams that people look for.
    Image.fromarray(pixels).save(content, "JPEG", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
