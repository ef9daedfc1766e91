"""What tests of fit share: a drawn data set, and readers that are hardly trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn import draw_set

from inpaint_transform.fit import classifiers, finder
from inpaint_transform.fit.pictures import Sample


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return draw_set(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers and detector that know next to nothing, within a second."""
    monkeypatch.setattr(classifiers, "STEPS", 4)
    monkeypatch.setattr(classifiers, "BATCH", 8)
    monkeypatch.setattr(finder, "STEPS", 1)
    monkeypatch.setattr(finder, "BATCH", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"
