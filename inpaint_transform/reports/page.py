"""Pages: the frame of the HTML pages that the library writes; they hold all they show and open without network."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np

# The policy has a browser refuse whatever is not in the page itself.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #202124; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .25rem .9rem; text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }} tr:nth-child(even) {{ background: #f3f4f6; }}
.row {{ display: flex; flex-wrap: wrap; gap: 1rem; }} figure {{ margin: 0; width: 21rem; max-width: 100%; }}
img {{ width: 100%; border: 1px solid #dadce0; box-sizing: border-box; }}
figcaption {{ font-size: 13px; overflow-wrap: anywhere; }} .faint {{ color: #5f6368; }} .alert {{ color: #b00020; }}
{style}</style></head><body>
{body}
</body></html>
"""


def frame(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: Any text.
        body: HTML; whoever makes it escapes what users wrote.
        style: Further CSS.
    """
    return _PAGE.format(title=html.escape(title), body=body, style=style)


def picture(pixels: np.ndarray, alt: str, css_class: str = "") -> str:
    """An ``<img>`` that holds its pixels.

    Args:
        pixels: ``(H, W, 3)`` uint8, RGB.
        alt: What it shows.
        css_class: Its class, or nothing.
    """
    content = io.BytesIO()
    # Without chroma subsampling, which would smear exactly the seams that people look for.
    Image.fromarray(pixels).save(content, "JPEG", quality=92, subsampling=0)
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img class="{css_class}" alt="{html.escape(alt)}" src="data:image/jpeg;base64,{data}">'
