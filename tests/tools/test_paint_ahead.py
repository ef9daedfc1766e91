"""paint-ahead: what it fills, training finds; it goes on after a kill; and what is random before it, it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from commands import run
from hypothesis import given
from hypothesis import strategies as st
from painters import Painter
from PIL import Image

from inpaint_transform import BBoxInpaint, InpaintError
from inpaint_transform.core.boxes import from_pixels
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.datasets import shards
from inpaint_transform.datasets.shards import Shard
from inpaint_transform.serving.pool import merging
from inpaint_transform.serving.pool.contents import Contents
from inpaint_transform.serving.pool.keeper import keeper_of
from inpaint_transform.serving.pool.view import View
from inpaint_transform.tools import paint_ahead as ahead

pytest_plugins = ["commands"]

IMAGE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
SAMPLE = ahead.Sample(IMAGE, [(20, 30, 80, 80), (120, 20, 180, 90), (5, 5, 15, 15)], ["cat", "dog", "cat"])


def command(*more: object) -> tuple[int, str]:
    options = ["--boxes", "labels", "--format", "yolo", "--names", "cone,cube", "--steps", 2, "--pool", "pool"]
    return run("paint-ahead", "images", *options, *more)


def plain(said: str) -> str:
    """What a command said without frames and line ends."""
    return " ".join(said.replace("│", " ").split())


def hits(transform: A.Compose, epochs: int = 6, classes: tuple[object, object] = ("cone", "cube")) -> set[str]:
    kinds = set()
    for picture in sorted(Path("images").glob("*.png")):
        rows = [line.split() for line in Path("labels", f"{picture.stem}.txt").read_text().splitlines()]
        image = np.array(Image.open(picture).convert("RGB"))
        for _ in range(epochs):
            sample = transform(
                image=image,
                bboxes=[list(map(float, row[1:])) for row in rows],
                labels=[classes[int(row[0])] for row in rows],
            )
            kinds |= {edit["reuse"] for edit in sample["inpainted"]}
    return kinds


def test_what_a_gate_rejects_is_counted_with_its_reason(dataset: Path, model: str) -> None:
    said = command("--model", model, "--gate", "change:min_inside=250", "--retries", 0)[1]
    [painted, rejected] = re.findall(r"(\d+) looks painted, (\d+) rejected", said)[0]
    assert painted == "0"
    assert rejected != "0"
    assert re.search(rf"^{rejected} not taken: rejected by the gate 'change'", said, re.MULTILINE), said


def test_training_finds_what_the_command_has_painted(dataset: Path, model: str) -> None:
    code, said = command("--model", model, "--variants", 2)
    assert code == 0, said
    assert re.search(r"\d+ looks painted, 0 rejected, 0 were there", said)
    assert Path("paint-ahead.png").exists()
    inpaint = BBoxInpaint(
        {"id": model, "steps": 2},
        num_boxes=2,
        p=1.0,
        edits_key="inpainted",
        reuse={"path": "pool", "variants": 2, "frozen": True},
    )
    transform = A.Compose([inpaint], bbox_params=A.BboxParams("yolo", label_fields=["labels"]), seed=0)
    assert hits(transform) == {"hit"}
    again = command("--model", model, "--variants", 2)[1]
    assert re.search(r"^0 looks painted, 0 rejected, [1-9]", again, re.MULTILINE)
    more = command("--model", model, "--variants", 3)[1]
    assert re.search(r"^[1-9]\d* looks painted", more, re.MULTILINE)


def test_training_by_ids_finds_what_was_painted_by_names_and_the_other_way_round(dataset: Path, model: str) -> None:
    def training(**more: object) -> A.Compose:
        reuse = {"path": "pool", "variants": 1, "frozen": True}
        inpaint = BBoxInpaint({"id": model, "steps": 2}, p=1.0, edits_key="inpainted", reuse=reuse, **more)
        return A.Compose([inpaint], bbox_params=A.BboxParams("yolo", label_fields=["labels"]), seed=0)

    assert command("--model", model, "--variants", 1)[0] == 0
    by_id = training(class_names={3: "cone", 7: "cube"})
    assert hits(by_id, classes=(3, 7)) == {"hit"}
    A.save(by_id, "training.json")
    shutil.rmtree("pool")
    assert command("--config", "training.json", "--variants", 1)[0] == 0
    assert hits(training(), classes=("cone", "cube")) == {"hit"}


def test_training_finds_objects_whose_boxes_end_at_half_a_pixel(tmp_path: Path, painter: Painter) -> None:
    boxes = [[4.5 + 13 * k, 20.5 + k, 9.0 + k % 2 / 2, 31.5] for k in range(17)]
    corners = [[x, y, x + width, y + height] for x, y, width, height in boxes]
    filling = BBoxInpaint(p=1.0, min_box_size=8, reuse={"path": str(tmp_path / "pool"), "variants": 1})
    sample = ahead.Sample(IMAGE, from_pixels(corners, *IMAGE.shape[:2]), ["cat"] * len(boxes))
    ahead.paint_ahead(ahead.with_pool(filling, tmp_path / "pool"), [sample])
    frozen = {"path": str(tmp_path / "pool"), "variants": 1, "frozen": True}
    inpaint = BBoxInpaint(p=1.0, min_box_size=8, edits_key="inpainted", reuse=frozen)
    training = A.Compose([inpaint], bbox_params=A.BboxParams("coco", label_fields=["labels"]), seed=0)
    for _ in range(60):
        [edit] = training(image=IMAGE, bboxes=boxes, labels=["cat"] * len(boxes))["inpainted"]
        assert edit["reuse"] == "hit", edit


def test_what_is_used_and_left_out_stands_at_the_end(dataset: Path, model: str) -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    for split in ("train", "val"):
        for place in ("images", "labels"):
            Path(place, split).mkdir()
    for file in [*Path("images").glob("*.png"), *Path("labels").glob("*.txt")]:
        file.rename(file.parent / "train" / file.name)
    Image.fromarray(picture).save("images/val/v.png")
    Path("labels/val/v.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    Path("images/train/broken.png").write_bytes(b"no picture")
    code, said = command("--model", model, "--variants", 1, "--budget", "cone=1", "--only", "cone")
    assert code == 1
    assert "images/val -> val: 1 picture" in said
    assert "broken.png: not a picture" in said
    assert "5 seen, 3 used, 2 left out (1 unreadable, 1 of the split val)" in plain(said)
    assert "of 6 boxes 1 have 1 look each, 1 in all; left out: 3 not in include_labels, 2 beyond the budget" in plain(
        said
    )
    for wrong in (["--only", "conne"], ["--budget", "conne=1"]):
        code, said = command("--model", model, *wrong)
        assert code == 2
        assert "no class is called 'conne'; the classes are cone, cube; did you mean 'cone'?" in plain(said)


def test_a_saved_pipeline_says_what_is_painted(dataset: Path, model: str) -> None:
    saved = A.Compose(
        [
            A.Resize(200, 160),
            BBoxInpaint(
                {"id": model, "steps": 2}, prompts={0: "a red cone", 1: "a cube"}, class_names=["cone", "cube"]
            ),
            A.HorizontalFlip(),
        ],
        bbox_params=A.BboxParams("yolo", label_fields=["labels"]),
    )
    A.save(saved, "pipeline.json")
    code, said = command("--config", "pipeline.json", "--variants", 1, "--budget", "cone=2")
    assert code == 0, said
    code, said = run("pool", "pool")
    assert "cone: 2 accepted" in said
    assert "a red cone" in Path("pool.html").read_text()
    assert "cube: 3 accepted" in said  # by name, although training labels are ids


@pytest.mark.slow
def test_a_kill_loses_no_look_that_was_painted(dataset: Path, model: str) -> None:
    options = ["paint-ahead", "images", "--boxes", "labels", "--format", "yolo", "--names", "cone,cube"]
    options += ["--steps", "40", "--pool", "pool", "--model", model, "--variants", "40"]
    process = subprocess.Popen([sys.executable, "-m", "inpaint_transform", *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240  # much else may run here
    count = 0
    while not count and time.monotonic() < deadline:
        time.sleep(0.2)
        if Path("pool/data.mdb").exists():
            found = re.search(r"^(\d+) looks", run("pool", "pool")[1], re.MULTILINE)
            count = int(found[1]) if found else 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert count
    found = re.search(r"^(\d+) looks", run("pool", "pool")[1], re.MULTILINE)
    assert found
    assert int(found[1]) >= count


def test_nothing_random_stands_before(tmp_path: Path, painter: Painter) -> None:
    fields = A.BboxParams("pascal_voc", label_fields=["labels", "wanted"])
    before = A.Compose([A.RandomBrightnessContrast(p=1.0)], bbox_params=fields)
    with pytest.raises(ValueError, match="random.*place BBoxInpaint before"):
        ahead.prepared(SAMPLE, before)
    flip = A.Compose([A.CenterCrop(160, 200), A.HorizontalFlip(p=1.0)], bbox_params=fields)
    found = ahead.prepared(dataclasses.replace(SAMPLE, wanted=[False, True, True]), flip)
    assert (found.boxes[0], list(found.wanted)) == ((140, 30, 200, 80), [False, True])  # the last box is cut off
    assert ahead.prepared(SAMPLE, flip).wanted == [True, True]
    assert ahead.prepared(SAMPLE, None) is SAMPLE


def test_every_look_is_painted_once_and_budgets_are_kept(tmp_path: Path, painter: Painter) -> None:
    transform = ahead.with_pool(BBoxInpaint(prompts="a {label}", p=0.1), tmp_path / "pool", 3)
    steps: list[int] = []
    [wanted] = ahead.within([SAMPLE.labels], {"dog": 0})
    done = ahead.paint_ahead(transform, [dataclasses.replace(SAMPLE, wanted=wanted)], step=steps.append)
    assert (dict(done.accepted), done.there) == ({"cat": 3}, 0)
    assert sum(steps) == 9
    done = ahead.paint_ahead(transform, [SAMPLE])
    assert (dict(done.accepted), done.there) == ({"dog": 3}, 3)
    # A group that was broken off is painted as a whole, and what is there stays.
    assert sum(map(len, painter.calls)) == 3 + 6
    assert len({request.seed for call in painter.calls for request in call}) == 6
    assert ahead.paint_ahead(transform, [SAMPLE]).there == 6
    assert len(painter.calls) == 2


def test_looks_for_which_there_is_no_room_are_told(dataset: Path, model: str) -> None:
    for number in range(40):
        picture = np.random.default_rng(number).integers(0, 256, (400, 400, 3), np.uint8)
        Image.fromarray(picture).save(Path("images", f"large{number}.png"))
        Path("labels", f"large{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    said = plain(command("--model", model, "--variants", 1, "--max-bytes", "2MB")[1])
    [gone] = re.findall(r"(\d+) looks had to go for others, for max_bytes='2MB' is too little", said)
    assert 0 < int(gone) < 43
    assert "give a larger --max-bytes or fewer --variants" in said
    # A part that lacks some is not finished, and no merge takes it for whole.
    small = ["--model", model, "--variants", 1, "--max-bytes", "2MB", "--shard"]
    assert "had to go" in plain(command(*small, "1/1")[1])
    assert "is not finished" in plain(command("--model", model, "--variants", 1, "--merge")[1])
    assert "had to go" not in command("--model", model, "--variants", 1, "--max-bytes", "1GB")[1]


def test_looks_of_another_model_go_without_a_word(tmp_path: Path, painter: Painter) -> None:
    reuse = {"path": str(tmp_path / "pool"), "variants": 1, "max_bytes": 1_000_000}
    samples = [
        dataclasses.replace(SAMPLE, image=np.random.default_rng(seed).integers(0, 256, IMAGE.shape, np.uint8))
        for seed in range(24)
    ]
    for prompts in ("a {label}", "one {label}"):
        filled = ahead.with_pool(BBoxInpaint(prompts=prompts, p=1.0, reuse=reuse), tmp_path / "pool")
        done = ahead.paint_ahead(filled, samples)
        assert done.gone == 0
    assert filled.stats()["reuse"]["evicted_early"] > 0


def test_boxes_that_overlap_are_painted_each_as_if_it_were_drawn_alone(tmp_path: Path, painter: Painter) -> None:
    transform = BBoxInpaint(prompts="a {label}", protect=False, p=1.0, edits_key="inpainted", seed=0)
    filled = ahead.with_pool(transform, tmp_path / "pool", 2)
    sample = ahead.Sample(IMAGE, [(20, 30, 100, 90), (40, 40, 120, 100)], ["cat", "cat"])
    assert ahead.paint_ahead(filled, [sample]).accepted == {"cat": 4}
    frozen = BBoxInpaint(
        **{**transform.editor.arguments, "reuse": {"path": str(tmp_path / "pool"), "variants": 2, "frozen": True}}
    )
    pipeline = A.Compose([frozen], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]))
    kinds = []
    for epoch in range(8):
        frozen.set_epoch(epoch)
        found = pipeline(image=IMAGE, bboxes=sample.boxes, labels=sample.labels)["inpainted"]
        kinds += [(edit["index"], edit["reuse"]) for edit in found]
    assert set(kinds) == {(0, "hit"), (1, "hit")}


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=6), st.integers(0, 5))
def test_a_budget_is_for_the_first_boxes_of_its_label(labels: list[list[str]], count: int) -> None:
    found = ahead.within(labels, {"a": count})
    assert [len(wanted) for wanted in found] == [len(of_one) for of_one in labels]
    flat = list(zip(itertools.chain(*labels), itertools.chain(*found), strict=True))
    assert all(one for label, one in flat if label != "a")
    assert sum(one for label, one in flat if label == "a") == min(count, sum(label == "a" for label, _ in flat))
    limited = [one for label, one in flat if label == "a"]
    assert limited == sorted(limited, reverse=True)


@given(st.integers(0, 100), st.integers(1, 5))
def test_shards_take_whole_blocks_and_all_of_them(count: int, shards: int) -> None:
    items = list(range(count))
    parts = [ahead.share(items, Shard(number, shards)) for number in range(1, shards + 1)]
    assert sorted(item for part in parts for item in part) == items == ahead.share(items, None)
    for part in parts:
        # So that a shard's blocks, cut anew, are those of one machine.
        blocks = [part[start : start + ahead.BLOCK] for start in range(0, len(part), ahead.BLOCK)]
        assert all(block[0] % ahead.BLOCK == 0 and block[-1] - block[0] == len(block) - 1 for block in blocks)


class Crowded(Painter):
    """What it paints depends on how many share its call, as a real engine's rounding does; takes several calls."""

    slots = 3

    def paint(self, requests):
        results = super().paint(requests)
        return [InpaintResult(result.image // 2 + np.uint8(len(requests))) for result in results]


def many(count: int) -> list[ahead.Sample]:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (count, 60, 80, 3), np.uint8)
    return [
        ahead.Sample(image, [(5, 5, 45, 45), (40, 10, 78, 58)][: 1 + number % 2], ["cat", "dog"][: 1 + number % 2])
        for number, image in enumerate(images)
    ]


def looks_in(path: Path) -> dict[bytes, tuple]:
    """What is kept in a pool, without when it was painted."""
    found = {}
    with keeper_of(path, 0, True, 1).store.reading() as transaction:
        contents = Contents(transaction, keeper_of(path, 0, True, 1).store.dbs)
        for key, slot in contents.slots():
            kept = View(contents).find(slot.look)
            found[key] = (kept.accepted, kept.prompt, kept.seed, kept.box, kept.pixels.tobytes(), slot.generation)
    return found


def transform_with(path: Path, **more) -> BBoxInpaint:
    return ahead.with_pool(BBoxInpaint(prompts=["a {label}", "one {label}"], seed=0, **more), path, 2)


def test_shards_that_are_merged_are_the_pool_of_one_machine(tmp_path: Path) -> None:
    samples = many(40)
    one = transform_with(tmp_path / "one")
    done = ahead.paint_ahead(one, samples, Crowded())
    assert done.accepted.total() == 2 * sum(len(sample.boxes) for sample in samples)
    target = tmp_path / "pool"
    for number in (3, 1, 2):
        part = Shard(number, 3)
        pool = transform_with(part.folder(target))
        ahead.paint_ahead(pool, ahead.share(samples, part), Crowded())
        merging.finish_part(pool.editor.pool, "all")
    merged = transform_with(target).editor.pool
    assert merging.merge(merged, shards.folders(target), "all") == done.accepted.total()
    assert looks_in(target) == looks_in(tmp_path / "one")
    assert merging.merge(merged, shards.folders(target), "all") == 0  # once more changes nothing
    # And training finds everything.
    assert ahead.paint_ahead(transform_with(target), samples, Crowded()).there == done.accepted.total()


def test_what_was_broken_off_becomes_the_same_pool(tmp_path: Path) -> None:
    """Also in the middle of a group: one of its looks was not written any more."""
    samples = many(20)
    ahead.paint_ahead(transform_with(tmp_path / "one"), samples, Crowded())

    class Lost(Crowded):
        def paint(self, requests):
            if len(self.calls) == 2:
                raise InpaintError("the machine is gone")
            return super().paint(requests)

    broken = transform_with(tmp_path / "pool")
    with pytest.raises(InpaintError, match="is gone"):
        ahead.paint_ahead(broken, samples, Lost())
    assert 0 < len(looks_in(tmp_path / "pool")) < len(looks_in(tmp_path / "one"))
    victim = next(iter(looks_in(tmp_path / "pool")))
    store = keeper_of(tmp_path / "pool", 0, True, 1).store
    store.write(lambda transaction: transaction.delete(victim, db=store.dbs[b"slots"]), lambda *_: None)
    ahead.paint_ahead(transform_with(tmp_path / "pool"), samples, Crowded())
    assert looks_in(tmp_path / "pool") == looks_in(tmp_path / "one")


def test_the_command_paints_shards_and_merges_them(dataset: Path, model: str) -> None:
    options = ["--model", model, "--variants", 2]
    code, said = command(*options, "--shard", "1/2")
    assert code == 0, said
    assert "--merge" in said
    code, said = command(*options, "--merge")
    assert code != 0
    assert "2/2 are not beside it" in plain(said)
    assert command(*options, "--shard", "2/2")[0] == 0
    code, said = command("--model", model, "--variants", 3, "--merge")
    assert code != 0
    assert "3 looks each" in plain(said)
    code, said = command("--model", model, "--variants", 2, "--retries", 5, "--merge")
    assert code != 0
    assert "retries=2 instead of 5" in plain(said)
    code, said = command(*options, "--merge")
    assert code == 0, said
    assert re.search(r"^[1-9]\d* looks of the shards are in pool now", said, re.MULTILINE)
    assert re.search(r"^0 looks painted, 0 rejected, [1-9]", command(*options)[1], re.MULTILINE)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--shard", "3/2"], "shard=3/2"),
        (["--shard", "1/2", "--merge"], "exclude each other"),
        (["--address", "auto"], "goes with --ray"),
        (["--merge"], "no shards of pool"),
    ],
)
def test_what_does_not_go_together(dataset: Path, more: list[str], words: str) -> None:
    code, said = command(*more)
    assert code == 2
    assert words in plain(said)


