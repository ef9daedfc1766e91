"""The plot of a benchmark, of as much as there is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from test_advice import MEASURED

from inpaint_transform.tools.bench import plot


def test_a_plot_is_drawn_of_what_there_is(tmp_path: Path) -> None:
    content = {
        "date": "2026-01-01",
        "machine": {"device": "cpu", "processor": "some", "cores": 2},
        "results": {**MEASURED, "loader": []},
    }
    plot.draw(content, tmp_path / "part.png")
    with Image.open(tmp_path / "part.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_without_matplotlib_the_numbers_are_there() -> None:
    # In a process of its own, where matplotlib cannot be found.
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *more: None if name == 'matplotlib' else find(name, *more);"
        "from inpaint_transform.tools.bench import plot;"
        "print(plot.available(), 'matplotlib' in sys.modules, plot.MISSING)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("False False")
    assert "pip install 'inpaint_transform[bench]'" in said.stdout
