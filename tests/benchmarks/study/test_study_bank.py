"""The bank: every painting stays in its box, painters do what they are for, and what was painted is painted once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.study import bank, painters, sharpness
from benchmarks.study.patches import Bank, Painting
from benchmarks.study.sets import StudySet, see
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.fit import autoencoder, classifiers
from inpaint_transform.fit.pictures import read_picture
from inpaint_transform.fit.sharpness import sharpness as measured


class Painter(painters._Painter):
    """Paints noise in a colour of the prompt, and counts."""

    size = 32

    def __init__(self) -> None:
        self.painted = 0
        self.prompts: list[str] = []

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        self.painted += len(requests)
        self.prompts += [request.prompt for request in requests]
        return [
            InpaintResult(np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))
            for request in requests
        ]


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """Noise instead of a model, and a gate that takes about every second of its paintings."""
    found = Painter()
    monkeypatch.setattr(bank, "connect", lambda spec: found)
    monkeypatch.setattr(bank, "digest_of_weights", lambda model: model)
    monkeypatch.setattr(autoencoder, "load_round_trip", lambda spec: lambda images: 255 - images)

    def judge(self: Any, candidates: Sequence[Any]) -> list[tuple[float, bool]]:
        means = [float(one.painted.mean()) for one in candidates]
        return [(mean, int(1000 * mean) % 2 == 0) for mean in means]

    monkeypatch.setattr(bank.ClipGate, "verdicts", judge)
    monkeypatch.setattr(bank.FillGate, "verdicts", lambda self, many: [(1.0, True)] * len(many))
    monkeypatch.setattr(bank.ClipGate, "texts", lambda self, noun, others: None)
    return found


def made(drawn: StudySet, tmp_path: Path, **painting: Any) -> Bank:
    return bank.get(drawn, drawn.draw(6, 0), Painting(**painting), "tiny", tmp_path, 0)


@pytest.mark.parametrize("kind", ["prior", "identity", "paste", "insert"])
def test_a_patch_stays_in_its_box(drawn: StudySet, tmp_path: Path, painter: Painter, kind: str) -> None:
    samples = drawn.draw(6, 0)
    seen = see(drawn, samples)
    found = made(drawn, tmp_path, kind=kind, variants=2)
    assert found.patches
    for patch in found.patches:
        x, y = patch.corner
        height, width = patch.changed.shape
        x0, y0, x1, y1 = patch.box
        # Half a pixel of the box's edge is shared with what is outside.
        assert x >= np.floor(x0)
        assert y >= np.floor(y0)
        assert x + width <= np.ceil(x1)
        assert y + height <= np.ceil(y1)
        base = seen[patch.row].pixels[y : y + height, x : x + width]
        assert np.array_equal((patch.pixels != base).any(axis=2), patch.changed)
        if patch.slot >= 0:
            assert np.allclose(patch.box, seen[patch.row].boxes[patch.slot])
            assert patch.kind == seen[patch.row].classes[patch.slot]


def test_what_was_painted_is_painted_once(drawn: StudySet, tmp_path: Path, painter: Painter) -> None:
    first = made(drawn, tmp_path, variants=2)
    count = painter.painted
    second = made(drawn, tmp_path, variants=2)
    assert painter.painted == count > 0
    assert len(first.patches) == len(second.patches)
    for one, other in zip(first.patches, second.patches, strict=True):
        assert (one.row, one.slot, one.kind, one.corner, one.accepted) == (
            other.row,
            other.slot,
            other.kind,
            other.corner,
            other.accepted,
        )
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.changed, other.changed)
    made(drawn, tmp_path, variants=2, steps=4)
    assert painter.painted > count


def test_the_gates_word_is_kept_and_nothing_is_painted_twice_for_it(
    drawn: StudySet, tmp_path: Path, painter: Painter
) -> None:
    found = made(drawn, tmp_path, variants=3)
    assert {patch.accepted for patch in found.patches} == {True, False}
    # No retries: the arm without a gate uses the very same paintings.
    assert painter.painted == len(found.patches)


def test_every_box_that_may_be_painted_gets_its_paintings(drawn: StudySet, tmp_path: Path, painter: Painter) -> None:
    samples = drawn.draw(6, 0)
    usable = bank.paintable(samples, drawn.labels)
    found = made(drawn, tmp_path, variants=3)
    for row, slots in enumerate(usable):
        own = [patch.slot for patch in found.patches if patch.row == row]
        assert set(own) == set(slots)
        assert all(own.count(slot) == 3 for slot in slots)


def test_words_may_be_scrambled_but_labels_stay(drawn: StudySet, tmp_path: Path, painter: Painter) -> None:
    found = made(drawn, tmp_path, variants=1, words="scrambled")
    seen = see(drawn, drawn.draw(6, 0))
    assert all(patch.kind == seen[patch.row].classes[patch.slot] for patch in found.patches)
    nouns = {label: bank.data.NAMES[label][0] for label in drawn.labels}
    other = painters.scrambled(nouns)
    assert set(other.values()) == set(nouns.values())
    assert all(other[label] != nouns[label] for label in nouns)
    assert set(painter.prompts) == {f"a photo of a {noun}" for noun in other.values()}


def test_the_round_trip_is_the_autoencoders(drawn: StudySet, tmp_path: Path, painter: Painter) -> None:
    found = made(drawn, tmp_path, kind="identity", variants=1)
    seen = see(drawn, drawn.draw(6, 0))
    # It inverts, and the border's colours are matched: what was darker than its surroundings is brighter now.
    for patch in found.patches:
        background = seen[patch.row].pixels[0, 0].astype(int)
        height, width = patch.changed.shape
        assert patch.pixels[height // 2, width // 2, 1] > background[1] + 10
    assert len(found.patches) == sum(map(len, bank.paintable(drawn.draw(6, 0), drawn.labels)))


def test_new_objects_are_of_every_class_and_where_no_box_is(drawn: StudySet, tmp_path: Path, painter: Painter) -> None:
    samples = drawn.draw(6, 0)
    seen = see(drawn, samples)
    found = made(drawn, tmp_path, kind="insert", variants=4)
    assert {patch.kind for patch in found.patches} == set(range(len(drawn.labels)))
    assert len({(patch.row, patch.slot) for patch in found.patches}) == len(found.patches)
    for patch in found.patches:
        assert patch.slot < 0
        for box in seen[patch.row].boxes:
            shared = np.minimum(patch.box[2:], box[2:]) - np.maximum(patch.box[:2], box[:2])
            assert shared.min() <= 0


def test_a_pasted_object_is_a_real_one_of_the_class(drawn: StudySet) -> None:
    samples = drawn.draw(6, 0)
    donors = painters.Donors(samples, 8)
    rng = random.Random(0)
    donor = donors.draw("WBC", (0, 0, 50, 50), rng)
    painter = painters.PastePainter()
    edit = Edit(0, (60, 40, 110, 90), (35, 15, 135, 115), "WBC", "", "", 1.0, 5)
    painter.announce([edit], [donor])
    image = np.zeros((256, 256, 3), np.uint8)
    [result] = painter.paint([InpaintRequest(image, np.ones((256, 256), bool), "", seed=5)])
    assert result.image is not None
    inside = result.image[64:192, 64:192]
    assert np.abs(inside.mean(axis=(0, 1)) - donor.mean(axis=(0, 1))).max() < 3
    rest = result.image.copy()
    rest[64:192, 64:192] = 0
    assert not rest.any()


def test_donors_are_of_about_the_boxs_size_where_there_are_such(drawn: StudySet) -> None:
    donors = painters.Donors(drawn.draw(6, 0), 8)
    donors.by_label["WBC"] += [np.zeros((200, 200, 3), np.uint8)] * 50
    sides = {donors.draw("WBC", (0, 0, 52, 52), random.Random(seed)).shape[0] for seed in range(40)}
    assert max(sides) <= 78
    assert donors.draw("WBC", (0, 0, 5, 5), random.Random(0)).size


def test_painted_boxes_become_as_sharp_as_real_ones(drawn: StudySet) -> None:
    samples = drawn.draw(6, 0)
    picture = read_picture(samples[0].image)
    box = samples[0].boxes[0]
    for wanted in (30.0, 400.0):
        matched = sharpness.matched_to(picture, box, wanted)
        cut = matched[box[1] : box[3], box[0] : box[2]]
        assert measured(cut) == pytest.approx(wanted, rel=0.25)
    matcher = sharpness.Matcher(samples)
    x0, y0, x1, y1 = box
    edit = Edit(0, box, box, samples[0].labels[0], "", "", 1.0, 0)
    before = picture[y0:y1, x0:x1]
    half = before.copy()
    half[: len(half) // 2] = 90
    matched = matcher.match(edit, before, half)
    assert np.array_equal(matched[len(half) // 2 + 1 :], before[len(half) // 2 + 1 :])


def noise(picture: np.ndarray) -> float:
    return float(np.median(np.abs(np.diff(picture.astype(int), axis=1))))


def test_as_many_real_boxes_as_painted_ones_are_told_apart(
    drawn: StudySet, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(real: list[np.ndarray], painted: list[np.ndarray], seed: int) -> float:
        assert len(real) == len(painted) > 10
        assert {picture.shape for picture in [*real, *painted]} == {(64, 64, 3)}
        # The painter's noise against discs, which are flat but for their edges.
        return float(np.mean([noise(picture) for picture in painted]) > np.mean([noise(one) for one in real]))

    monkeypatch.setattr(classifiers, "real_or_painted", judge)
    found = made(drawn, tmp_path, variants=2)
    assert bank.told_apart(drawn.draw(6, 0), found, 0) == 1


@pytest.mark.parametrize(
    ("painting", "said"),
    [({"kind": "magic"}, "kind='magic'"), ({"words": "no"}, "words='no'"), ({"variants": 0}, "=0")],
)
def test_what_is_not_understood_is_refused(painting: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Painting(**painting)
