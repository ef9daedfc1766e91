"""The export: any format to any other, the right pictures painted, and the same files however often it is killed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pipelines
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inpaint_transform.core.boxes import TIE
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.datasets import export_job
from inpaint_transform.datasets.formats.base import Annotation, BoxFormat
from inpaint_transform.datasets.manifest import _part_of
from inpaint_transform.datasets.reading import find
from inpaint_transform.reports.log import Record
from inpaint_transform.reports.log import read as read_log
from inpaint_transform.reports.replay import replay
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.registry import connect
from inpaint_transform.tools.cli import app

DATA = Path(__file__).parents[3] / "shared" / "data"
WIDTH, HEIGHT = 128, 96
NAMES = {0: "cone", 1: "cube", 2: "unused"}
# Class, and a box in pixels.
BOXES = [(0, (8, 8, 72, 60)), (1, (70, 40, 120, 90)), (0, (1, 1, 5, 5))]
STATE = "export.jsonl"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not here")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
# Forks before it loads any model, so that a real process is killed without paying for its imports.
FORKER = """
import json, os, pathlib, signal, sys, time
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from inpaint_transform.datasets import export
from inpaint_transform.datasets import export_plan
from inpaint_transform.datasets import preview
from inpaint_transform.engine import engine
from inpaint_transform.tools.cli import app

for line in sys.stdin:
    arguments, kill_at, moment = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            app(arguments)
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code or 0)
    status = None
    while kill_at is not None and status is None:
        ended, found = os.waitpid(child, os.WNOHANG)
        if ended:
            status = found
        elif sum(path.is_file() for path in pathlib.Path(arguments[2]).rglob("*")) >= kill_at:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
            kill_at = None
    if status is None:
        status = os.waitpid(child, 0)[1]
    print(json.dumps([os.waitstatus_to_exitcode(status)]), flush=True)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small inpainting checkpoint with random weights."""
    return str(pipelines.save_sd_inpaint(tmp_path_factory.mktemp("export") / "model"))


def write_yolo(folder: Path, stems: Iterable[str] = "abcd", boxes: Any = BOXES) -> Path:
    """A YOLO data set; every picture has the same boxes and pixels of its own."""
    rng = np.random.default_rng(0)
    for stem in stems:
        for place in ("images", "labels"):
            (folder / place / stem).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{stem}.png")
        (folder / "labels" / f"{stem}.txt").write_text("".join(yolo_line(*row) + "\n" for row in boxes))
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": NAMES}))
    return folder


def yolo_line(index: int, box: Any) -> str:
    x0, y0, x1, y1 = box
    return f"{index} {(x0 + x1) / 2 / WIDTH} {(y0 + y1) / 2 / HEIGHT} {(x1 - x0) / WIDTH} {(y1 - y0) / HEIGHT}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "source")


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


def export(
    source: object, target: object, *more: object, model: str = "tiny", box_format: str = "yolo"
) -> tuple[int, str]:
    return run("export", source, target, "--format", box_format, "--model", model, "--steps", 2, *more)


def convert(source: Path, target: Path, box_format: str, to: str) -> None:
    code, said = export(source, target, "--copies", 0, "--to", to, box_format=box_format)
    assert code == 0, said


def contents(folder: Path, box_format: str, wanted: dict[str, str] | None = None) -> dict[str, Annotation]:
    """What the library's own reader finds in an exported folder, by the pictures' stems."""
    found = {}
    for item in find(folder, BoxFormat(box_format), wanted=wanted).read():
        assert isinstance(item, Annotation), str(item)
        found[item.image.stem] = item
    return found


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def files(folder: Path) -> dict[str, bytes]:
    """Every file but the manifest, whose order is chance; when it was and how long it took is no part of a result."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop(STATE, None)
    lines = [json.loads(line) for line in found.get("provenance.jsonl", b"").splitlines()]
    found["provenance.jsonl"] = json.dumps([{**line, "milliseconds": 0, "time": ""} for line in lines]).encode()
    return found


def painted(folder: Path) -> list[Path]:
    return sorted(path for suffix in ("png", "jpg") for path in folder.rglob(f"*_painted*.{suffix}"))


def provenance(folder: Path) -> list[Record]:
    return [record for _, record in read_log(folder / "provenance.jsonl")]


# Formats


def ultralytics(folder: Path, split: str) -> dict[str, list[tuple[str, list[float]]]]:
    """Read a data set by the rules of Ultralytics: labels are found by replacing the last /images/ in the path."""
    document = yaml.safe_load((folder / "data.yaml").read_text())
    names = document["names"]
    assert sorted(names) == list(range(len(names)))
    found = {}
    for image in sorted((folder / document[split]).rglob("*.*")):
        if image.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
            continue
        before, after = str(image).rsplit(f"{os.sep}images{os.sep}", 1)
        labels = Path(f"{before}{os.sep}labels{os.sep}{after}").with_suffix(".txt")
        rows = [[float(number) for number in line.split()] for line in labels.read_text().splitlines()]
        assert all(len(row) == 5 and min(row) >= 0 and max(row[1:]) <= 1 and row[0] in names for row in rows)
        found[image.name] = [(names[int(row[0])], row[1:]) for row in rows]
    return found


