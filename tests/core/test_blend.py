"""Compositing: nothing outside the mask changes by a bit, and inside it the blend does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.blend import blend_into, check_image, match_border, to_rgb8
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.feather import feather_alpha
from inpaint_transform.core.masks import bounds, shape_mask

DTYPES = (np.uint8, np.uint16, np.float32)
CHANNELS = (None, 1, 3, 4, 5)
# What an 8-bit value is worth in each type.
UNIT = {np.uint8: np.uint8(1), np.uint16: np.uint16(257), np.float32: np.float32(1 / 255)}


def picture(height: int, width: int, channels: int | None, dtype: type, seed: int = 0) -> np.ndarray:
    """Noise over the type's full range."""
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    if dtype is np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@st.composite
def placements(draw: st.DrawFn) -> tuple[int, int, Box, Box]:
    """An image's height and width, a window inside it and a box inside the window."""
    height, width = draw(st.integers(32, 120)), draw(st.integers(32, 120))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    left, top = draw(st.integers(x0, x1 - 1)), draw(st.integers(y0, y1 - 1))
    box = (left, top, draw(st.integers(left + 1, x1)), draw(st.integers(top + 1, y1)))
    return height, width, (x0, y0, x1, y1), box


shapes = st.sampled_from(["box", "ellipse"])
widths = st.floats(0, 30)


def mask_in_image(height: int, width: int, window: Box, mask: np.ndarray) -> np.ndarray:
    whole = np.zeros((height, width), bool)
    whole[window[1] : window[3], window[0] : window[2]] = mask
    return whole


# Blending


@settings(max_examples=150, deadline=None)
@given(placements(), st.sampled_from(DTYPES), st.sampled_from(CHANNELS), shapes, widths)
def test_outside_the_mask_and_past_the_third_channel_every_bit_stays(
    placement: tuple[int, int, Box, Box], dtype: type, channels: int | None, shape: str, feather: float
) -> None:
    height, width, window, box = placement
    image = picture(height, width, channels, dtype)
    before = image.copy()
    mask = shape_mask(box, window, shape)
    painted = picture(*mask.shape, 3, np.uint8, seed=1)
    alpha = feather_alpha(mask, feather, window, height, width)
    blend_into(image, painted, window, alpha)
    assert image.dtype == before.dtype
    assert image.shape == before.shape
    outside = ~mask_in_image(height, width, window, mask)
    assert np.array_equal(image[outside], before[outside])
    if channels is not None and channels > 3:
        assert np.array_equal(image[:, :, 3:], before[:, :, 3:])


@settings(max_examples=60, deadline=None)
@given(placements(), st.sampled_from(DTYPES), st.sampled_from([3, 4, 5]))
def test_a_weight_of_one_gives_the_painted_value_exactly(
    placement: tuple[int, int, Box, Box], dtype: type, channels: int
) -> None:
    height, width, window, box = placement
    image = picture(height, width, channels, dtype)
    mask = shape_mask(box, window, "box")
    painted = picture(*mask.shape, 3, np.uint8, seed=1)
    blend_into(image, painted, window, mask.astype(np.float32))
    inside = mask_in_image(height, width, window, mask)
    assert np.array_equal(image[inside][:, :3], (painted[mask] * UNIT[dtype]).astype(dtype))
    # And the model would read back what it painted.
    assert np.array_equal(to_rgb8(image)[inside], painted[mask])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [None, 1])
def test_grey_images_take_grey_paint_exactly_and_colour_by_luminance(dtype: type, channels: int | None) -> None:
    image = picture(40, 50, channels, dtype)
    window, mask = (10, 5, 26, 21), np.ones((16, 16), bool)
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    blend_into(image, np.repeat(grey[:, :, None], 3, axis=2), window, mask.astype(np.float32))
    assert np.array_equal(np.squeeze(image)[5:21, 10:26], (grey * UNIT[dtype]).astype(dtype))

    image = np.zeros((40, 50), np.uint8)
    blend_into(image, np.full((16, 16, 3), (200, 100, 50), np.uint8), window, mask.astype(np.float32))
    assert np.abs(image[5:21, 10:26].astype(float) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).max() <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_between_mixes_old_and_painted(dtype: type) -> None:
    unit = float(UNIT[dtype])
    image = np.full((32, 32, 3), 40 * unit, dtype)
    alpha = np.full((32, 32), 0.25, np.float32)
    blend_into(image, np.full((32, 32, 3), 200, np.uint8), (0, 0, 32, 32), alpha)
    assert np.allclose(image / unit, 80)


