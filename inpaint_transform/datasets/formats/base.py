"""What the file formats share: a picture with its boxes as it is read and written, and how a box is checked.

Coordinates become the library's boxes: half-open pixels, rounded to the nearest. A hair beyond the picture is the
rounding of whoever wrote the file and is cut off; anything further is a problem of that picture, or is cut off on
demand. Boxes without area are kept: nothing ever selects them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from reprlib import repr as shorten
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inpaint_transform.core.boxes import Box, Outline, from_pixels
from inpaint_transform.datasets.files import Problem, exists

if TYPE_CHECKING:
    from inpaint_transform.datasets.formats.coco_index import CocoIndex

# How far a box may reach beyond the picture before somebody must say that it is meant so: this share of the side,
# or a pixel where that is more.
TOLERANCE = 0.01
# Of a polygon: the numbers of three points.
MIN_POLYGON = 6
# Of coordinates in pixels: what lies behind is the noise of floating point.
DECIMALS = 6

# A box in pixels as a label file has it, before it is rounded: x0, y0, x1, y1.
Corners = tuple[float, float, float, float]


class BoxFormat(str, Enum):
    """How boxes are written down."""

    YOLO = "yolo"
    COCO = "coco"
    VOC = "voc"


@dataclass(frozen=True)
class Annotation:
    """The boxes of one picture that can be read.

    Attributes:
        image: The picture's file.
        boxes: Half-open pixel boxes inside the picture, in the order of the label file.
        labels: One class name a box.
        corners: The boxes as exactly as the label file has them, clipped to the picture. What is equal in whole pixels
            counts as equal: formats differ in the last digits.
        height: The picture's, in pixels.
        width: The picture's, in pixels.
        digest: Fingerprint of the picture's file.
        entries: How many label files or listed pictures say so: 0 where there is none, and so no boxes.
        outlines: The polygon of each object in pixels, None where the label file has none, or several.
    """

    image: Path
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    corners: tuple[Corners, ...] = field(default=(), compare=False)
    height: int = field(default=0, compare=False)
    width: int = field(default=0, compare=False)
    digest: str = field(default="", compare=False)
    entries: int = field(default=1, compare=False)
    outlines: tuple[Outline | None, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class LabelledPicture:
    """What a label file says about one picture.

    Attributes:
        name: Its path below the folder of its split.
        height: In pixels.
        width: In pixels.
        corners: One box an object.
        labels: One class name a box.
    """

    name: PurePosixPath
    height: int
    width: int
    corners: Sequence[Corners]
    labels: Sequence[str]


@dataclass(frozen=True)
class Part:
    """Pictures and labels that are read together.

    Attributes:
        images: A picture or a folder of pictures.
        boxes: Their label file, or the folder of their label files.
        pictures: The picture files that are read, in the order in which they are.
        folder: What tells this part from its siblings, as a path below the data set's folder, or empty.
        declared: The split of each picture of which the data set itself says one.
        declared_by: The file that says so.
        in_doubt: Why the splits that the data set declares cannot be known, or empty.
        unplaced: Pictures beside them that are in no declared split.
        keypoints: YOLO: how many numbers of keypoints stand behind each box.
        index: COCO: what the label file says, which is read when the part is found.
    """

    images: Path
    boxes: Path
    pictures: tuple[Path, ...]
    folder: str = ""
    declared: Mapping[Path, str] = field(default_factory=dict)
    declared_by: Path | None = None
    in_doubt: str = ""
    unplaced: tuple[Path, ...] = ()
    keypoints: int = 0
    index: CocoIndex | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class LeftOut:
    """A box that is no object to learn from.

    Attributes:
        reason: Why, in few words for a balance sheet.
    """

    reason: str


@dataclass(frozen=True)
class Orphan:
    """Labels that belong to no picture.

    Attributes:
        problem: What is wrong.
        entries: How many label files or listed pictures.
        boxes: How many boxes.
    """

    problem: Problem
    entries: int
    boxes: int


class Labelled(NamedTuple):
    """A box with what else the label file says of its object; see ``Annotation``."""

    box: Box
    label: str
    corners: Corners
    outline: Outline | None = None


Item = Labelled | LeftOut | Problem


class Reader(Protocol):
    """What a format knows about the pictures of one part."""

    def has_entry(self, picture: Path) -> bool:
        """Whether the labels speak of a picture at all."""

    def count(self, picture: Path) -> int:
        """How many boxes the labels have for a picture, readable or not."""

    def read(self, picture: Path, height: int, width: int) -> Iterable[Item]:
        """A picture's boxes in their order, and what is wrong with the others."""

    def orphans(self) -> Iterator[Orphan]:
        """The labels that belong to no picture of the part."""


