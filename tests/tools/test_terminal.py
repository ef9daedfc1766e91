"""What is said on the terminal: words that steer nothing, whoever wrote them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inpaint_transform.tools import cli
from inpaint_transform.tools.cli.terminal import Remarks, printable, rewind

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_steers_a_terminal(text: str) -> None:
    assert not STEERING.search(printable(text))
    printable(text).encode("utf-8")


@pytest.mark.parametrize(
    "text", ["caf\u00e9 \u2192 \u732b.png", "two\nlines", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"]
)
def test_words_stay_words(text: str) -> None:
    assert printable(text) == text


def test_a_file_name_with_escapes_is_shown_with_escapes(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for folder, suffix in (("images", "png"), ("labels", "txt")):
        (tmp_path / folder / f"a\x1b[2J\udcff.{suffix}").write_bytes(b"no picture")
    arguments = ["preview", str(tmp_path / "images"), "--boxes", str(tmp_path / "labels"), "--format", "yolo"]
    done = CliRunner().invoke(cli.app, [*arguments, "--names", "cone"])
    assert done.exit_code == 1
    assert "a\\x1b[2J\\udcff.png: its name has characters" in done.output
    assert "\x1b" not in done.output


def test_the_library_logs_without_steering(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("inpaint_transform", logging.WARNING, __file__, 1, "%s: gone", ("\x1b[31mred",), None)
    Remarks(logging.WARNING).handle(record)
    assert capsys.readouterr().err == "\\x1b[31mred: gone\n"


def test_no_line_is_taken_back_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    rewind(2)
    assert capsys.readouterr().out == ""


def test_no_command_writes_past_it() -> None:
    past = re.compile(r"\becho\(|\bprint\(|tqdm\.write|std(out|err)\.write")
    others = [path for path in Path(cli.__file__).parent.glob("*.py") if path.stem != "terminal"]
    assert [path.name for path in others if past.search(path.read_text("utf-8"))] == []


def test_what_is_said_stands_in_its_order_where_both_streams_end_in_one_place() -> None:
    program = (
        "from inpaint_transform.tools.cli.terminal import say, warn\nfor at in range(5): warn(2 * at); say(2 * at + 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.split() == [str(number) for number in range(10)]
