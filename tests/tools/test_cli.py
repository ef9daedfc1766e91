"""The command line as a whole: a process of its own, words without a traceback, and the demo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import pixels, run

from inpaint_transform.core.models import PRESETS
from inpaint_transform.tools.demo import FOLDER

pytest_plugins = ["commands"]


def test_module_runs_in_a_process_of_its_own(dataset: Path) -> None:
    """The real thing, end to end; --help and errors come without loading any heavy library."""
    (dataset / "images" / "a.png").write_bytes(b"no picture")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONPROFILEIMPORTTIME": "1"}
    helped, failed = (
        subprocess.run(
            [sys.executable, "-m", "inpaint_transform", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        for arguments in (
            ["--help"],
            ["preview", "images/a.png", "--boxes", "labels", "--format", "yolo", "--names", "a,b"],
        )
    )
    assert helped.returncode == 0
    assert "preview" in helped.stdout
    imported = set(re.findall(r"\|\s+([\w.]+)$", helped.stderr, re.MULTILINE))
    assert "typer" in imported
    assert not imported & {"torch", "diffusers", "transformers", "albumentations", "cv2"}
    assert failed.returncode == 1
    assert f"{Path('images/a.png')}: not a picture" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


@pytest.mark.skipif(
    not (FOLDER / "demo.json").exists() or not Path(PRESETS["tiny"].id).is_dir(),
    reason="the embedded model or its picture is not in this checkout",
)
def test_demo_needs_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("demo")
    assert code == 0, said
    assert re.search(r"^loading tiny, which knows only ", said, re.MULTILINE)
    assert re.search(r"^wrote before_after\.png in [\d.]+ s$", said, re.MULTILINE)
    sheet = pixels("before_after.png")
    assert sheet.shape[1] > 960
    # The right half shows other pixels than the left one.
    middle = sheet.shape[1] // 2
    assert (sheet[60:300, :middle] != sheet[60:300, -middle:]).any()
