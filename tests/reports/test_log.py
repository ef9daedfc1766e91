"""The log: what a line holds, that no line is lost or mixed up, and what is said of lines that are damaged."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.core.edit import Edit, Outcome
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.references import Reference
from inpaint_transform.reports import log as provenance
from inpaint_transform.reports.log import Log, Record

PROCESSES, THREADS, LINES = 8, 4, 500
SPEC = ModelSpec("tiny", device="cpu", serving="local", steps=2)
IMAGE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
BEFORE = np.full((8, 8, 3), 90, np.uint8)
AFTER = np.full((8, 8, 3), 180, np.uint8)


def outcome(prompt: str = "a cone", accepted: bool = True, **more: Any) -> Outcome:
    values = {
        "edit": Edit(0, (2, 2, 6, 6), (0, 0, 8, 8), "cone", prompt, "", 1.0, 5),
        "accepted": accepted,
        "reason": None if accepted else "clip",
        "seed": 5,
        "attempts": 1,
        "scores": {"clip": 0.5},
        "milliseconds": 3.25,
        "before": BEFORE,
        "after": lambda: AFTER,
    }
    return Outcome(**{**values, **more})


def write(log: Log, *outcomes: Outcome, image: np.ndarray = IMAGE, key: str | None = None) -> None:
    log.write(image, list(outcomes), Recipe(), SPEC, 3, key)


def records(path: Path) -> list[Record]:
    return [record for _, record in provenance.read(path)]


pixels = st.integers(0, 4000)
boxes = st.tuples(pixels, pixels, pixels, pixels)
texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)
labels = st.one_of(st.none(), st.integers(), texts)
edits = st.builds(
    Edit,
    index=st.one_of(st.none(), pixels),
    box=boxes,
    window=boxes,
    label=labels,
    prompt=texts,
    negative_prompt=texts,
    strength=st.floats(0.01, 1),
    seed=st.integers(0, 2**63 - 1),
    outline=st.one_of(st.none(), st.lists(st.tuples(numbers, numbers), min_size=3, max_size=4).map(tuple)),
    new_label=labels,
    protected=st.lists(boxes, max_size=2).map(tuple),
    mask_runs=st.one_of(st.none(), st.lists(pixels, min_size=1, max_size=4).map(tuple)),
    reference=st.none() | st.builds(Reference, texts, st.none() | texts),
)
made_up = st.builds(
    Record,
    edit=edits,
    seed=st.integers(0, 2**63 - 1),
    attempts=pixels,
    accepted=st.booleans(),
    reason=st.one_of(st.none(), texts),
    scores=st.dictionaries(texts, numbers, max_size=3),
    fill=st.one_of(st.none(), st.floats(0, 1)),
    milliseconds=numbers,
    key=st.one_of(st.none(), texts),
    image=texts,
    epoch=pixels,
    model=st.dictionaries(texts, st.one_of(texts, st.integers()), max_size=3),
    recipe=st.dictionaries(texts, st.one_of(texts, numbers), max_size=3),
    crop=st.one_of(st.none(), texts),
    time=texts,
    versions=st.dictionaries(texts, texts, max_size=2),
    reuse=st.one_of(st.none(), st.sampled_from(["hit", "painted", "cold"])),
    thresholds=st.dictionaries(texts, st.dictionaries(texts, numbers, max_size=1), max_size=2),
    names=st.dictionaries(st.sampled_from(["label", "new_label"]), texts, max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(made_up)
def test_a_record_is_one_line_of_json(record: Record) -> None:
    line = record.to_json()
    assert len(line.splitlines()) == 1
    assert Record.from_json(line) == record


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)),
        (np.zeros((4,), np.uint8), np.zeros((2,), np.uint16)),
        (IMAGE, IMAGE[:, ::-1]),
        (IMAGE, np.where(np.indices(IMAGE.shape).sum(0) == 0, IMAGE ^ 1, IMAGE)),
    ],
    ids=["shape", "dtype", "order", "one grey level"],
)
def test_a_digest_tells_images_apart(one: np.ndarray, other: np.ndarray) -> None:
    assert provenance.digest(one) != provenance.digest(other)


def test_a_digest_does_not_depend_on_the_memory_layout() -> None:
    flipped = IMAGE[::-1, ::-1]
    assert (
        provenance.digest(flipped) == provenance.digest(flipped.copy()) == provenance.digest(np.asfortranarray(flipped))
    )


def test_a_line_says_where_the_gates_drew_the_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.write(IMAGE, [outcome()], Recipe(), SPEC, 0, None, {"clip": {"min_margin": 0.1}})
    log.write(IMAGE, [outcome()], Recipe(), SPEC, 0, None, {})
    assert [record.thresholds for record in records(log.path)] == [{"clip": {"min_margin": 0.1}}, {}]
    assert "thresholds" not in log.path.read_text().splitlines()[1]


def test_what_a_line_says(tmp_path: Path) -> None:
    log = Log(tmp_path / "new" / "folder" / "log.jsonl")
    write(log, outcome(), outcome(accepted=False, after=lambda: None, attempts=3, seed=9), key="a.png")
    first, second = records(log.path)
    assert (first.key, first.image, first.epoch) == ("a.png", provenance.digest(IMAGE), 3)
    assert (first.accepted, first.reason, first.attempts, first.scores) == (True, None, 1, {"clip": 0.5})
    assert first.edit == outcome().edit
    assert first.fill == 1.0
    assert (second.accepted, second.reason, second.attempts, second.seed, second.fill) == (False, "clip", 3, 9, None)
    assert set(first.versions) >= {"torch", "diffusers"}


def test_ids_are_called_by_their_names(tmp_path: Path) -> None:
    """A reader needs no table to know what was painted, and replay has the ids that it was painted by."""
    log = Log(tmp_path / "log.jsonl")
    swap = Edit(0, (2, 2, 6, 6), (0, 0, 8, 8), 1, "a cube", "", 1.0, 5, new_label=2)
    plain, unknown = (dataclasses.replace(swap, label=label, new_label=None) for label in (2, 7))
    made = [outcome(edit=edit) for edit in (swap, plain, unknown)]
    log.write(IMAGE, made, Recipe(class_names={1: "cone", 2: "cube"}), SPEC, 0, None)
    found = records(log.path)
    assert [(record.label, record.new_label) for record in found] == [("cone", "cube"), ("cube", None), ("7", None)]
    assert [(record.edit.label, record.edit.new_label) for record in found] == [(1, 2), (2, None), (7, None)]
    log.write(IMAGE, made, Recipe(), SPEC, 0, None)
    assert [record.label for record in records(log.path)[3:]] == ["1", "2", "7"]
    assert "names" not in log.path.read_text().splitlines()[3]


def test_a_folder_that_is_made_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = Log(tmp_path / "rums" / "log.jsonl", save_crops=True)
    with caplog.at_level(logging.INFO):
        write(log, outcome())
        write(log, outcome())
    [said] = [record.getMessage() for record in caplog.records if "folder" in record.getMessage()]
    assert str(tmp_path / "rums") in said


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; give a file, for instance .*edits.jsonl"):
        Log(tmp_path)
    (tmp_path / "provenance.jsonl").touch()
    for read in (lambda path: list(provenance.read(path)), lambda path: provenance.at(path, 1)):
        with pytest.raises(FileNotFoundError, match="is a folder; give the log in it: provenance.jsonl"):
            read(tmp_path)
        with pytest.raises(FileNotFoundError, match="there is no such log"):
            read(tmp_path / "none.jsonl")


def test_a_preset_stays_a_name(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    write(log, outcome())
    [record] = records(log.path)
    assert ModelSpec.of(record.model) == SPEC
    assert record.model["id"] == "tiny"


def test_an_image_without_edits_leaves_no_trace(tmp_path: Path) -> None:
    write(Log(tmp_path / "log.jsonl"))
    assert not (tmp_path / "log.jsonl").exists()


def write_many(log: Log, process: int) -> None:
    # Longer than a page and of all lengths: nothing but the write itself keeps such lines apart.
    def one_thread(thread: int) -> None:
        for number in range(LINES):
            write(log, outcome(f"{process} {thread} {number} " + "x" * (number * 37 % 9000)), image=BEFORE)

    threads = [threading.Thread(target=one_thread, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_writers_lose_and_mix_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=write_many, args=(log, process)) for process in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    written = [tuple(map(int, record.edit.prompt.split()[:3])) for record in records(log.path)]
    assert len(written) == PROCESSES * THREADS * LINES
    assert len(set(written)) == len(written)
    # Each writer's own lines are in its order.
    for writer in {line[:2] for line in written}:
        assert [number for *own, number in written if tuple(own) == writer] == list(range(LINES))


ENDLESS = """
import itertools, sys
import numpy as np
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.edit import Outcome
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.reports.log import Log
log, image = Log(sys.argv[1]), np.zeros((8, 8, 3), np.uint8)
for number in itertools.count():
    edit = Edit(0, (2, 2, 6, 6), (0, 0, 8, 8), "cone", f"{number} " + "x" * 5000, "", 1.0, 5)
    made = Outcome(edit, True, None, 5, 1, {}, 1.0, image, lambda: image)
    log.write(image, [made], Recipe(), ModelSpec("tiny"), 0, None)
    print(number, flush=True)
