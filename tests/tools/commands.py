"""What the tests of commands share: a small data set, a small model, and a call that never ends in a traceback."""

from pathlib import Path

import numpy as np
import pipelines
import pytest
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform.tools.cli import app

LABEL_LINES = "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.4 0.4\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small inpainting checkpoint with random weights."""
    return str(pipelines.save_sd_inpaint(tmp_path_factory.mktemp("cli") / "model"))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures with YOLO labels; it is the working folder, so that messages are short."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "labels" / f"{name}.txt").write_text(LABEL_LINES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    # An exit is the only exception that the user is spared.
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)
