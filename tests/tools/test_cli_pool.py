"""The pool command: its words on stdout, its page beside, and one line where there is no pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run


def test_no_pool_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("pool", "nowhere")
    assert code == 1
    assert said.startswith("Error: reuse has path='nowhere'")
    assert not Path("pool.html").exists()
