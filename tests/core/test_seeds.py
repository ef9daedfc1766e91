"""Seeds: the same sample draws the same anywhere, any other draws otherwise, and no global generator moves."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.seeds import content_rng, noise_seed, retry_seed, worker_rng

BOXES = [(0.1, 0.2, 0.5, 0.6), (0.25, 0.25, 0.75, 1.0)]


def picture(height: int = 30, width: int = 40, channels: int = 3) -> np.ndarray:
    return np.arange(height * width * channels, dtype=np.uint64).astype(np.uint8).reshape(height, width, channels)


def stream(seed: int = 1, epoch: int = 2, image: np.ndarray | None = None, boxes: Any = BOXES) -> int:
    """The head of a sample's stream, long enough that two streams never share it by chance."""
    return content_rng(seed, epoch, picture() if image is None else image, boxes).getrandbits(128)


@pytest.fixture(autouse=True)
def _global_generators_do_not_move() -> Iterator[None]:
    before, numpy_before = random.getstate(), np.random.get_state()
    yield
    assert random.getstate() == before
    numpy_after = np.random.get_state()
    assert numpy_after[2] == numpy_before[2]
    assert np.array_equal(numpy_after[1], numpy_before[1])


# Written down: whoever changes one of these changes every edit that users have seen for their seeds.


def test_streams_are_the_same_as_ever() -> None:
    assert stream() == 48772722508745256862278224877449507969
    assert stream(boxes=[]) == 295968443625216159616208631247665867642
    assert stream(image=picture(480, 640)) == 309537018156348232600860930405327042556
    assert noise_seed(random.Random(0)) == 3553260803050964941
    assert [retry_seed(7, attempt) for attempt in range(3)] == [7, 8152702015147581980, 147122715904375554]
    assert worker_rng(123, 456, "BBoxInpaint").getrandbits(128) == 95574138805607379659375819099489956620


def test_another_process_draws_the_same() -> None:
    """String hashing is salted anew in every process; no draw may hang on it."""
    code = (
        "import numpy as np; from inpaint_transform.core.seeds import content_rng, worker_rng\n"
        "image = np.full((8, 9, 3), 7, np.uint8)\n"
        "print(content_rng(1, 2, image, [(0, 0, 1, 1)]).random(), worker_rng(1, 2, 'x').random())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for salt in ("1", "2")
    }
    assert len(found) == 1


# What counts


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_pixel_of_a_small_image_counts(data: st.DataObject) -> None:
    image = picture(data.draw(st.integers(1, 64)), data.draw(st.integers(1, 64)), data.draw(st.sampled_from([1, 3, 4])))
    before = stream(image=image)
    assert stream(image=image.copy()) == before
    spot = tuple(data.draw(st.integers(0, side - 1)) for side in image.shape)
    image[spot] ^= data.draw(st.integers(1, 255))
    assert stream(image=image) != before


@settings(max_examples=60, deadline=None)
@given(st.integers(65, 900), st.integers(65, 900), st.data())
def test_a_large_change_of_a_large_image_counts(height: int, width: int, data: st.DataObject) -> None:
    """The grid is at least 32 points wide, so a patch of a 32nd of the image cannot fall through it."""
    image = np.zeros((height, width), np.uint8)
    before = stream(image=image)
    patch_height, patch_width = -(-height // 32), -(-width // 32)
    y, x = data.draw(st.integers(0, height - patch_height)), data.draw(st.integers(0, width - patch_width))
    image[y : y + patch_height, x : x + patch_width] = 1
    assert stream(image=image) != before


def test_seed_epoch_shape_and_dtype_count() -> None:
    grey = np.zeros((20, 30), np.uint8)
    streams = [
        stream(image=grey),
        stream(seed=2, image=grey),
        stream(seed=-1, image=grey),
        stream(epoch=3, image=grey),
        stream(seed=12, epoch=3, image=grey),
        stream(seed=1, epoch=23, image=grey),
        stream(image=grey.reshape(30, 20)),
        stream(image=grey[:, :, None]),
        stream(image=grey.view(np.int8)),
        stream(image=grey.view(np.uint16)),
        stream(image=grey.astype(np.float32)),
        stream(image=np.zeros((600, 600), np.uint8)),
        stream(image=np.zeros((600, 601), np.uint8)),
    ]
    assert len(set(streams)) == len(streams)


def test_layout_in_memory_does_not_count() -> None:
    image = picture()
    assert stream(image=np.asfortranarray(image)) == stream(image=image)
    assert stream(image=image[:, ::-1][:, ::-1]) == stream(image=image)


@given(st.integers(0, 1), st.integers(0, 3), st.sampled_from([-0.05, -0.001, 0.001, 0.03]))
def test_every_coordinate_counts(row: int, column: int, step: float) -> None:
    boxes = [list(box) for box in BOXES]
    boxes[row][column] += step
    assert stream(boxes=boxes) != stream()


def test_number_and_order_of_boxes_count() -> None:
    streams = [stream(boxes=boxes) for boxes in (BOXES, BOXES[::-1], BOXES[:1], BOXES[1:], BOXES + BOXES[:1], [])]
    assert len(set(streams)) == len(streams)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=2), st.integers(1, 3))
