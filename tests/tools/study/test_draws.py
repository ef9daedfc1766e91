"""Draws are the same for all arms and nested, their sets are whole data sets, and what is held out stays as it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import yaml
from dataset_files import read_all, text, yolo

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.datasets import export as exports
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.tools.study import draws
from inpaint_transform.tools.study.config import Arm, Data
from inpaint_transform.tools.study.keys import ConfigError


class Painter:
    """Paints every crop white, and can be told to fail."""

    size = 32
    broken = False

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        if self.broken:
            raise KeyboardInterrupt
        return [InpaintResult(np.full_like(request.image, 255)) for request in requests]

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    stand_in = Painter()
    monkeypatch.setattr(exports, "load", lambda *_: stand_in)
    return stand_in


@pytest.fixture
def data(tmp_path: Path) -> Data:
    source = tmp_path / "cones"
    yolo(source / "images" / "train", source / "labels" / "train", *"abcdef")
    yolo(source / "images" / "val", source / "labels" / "val", "v")
    yolo(source / "images" / "test", source / "labels" / "test", "t", "u")
    text(source / "data.yaml", "names: [cone, cube]\n")
    return Data(source, BoxFormat.YOLO, BoxFormat.YOLO)


def read(data: Data) -> draws.DataSet:
    return draws.read(data, data.source.parent / "study", pytest.fail)


def names(draw: draws.Draw) -> set[str]:
    return {original.key for original in draw.originals}


def test_a_draw_of_fewer_is_part_of_one_of_more_and_all_hold_out_the_same(data: Data) -> None:
    dataset = read(data)
    held_out = {"val/v.png", "test/t.png", "test/u.png"}
    for seed in range(5):
        sizes = [names(dataset.draw(seed, n)) for n in (1, 3, 6, None)]
        assert [len(one) - 3 for one in sizes] == [1, 3, 6, 6]
        assert all(fewer <= more for fewer, more in itertools.pairwise(sizes))
        assert all(held_out <= one for one in sizes)
    drawn = {frozenset(names(dataset.draw(seed, 3))) for seed in range(20)}
    assert len(drawn) > 5
    assert set().union(*drawn) == names(dataset.draw(0, None))
    with pytest.raises(ConfigError, match="n=7: .*has 6 training pictures; use n <= that, or all"):
        dataset.draw(0, 7)


def test_the_digest_knows_pictures_labels_and_format(data: Data) -> None:
    before = read(data).draw(0, 6).digest
    assert read(data).draw(0, 6).digest == before
    assert read(data).draw(1, 5).digest != before
    assert read(Data(data.source, data.box_format, BoxFormat.COCO)).draw(0, 6).digest != before
    text(data.source / "labels" / "val" / "v.txt", "1 0.5 0.5 0.2 0.2\n")
    assert read(data).draw(0, 6).digest != before


@pytest.mark.parametrize("to", list(BoxFormat))
def test_a_set_is_a_data_set_of_the_draw(data: Data, tmp_path: Path, to: BoxFormat) -> None:
    draw = read(Data(data.source, data.box_format, to)).draw(0, 2)
    folder = draw.write(tmp_path / "sets", pytest.fail)
    found, problems = read_all(folder, to.value)
    assert problems == []
    assert {name.replace(".jpg", ".png") for name in found} == names(draw)
    file = draws.data_file(folder, to)
    assert file.exists()
    if to is BoxFormat.YOLO:
        assert yaml.safe_load(file.read_text())["names"] == {0: "cone", 1: "cube"}


def test_a_set_that_is_there_is_left_alone_wherever_it_has_moved(data: Data, tmp_path: Path) -> None:
    draw = read(data).draw(0, 2)
    folder = draw.write(tmp_path / "sets", pytest.fail)
    (tmp_path / "sets").rename(tmp_path / "moved")
    (tmp_path / "moved" / folder.name / "data.yaml").write_text("touched")
    assert draw.write(tmp_path / "moved", pytest.fail) == tmp_path / "moved" / folder.name
    assert (tmp_path / "moved" / folder.name / "data.yaml").read_text() == "touched"


def saved(folder: Path, **settings: object) -> Arm:
    path = folder / "painted.json"
    A.save(BBoxInpaint(min_box_size=8, **settings), str(path))
    return Arm("painted", transform=path, use="export", copies=2)


def test_painted_copies_are_added_to_training_pictures_only(data: Data, tmp_path: Path, painter: Painter) -> None:
    arm = saved(
        tmp_path, p=1.0, class_names={0: "cone", 1: "cube"}, include_labels=[0], feather=0.0, relabel={"cone": "cube"}
    )
    draw = read(data).draw(0, 3)
    original = draw.write(tmp_path / "sets", pytest.fail)
    painted = draw.paint(tmp_path / "sets", arm, original, pytest.fail)
    found, _ = read_all(painted, "yolo")
    copies = set(found) - names(draw)
    assert len(copies) == 6
    assert all(name.startswith("train/") for name in copies)
    assert {label for name in copies for label in found[name][1].labels} == {"cube"}
    assert draw.paint(tmp_path / "sets", arm, original, pytest.fail) == painted
    # Another transform is another set.
    other = saved(tmp_path, p=1.0, feather=0.1)
    assert draw.paint(tmp_path / "sets", other, original, pytest.fail) != painted


def test_a_broken_off_set_is_finished_later(data: Data, tmp_path: Path, painter: Painter) -> None:
    arm = saved(tmp_path, p=1.0)
    draw = read(data).draw(0, 2)
    original = draw.write(tmp_path / "sets", pytest.fail)
    painter.broken = True
    with pytest.raises(KeyboardInterrupt):
        draw.paint(tmp_path / "sets", arm, original, pytest.fail)
    painter.broken = False
    painted = draw.paint(tmp_path / "sets", arm, original, pytest.fail)
    assert len(read_all(painted, "yolo")[0]) == 2 + 3 + 4


def test_the_seed_is_the_draws(data: Data, tmp_path: Path, painter: Painter) -> None:
    arm = saved(tmp_path, p=0.5)
    edited = set()
    for seed in range(4):
        draw = read(data).draw(seed, None)
        painted = draw.paint(tmp_path / "sets", arm, draw.write(tmp_path / "sets", pytest.fail), pytest.fail)
        lines = (painted / "provenance.jsonl").read_text().splitlines()
        edited.add(tuple(sorted(json.loads(line)["edit"]["seed"] for line in lines)))
    assert len(edited) == 4


def test_a_data_set_without_training_pictures_is_named(data: Data) -> None:
    with pytest.raises(ConfigError, match="data.source=.*no training pictures; say which are with data.split"):
        read(Data(data.source, BoxFormat.YOLO, BoxFormat.YOLO, split={"train": "val"}))


@pytest.mark.parametrize("inside", [True, False])
def test_a_study_in_its_own_data_set_would_read_its_sets(data: Data, inside: bool) -> None:
    out = data.source / "study" if inside else data.source.parent
    with pytest.raises(ConfigError, match="out: .*overlaps with .*which is read"):
        draws.read(data, out, pytest.fail)
