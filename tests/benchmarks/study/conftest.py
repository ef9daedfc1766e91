"""A drawn set as the study knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.study import quick, sets


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick.draw(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def drawn(root: Path) -> sets.StudySet:
    return sets.load(root)
