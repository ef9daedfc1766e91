"""Pictures: which files are some, how their values become pixels, and how often they are decoded."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from dataset_files import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inpaint_transform.datasets.files import BrokenFileError
from inpaint_transform.datasets.images import Pictures, find_pictures, read_image

GREY = np.linspace(0, 255, 60 * 80).reshape(60, 80)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("unit.tif", (GREY / 255).astype(np.float32), GREY),
        ("float255.tif", GREY.astype(np.float32), GREY),
        ("float65535.tif", (GREY * 257).astype(np.float32), GREY),
        ("int255.tif", GREY.astype(np.int32), GREY),
        ("int65535.tif", (GREY * 256).astype(np.int32), GREY),
        ("uint16.tif", (GREY * 256).astype(np.uint16), GREY),
        ("uint16.png", (GREY * 256).astype(np.uint16), GREY),
        ("eight_in_sixteen.tif", GREY.astype(np.uint16), GREY),
        ("black.tif", np.zeros((60, 80), np.float32), np.zeros((60, 80))),
    ],
)
def test_grey_of_more_than_eight_bits_is_scaled(
    tmp_path: Path, name: str, values: np.ndarray, expected: np.ndarray
) -> None:
    Image.fromarray(values).save(tmp_path / name)
    found = read_image(tmp_path / name)
    assert found.shape == (60, 80, 3)
    np.testing.assert_allclose(found[..., 1], expected, atol=1.01)


@pytest.mark.parametrize("values", [-5.0, 1e6, np.nan, np.inf])
def test_values_of_which_nobody_knows_the_white_are_named(tmp_path: Path, values: float) -> None:
    Image.fromarray(np.full((4, 4), values, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(BrokenFileError, match="which is white"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("bits", [10, 12])
def test_pictures_that_would_look_black_are_named(tmp_path: Path, bits: int, dtype: type) -> None:
    Image.fromarray((GREY * 2**bits / 256).astype(dtype)).save(tmp_path / "a.tif")
    with pytest.raises(BrokenFileError, match="10 or 12 bits in 16, which look black"):
        read_image(tmp_path / "a.tif")
    Image.fromarray((GREY * 2**14 / 256).astype(dtype)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").max() == 63


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), at=st.integers(0, 399), value=st.integers(0, 255))
def test_a_damaged_picture_is_read_or_named(tmp_path: Path, cut: int, at: int, value: int) -> None:
    whole = bytearray(picture(tmp_path / "whole.png", height=8, width=9).read_bytes())
    whole[at % len(whole)] = value
    (tmp_path / "damaged.png").write_bytes(whole[: max(cut, 1)])
    with contextlib.suppress(BrokenFileError):  # any other exception is a failure
        assert read_image(tmp_path / "damaged.png").dtype == np.uint8


def test_hidden_junk_is_no_picture_and_links_are_followed(tmp_path: Path) -> None:
    junk = ("._b.jpg", ".ipynb_checkpoints/b.jpg", "__MACOSX/b.jpg", "@eaDir/b.jpg", "$RECYCLE.BIN/b.jpg")
    for name in ("b.jpg", "sub/a.jfif", *junk):
        picture(tmp_path / "set" / name.replace(".jfif", ".jpg"))
    (tmp_path / "set" / "sub" / "a.jpg").rename(tmp_path / "set" / "sub" / "a.jfif")
    picture(tmp_path / "elsewhere" / "c.PNG")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "sub" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = [path.relative_to(tmp_path / "set").as_posix() for path in find_pictures(tmp_path / "set")]
    # What a link in the air stood for is missing, which reading it will say.
    assert found == ["b.jpg", "gone.png", "linked/c.PNG", "sub/a.jfif"]


@pytest.mark.parametrize(("suffix", "kind"), [("j2c", "JPEG2000"), ("jpx", "JPEG2000"), ("pcx", "PCX"), ("sgi", "SGI")])
def test_rarer_suffixes_that_pillow_reads(tmp_path: Path, suffix: str, kind: str) -> None:
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(tmp_path / f"a.{suffix}", kind)
    [found] = find_pictures(tmp_path)
    assert read_image(found).shape == (32, 40, 3)


def test_a_picture_beyond_pillows_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BrokenFileError, match="too large to be opened whole.*cut it into tiles"):
        read_image(picture(tmp_path / "a.png"))


def test_decoded_once_while_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda source: decoded.append(1) or real(source))
    first, second = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    pictures = Pictures(max_bytes=60 * 80 * 3)
    pixels, digest = pictures.load_with_digest(first)
    pictures.keep(first)
    assert pictures.load(first) is pixels
    pictures.load(second)
    pictures.keep(second)  # for which there is no room
    assert pictures.load(first) is pixels
    assert len(decoded) == 2
    pictures.drop(first)
    np.testing.assert_array_equal(pictures.load(first), pixels)
    assert len(decoded) == 3
    assert digest == Pictures().load_with_digest(first)[1] != Pictures().load_with_digest(second)[1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_with_a_pictures_name_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    [found] = find_pictures(tmp_path)
    with pytest.raises(BrokenFileError, match="a pipe"):
        read_image(found)