@settings(max_examples=60, deadline=None)
@given(placements(), st.sampled_from(DTYPES), st.sampled_from([3, 5]), shapes, widths)
def test_every_pixel_is_mixed_by_one_formula(
    placement: tuple[int, int, Box, Box], dtype: type, channels: int, shape: str, feather: float
) -> None:
    height, width, window, box = placement
    image = picture(height, width, channels, dtype)
    mask = shape_mask(box, window, shape)
    painted = picture(*mask.shape, 3, np.uint8, seed=1)
    alpha = feather_alpha(mask, feather, window, height, width)
    old = image[window[1] : window[3], window[0] : window[2], :3].copy()
    weight = alpha[:, :, None]
    mixed = painted * (weight * np.float32(UNIT[dtype])) + (1 - weight) * old
    expected = mixed if dtype is np.float32 else np.clip(np.rint(mixed), 0, np.iinfo(dtype).max)
    blend_into(image, painted, window, alpha)
    found = image[window[1] : window[3], window[0] : window[2], :3]
    assert np.array_equal(found[mask], expected[mask].astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blending_rounds_and_never_wraps(dtype: type) -> None:
    image = np.full((32, 32, 3), np.iinfo(dtype).max, dtype)
    alpha = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    blend_into(image, np.full((32, 32, 3), 255, np.uint8), (0, 0, 32, 32), alpha)
    assert (image == np.iinfo(dtype).max).all()


def test_blending_writes_through_a_view() -> None:
    whole = picture(64, 64, 3, np.uint8)
    before = whole.copy()
    part = whole[::2, ::-1]
    blend_into(part, np.zeros((8, 8, 3), np.uint8), (4, 4, 12, 12), np.ones((8, 8), np.float32))
    assert (part[4:12, 4:12] == 0).all()
    changed = (whole != before).any(axis=2)
    assert 0 < changed.sum() <= 64


def test_a_photo_of_48_megapixels() -> None:
    height, width = 6000, 8000
    image = np.full((height, width, 3), 90, np.uint8)
    window, box = (7000, 5000, 8000, 6000), (7200, 5100, 8000, 5900)
    mask = shape_mask(box, window, "box")
    alpha = feather_alpha(mask, 20, window, height, width)
    blend_into(image, np.full((1000, 1000, 3), 200, np.uint8), window, alpha)
    outside = image.copy()
    outside[5100:5900, 7200:] = 90
    assert (outside == 90).all()
    assert (image[5200:5800, 7300:] == 200).all()


# Masks


@settings(max_examples=150, deadline=None)
@given(placements())
def test_masks_fill_the_box_or_the_ellipse_in_it(placement: tuple[int, int, Box, Box]) -> None:
    height, width, window, box = placement
    rectangle = mask_in_image(height, width, window, shape_mask(box, window, "box"))
    expected = np.zeros((height, width), bool)
    expected[box[1] : box[3], box[0] : box[2]] = True
    assert np.array_equal(rectangle, expected)

    mask = shape_mask(box, window, "ellipse")
    ellipse = mask_in_image(height, width, window, mask)
    assert not (ellipse & ~rectangle).any()
    inside = ellipse[box[1] : box[3], box[0] : box[2]]
    assert np.array_equal(inside, inside[::-1])
    assert np.array_equal(inside, inside[:, ::-1])
    # An ellipse is where the distances to its two foci add up to no more than its longer axis.
    half_height, half_width = inside.shape[0] / 2, inside.shape[1] / 2
    reach = np.sqrt(abs(half_width**2 - half_height**2))
    focus = (reach, 0) if half_width > half_height else (0, reach)
    y, x = np.mgrid[: inside.shape[0], : inside.shape[1]] + 0.5
    y, x = y - half_height, x - half_width
    excess = (
        np.hypot(x - focus[0], y - focus[1]) + np.hypot(x + focus[0], y + focus[1]) - 2 * max(half_height, half_width)
    )
    assert inside[excess < -1e-6].all()
    assert not inside[excess > 1e-6].any()


# Colour


@settings(max_examples=60, deadline=None)
@given(placements(), st.tuples(*[st.integers(-60, 60)] * 3), shapes)
def test_match_border_takes_back_a_constant_colour_offset(
    placement: tuple[int, int, Box, Box], offset: tuple[int, int, int], shape: str
) -> None:
    _, _, window, box = placement
    mask = shape_mask(box, window, shape)
    # Values far enough from 0 and 255 that the offset clips nowhere.
    original = np.random.default_rng(0).integers(60, 196, (*mask.shape, 3), np.uint8)
    truth = original.copy()
    truth[mask] = np.random.default_rng(1).integers(60, 196, (int(mask.sum()), 3), np.uint8)
    drifted = (truth.astype(int) + offset).astype(np.uint8)
    matched = match_border(drifted, original, mask)
    assert matched.dtype == np.uint8
    if mask.all():
        assert np.array_equal(matched, drifted), "without surroundings there is nothing to match"
    else:
        assert np.array_equal(matched[mask], truth[mask])
        x0, y0, x1, y1 = bounds(mask)
        matched[y0:y1, x0:x1] = drifted[y0:y1, x0:x1]
        assert np.array_equal(matched, drifted)


def test_match_border_clips_instead_of_wrapping() -> None:
    mask = shape_mask((10, 10, 22, 22), (0, 0, 32, 32), "box")
    original, painted = np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 100, np.uint8)
    painted[mask] = (200, 10, 90)
    matched = match_border(painted, original, mask)
    assert (matched[mask] == (255, 160, 240)).all()


