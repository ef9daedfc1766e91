"""A real browser for the tests of pages; where none is installed they are skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def browse(file: Path, *arguments: str) -> str:
    """Open a page without a window and return what the browser says."""
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = f"--disable-component-update --disable-sync --user-data-dir={file.parent / 'profile'}"
    done = subprocess.run(
        [str(BROWSER), "--headless", *quiet.split(), *more.split(), *arguments, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def overflow(page: str, file: Path, width: int) -> int:
    """By how many pixels a page is broader than a window of this width.

    Args:
        page: The HTML.
        file: Where to write it.
        width: In pixels.
    """
    measure = """<script>
    const root = document.documentElement;
    document.body.dataset.overflow = root.scrollWidth - root.clientWidth;
    </script></body>"""
    file.write_text(page.replace("</body>", measure), encoding="utf-8")
    [found] = re.findall(r'data-overflow="(-?\d+)"', browse(file, f"--window-size={width},1400", "--dump-dom"))
    return int(found)
