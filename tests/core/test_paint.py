"""Painting: only the boxes change, one call a round, and what is rejected keeps its pixels."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painters import Painter
from test_plan import BOX, edits

from inpaint_transform.core.measure import coverage
from inpaint_transform.core.paint import paint, paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.protocol import InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.sampled_from([None, 1, 3, 4, 5]),
    st.sampled_from(["box", "ellipse"]),
    st.integers(0, 2**32),
)
def test_only_the_boxes_change_and_the_input_never(dtype, channels, shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(32, 200, 2))
    size = (height, width) if channels is None else (height, width, channels)
    image = rng.integers(0, 256, size).astype(dtype)
    image = image / np.float32(255) if dtype is np.float32 else image * (257 if dtype is np.uint16 else 1)
    image = image.astype(dtype)
    x0, y0 = int(rng.integers(0, width - 8)), int(rng.integers(0, height - 8))
    box = (x0, y0, int(rng.integers(x0 + 8, width + 1)), int(rng.integers(y0 + 8, height + 1)))
    recipe = Recipe(min_box_size=8, shape=shape, context=float(rng.uniform(1, 3)))
    before = image.copy()
    result, _ = paint(recipe, image, edits(recipe, [box], shape=(height, width)), Painter())
    assert np.array_equal(image, before)
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    changed = (result != image).reshape(height, width, -1)
    assert changed[box[1] : box[3], box[0] : box[2]].any()
    assert not changed[:, :, 3:].any()
    changed[box[1] : box[3], box[0] : box[2]] = False
    assert not changed.any()


def test_retries_share_one_call_a_round_and_change_the_seed() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    recipe = Recipe(num_boxes=2, retries=2)
    painter = Painter(rejects=2)
    planned = edits(recipe, [BOX, (300, 300, 400, 400)])
    _, outcomes = paint(recipe, image, planned, painter)
    assert [len(call) for call in painter.calls] == [2, 2, 2]
    assert len({request.seed for call in painter.calls for request in call}) == 6
    assert [outcome.attempts for outcome in outcomes] == [3, 3]
    assert all(outcome.accepted for outcome in outcomes)


def test_what_stays_rejected_keeps_the_very_original() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    painter = Painter(rejects=9)
    result, [outcome] = paint(Recipe(retries=1), image, edits(Recipe(), [BOX]), painter)
    assert result is image
    assert len(painter.calls) == 2
    assert (outcome.accepted, outcome.reason) == (False, "near constant")


def test_every_window_is_cut_from_the_original() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    recipe = Recipe(num_boxes=2, protect=False)
    painter = Painter()
    paint(recipe, image, edits(recipe, [BOX, (120, 110, 220, 190)]), painter)
    assert all((request.image == 90).all() for request in painter.calls[0])


def test_many_images_go_in_one_call() -> None:
    images = [np.full((100 + i, 120, 3), 90, np.uint8) for i in range(4)]
    planned = [edits(Recipe(), [(10, 10, 60, 60)], shape=image.shape[:2], seed=i) for i, image in enumerate(images)]
    planned[2] = []
    painter = Painter()
    results, outcomes = paint_all(Recipe(), images, planned, painter)
    assert [len(call) for call in painter.calls] == [3]
    assert results[2] is images[2]
    assert [len(found) for found in outcomes] == [1, 1, 0, 1]


def test_a_replay_on_another_size_is_clipped_or_dropped() -> None:
    planned = edits(Recipe(), [BOX])
    small = np.full((150, 150, 3), 90, np.uint8)
    result, outcomes = paint(Recipe(), small, planned, Painter())
    assert outcomes[0].edit.box == (100, 100, 150, 150)
    assert (result[:100] == 90).all()
    assert (result[:, :100] == 90).all()
    tiny = np.full((50, 50, 3), 90, np.uint8)
    assert paint(Recipe(), tiny, planned, Painter())[0] is tiny


def test_a_normalised_image_is_refused() -> None:
    image = np.random.default_rng(0).normal(0, 1, (480, 640, 3)).astype(np.float32)
    with pytest.raises(ValueError, match=r"image is float32 .*before any normalisation"):
        paint(Recipe(), image, edits(Recipe(), [BOX]), Painter())


@pytest.mark.parametrize("image", [np.zeros((480, 640, 3), np.int32), np.zeros((480, 640, 3), np.float64)])
def test_other_dtypes_are_refused(image: np.ndarray) -> None:
    with pytest.raises(TypeError, match=f"image has dtype {image.dtype}"):
        paint(Recipe(), image, edits(Recipe(), [BOX]), Painter())


def test_an_outline_confines_the_paint() -> None:
    box, outline = (100, 100, 200, 180), ((100.0, 140.0), (150.0, 100.0), (200.0, 140.0), (150.0, 180.0))
    recipe = Recipe(prompts="a thing", feather=0)
    image = np.full((480, 640, 3), 90, np.uint8)
    [edit] = plan(recipe, Scene(480, 640, [box], outlines=[outline]), random.Random(0))
    changed = (paint(recipe, image, [edit], Painter())[0] != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (abs(columns + 0.5 - 150) / 50 + abs(rows + 0.5 - 140) / 40 <= 1).all()
    assert changed.sum() == pytest.approx(50 * 80, rel=0.02)


class Starting(Painter):
    """Takes its time to start, as a model that has to be loaded does, and none to paint."""

    START_S = 0.2

    @property
    def size(self) -> int:  # type: ignore[override]
        time.sleep(self.START_S)
        return Painter.size


def test_the_start_of_the_model_is_no_edits_time() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    _, [outcome] = paint(Recipe(), image, edits(Recipe(), [BOX]), Starting())
    assert 0 < outcome.milliseconds < 1e3 * Starting.START_S


class Blue(Painter):
    """Paints all of a window blue."""

    def paint(self, requests):
        blue = np.array([20, 40, 200], np.uint8)
        return [InpaintResult(np.broadcast_to(blue, request.image.shape).copy()) for request in requests]


def test_a_narrow_feather_leaves_no_rim_of_what_filled_its_box() -> None:
    image = np.full((200, 200, 3), 128, np.uint8)
    image[50:150, 50:150] = (230, 140, 20)
    kept, filled = {}, {}
    for name, settings_of in (("wide", {}), ("narrow", {"feather": 0.02}), ("ellipse", {"shape": "ellipse"})):
        recipe = Recipe(match_border=False, relabel=Swap({"cone": "cube"}), **settings_of)
        planned = plan(recipe, Scene(200, 200, [(50, 50, 150, 150)], ["cone"]), random.Random(0))
        painted, [outcome] = paint(recipe, image, planned, Blue())
        assert outcome.accepted
        kept[name] = (painted[50:150, 50:150, 0] > 100).mean()  # rather orange than blue
        filled[name] = coverage(image, painted, (50, 50, 150, 150))
    assert kept["narrow"] < 0.05 < kept["wide"] < kept["ellipse"]
    assert kept["ellipse"] > 0.2  # the corners
    # What FillGate goes by sees none of it.
    assert min(filled.values()) > 0.9