class Format(Protocol):
    """What each module of this folder offers."""

    def find(self, source: Path) -> list[Part]:
        """Pictures and labels in a data set's folder, laid out as is usual; empty where it is laid out otherwise."""

    def part(self, images: Path, boxes: Path) -> Part:
        """Pictures and labels whose places are named."""

    def classes(self, part: Part, names: Mapping[int, str] | None) -> dict[int, str]:
        """Class id to name, as the labels declare them; empty where they declare none."""

    def reader(self, part: Part, names: Mapping[int, str] | None, clip: bool) -> Reader:
        """Read the labels of a part; ``clip``: cut boxes off at the picture's edge, however far they reach beyond."""

    def picture_path(self, split: str, name: PurePosixPath) -> PurePosixPath:
        """Where a picture lies in a data set that is written."""

    def label_file(
        self, split: str, picture: LabelledPicture, classes: Mapping[int, str]
    ) -> tuple[PurePosixPath, str] | None:
        """Path and text of a picture's label file; None where there is one for all."""

    def indices(
        self, pictures: Mapping[str, Sequence[LabelledPicture]], classes: Mapping[int, str]
    ) -> Iterator[tuple[PurePosixPath, str]]:
        """Path and text of the files that describe the data set as a whole, from the pictures of each split."""


def as_spelled(path: Path, suffix: str) -> Path:
    """A path with another suffix, as the file's name is spelled where there is such a file.

    Some cameras and tools write suffixes in capitals, and a Mac writes an accent as a character of its own.
    """
    wanted = path.with_suffix(suffix)
    spellings = [wanted, path.with_suffix(suffix.upper())]
    if not wanted.name.isascii():
        spellings += [wanted.with_name(unicodedata.normalize(form, wanted.name)) for form in ("NFC", "NFD")]
    return next(filter(exists, spellings), wanted)


def labelled(
    corners: Corners, label: str, height: int, width: int, clip: bool = False, outline: Outline | None = None
) -> Labelled | LeftOut:
    """Check a box that is read, and bring it to whole pixels inside the picture.

    Args:
        corners: In pixels.
        label: Its class name.
        height: The picture's.
        width: The picture's.
        clip: Cut the box off at the picture's edge, however far it reaches beyond.
        outline: The object's polygon in pixels, if there is one.

    Raises:
        ValueError: It is no box, or reaches outside the picture.
    """
    x0, y0, x1, y1 = corners
    shown = ", ".join(f"{corner:.6g}" for corner in corners)
    if not all(map(math.isfinite, corners)):
        raise ValueError(f"box ({shown}) has a coordinate that is not finite")
    if x1 < x0 or y1 < y0:
        raise ValueError(f"box ({shown}) is inverted or has a negative side")
    across, down = max(1.0, TOLERANCE * width), max(1.0, TOLERANCE * height)
    if not clip and (x0 < -across or y0 < -down or x1 > width + across or y1 > height + down):
        raise ValueError(
            f"box ({shown}) in pixels reaches outside the picture of {width}x{height}; --clip cuts such boxes off"
        )
    if clip and (x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height) and x0 < x1 and y0 < y1:
        return LeftOut("outside of their picture")
    clipped = (min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height))
    return Labelled(from_pixels([corners], height, width)[0], label, clipped, outline)


def around(coordinates: Sequence[float]) -> Corners:
    """The upright box around points.

    Args:
        coordinates: x and y in turn.

    Raises:
        ValueError: They come in no pairs, or one is not finite.
    """
    if len(coordinates) % 2 or not all(map(math.isfinite, coordinates)):  # min and max of a NaN are anything
        raise ValueError("a polygon has a coordinate that is not finite, or one without its pair")
    across, down = coordinates[::2], coordinates[1::2]
    return min(across), min(down), max(across), max(down)


def polygon(coordinates: Sequence[float]) -> Outline | None:
    """An outline from x and y in turn; None where they are none: a box that has one beside it is good without it."""
    if len(coordinates) < MIN_POLYGON or len(coordinates) % 2 or not all(map(math.isfinite, coordinates)):
        return None
    return tuple(zip(coordinates[::2], coordinates[1::2], strict=True))


def number(value: object) -> float:
    """A coordinate as a number.

    Raises:
        ValueError: It is none.
    """
    if value is None:
        raise ValueError("a coordinate is missing")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{shorten(value)} is not a number")


def check_size(width: object, height: object, picture_height: int, picture_width: int) -> None:
    """Refuse boxes that were drawn on another size of the picture; a missing or zero size says nothing.

    Raises:
        ValueError: The labels are for another size.
    """
    stated = [number(side) for side in (width, height) if side]
    if len(stated) == 2 and all(stated) and stated != [picture_width, picture_height]:
        stated_size = f"{stated[0]:g}x{stated[1]:g}"
        raise ValueError(f"written for {stated_size} pixels, but the picture is {picture_width}x{picture_height}")
