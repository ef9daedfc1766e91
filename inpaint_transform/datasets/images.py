"""Pictures: which files of a folder are some, and how their pixels are read."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inpaint_transform.core.ranges import looks_black
from inpaint_transform.datasets.files import BrokenFileError, read_bytes

# What trainers' loaders take by its suffix.
COMMON_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# What Pillow reads besides, and what is a picture although Pillow needs a plugin for it: that is named, not skipped.
PICTURE_SUFFIXES = (
    *COMMON_SUFFIXES,
    *(".apng", ".avif", ".avifs", ".dds", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jif"),
    *(".jp2", ".jpc", ".jpe", ".jpf", ".jpg2", ".jpx", ".jxl", ".mpo", ".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm"),
    *(".psd", ".qoi", ".sgi", ".tga"),
)
# Decoded pictures that wait for their painting take at most this much memory; others are decoded again.
MAX_KEPT_BYTES = 2**30


# What systems put beside a user's files: an unpacked archive's, a Synology's thumbnails, a disk's bins.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: ``._a.jpg``, ``.ipynb_checkpoints``, ``__MACOSX``."""
    return name.startswith(".") or name in _OF_SYSTEMS


def is_picture(path: Path) -> bool:
    """Whether a name is that of a picture, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(path.name)


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too; no hidden ones, and no folder twice on the way down.

    Links that lead nowhere are given as well, since a file was meant to be there.
    """
    yield from _walk(folder, (os.path.realpath(folder),))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    try:
        entries = [(entry, entry.is_dir()) for entry in sorted(folder.iterdir()) if not is_hidden(entry.name)]
    except OSError as error:
        raise BrokenFileError(folder, None, error.strerror or "cannot be listed") from error
    for entry, is_folder in entries:
        if not is_folder:
            yield entry
        elif (real := os.path.realpath(entry)) not in above:
            yield from _walk(entry, (*above, real))


def find_pictures(images: Path) -> list[Path]:
    """The picture itself, or all pictures in a folder and its subfolders in the order of their paths.

    Raises:
        FileNotFoundError: ``images`` does not exist.
        ValueError: The folder holds no picture.
    """
    if not images.exists():
        raise FileNotFoundError(f"{images}: there is no such picture or folder")
    if not images.is_dir():
        return [images]
    pictures = sorted(path for path in walk(images) if is_picture(path))
    if not pictures:
        raise ValueError(f"{images}: the folder holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return pictures


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as people see it: its EXIF orientation applied, grey replicated, alpha dropped.

    Grey pictures of more than 8 bits are scaled: 16 bits to their upper 8; float values in [0, 1], and whatever else
    stays within 0 to 255 or 0 to 65535, from that range. Those of 10 or 12 bits in 16 would come out black.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        BrokenFileError: It is not there, is not a whole picture, or nobody can know which of its values is white.
    """
    return _decode(Path(path), read_bytes(Path(path)))


def _decode(path: Path, content: bytes) -> np.ndarray:
    try:
        opened = Image.open(io.BytesIO(content))
        upright = ImageOps.exif_transpose(opened)
        if upright.mode == "F" or upright.mode.startswith("I"):  # Pillow would clip them instead of scaling
            upright = Image.fromarray(_to_uint8(path, np.asarray(upright)))
        pixels: np.ndarray = np.array(upright.convert("RGB"))
    except BrokenFileError:
        raise
    except UnidentifiedImageError as error:
        raise BrokenFileError(path, None, "not a picture") from error
    except Image.DecompressionBombError as error:
        raise BrokenFileError(path, None, f"too large to be opened whole ({error}); cut it into tiles") from error
    except Exception as error:
        # Pillow's decoders raise whatever a broken file makes them trip over.
        raise BrokenFileError(path, None, f"not a whole picture ({error})") from error
    if not pixels.size:
        raise BrokenFileError(path, None, "not a whole picture (it has no pixels)")
    return pixels


def _to_uint8(path: Path, values: np.ndarray) -> np.ndarray:
    """Scale grey values of more than 8 bits; up to 255 they are 8 bits in a larger type, as a microscope saves them."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (np.isfinite(values).all() and low >= 0 and high < 2**16):
        raise BrokenFileError(
            path, None, f"values from {low:g} to {high:g}: which is white? Save it with 8 or 16 bits a channel"
        )
    if np.issubdtype(values.dtype, np.floating) and high <= 1:
        values = np.rint(values * 255)
    elif looks_black(high):
        raise BrokenFileError(
            path,
            None,
            f"values up to {high:g}, of 65535: 10 or 12 bits in 16, which look black; save it with 8 bits, or with "
            f"values that reach to 65535",
        )
    elif high > 255:
        values = values.astype(np.int64) >> 8
    return values.clip(0, 255).astype(np.uint8)


class Pictures:
    """Decodes each picture once for all who need its pixels one after the other. Thread-safe.

    Args:
        max_bytes: Memory for the pictures that are kept; what does not fit is decoded again.
    """

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._free = max_bytes
        self._kept: dict[Path, np.ndarray] = {}
        self._last: tuple[Path, np.ndarray] | None = None
        self._lock = threading.Lock()

    def load(self, path: Path) -> np.ndarray:
        """The pixels, see ``read_image``; not to be written to."""
        with self._lock:
            last = self._last
            found = self._kept.get(path, last[1] if last is not None and last[0] == path else None)
        if found is None:
            found, _ = self.load_with_digest(path)
        return found

    def load_with_digest(self, path: Path) -> tuple[np.ndarray, str]:
        """Decode a picture, and remember its pixels until the next one: they, and a fingerprint of its file."""
        content = read_bytes(path)
        pixels = _decode(path, content)
        with self._lock:
            self._last = path, pixels
        return pixels, hashlib.blake2b(content, digest_size=16).hexdigest()

    def keep(self, path: Path) -> None:
        """Keep a picture that was just decoded until ``drop``, if there is room."""
        with self._lock:
            if self._last is not None and self._last[0] == path and path not in self._kept:
                pixels = self._last[1]
                if pixels.nbytes <= self._free:
                    self._free -= pixels.nbytes
                    self._kept[path] = pixels

    def drop(self, path: Path) -> None:
        """Forget a kept picture."""
        with self._lock:
            pixels = self._kept.pop(path, None)
            self._free += pixels.nbytes if pixels is not None else 0
            if self._last is not None and self._last[0] == path:
                self._last = None


def png_bytes(image: np.ndarray) -> bytes:
    """An image, uint8 ``(H, W, 3)``, as the content of a PNG file."""
    content = io.BytesIO()
    # A quarter of the default's time, and a sixth more bytes: a fast model must not wait for zlib.
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()