"""


def test_a_killed_writer_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
    told = sum(line.endswith("\n") for line in said)
    assert process.returncode == -signal.SIGKILL
    found = [int(record.edit.prompt.split()[0]) for record in records(path)]
    assert found == list(range(len(found)))
    assert told >= 50
    assert len(found) >= told


def test_a_log_pickles_as_its_path(tmp_path: Path) -> None:
    log = pickle.loads(pickle.dumps(Log(tmp_path / "log.jsonl", save_crops=True)))
    write(log, outcome())
    [record] = records(tmp_path / "log.jsonl")
    assert record.crop is not None


def test_crops_are_saved_side_by_side_under_names_of_their_own(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", save_crops=True)
    write(log, outcome(), outcome(after=lambda: None), outcome())
    names = [record.crop for record in records(log.path)]
    assert names[1] is None
    assert names[0] != names[2]
    folder = provenance.crops_of(log.path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([str(names[0]), str(names[2])])
    picture = np.asarray(Image.open(folder / str(names[0])))
    assert np.array_equal(picture, np.hstack([BEFORE, AFTER]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(OSError, match="[Nn]o space"):
        write(Log("/dev/full"), outcome())


# -- reading --


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Three lines."""
    found = Log(tmp_path / "log.jsonl")
    write(found, *(outcome(f"number {number}") for number in range(3)))
    return found


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_left_out(log: Log, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-cut])
    with caplog.at_level(logging.WARNING):
        assert [record.edit.prompt for record in records(log.path)] == ["number 0", "number 1"]
    assert "log.jsonl" in caplog.text
    assert "line 3" in caplog.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2"),
        ("", "line 2"),
        ("[1, 2]", "no record of an edit; give a log, as BBoxInpaint(log=...) writes it"),
        ("7", "no record"),
        ('{"version": 99}', "version 99"),
        ('{"version": 99, "versions": null}', "version 99"),
        ('{"version": 1}', "damaged: edit"),
        ('{"version": 1, "edit": 3}', "damaged: edit"),
        ('{"version": 1, "edit": {"box": 3, "window": []}}', "damaged: edit.index"),
        ("[" * 100_000, "no JSON"),
        ("9" * 10_000, "no JSON"),
        ("\N{GREEK SMALL LETTER ALPHA}", "line 2"),
    ],
)
def test_a_broken_line_is_named(log: Log, line: str, words: str) -> None:
    lines = log.path.read_text().splitlines()
    lines[1] = line
    log.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2") as caught:
        records(log.path)
    assert words in str(caught.value)


