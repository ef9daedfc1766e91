"""Looks: the same object has the same key wherever it lies and whoever asks, and another one has another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.edit import Edit, Look
from inpaint_transform.core.looks import content_digest, look_key, look_rng
from inpaint_transform.core.references import Reference

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
BOX, WINDOW = (100, 80, 140, 110), (80, 60, 160, 140)
EDIT = Edit(0, BOX, WINDOW, "cat", "a cat", "", 1.0, 7)


def moved(box, by: tuple[int, int]):
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


@given(st.integers(-60, 100), st.integers(-40, 40))
def test_an_object_that_is_moved_with_its_surroundings_stays_the_same(dx: int, dy: int) -> None:
    other = np.random.default_rng(1).integers(0, 256, IMAGE.shape, np.uint8)
    x0, y0, x1, y1 = WINDOW
    other[y0 + dy : y1 + dy, x0 + dx : x1 + dx] = IMAGE[y0:y1, x0:x1]
    there = content_digest(other, moved(BOX, (dx, dy)), moved(WINDOW, (dx, dy)))
    assert there == content_digest(IMAGE, BOX, WINDOW)


@given(st.integers(BOX[1], BOX[3] - 1), st.integers(BOX[0], BOX[2] - 1), st.integers(0, 2))
def test_every_pixel_of_the_box_counts(row: int, column: int, channel: int) -> None:
    other = IMAGE.copy()
    other[row, column, channel] ^= 1
    assert content_digest(other, BOX, WINDOW) != content_digest(IMAGE, BOX, WINDOW)


def test_the_surroundings_count_and_what_is_beyond_does_not() -> None:
    other = IMAGE.copy()
    other[WINDOW[1] : WINDOW[1] + 4, WINDOW[0] : WINDOW[0] + 4] ^= 255
    assert content_digest(other, BOX, WINDOW) != content_digest(IMAGE, BOX, WINDOW)
    far = IMAGE.copy()
    far[:20] = 0
    assert content_digest(far, BOX, WINDOW) == content_digest(IMAGE, BOX, WINDOW)


@pytest.mark.parametrize(
    "image", [IMAGE.astype(np.uint16), IMAGE[:, :, :1], IMAGE[:, :, 0], np.dstack([IMAGE, IMAGE])], ids=str
)
def test_dtype_and_channels_count(image: np.ndarray) -> None:
    assert content_digest(image, BOX, WINDOW) != content_digest(IMAGE, BOX, WINDOW)


def test_layout_in_memory_does_not_count() -> None:
    planes = np.ascontiguousarray(IMAGE.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert content_digest(planes, BOX, WINDOW) == content_digest(IMAGE, BOX, WINDOW)


def test_where_the_image_ends_counts() -> None:
    # Blending stops at the border of an image, and goes on inside it.
    cut = IMAGE[:, WINDOW[0] :]
    box, window = moved(BOX, (-WINDOW[0], 0)), moved(WINDOW, (-WINDOW[0], 0))
    assert content_digest(cut, box, window) != content_digest(IMAGE, BOX, WINDOW)


CHANGES = {
    "label": "dog",
    "prompt": "a dog",
    "negative_prompt": "blurry",
    "strength": 0.5,
    "seed": 8,
    "new_label": "dog",
    "protected": ((100, 80, 110, 90),),
    "outline": ((100.0, 80.0), (140.0, 80.0), (120.0, 110.0)),
    "mask_runs": (0, 1200),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_of_an_edit_changes_pixels_or_labels_is_in_its_key(name: str) -> None:
    other = dataclasses.replace(EDIT, **{name: CHANGES[name]})
    assert look_key(other, b"content", b"settings") != look_key(EDIT, b"content", b"settings")


def test_where_an_edit_lies_and_which_look_it_shows_is_not_in_its_key() -> None:
    edit = dataclasses.replace(EDIT, protected=((100, 80, 110, 90),), outline=((101.0, 81.0), (120.0, 82.0)))
    other = dataclasses.replace(
        edit,
        index=3,
        box=moved(BOX, (5, 6)),
        window=moved(WINDOW, (5, 6)),
        protected=((105, 86, 115, 96),),
        outline=((106.0, 87.0), (125.0, 88.0)),
        look=Look("00", "11", 1, 2),
    )
    assert look_key(other, b"content", b"settings") == look_key(edit, b"content", b"settings")


def test_a_class_has_the_same_key_under_its_id_and_its_name() -> None:
    names = {1: "cat", 2: "dog"}
    named, numbered = (
        dataclasses.replace(EDIT, label=label, new_label=target) for label, target in (("cat", "dog"), (1, 2))
    )
    assert look_key(named, b"content", b"", names) == look_key(numbered, b"content", b"", names)
    assert look_key(named, b"content", b"") == look_key(numbered, b"content", b"", names)
    assert look_key(named, b"content", b"") != look_key(numbered, b"content", b"")


def test_content_and_settings_are_in_a_key() -> None:
    keys = {look_key(EDIT, content, settings) for content in (b"a", b"b") for settings in (b"1", b"2")}
    assert len(keys) == 4


def test_every_look_has_draws_of_its_own() -> None:
    draws = {
        look_rng(content, label, variant, generation).random()
        for content in (b"a", b"b")
        for label in ("cat", 1)
        for variant in range(3)
        for generation in range(3)
    }
    assert len(draws) == 36
    assert look_rng(b"a", "cat", 0, 0).random() == look_rng(b"a", "cat", 0, 0).random()


def test_an_edit_with_a_look_survives_json_and_one_without_is_as_before() -> None:
    edit = dataclasses.replace(EDIT, look=Look("00", "11", 1, 2))
    assert Edit.from_dict(edit.to_dict()) == edit
    assert "look" not in EDIT.to_dict()


def test_the_reference_counts_by_its_pixels() -> None:
    content = content_digest(IMAGE, BOX, WINDOW)
    keys = [
        look_key(dataclasses.replace(EDIT, reference=reference), content, b"")
        for reference in (None, Reference("a", "one.png"), Reference("a", "moved/one.png"), Reference("b", "one.png"))
    ]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
