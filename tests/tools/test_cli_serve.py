"""The serve command: a server run by hand, and what is refused."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving import placement
from inpaint_transform.serving.registry import connect

pytest_plugins = ["commands"]


def test_serve_leaves_a_folder_alone_that_has_other_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "log").write_text("of something else")
    code, said = run("serve", "tiny", "--address", tmp_path)
    assert code == 1
    assert "other files lie there" in said
    assert (tmp_path / "log").read_text() == "of something else"


def test_a_system_without_unix_sockets_is_told_what_goes_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "CAN_SHARE", False)
    code, said = run("serve", "tiny")
    assert code == 1
    assert "WSL" in said


@pytest.mark.slow
def test_serve_by_hand_paints_counts_and_ends_with_ctrl_c(tmp_path: Path, model: str) -> None:
    place = tmp_path / "server"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-u", "-m", "inpaint_transform", "serve", model, "--address", str(place), "--steps", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("serving; use it with model={")
            spec = ast.literal_eval(said.partition("model=")[2].partition(";")[0])
            assert process.stdout.readline().strip() == str(place)
            inpainter = connect(ModelSpec.of(spec))
            crop = np.zeros((inpainter.size, inpainter.size, 3), np.uint8)
            [result] = inpainter.paint([InpaintRequest(crop, crop[..., 0] == 0, "a cube")])
            assert result.image is None or result.image.shape == crop.shape
            code, counters = run("serve", "--stats", place)
            assert code == 0
            assert json.loads(counters)["requests"] == 1
            code, refused = run("serve", model, "--address", place)
            assert code == 1
            assert "a server runs in" in refused
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not place.exists()
    code, said = run("serve", "--stats", place)
    assert code == 1
    assert "no server listens" in said


@pytest.mark.parametrize(
    "arguments", [(), ("tiny", "--stats", "x"), ("tiny", "--dtype", "int8"), ("tiny", "--size", 3), ("--nonsense",)]
)
def test_bad_serve_options_are_usage_errors(arguments: tuple[object, ...]) -> None:
    code, said = run("serve", *arguments)
    assert code == 2
    assert "Usage" in said
