"""The reuse argument: what it refuses, and that it survives JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inpaint_transform import Reuse

REFUSED = [
    ({"variants": 0}, "variants=0"),
    ({"variants": True}, "variants=True"),
    ({"echo": 0}, "echo=0"),
    ({"echo": 2.5}, r"echo=2\.5"),
    ({"wait": 1}, "wait=1"),
    ({"path": 3}, "path=3"),
    ({"path": ""}, "path=''"),
    ({"max_bytes": 10}, "max_bytes=10.*1MB"),
    ({"max_bytes": "4 apples"}, "max_bytes='4 apples'"),
    ({"max_bytes": 1e9}, "max_bytes=1000000000.0"),
    ({"frozen": True}, "frozen=True and path=None"),
    ({"frozen": True, "path": "pool", "wait": True}, "frozen=True and wait=True"),
    ({"refresh": 1}, "variants, echo, wait, path, max_bytes, frozen"),
    ("yes", "give a dict"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED)
def test_names_what_it_refuses(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Reuse.of(value)


def test_survives_json(tmp_path: Path) -> None:
    reuse = Reuse(variants=2, echo=5, path=tmp_path / "pool", max_bytes="1.5GB", frozen=True)
    assert Reuse.of(json.loads(json.dumps(reuse.to_dict()))) == reuse
    assert Reuse.of(reuse) is reuse
    assert Reuse.of(None) is None


@pytest.mark.parametrize(
    ("value", "size"), [("4GB", 4 * 10**9), ("1.5 mb", 1_500_000), ("2000K", 2_000_000), (3_000_000, 3_000_000)]
)
def test_reads_sizes(value: int | str, size: int) -> None:
    assert Reuse(max_bytes=value).bytes == size
