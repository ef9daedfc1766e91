"""Recall: pixels from the pool are those that were painted, cold costs nothing, and a gate judges once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painters import Painter, painted

from inpaint_transform.core.edit import Edit
from inpaint_transform.core.looks import Kept
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.protocol import InpaintResult, Verdict
from inpaint_transform.core.recipe import Recipe

RECIPE = Recipe(prompts="a thing")
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


class Pool:
    """Looks in a dict."""

    def __init__(self, wait: bool = True) -> None:
        self.wait = wait
        self.settings = b"settings"
        self.kept: dict[bytes, Kept] = {}
        self.raw: dict[tuple[bytes, int], InpaintResult] = {}
        self.wishes: list[tuple[bytes, int]] = []

    @contextlib.contextmanager
    def reading(self) -> Iterator[Pool]:
        yield self

    def find(self, key: bytes) -> Kept | None:
        return self.kept.get(key)

    def painted(self, key: bytes, attempt: int) -> InpaintResult | None:
        return self.raw.get((key, attempt))

    def keep(self, key: bytes, kept: Kept, edit: Edit) -> None:
        self.kept[key] = dataclasses.replace(kept, pixels=None if kept.pixels is None else kept.pixels.copy())

    def flush(self) -> None:
        """All is there."""

    def paint_later(self, key, attempt, request) -> None:
        self.wishes.append((key, attempt))
        self.raw[key, attempt] = InpaintResult(painted(request(Painter.size)))


class Never(Painter):
    def paint(self, requests):
        raise AssertionError("nothing is to be painted")

    @property
    def size(self):
        raise AssertionError("the model is not to be loaded")


class Gate:
    """Rejects the first so many candidates."""

    clip = None

    def __init__(self, rejects: int) -> None:
        self.rejects = rejects
        self.judged = 0

    def texts(self, noun, others):
        return None

    def judge(self, candidates):
        verdicts = []
        for _ in candidates:
            self.judged += 1
            fine = self.judged > self.rejects
            verdicts.append(Verdict(0.5, fine, None if fine else "gate: bad", {"gate": 0.5}))
        return verdicts


def edit(box, seed: int = 1, **more) -> Edit:
    x0, y0, x1, y1 = box
    window = (max(0, x0 - 10), max(0, y0 - 10), min(160, x1 + 10), min(120, y1 + 10))
    return Edit(0, box, window, "cat", "a cat", "", 1.0, seed, **more)


def as_kind(image: np.ndarray, kind: str) -> np.ndarray:
    if kind == "grey":
        return image[:, :, 0].copy()
    if kind == "uint16":
        return image.astype(np.uint16) * 257
    if kind == "float32":
        return (image / 255).astype(np.float32)
    return np.dstack([image, image[:, :, :2]]) if kind == "five" else image


@pytest.mark.parametrize("kind", ["rgb", "grey", "uint16", "float32", "five"])
@pytest.mark.parametrize("shape", ["box", "ellipse"])
def test_a_hit_is_what_was_painted_and_that_what_it_is_without_a_pool(kind: str, shape: str) -> None:
    recipe = Recipe(prompts="a thing", shape=shape)
    image, edits = as_kind(IMAGE, kind), [edit((20, 20, 60, 70)), edit((90, 30, 150, 100), 2)]
    before, pool = image.copy(), Pool()
    plain, _ = paint_all(recipe, [image], [edits], Painter())
    first, outcomes = paint_all(recipe, [image], [edits], Painter(), looks=pool)
    assert [outcome.reuse for outcome in outcomes[0]] == ["painted", "painted"]
    again, outcomes = paint_all(recipe, [image], [edits], Never(), looks=pool)
    assert [outcome.reuse for outcome in outcomes[0]] == ["hit", "hit"]
    assert [outcome.accepted for outcome in outcomes[0]] == [True, True]
    for result in (first, again):
        assert np.array_equal(result[0], plain[0])
    assert np.array_equal(image, before)
    assert again[0].dtype == image.dtype


@given(st.integers(0, 60), st.integers(0, 40), st.integers(32, 90), st.integers(32, 70), st.integers(0, 2))
def test_overlapping_edits_come_out_the_same_whoever_was_there_first(
    x: int, y: int, w: int, h: int, known: int
) -> None:
    recipe = Recipe(prompts="a thing", shape="ellipse", protect=False)
    edits = [edit((30, 20, 100, 90)), edit((x, y, x + w, y + h), 2)]
    pool = Pool()
    everything, _ = paint_all(recipe, [IMAGE], [edits], Painter(), looks=pool)
    partly = Pool()
    paint_all(recipe, [IMAGE], [edits[known:]], Painter(), looks=partly)
    found, _ = paint_all(recipe, [IMAGE], [edits], Painter(), looks=partly)
    again, _ = paint_all(recipe, [IMAGE], [edits], Never(), looks=pool)
    assert np.array_equal(found[0], everything[0])
    assert np.array_equal(again[0], everything[0])


def test_cold_keeps_the_very_image_and_asks_for_nothing_now() -> None:
    pool = Pool(wait=False)
    [result], [[outcome]] = paint_all(RECIPE, [IMAGE], [[edit((20, 20, 60, 70))]], Never(), looks=pool)
    assert result is IMAGE
    assert (outcome.reuse, outcome.accepted, outcome.reason, outcome.attempts) == ("cold", False, "cold", 0)
    assert [attempt for _, attempt in pool.wishes] == [0]


def test_what_was_painted_meanwhile_is_judged_at_its_first_use_and_then_a_hit() -> None:
    pool, gate, edits = Pool(wait=False), Gate(0), [edit((20, 20, 60, 70))]
    plain, _ = paint_all(RECIPE, [IMAGE], [edits], Painter(), Gate(0))
    for expected in ("cold", "painted", "hit", "hit"):
        [result], [[outcome]] = paint_all(RECIPE, [IMAGE], [edits], Never(), gate, looks=pool)
        assert outcome.reuse == expected
        assert outcome.accepted == (expected != "cold")
        assert np.array_equal(result, IMAGE if expected == "cold" else plain[0])
    assert gate.judged == 1
    assert outcome.scores == {"gate": 0.5}


@pytest.mark.parametrize("wait", [True, False])
def test_a_rejected_look_has_its_attempts_and_is_remembered_with_its_reason(wait: bool) -> None:
    recipe, pool, gate, edits = Recipe(retries=1), Pool(wait), Gate(9), [edit((20, 20, 60, 70))]
    kinds = []
    for _ in range(4):
        [result], [[outcome]] = paint_all(recipe, [IMAGE], [edits], Painter() if wait else Never(), gate, looks=pool)
        kinds.append((outcome.reuse, outcome.reason))
        assert result is IMAGE
    rejected = ("painted", "gate: bad")
    cold, hit = ("cold", "cold"), ("hit", "gate: bad")
    assert kinds == ([rejected, hit, hit, hit] if wait else [cold, cold, rejected, hit])
    assert gate.judged == 2
    assert len({key for key, _ in pool.wishes}) == (0 if wait else 1)
    assert [attempt for _, attempt in pool.wishes] == ([] if wait else [0, 1])


def test_a_second_attempt_in_the_background_is_accepted() -> None:
    pool, gate, edits = Pool(wait=False), Gate(1), [edit((20, 20, 60, 70))]
    found = [paint_all(RECIPE, [IMAGE], [edits], Never(), gate, looks=pool)[1][0][0] for _ in range(4)]
    assert [outcome.reuse for outcome in found] == ["cold", "cold", "painted", "hit"]
    assert found[2].attempts == 2
    assert found[3].seed == found[2].seed != edits[0].seed


def test_a_hit_shows_its_window_before_and_after() -> None:
    pool, edits = Pool(), [edit((20, 20, 60, 70))]
    paint_all(RECIPE, [IMAGE], [edits], Painter(), looks=pool)
    [result], [[outcome]] = paint_all(RECIPE, [IMAGE], [edits], Never(), looks=pool)
    x0, y0, x1, y1 = outcome.edit.window
    assert np.array_equal(outcome.before, IMAGE[y0:y1, x0:x1])
    assert np.array_equal(outcome.after(), result[y0:y1, x0:x1])


def test_several_images_some_known() -> None:
    pool, other = Pool(wait=False), IMAGE[::-1].copy()
    edits = [[edit((20, 20, 60, 70))], [edit((20, 20, 60, 70))], []]
    paint_all(RECIPE, [IMAGE], [edits[0]], Never(), looks=pool)
    paint_all(RECIPE, [IMAGE], [edits[0]], Never(), looks=pool)
    results, outcomes = paint_all(RECIPE, [IMAGE, other, IMAGE], edits, Never(), looks=pool)
    assert [[outcome.reuse for outcome in found] for found in outcomes] == [["hit"], ["cold"], []]
    assert results[0] is not IMAGE
    assert results[1] is other
    assert results[2] is IMAGE


def test_a_protected_box_without_a_pixel_is_no_edit() -> None:
    pool, box = Pool(), (20, 20, 60, 70)
    [result], [[outcome]] = paint_all(RECIPE, [IMAGE], [[edit(box, protected=(box,))]], Never(), looks=pool)
    assert result is IMAGE
    assert outcome.reason == "outside the image"
    assert not pool.kept


def test_an_edit_of_a_stack_is_in_all_images_or_in_none() -> None:
    pool, other = Pool(wait=False), IMAGE[::-1].copy()
    edits = [edit((20, 20, 60, 70))]
    paint_all(RECIPE, [IMAGE], [edits], Never(), looks=pool)
    paint_all(RECIPE, [IMAGE], [edits], Never(), looks=pool)
    for expected in ("cold", "painted", "hit"):
        images, outcomes = paint_all(RECIPE, [IMAGE, other], [edits, edits], Never(), None, True, pool)
        assert {found.accepted for [found] in outcomes} == {expected != "cold"}
        assert outcomes[1][0].reuse == expected
        assert [image is before for image, before in zip(images, (IMAGE, other), strict=True)] == [
            expected == "cold",
            expected == "cold",
        ]
