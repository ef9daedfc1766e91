"""The place of a pool: which file system a path lies on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inpaint_transform.serving.pool import place


def test_places_of_known_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("none / ext4 rw 0 0\nhost:/x /data nfs4 rw 0 0\nnone /data/my\\040disk xfs rw 0 0\n")
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    found = {path: place.file_system(Path(path)) for path in ("/", "/data/pool", "/database", "/data/my disk/pool")}
    assert json.dumps(found) == json.dumps(
        {"/": "ext4", "/data/pool": "nfs4", "/database": "ext4", "/data/my disk/pool": "xfs"}
    )