def test_label_codes_behind_the_coordinates_do_not_count(codes: list[float], columns: int) -> None:
    rows = [(*box, *([code] * columns)) for box, code in zip(BOXES, codes, strict=True)]
    assert stream(boxes=rows) == stream()
    assert stream(boxes=np.array(rows)) == stream()


def test_the_container_of_the_boxes_does_not_count() -> None:
    assert stream(boxes=np.array(BOXES)) == stream(boxes=iter(BOXES)) == stream(boxes=[list(box) for box in BOXES])
    assert stream(boxes=np.zeros((0, 4), np.float32)) == stream(boxes=[]) == stream(boxes=())
    assert stream(boxes=[(0.0, 0.0, 1.0, 1.0)]) == stream(boxes=[(-0.0, -0.0, 1.0, 1.0)])


@pytest.mark.parametrize("length", [512, 640, 800, 1000, 1024, 1280, 1600, 1920, 2048, 4000, 6000])
def test_float32_round_trips_of_pixel_boxes_do_not_count(length: int) -> None:
    """Whichever way a whole pixel coordinate was normalised: in double or single precision, there, back and again."""
    ends = np.arange(1, length + 1)
    double = np.stack([ends - 1, ends - 1, ends, ends], axis=1) / length
    single = double.astype(np.float32)
    again = single * np.float32(length) / np.float32(length)
    other = np.stack([ends - 1, ends - 1, ends, ends], axis=1).astype(np.float32) * np.float32(1 / length)
    expected = stream(boxes=double)
    assert {stream(boxes=rows) for rows in (single, again, other)} == {expected}


# Noise


seeds = st.integers(0, 2**63 - 1)


@given(st.integers(0, 2**64))
def test_noise_seeds_fit_a_signed_integer(seed: int) -> None:
    assert 0 <= noise_seed(random.Random(seed)) < 2**63


def test_noise_seeds_use_their_whole_range() -> None:
    rng = random.Random(0)
    drawn = [noise_seed(rng) for _ in range(200)]
    assert len(set(drawn)) == 200
    assert max(drawn) > 2**62


@given(seeds)
def test_attempts_have_seeds_of_their_own(seed: int) -> None:
    attempts = [retry_seed(seed, attempt) for attempt in range(6)]
    assert attempts[0] == seed
    assert len(set(attempts)) == 6
    assert all(0 <= attempt < 2**63 for attempt in attempts)
    assert attempts == [retry_seed(seed, attempt) for attempt in range(6)]


@given(seeds, seeds)
def test_edits_do_not_share_retries(a: int, b: int) -> None:
    if a != b:
        assert not {retry_seed(a, n) for n in range(4)} & {retry_seed(b, n) for n in range(4)}


# Workers


@given(seeds, seeds, st.sampled_from(["BBoxInpaint", "Other"]))
def test_workers_differ_by_seed_stream_and_name(seed: int, stream: int, name: str) -> None:
    def head(*key: Any) -> int:
        return worker_rng(*key).getrandbits(128)

    keys = [
        (seed, stream, name),
        (seed + 1, stream, name),
        (seed, stream + 1, name),
        (seed, stream, name + "2"),
    ]
    assert len({head(*key) for key in keys}) == len(keys)
    assert head(*keys[0]) == head(*keys[0])


def test_worker_keys_do_not_run_into_each_other() -> None:
    assert worker_rng(1, 23, "x").random() != worker_rng(12, 3, "x").random()