def test_labels_are_those_of_training() -> None:
    assert ahead.in_training_terms(["cone", "x"], None) == ["cone", "x"]
    assert ahead.in_training_terms(["cone", "x"], ["cube", "cone"]) == [1, "x"]
    assert ahead.in_training_terms(["cone", "cube"], {"7": "cone", 2: "cube"}) == [7, 2]


@pytest.mark.parametrize("variants", [1, 3])
def test_every_box_is_accounted_for(dataset: Path, model: str, variants: int) -> None:
    Path("labels/a.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.1 0.1\n1 0.5 0.5 0.45 0.45\n")
    code, said = command("--model", model, "--variants", variants)
    assert code == 0, said
    [sentence] = re.findall(r"of (\d+) boxes (\d+) have \d looks? each, (\d+) in all; left out: (.*)", said)
    boxes, some, looks = map(int, sentence[:3])
    left = [int(count) for count in re.findall(r"(\d+) [a-z]", sentence[3])]
    assert boxes == 7
    assert some + sum(left) == boxes
    assert looks == some * variants == int(re.findall(r"(\d+) looks painted", said)[0])
    assert "1 smaller than min_box_size=32" in sentence[3]


def test_a_label_without_a_prompt_is_said_before_anything_is_painted(dataset: Path, model: str) -> None:
    A.save(BBoxInpaint({"id": model, "steps": 2}, prompts={"cone": "a cone"}), "saved.json")
    code, said = command("--config", "saved.json")
    assert code == 2
    assert "prompts has no entry for label 'cube'" in plain(said)
    code, said = command("--config", "saved.json", "--only", "cone", "--variants", 1)
    assert code == 0, said