def test_bytes_that_are_no_text_are_named(log: Log) -> None:
    log.path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(ValueError, match=r"log\.jsonl"):
        records(log.path)


def test_a_record_with_a_field_too_many_or_too_few_is_refused(log: Log) -> None:
    values = json.loads(log.path.read_text().splitlines()[0])
    for changed in ({**values, "more": 1}, {name: values[name] for name in values if name != "seed"}):
        with pytest.raises(ValueError, match="damaged: (more|seed)"):
            Record.from_json(json.dumps(changed))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(made_up, st.data())
def test_a_field_of_another_type_is_named_or_does_no_harm(record: Record, data: st.DataObject) -> None:
    values = json.loads(record.to_json())
    inner = data.draw(st.booleans())
    fields = values["edit"] if inner else values
    name = data.draw(st.sampled_from(sorted(fields.keys() - {"version", "edit"})))
    fields[name] = data.draw(anything)
    line = json.dumps(values)
    try:
        read = Record.from_json(line)
    except ValueError:
        with pytest.raises(ValueError, match=f"damaged: {'edit.' if inner else ''}{name}"):
            Record.from_json(line)
    else:  # what was drawn happened to fit; of the fields that most edits do not need, an empty one is not written
        optional = {"reuse", "thresholds", "names"}
        assert json.loads(read.to_json()).keys() == {one for one in values if one not in optional or values[one]}


def test_damaged_lines_can_be_left_out(log: Log) -> None:
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([lines[0], "{", lines[1].replace('"attempts": 1', '"attempts": "x"'), lines[2], ""]))
    damaged: list[ValueError] = []
    assert [number for number, _ in provenance.read(log.path, damaged.append)] == [1, 4]
    assert ["line 2" in str(damaged[0]), "line 3: the record is damaged: attempts" in str(damaged[1])] == [True, True]


def test_a_key_that_is_no_text_costs_no_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    write(log, outcome(), key=os.fsdecode(b"caf\xe9.png"))
    [record] = records(log.path)
    assert record.key == "caf?.png"
