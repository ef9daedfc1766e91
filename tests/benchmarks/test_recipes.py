"""The README's recipes: each runs as a script, and says in the README what it does in the script."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = {
    "torchvision_loop": "torchvision",
    "lightning_module": "lightning",
    "ultralytics_training": "ultralytics",
    "huggingface_trainer": "accelerate",
    "after_collate": "torch",
}
# The server that the workers start must not see a torchvision that does not import by itself; see vision.py.
RUNNER = """
import runpy, sys
name, *folders = sys.argv[1:]
sys.path += folders
if folders:
    import vision
runpy.run_module(f"benchmarks.recipes.{name}", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_on_painted_boxes(name: str, tmp_path: Path) -> None:
    library, folders = RECIPES[name], []
    if library == "torchvision":
        pytest.importorskip("vision")
        folders = [str(Path(importlib.util.find_spec("torchvision").origin).parents[1]), str(ROOT / "tests")]
    elif importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, name, *folders],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [float(loss) for loss in re.findall(r"^loss (\S+)$", done.stdout, re.MULTILINE)]
    assert len(losses) >= 2
    assert all(math.isfinite(loss) for loss in losses)
    [painted] = re.findall(r"^painted (\d+) boxes$", done.stdout, re.MULTILINE)
    assert int(painted) > 0


NOTEBOOK = ROOT / "benchmarks" / "recipes" / "notebook.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """What a kernel would run, cell by cell in one process, from a folder that is not the checkout."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells)
    ends = "\nprint('preview', (folder / 'preview.html').stat().st_size, 'images', tuple(images.shape))\n"
    ends += "print('painted', inpaint.stats()['inpainter']['requests'])\n"
    (tmp_path / "notebook.py").write_text(code + ends)
    done = subprocess.run(
        [sys.executable, tmp_path / "notebook.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [size] = re.findall(r"^preview (\d+) images \(4, 3, 200, 200\)$", done.stdout, re.MULTILINE)
    assert int(size) > 50_000
    [painted] = re.findall(r"^painted (\d+)$", done.stdout, re.MULTILINE)
    assert int(painted) > 0


def test_the_notebook_carries_no_outputs() -> None:
    """They would be of one machine, and make every run a change."""
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (book["nbformat"], book["metadata"]["kernelspec"]["name"]) == (4, "python3")
    for cell in book["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
        assert not any(line.lstrip().startswith(("%", "!")) for line in cell["source"])
    assert book["cells"][0]["cell_type"] == "markdown"


def test_the_recipes_in_the_readme_are_those_that_run() -> None:
    section = (ROOT / "benchmarks" / "recipes" / "README.md").read_text("utf-8")
    blocks = re.findall(r"`python -m benchmarks\.recipes\.(\w+)`.*?```python\n(.*?)```", section, re.DOTALL)
    assert [name for name, _ in blocks] == list(RECIPES)
    for name, block in blocks:
        script = iter(
            line.strip() for line in (ROOT / "benchmarks" / "recipes" / f"{name}.py").read_text().splitlines()
        )
        for line in filter(None, map(str.strip, block.splitlines())):
            assert line == "..." or line in script, f"{name}: {line!r} is not in the script, or not in this order"
