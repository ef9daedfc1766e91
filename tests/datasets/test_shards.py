"""Shards: parts of an export that are painted apart and put together into the files of one run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.datasets import manifest
from inpaint_transform.datasets.export import SettingsError, export
from inpaint_transform.datasets.shards import Shard


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five pictures with two boxes each."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(5):
        Image.effect_noise((96, 80), 60 + number).convert("RGB").save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text("0 0.3 0.4 0.4 0.5\n1 0.7 0.6 0.4 0.4\n")
    return folder


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inpainter without a model; what it paints depends on the seed and on the neighbours in its call."""
    import numpy as np

    from inpaint_transform.core.protocol import InpaintResult
    from inpaint_transform.datasets import export as module

    class Painter:
        size = 64

        def paint(self, requests):
            return [
                InpaintResult((one.image // 2 + one.seed % 100 + len(requests)).astype(np.uint8)) for one in requests
            ]

    monkeypatch.setattr(module, "load", lambda *_: Painter())


def run(source: Path, target: Path, **more: object) -> Path:
    return export(source, target, "yolo", names="cone,cube", copies=3, min_box_size=8, save_crops=True, **more).target


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the manifest, whose order is chance, without when it was and how long it took."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found[manifest.NAME]
    lines = [json.loads(line) for line in found["provenance.jsonl"].splitlines()]
    found["provenance.jsonl"] = json.dumps([{**line, "milliseconds": 0, "time": ""} for line in lines]).encode()
    return found


@pytest.mark.parametrize("to", ["yolo", "coco", "voc"])
def test_merged_shards_are_the_files_of_one_run(source: Path, tmp_path: Path, to: str) -> None:
    one = run(source, tmp_path / "one", to=to)
    for number in (2, 1, 3):
        folder = run(source, tmp_path / "parts", to=to, shard=f"{number}/3")
        assert folder.name == f"parts.shard-{number}-of-3"
    merged = run(source, tmp_path / "parts", to=to, merge=True)
    assert contents(merged) == contents(one)
    # Once more changes nothing, and neither do shards that are gone by then.
    for folder in tmp_path.glob("parts.shard*"):
        shutil.rmtree(folder)
    run(source, tmp_path / "parts", to=to)
    assert contents(merged) == contents(one)


def test_a_shard_that_was_broken_off_goes_on(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inpaint_transform.datasets import export_job

    real, calls = export_job.paint_all, []

    def interrupted(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(export_job, "paint_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path / "parts", shard="1/1")
    with pytest.raises(ValueError, match="shard-1-of-1 is not finished"):
        run(source, tmp_path / "parts", merge=True)
    run(source, tmp_path / "parts", shard="1/1")
    assert contents(run(source, tmp_path / "parts", merge=True)) == contents(run(source, tmp_path / "one"))


def test_shards_that_cannot_be_merged(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "parts"
    with pytest.raises(ValueError, match="no shards of"):
        run(source, target, merge=True)
    run(source, target, shard="1/2", seed=1)
    with pytest.raises(ValueError, match="2/2 are not beside it"):
        run(source, target, merge=True, seed=1)
    run(source, target, shard="2/2", seed=2)
    with pytest.raises(ValueError, match="seed=2, and now it is 1"):
        run(source, target, merge=True, seed=1)
    assert not target.exists()


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/2/3"])
def test_what_is_no_shard(text: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="shard="):
        run(source, tmp_path / "out", shard=text)


def test_either_a_shard_or_all_of_them(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        run(source, tmp_path / "out", shard="1/2", merge=True)


@given(st.lists(st.integers()), st.integers(1, 9))
def test_shards_share_everything_and_nothing_twice(groups: list[int], count: int) -> None:
    shares = [Shard(number, count).share(list(enumerate(groups))) for number in range(1, count + 1)]
    assert sorted(pair for share in shares for pair in share) == list(enumerate(groups))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