def test_a_yolo_loader_finds_originals_and_copies(source: Path, tmp_path: Path, model: str) -> None:
    code, said = export(source, tmp_path / "out", "--copies", 2, model=model)
    assert code == 0, said
    found = ultralytics(tmp_path / "out", "train")
    assert sorted(found) == sorted(f"{s}{tail}.png" for s in "abcd" for tail in ("", "_painted1", "_painted2"))
    for rows in found.values():
        assert [label for label, _ in rows] == ["cone", "cube", "cone"]
        np.testing.assert_allclose(rows[0][1], [40 / WIDTH, 34 / HEIGHT, 64 / WIDTH, 52 / HEIGHT], rtol=1e-9)
    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"] == NAMES


def test_a_coco_loader_finds_originals_and_copies(source: Path, tmp_path: Path, model: str) -> None:
    coco_module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    code, said = export(source, tmp_path / "out", "--to", "coco", model=model)
    assert code == 0, said
    with contextlib.redirect_stdout(None):
        coco = coco_module.COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    assert {row["name"] for row in coco.loadCats(coco.getCatIds())} == set(NAMES.values())
    assert len(coco.getImgIds()) == 8
    for image in coco.loadImgs(coco.getImgIds()):
        assert pixels(tmp_path / "out" / "images" / "train" / image["file_name"]).shape[:2] == (HEIGHT, WIDTH)
        rows = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert [row["bbox"] for row in rows] == [[8, 8, 64, 52], [70, 40, 50, 50], [1, 1, 4, 4]]
        assert [coco.loadCats(row["category_id"])[0]["name"] for row in rows] == ["cone", "cube", "cone"]
    # Evaluated against itself, all is found.
    with contextlib.redirect_stdout(None):
        results = coco.loadRes([{**row, "score": 1.0} for row in coco.loadAnns(coco.getAnnIds())])
        evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(coco, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


boxes_in_picture = st.tuples(
    st.floats(0, WIDTH), st.floats(0, HEIGHT), st.floats(0, WIDTH), st.floats(0, HEIGHT), st.sampled_from([0, 1])
).map(lambda c: (c[4], (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(boxes_in_picture, min_size=1, max_size=5))
def test_boxes_survive_any_way_through_the_formats(tmp_path: Path, rows: list[Any]) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    place = write_yolo(tmp_path / "0", "a", rows)
    expected = contents(place, "yolo")["a"]
    # The way has every pair of formats; Pascal VOC forces whole pixels on all that comes after it.
    way = ["yolo", "yolo", "coco", "coco", "yolo", "voc", "voc", "coco", "voc", "yolo"]
    for step, (box_format, to) in enumerate(itertools.pairwise(way), start=1):
        convert(place, tmp_path / str(step), box_format, to)
        place = tmp_path / str(step)
        [found] = contents(place, to).values()
        assert found.labels == expected.labels
        # Rounded, a hair below a half is a half.
        moved, tolerance = (0, 1e-5) if step < 5 else (TIE, 0.5 + 1e-5)
        np.testing.assert_allclose(
            np.reshape(found.corners, (-1, 4)), np.reshape(expected.corners, (-1, 4)) + moved, rtol=0, atol=tolerance
        )
        if step == 5:
            whole = found
        if step > 5:
            assert found.boxes == whole.boxes


@needs_data
def test_a_real_data_set_comes_back_through_yolo_and_coco(tmp_path: Path) -> None:
    folder = DATA / "cones_cubes"
    for place in ("images", "labels"):
        (tmp_path / "source" / place).mkdir(parents=True)
    shutil.copy(folder / "annotations" / "data.yaml", tmp_path / "source")
    for name in json.loads((folder / "split.json").read_text())["val"]:
        (tmp_path / "source" / "images" / name).symlink_to(folder / "images" / name)
        label = Path(name).with_suffix(".txt")
        (tmp_path / "source" / "labels" / label).symlink_to(folder / "annotations" / label)
    code, said = export(tmp_path / "source", tmp_path / "yolo", "--copies", 0)
    assert code == 1
    assert "data.yaml: train: ../train/images" in said
    assert "--split images=train" in said
    code, said = export(tmp_path / "source", tmp_path / "yolo", "--copies", 0, "--split", "images=train")
    assert code == 0, said
    convert(tmp_path / "yolo", tmp_path / "coco", "yolo", "coco")
    convert(tmp_path / "coco", tmp_path / "back", "coco", "yolo")
    expected = contents(tmp_path / "source", "yolo", {"images": "train"})
    assert len(expected) == 163
    for place, box_format in (("yolo", "yolo"), ("coco", "coco"), ("back", "yolo")):
        found = contents(tmp_path / place, box_format)
        assert found.keys() == expected.keys()
        for stem, item in found.items():
            assert item.labels == expected[stem].labels
            np.testing.assert_allclose(item.corners, expected[stem].corners, atol=1e-5)
            assert item.image.read_bytes() == expected[stem].image.read_bytes()


def test_category_ids_of_coco_stay(tmp_path: Path, source: Path) -> None:
    convert(source, tmp_path / "coco", "yolo", "coco")
    file = tmp_path / "coco" / "annotations" / "instances_train.json"
    document = json.loads(file.read_text())
    for row in document["categories"]:
        row["id"] *= 10
    for row in document["annotations"]:
        row["category_id"] *= 10
    file.write_text(json.dumps(document))
    convert(tmp_path / "coco", tmp_path / "again", "coco", "coco")
    again = json.loads((tmp_path / "again" / "annotations" / "instances_train.json").read_text())
    assert {row["id"]: row["name"] for row in again["categories"]} == {10: "cone", 20: "cube", 30: "unused"}
    convert(tmp_path / "coco", tmp_path / "yolo", "coco", "yolo")
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["names"] == NAMES


def test_splits_stay_apart_and_only_train_is_painted(tmp_path: Path, model: str) -> None:
    source = write_yolo(tmp_path / "source", ["train/a", "train/deep/b", "val/c", "test/d"])
    for to in ("yolo", "coco", "voc"):
        code, said = export(source, tmp_path / to, "--to", to, model=model)
        assert code == 0, said
        assert "4 train" in said
        assert sorted(path.stem for path in painted(tmp_path / to)) == ["a_painted1", "b_painted1"]
        assert len(contents(tmp_path / to, to)) == 6
    document = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    assert [document[split] for split in ("train", "val", "test")] == ["images/train", "images/val", "images/test"]
    assert sorted(ultralytics(tmp_path / "yolo", "val")) == ["c.png"]
    assert sorted(path.name for path in (tmp_path / "coco" / "annotations").iterdir()) == [
        f"instances_{split}.json" for split in ("test", "train", "val")
    ]
    listed = (tmp_path / "voc" / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert listed == ["train/a", "train/a_painted1", "train/deep/b", "train/deep/b_painted1"]
    # The way back from COCO and Pascal VOC keeps the splits.
    convert(tmp_path / "coco", tmp_path / "back", "coco", "yolo")
    assert files(tmp_path / "back").keys() - {"data.yaml"} == files(tmp_path / "yolo").keys() - {"data.yaml"}


def test_usual_layouts_are_found(tmp_path: Path) -> None:
    write_yolo(tmp_path / "source", ["train/a", "val/b"])
    images, labels = tmp_path / "source" / "images", tmp_path / "source" / "labels"
    roboflow = tmp_path / "roboflow"
    for split, theirs in (("train", "train"), ("val", "valid")):
        shutil.copytree(images / split, roboflow / theirs / "images")
        shutil.copytree(labels / split, roboflow / theirs / "labels")
    shutil.copy(tmp_path / "source" / "data.yaml", roboflow)
    convert(tmp_path / "source", tmp_path / "expected", "yolo", "yolo")
    convert(roboflow, tmp_path / "from_roboflow", "yolo", "yolo")
    assert files(tmp_path / "from_roboflow") == files(tmp_path / "expected")

    convert(tmp_path / "source", tmp_path / "coco", "yolo", "coco")
    mscoco = tmp_path / "mscoco"
    for split in ("train", "val"):
        shutil.copytree(tmp_path / "coco" / "images" / split, mscoco / f"{split}2017")
        (mscoco / "annotations").mkdir(exist_ok=True)
        shutil.copy(
            tmp_path / "coco" / "annotations" / f"instances_{split}.json",
            mscoco / "annotations" / f"instances_{split}2017.json",
        )
    convert(mscoco, tmp_path / "from_mscoco", "coco", "coco")
    assert files(tmp_path / "from_mscoco") == files(tmp_path / "coco")


# What is painted


def test_copies_differ_inside_their_boxes_only(source: Path, tmp_path: Path, model: str) -> None:
    code, said = export(source, tmp_path / "out", "--copies", 2, model=model)
    assert code == 0, said
    assert "8 of 8 painted boxes accepted" in said
    folder = tmp_path / "out" / "images" / "train"
    lines = provenance(tmp_path / "out")
    assert len(lines) == 8
    for line in lines:
        image = pixels(tmp_path / "out" / str(line.key))
        original = pixels(folder / f"{Path(str(line.key)).name[0]}.png")
        x0, y0, x1, y1 = line.edit.box
        assert (image != original)[y0:y1, x0:x1].mean() > 0.5
        image[y0:y1, x0:x1] = original[y0:y1, x0:x1]
        np.testing.assert_array_equal(image, original)
        assert line.edit.prompt == f"a photo of a {line.edit.label}"
        assert line.accepted
        assert line.milliseconds > 0
    assert (pixels(folder / "a_painted1.png") != pixels(folder / "a_painted2.png")).any()


def test_neither_workers_nor_other_pictures_change_a_plan(tmp_path: Path, source: Path, model: str) -> None:
    # Groups of nine boxes are no whole batches: threads that shared a call would change each other's neighbours.
    odd = ["--copies", 6, "--boxes-per-image", 3, "--min-box-size", 4]
    for name, more in {"one": ["--workers", 1], "many": ["--workers", 6], "seed": ["--seed", 1]}.items():
        code, said = export(source, tmp_path / name, *odd, *more, model=model)
        assert code == 0, said
    assert files(tmp_path / "one") == files(tmp_path / "many")
    assert files(tmp_path / "one") != files(tmp_path / "seed")
    (source / "images" / "b.png").unlink()
    (source / "labels" / "b.txt").unlink()
    code, said = export(source, tmp_path / "fewer", *odd, model=model)
    assert code == 0, said
    plans = {
        name: [(str(line.key), line.edit.box, line.seed) for line in provenance(tmp_path / name)]
        for name in ("one", "fewer")
    }
    assert plans["fewer"] == [row for row in plans["one"] if "/b_" not in row[0]]


def test_only_prompts_and_budgets(source: Path, tmp_path: Path, model: str) -> None:
    def lines(name: str, *more: object) -> list[Record]:
        code, said = export(source, tmp_path / name, "--copies", 3, "--boxes-per-image", 2, *more, model=model)
        assert code == 0, said
        return provenance(tmp_path / name)

    everything = lines("all")
    assert Counter(line.edit.label for line in everything) == {"cone": 12, "cube": 12}
    assert {line.edit.label for line in lines("only", "--only", "cube")} == {"cube"}
    limited = lines("budget", "--budget", "cone=5", "--budget", "cube=0")
    assert Counter(line.edit.label for line in limited) == {"cone": 5}
    assert {line.seed for line in limited} < {line.seed for line in everything}
    assert len(painted(tmp_path / "budget")) == 5
    prompted = lines("prompt", "--prompt", "cone=a red hat", "--prompt", "cone=a {label} at night")
    assert {line.edit.prompt for line in prompted} == {"a red hat", "a cone at night"}
    assert {line.edit.label for line in prompted} == {"cone"}


@pytest.mark.parametrize("to", ["yolo", "coco", "voc"])
def test_a_swap_writes_the_new_label_where_it_was_painted(source: Path, tmp_path: Path, model: str, to: str) -> None:
    swap = ["--swap", "cone=cube,police cone", "--copies", 3, "--prompt", "a {label} on the floor"]
    code, said = export(source, tmp_path / "out", *swap, "--to", to, model=model)
    # Before the model is loaded, for it may not be meant so.
    assert said.index("new class: police cone, which the data set does not have") < said.index("loading")
    assert code == 0, said
    before, after = contents(source, "yolo"), contents(tmp_path / "out", to)
    lines = provenance(tmp_path / "out")
    assert {line.edit.label for line in lines} == {"cone"}
    assert {line.edit.target for line in lines} == {"cube", "police cone"}
    for line in lines:
        name = Path(str(line.key)).stem
        labels = list(before[name[0]].labels)
        labels[line.edit.index] = str(line.edit.target)
        assert list(after[name].labels) == labels
        assert line.edit.prompt == f"a {line.edit.target} on the floor"
    assert all(list(after[name].labels) == list(before[name].labels) for name in before)


def test_what_a_gate_rejects_is_not_exported(source: Path, tmp_path: Path, model: str) -> None:
    strict = ["--gate", "change:min_inside=250", "--gate", "fill", "--retries", 0, "--swap", "cone=cube"]
    code, said = export(source, tmp_path / "out", *strict, "--copies", 12, model=model)
    assert code == 0, said
    assert "0 of" in said
    # While there is still time to stop it.
    assert said.count("painted boxes were accepted, so hardly anything is ever changed: median scores are change") == 1
    assert painted(tmp_path / "out") == []
    lines = provenance(tmp_path / "out")
    assert lines
    assert f"copies that are not written, for all that was painted in them was rejected: {len(lines)}" in said
    assert not any(line.accepted for line in lines)
    assert {line.attempts for line in lines} == {1}
    assert contents(tmp_path / "out", "yolo").keys() == contents(source, "yolo").keys()


def test_a_gate_that_asks_clip_knows_the_classes(source: Path, tmp_path: Path) -> None:
    code, said = export(source, tmp_path / "out", "--gate", "clip:model=tiny,min_margin=0", "--copies", 2)
    assert code == 0, said
    assert all("clip" in line.scores for line in provenance(tmp_path / "out"))


def test_an_export_is_reported_and_replayed(source: Path, tmp_path: Path, model: str) -> None:
    # A batch of one: what neighbours in a batch change, a replay cannot know.
    code, said = export(source, tmp_path / "out", "--swap", "cone=cube", "--save-crops", model=model)
    assert code == 0, said
    log = tmp_path / "out" / "provenance.jsonl"
    code, said = run("report", log, "--out", tmp_path / "page.html")
    assert code == 0, said
    page = (tmp_path / "page.html").read_text()
    assert "cone" in page
    crops = {line.crop for line in provenance(tmp_path / "out")}
    assert {path.name for path in (tmp_path / "out" / "provenance.jsonl.crops").iterdir()} == crops
    assert len(crops) == 4
    assert page.count("<img") == 8  # each before and after
    line = provenance(tmp_path / "out")[0]
    original = tmp_path / "out" / "images" / "train" / f"{Path(str(line.key)).name[0]}.png"
    inpainter = connect(ModelSpec.of(line.model))
    again, outcome = replay(line, pixels(original), inpainter)
    assert outcome.accepted
    np.testing.assert_array_equal(again, pixels(tmp_path / "out" / str(line.key)))
    assert (again != pixels(original)).any()


def test_p_is_the_share_of_copies(source: Path, tmp_path: Path, model: str) -> None:
    code, said = export(source, tmp_path / "some", "--copies", 5, "--p", 0.5, model=model)
    assert code == 0, said
    assert 3 <= len(painted(tmp_path / "some")) <= 17
    code, said = export(source, tmp_path / "none", "--p", 0, model=model)
    assert code == 0, said
    assert painted(tmp_path / "none") == []


def test_originals_are_linked_or_copied(source: Path, tmp_path: Path) -> None:
    for name, linked in (("link", True), ("copy", False)):
        code, said = export(source, tmp_path / name, "--copies", 0, f"--{name}")
        assert code == 0, said
        original, there = source / "images" / "a.png", tmp_path / name / "images" / "train" / "a.png"
        assert there.samefile(original) is linked
        assert there.read_bytes() == original.read_bytes()


def test_exports_of_exports_lose_no_picture(source: Path, tmp_path: Path, model: str) -> None:
    for place, target in ((source, "once"), (tmp_path / "once", "twice")):
        code, said = export(place, tmp_path / target, model=model)
        assert code == 0, said
    assert len(contents(tmp_path / "twice", "yolo")) == 16


def loaded_as_pascal_voc(folder: Path, split: str) -> dict[str, list[tuple[str, list[int]]]]:
    """Read a split by the rules of torchvision, detectron2 and mmdetection: JPEGImages/ID.jpg for every ID listed."""
    found = {}
    for name in (folder / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
        with Image.open(folder / "JPEGImages" / f"{name}.jpg") as opened:
            size = opened.convert("RGB").size
        root = ElementTree.parse(folder / "Annotations" / f"{name}.xml").getroot()
        assert tuple(int(root.findtext(f"size/{side}") or 0) for side in ("width", "height")) == size
        corners = ("xmin", "ymin", "xmax", "ymax")
        found[name] = [
            (str(item.findtext("name")), [int(item.findtext(f"bndbox/{corner}") or 0) for corner in corners])
            for item in root.iter("object")
        ]
    return found


def test_a_voc_loader_opens_originals_and_copies_of_any_type(source: Path, tmp_path: Path, model: str) -> None:
    Image.open(source / "images" / "a.png").save(source / "images" / "a.jpg")
    (source / "images" / "a.png").unlink()
    Image.open(source / "images" / "b.png").save(source / "images" / "b.tif")
    (source / "images" / "b.png").unlink()
    code, said = export(source, tmp_path / "out", "--to", "voc", model=model)
    assert code == 0, said
    found = loaded_as_pascal_voc(tmp_path / "out", "train")
    assert sorted(found) == sorted(f"train/{stem}{tail}" for stem in "abcd" for tail in ("", "_painted1"))
    assert all(
        rows == [("cone", [8, 8, 72, 60]), ("cube", [70, 40, 120, 90]), ("cone", [1, 1, 5, 5])]
        for rows in found.values()
    )
    # What is called .jpg is still, to the bit, what was there and what was painted.
    folder = tmp_path / "out" / "JPEGImages" / "train"
    assert (folder / "c.jpg").read_bytes() == (source / "images" / "c.png").read_bytes()
    for line in provenance(tmp_path / "out"):
        image = pixels(tmp_path / "out" / str(line.key))
        original = pixels(folder / f"{Path(str(line.key)).name[0]}.jpg")
        x0, y0, x1, y1 = line.edit.box
        image[y0:y1, x0:x1] = original[y0:y1, x0:x1]
        np.testing.assert_array_equal(image, original)


# What goes wrong


def test_ctrl_c_says_that_the_same_command_goes_on(
    source: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export_job.paint_all
    calls = []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(export_job, "paint_all", interrupted)
    code, said = export(source, tmp_path / "out", "--copies", 6, "--boxes-per-image", 2, model=model)
    assert code == 130
    assert f"stopped; what {tmp_path / 'out'} holds is whole, and the same command goes on where it stopped" in said
    check_whole(tmp_path / "out")
    monkeypatch.undo()
    for target in ("out", "unbroken"):
        code, said = export(source, tmp_path / target, "--copies", 6, "--boxes-per-image", 2, model=model)
        assert code == 0, said
    assert files(tmp_path / "out") == files(tmp_path / "unbroken")


def test_a_log_file_gets_lines_and_no_bars(source: Path, tmp_path: Path, model: str) -> None:
    code, said = export(source, tmp_path / "out", model=model)
    assert code == 0, said
    assert "\r" not in said
    assert "it/s" not in said
    assert f"{source / 'images'} -> train: 4 pictures" in said
    assert "boxes: 12 seen, 12 used" in said


@pytest.mark.parametrize("to", ["yolo", "coco", "voc"])
def test_no_validation_pictures_are_told_of_in_every_format(source: Path, tmp_path: Path, to: str) -> None:
    code, said = export(source, tmp_path / "out", "--to", to, "--p", 0)
    assert code == 0, said
    assert "has no val split yet: measure on pictures that were not painted" in said


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    for box_format in ("yolo", "coco", "voc"):
        code, said = export(tmp_path / "nowhere", tmp_path / "out", box_format=box_format)
        assert code == 1
        assert f"Error: {tmp_path / 'nowhere'}: there is no such folder" in said


def test_words_decide_about_folders_that_look_held_out(tmp_path: Path, model: str) -> None:
    source = write_yolo(tmp_path / "source", ["train/a", "dev/b"])
    code, said = export(source, tmp_path / "out", model=model)
    assert code == 1
    assert "the folder 'dev' looks held out" in said
    assert not (tmp_path / "out").exists()
    for split, copies in (("val", 1), ("train", 2)):
        code, said = export(source, tmp_path / split, "--split", f"dev={split}", model=model)
        assert code == 0, said
        assert len(painted(tmp_path / split)) == copies
    code, said = export(source, tmp_path / "out", "--split", "dev=holdout")
    assert code == 2


def test_a_prompt_with_an_equals_sign_is_never_a_label_of_its_own(source: Path, tmp_path: Path, model: str) -> None:
    for more in ([], ["--prompt", "a {label}"]):
        code, said = export(source, tmp_path / "out", "--prompt", "a sign that says E=mc2", *more)
        assert code == 1
        assert "no class is called 'a sign that says E'" in said
    code, said = export(source, tmp_path / "out", "--prompt", "=a sign that says E=mc2", model=model)
    assert code == 0, said
    assert {line.edit.prompt for line in provenance(tmp_path / "out")} == {"a sign that says E=mc2"}


def test_many_problems_of_one_kind_are_cut_short(source: Path, tmp_path: Path) -> None:
    for number in range(30):
        (source / "labels" / f"gone{number:02}.txt").write_text(yolo_line(*BOXES[0]))
    code, said = export(source, tmp_path / "out", "--copies", 0)
    assert code == 1
    assert said.count("no picture for these labels") == 20
    assert "... and more that are without a picture" in said
    assert "30 without a picture" in said


def test_odd_pictures_stop_no_other(source: Path, tmp_path: Path, model: str) -> None:
    for name, size in {"dot": (1, 1), "line": (1, 700), "row": (700, 1), "flat": (64, 3)}.items():
        Image.new("RGB", size, (9, 90, 200)).save(source / "images" / f"{name}.png")
        (source / "labels" / f"{name}.txt").write_text("0 0.5 0.5 1 1\n")
    header = (source / "images" / "a.png").read_bytes()
    for name, side in {"none": 0, "huge": 2**31 - 1, "large": 50_000}.items():
        content = header[:16] + side.to_bytes(4, "big") * 2 + header[24:29]
        content += zlib.crc32(content[12:]).to_bytes(4, "big") + header[33:]
        (source / "images" / f"{name}.png").write_bytes(content)
    code, said = export(source, tmp_path / "out", "--min-box-size", 1, model=model)
    assert code == 1
    assert "Error" not in said
    for name, why in {"none": "not a", "huge": "too large", "large": "too large"}.items():
        assert f"{name}.png: {why}" in said
    assert {"dot", "line", "row", "flat", "a_painted1"} <= contents(tmp_path / "out", "yolo").keys()


def test_bad_pictures_and_labels_are_named_and_left_out(source: Path, tmp_path: Path, model: str) -> None:
    (source / "images" / "a.png").write_bytes(b"no picture")
    (source / "labels" / "b.txt").write_text(yolo_line(*BOXES[0]) + "\n0 0.5 oops 0.5 0.5\n")
    (source / "labels" / "c.txt").write_text("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1\n")
    Image.new("RGB", (WIDTH, HEIGHT)).save(source / "images" / "d.webp")
    code, said = export(source, tmp_path / "out", model=model)
    assert code == 1
    assert f"{source / 'images' / 'a.png'}: not a picture" in said
    assert f"{source / 'labels' / 'b.txt'}:2: 'oops' is not a number" in said
    assert f"{source / 'labels' / 'c.txt'}:1: expected 'class x y width height'" in said
    assert f"d.webp: {source / 'images' / 'd.png'} is exported under the same name" in said
    assert sorted(contents(tmp_path / "out", "yolo")) == ["d", "d_painted1"]


def test_a_mended_source_is_finished_by_the_same_command(source: Path, tmp_path: Path, model: str) -> None:
    good = (source / "labels" / "b.txt").read_text()
    (source / "labels" / "b.txt").write_text("0 0.5 0.5\n")
    code, said = export(source, tmp_path / "out", model=model)
    assert (code, len(painted(tmp_path / "out"))) == (1, 3)
    (source / "labels" / "b.txt").write_text(good)
    code, said = export(source, tmp_path / "out", model=model)
    assert (code, len(painted(tmp_path / "out"))) == (0, 4), said
    assert len(ultralytics(tmp_path / "out", "train")) == 8


@pytest.mark.parametrize(
    ("more", "name"),
    [
        (["--copies", 2], "copies=1"),
        (["--seed", 1], "seed=0"),
        (["--to", "voc"], "to='yolo'"),
        (["--prompt", "a"], "prompts=[[None, 'a photo of a {label}']]"),
        (["--copy"], "link=True"),
        (["--clip"], "clip=False"),
    ],
)
def test_other_arguments_are_refused(source: Path, tmp_path: Path, more: list[Any], name: str) -> None:
    (tmp_path / "out").mkdir()
    code, said = export(source, tmp_path / "out", "--p", 0)
    assert code == 0, said
    before = files(tmp_path / "out")
    code, said = export(source, tmp_path / "out", "--p", 0, *more)
    assert code == 1
    assert f"was begun with {name}" in said
    assert files(tmp_path / "out") == before
    code, said = export(source, tmp_path / "out", "--p", 0, "--workers", 1)
    assert code == 0, said


def test_a_changed_source_is_refused(source: Path, tmp_path: Path, model: str) -> None:
    code, said = export(source, tmp_path / "out", model=model)
    assert code == 0, said
    (source / "labels" / "a.txt").write_text(yolo_line(0, (8, 8, 90, 90)) + "\n")
    code, said = export(source, tmp_path / "out", model=model)
    assert code == 1
    assert "train/a.png: the labels that it was made from have changed; undo that" in said


def test_folders_that_hold_other_things_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target, message in (
        (tmp_path / "full", "is not empty"),
        (tmp_path / "file", "is not a folder"),
        (source / "images" / "out", "overlaps"),
        (source, "overlaps"),
    ):
        code, said = export(source, target)
        assert code == 1
        assert message in said
    code, said = export(tmp_path / "full", tmp_path / "out")
    assert code == 1
    assert "--boxes" in said
    assert not (tmp_path / "out").exists()


def test_labels_that_do_not_exist_and_nothing_to_paint(source: Path, tmp_path: Path) -> None:
    for more, message in (
        (["--only", "cnoe"], "no class is called 'cnoe'; the classes are cone, cube, unused"),
        (["--budget", "cnoe=1"], "no class is called 'cnoe'"),
        (["--prompt", "cnoe=a hat"], "no class is called 'cnoe'"),
        (["--swap", "cnoe=cube"], "no class is called 'cnoe'"),
        (["--swap", "cnoe=cnoe,cube"], "no class is called 'cnoe'"),
        (["--only", "unused"], "nothing to paint"),
        (["--min-box-size", 500], "nothing to paint"),
    ):
        code, said = export(source, tmp_path / "out", *more)
        assert code == 1
        assert f"Error: {message}" in said
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--copies", -1],
        ["--p", 1.5],
        ["--p", "nan"],
        ["--budget", "cone"],
        ["--budget", "cone=-1"],
        ["--budget", "=3"],
        ["--workers", 0],
        ["--prompt", "a {colour} car"],
        ["--strength", 0],
        ["--to", "csv"],
        ["--swap", "cone"],
        ["--swap", "cone=cube,"],
        ["--swap", "cone=cube", "--prompt", "cone=a hat"],
        ["--swap", "cone=cube", "--only", "cube"],
        ["--gate", "beauty"],
        ["--gate", "fill:0.5"],
        ["--gate", "fill:min_fill=2"],
        ["--gate", "fill:least=0.5"],
        ["--gate", "fill:gate=clip"],
        ["--gate", "clip", "--gate", "clip"],
        ["--retries", -1],
    ],
)
def test_bad_options_are_usage_errors(source: Path, tmp_path: Path, more: list[Any]) -> None:
    code, said = export(source, tmp_path / "out", *more)
    assert code == 2, said
    assert not (tmp_path / "out").exists()


# What ends it


class Forker:
    """Runs commands in processes of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, arguments: list[Any], kill_at: int | None = None, moment: float = 0) -> int:
        """The exit code, negative for a signal.

        Args:
            arguments: The command; the folder that it writes is the third.
            kill_at: Kill it once there are so many files in that folder ...
            moment: ... and so many seconds later.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = json.dumps([list(map(str, arguments)), kill_at, moment])
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):
                return json.loads(line)[0]
        raise AssertionError("the process that forks has ended")


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TQDM_DISABLE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def check_whole(folder: Path) -> None:
    """No file that a loader would take is half there."""
    for picture in (folder / "images").rglob("*.png"):
        if not picture.name.startswith("."):
            pixels(picture)
            label = Path(str(picture).replace(f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}")).with_suffix(".txt")
            assert len(label.read_text().splitlines()) == len(BOXES)


def painting(source: Path, target: Path, model: str) -> list[Any]:
    return ["export", source, target, "--format", "yolo", "--copies", 4, "--steps", 1, "--model", model]


def kill_and_resume(forker: Forker, tmp_path: Path, model: str, times: int, more: Sequence[object] = ()) -> Path:
    """Kill an export once in each of equally long stretches of its way, and compare what a second run makes of it.

    Returns:
        The folder of a run that was not killed.
    """
    source = write_yolo(tmp_path / "source")
    assert forker.run([*painting(source, tmp_path / "unbroken", model), *more]) == 0
    unbroken = files(tmp_path / "unbroken")
    killed = 0
    for number in range(times):
        target = tmp_path / f"broken{number}"
        kill_at = random.randint(1 + number * len(unbroken) // times, (number + 1) * len(unbroken) // times)
        code = forker.run([*painting(source, target, model), *more], kill_at, moment=random.uniform(0, 0.005))
        killed += code == -signal.SIGKILL
        check_whole(target)
        assert forker.run([*painting(source, target, model), *more]) == 0
        assert files(target) == unbroken
        keys = [json.loads(line).get("key") for line in (target / STATE).read_text().splitlines()]
        # The arguments, the classes, four originals, their copies, and the balance sheet.
        assert len(keys) == len(set(keys)) == 1 + 1 + 4 + 16 + 1
        shutil.rmtree(target)
    # Files come in bursts, so that an end may be there before it is seen coming.
    assert killed
    return tmp_path / "unbroken"


@needs_fork
def test_killed_at_some_moments_it_ends_as_if_it_had_not_been(forker: Forker, tmp_path: Path, model: str) -> None:
    assert len(painted(kill_and_resume(forker, tmp_path, model, 3))) == 16


@needs_fork
def test_killed_with_a_swap_and_a_gate_it_ends_as_if_it_had_not_been(
    forker: Forker, tmp_path: Path, model: str
) -> None:
    swap = ["--swap", "cone=cube,ball", "--retries", 1, "--save-crops"]
    everything = painting(write_yolo(tmp_path / "source"), tmp_path / "all", model)
    assert forker.run([*everything, *swap, "--gate", "change"]) == 0
    scores = sorted(line.scores["change"] for line in provenance(tmp_path / "all"))
    gate = ["--gate", f"change:min_inside={scores[len(scores) * 3 // 4]}"]
    unbroken = kill_and_resume(forker, tmp_path, model, 3, [*swap, *gate])
    assert {line.accepted for line in provenance(unbroken)} == {True, False}
    assert {line.edit.target for line in provenance(unbroken)} == {"cube", "ball"}
    assert 0 < len(painted(unbroken)) < 16


@needs_fork
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_many_moments_it_ends_as_if_it_had_not_been(forker: Forker, tmp_path: Path, model: str) -> None:
    assert len(painted(kill_and_resume(forker, tmp_path, model, 20))) == 16


@needs_fork
def test_killed_again_and_again_it_comes_to_an_end(forker: Forker, tmp_path: Path, model: str) -> None:
    source = write_yolo(tmp_path / "source")
    for kill_at in (3, 12, 20):
        assert forker.run(painting(source, tmp_path / "broken", model), kill_at) in (0, -signal.SIGKILL)
    for target in ("broken", "unbroken"):
        assert forker.run(painting(source, tmp_path / target, model)) == 0
    assert files(tmp_path / "broken") == files(tmp_path / "unbroken")


@contextlib.contextmanager
def full_disk(limit: int = 10_000) -> Iterator[None]:
    """No file may become longer than this: a write ends in the middle and with an error, as on a full disk."""
    resource = pytest.importorskip("resource", reason="this system has no limits")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("originals", ["--link", "--copy"])
def test_a_full_disk_is_one_error_and_the_run_goes_on_later(
    source: Path, tmp_path: Path, model: str, originals: str
) -> None:
    out = tmp_path / "out"
    with full_disk():
        code, said = export(source, out, originals, model=model)
    assert code == 1
    [error] = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert str(out / "images" / "train") in error
    assert "File too large; what is exported so far is whole: make room, and the same command goes on" in error
    assert "Traceback" not in said
    assert painted(out) == []
    assert list(out.rglob("*.part")) == []
    check_whole(out)
    for target in (out, tmp_path / "unbroken"):
        code, said = export(source, target, originals, model=model)
        assert code == 0, said
    assert files(out) == files(tmp_path / "unbroken")


def test_a_full_disk_leaves_no_half_line_in_the_manifest(tmp_path: Path, source: Path, model: str) -> None:
    """Here the limit strikes the manifest: it is the only file that grows."""
    write_yolo(source, boxes=[(0, (8, 8, 40, 40))])
    for path in (source / "images").iterdir():
        Image.new("RGB", (WIDTH, HEIGHT), (ord(path.stem), 0, 0)).save(path)
    with full_disk(4500):
        code, said = export(source, tmp_path / "out", "--copies", 3, model=model)
    assert code == 1
    assert f"{STATE}: File too large" in said
    lines = (tmp_path / "out" / STATE).read_text()
    assert 1 < len(lines.splitlines()) < 13
    assert lines.endswith("\n")
    for target in ("out", "unbroken"):
        code, said = export(source, tmp_path / target, "--copies", 3, model=model)
        assert code == 0, said
    assert files(tmp_path / "out") == files(tmp_path / "unbroken")


def test_a_torn_last_line_does_not_count(source: Path, tmp_path: Path, model: str) -> None:
    out = tmp_path / "out"
    code, said = export(source, out, model=model)
    assert code == 0, said
    whole = files(out)
    lines = (out / STATE).read_bytes().splitlines(keepends=True)
    for torn in (b"".join(lines[:2]) + lines[2][:-1], b"".join(lines[:-1]) + lines[-1][:5], lines[0]):
        (out / STATE).write_bytes(torn)
        with _part_of(out / "data.yaml") as left:  # which every run writes
            left.write_bytes(b"half")
        code, said = export(source, out, model=model)
        assert code == 0, said
        assert files(out) == whole
        keys = [json.loads(line).get("key") for line in (out / STATE).read_bytes().splitlines()]
        assert len(keys) == len(set(keys)) == len(lines)
    # An end before the first whole line leaves a folder in which anything may begin.
    shutil.rmtree(out)
    out.mkdir()
    (out / STATE).write_bytes(lines[0][:10])
    code, said = export(source, out, model=model)
    assert code == 0, said
    assert files(out) == whole


@needs_fork
def test_one_process_at_a_time(source: Path, tmp_path: Path) -> None:
    import fcntl

    code, said = export(source, tmp_path / "out", "--copies", 0)
    assert code == 0, said
    with (tmp_path / "out" / STATE).open("ab") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        code, said = export(source, tmp_path / "out", "--copies", 0)
    assert code == 1
    assert "another process is exporting" in said


def test_a_pool_gives_another_export_the_same_pixels_without_painting(
    source: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pool = ["--pool", tmp_path / "pool"]
    code, said = export(source, first, "--copies", 1, *pool, model=model)
    assert code == 0, said
    monkeypatch.setattr(LocalInpainter, "paint", lambda *_: pytest.fail("nothing is to be painted"))
    code, said = export(source, second, "--copies", 1, "--to", "coco", *pool, model=model)
    assert code == 0, said
    assert len(painted(first)) == len(painted(second)) > 0
    for one, other in zip(painted(first), painted(second), strict=True):
        assert np.array_equal(pixels(one), pixels(other))
    assert {record.reuse for record in provenance(second)} == {"hit"}