def test_match_border_looks_only_near_the_mask() -> None:
    mask = shape_mask((60, 60, 68, 68), (0, 0, 128, 128), "box")
    original = np.full((128, 128, 3), 100, np.uint8)
    painted = original.copy()
    painted[:20], painted[-20:] = 255, 255
    assert np.array_equal(match_border(painted, original, mask), painted)


def test_match_border_ignores_what_the_model_may_have_painted_beside_the_mask() -> None:
    mask = shape_mask((40, 40, 88, 88), (0, 0, 128, 128), "box")
    original = np.full((128, 128, 3), 100, np.uint8)
    painted = original.copy()
    painted[36:92, 36:92] = 200
    assert np.array_equal(match_border(painted, original, mask), painted)


# Reading images


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_to_rgb8_reads_the_first_three_channels(dtype: type, channels: int | None) -> None:
    values = picture(32, 33, channels, np.uint8)
    image = (values * UNIT[dtype]).astype(dtype)
    before = image.copy()
    found = to_rgb8(image)
    stacked = values if values.ndim == 3 else values[:, :, None]
    expected = np.repeat(stacked, 3, axis=2) if stacked.shape[2] == 1 else stacked[:, :, :3]
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)
    found[:] = 7
    assert np.array_equal(image, before), "the reading must never be a view"


def test_to_rgb8_clips_float_overshoot() -> None:
    image = np.full((32, 32, 3), 1.04, np.float32)
    image[0] = -0.04
    found = to_rgb8(image)
    assert (found[0] == 0).all()
    assert (found[1:] == 255).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_check_image_lets_paintable_images_pass(dtype: type, channels: int | None) -> None:
    check_image(picture(1, 1, channels, dtype))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ([[1, 2], [3, 4]], TypeError, "image is a list; give a numpy array"),
        (None, TypeError, "image is a NoneType"),
        (np.zeros((32, 32, 3), np.float64), TypeError, "dtype float64; convert it to uint8, uint16 or float32"),
        (np.zeros((32, 32, 3), np.int32), TypeError, "dtype int32"),
        (np.zeros((32, 32, 3), bool), TypeError, "dtype bool"),
        (np.zeros((32, 32, 3), np.float16), TypeError, "dtype float16"),
        (np.zeros(32, np.uint8), ValueError, r"shape \(32,\); give \(H, W\) or \(H, W, C\)"),
        (np.zeros((2, 32, 32, 3), np.uint8), ValueError, r"shape \(2, 32, 32, 3\)"),
        (np.zeros((0, 32, 3), np.uint8), ValueError, "at least one pixel"),
        (np.zeros((32, 32, 0), np.uint8), ValueError, "at least one pixel"),
        (np.zeros((32, 32, 2), np.uint8), ValueError, "two channels have no RGB reading"),
    ],
)
def test_check_image_names_what_cannot_be_painted(image: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_image(image)
