"""Reading: pictures and their boxes, one at a time, from YOLO, COCO and Pascal VOC data sets.

What a format's labels look like and where they lie is known in ``formats``; which split a picture is in, in
``splits``. Here they come together, and every picture, label file and box is entered in the balance sheet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inpaint_transform.datasets import splits
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.files import BrokenFileError, Problem
from inpaint_transform.datasets.formats import coco, voc, yolo
from inpaint_transform.datasets.formats.base import Annotation, BoxFormat, Format, LeftOut, Part, Reader
from inpaint_transform.datasets.formats.yolo_data import read_names
from inpaint_transform.datasets.images import Pictures, find_pictures, read_image

__all__ = [
    "Annotation",
    "BoxFormat",
    "Problem",
    "Source",
    "find",
    "find_pictures",
    "read",
    "read_image",
    "read_names",
]

FORMATS: dict[BoxFormat, Format] = {BoxFormat.YOLO: yolo, BoxFormat.COCO: coco, BoxFormat.VOC: voc}


@dataclass(frozen=True)
class Source:
    """A data set that was found: what will be read, and where each picture belongs.

    Attributes:
        box_format: How its boxes are written down.
        parts: Pictures and labels that are read together.
        names: YOLO: class id to name; None: those that lie with the labels.
        clip: Cut boxes off at the picture's edge, however far they reach beyond.
        places: Split and name of each picture, see ``splits.places``.
    """

    box_format: BoxFormat
    parts: Sequence[Part]
    names: Mapping[int, str] | None = None
    clip: bool = False
    places: Mapping[Path, splits.Place] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(part.pictures) for part in self.parts)

    def count(self, split: str) -> int:
        """How many pictures a split has."""
        return sum(self.split_of(picture) == split for part in self.parts for picture in part.pictures)

    def declared_classes(self) -> list[dict[int, str]]:
        """Class id to name of each part, whether or not a box has them; empty ones for Pascal VOC, which has no ids.

        Raises:
            ValueError: YOLO labels have no class names at all.
        """
        return [FORMATS[self.box_format].classes(part, self.names) for part in self.parts]

    def read(
        self,
        balance: BalanceSheet | None = None,
        pictures: Pictures | None = None,
        only: Collection[str] = splits.SPLITS,
    ) -> Iterator[Annotation | Problem]:
        """Read the pictures with their boxes, one at a time.

        A picture with a problem has no annotation, because a box nobody could read may lie where another is painted.

        Args:
            balance: Is told of everything that is seen and left out; what becomes of an annotation, the caller says
                with ``use`` or ``lose``.
            pictures: Decodes, so that a caller who needs the pixels at once does not decode again.
            only: The splits whose pictures are read; those of others are passed over, and not entered.

        Returns:
            Annotations in the order of the pictures' paths, and every problem that was found.
        """
        balance, pictures = balance or BalanceSheet(), pictures or Pictures()
        readers = [FORMATS[self.box_format].reader(part, self.names, self.clip) for part in self.parts]
        bare = self._splits_without_labels(readers)
        told: set[str] = set()
        for part, reader in zip(self.parts, readers, strict=True):
            for picture in part.pictures:
                split = self.split_of(picture)
                if split not in only:
                    continue
                if split in bare:
                    _leave_out(balance, reader, picture, "of a split without labels")
                    if split not in told:
                        yield Problem(part.boxes, None, f"no picture of the split {split} has labels; it is left out")
                    told.add(split)
                    continue
                name = self.places[picture].name if picture in self.places else picture.name
                yield from _read_one(reader, picture, str(name), balance, pictures)
            for orphan in reader.orphans():
                for kind, count in (("entries", orphan.entries), ("boxes", orphan.boxes)):
                    balance.seen(kind, count)
                    balance.left_out(kind, orphan.problem.reason, count)
                yield orphan.problem
            balance.seen("pictures", len(part.unplaced))
            balance.left_out("pictures", "in no declared split", len(part.unplaced))

    def split_of(self, picture: Path) -> str:
        """The split that a picture is in."""
        place = self.places.get(picture)
        return splits.TRAIN if place is None else place.split

    def _splits_without_labels(self, readers: Sequence[Reader]) -> set[str]:
        """Splits of which not one picture has labels: then these are not there, rather than all pictures empty.

        COCO tells of each picture without an entry itself.
        """
        if self.box_format is BoxFormat.COCO:
            return set()
        found: dict[str, bool] = {}
        for part, reader in zip(self.parts, readers, strict=True):
            for picture in part.pictures:
                split = self.split_of(picture)
                found[split] = found.get(split, False) or reader.has_entry(picture)
        return {split for split, labelled in found.items() if not labelled}


def _read_one(
    reader: Reader, picture: Path, name: str, balance: BalanceSheet, pictures: Pictures
) -> Iterator[Annotation | Problem]:
    if not name.isprintable():
        yield Problem(picture, None, "its name has characters that no label file can hold; rename it")
        _leave_out(balance, reader, picture, "with an unusable name")
        return
    try:
        pixels, digest = pictures.load_with_digest(picture)
    except BrokenFileError as error:
        yield error.problem
        _leave_out(balance, reader, picture, error.problem.reason)
        return
    height, width = pixels.shape[:2]
    found, problems, left = [], [], []
    for item in reader.read(picture, height, width):
        if isinstance(item, Problem):
            problems.append(item)
        elif isinstance(item, LeftOut):
            left.append(item)
        else:
            found.append(item)
    if problems:
        yield from problems
        _leave_out(balance, reader, picture, problems[0].reason)
        return
    balance.seen("pictures")
    entries = int(reader.has_entry(picture))
    balance.seen("entries", entries)
    if not entries:
        balance.note("pictures without a label file, taken to show no object")
    balance.seen("boxes", len(found) + len(left))
    for item in left:
        balance.left_out("boxes", item.reason)
    boxes, labels, corners, outlines = zip(*found, strict=True) if found else ((), (), (), ())
    yield Annotation(picture, boxes, labels, corners, height, width, digest, entries, outlines)


def _leave_out(balance: BalanceSheet, reader: Reader, picture: Path, reason: str) -> None:
    entries = int(reader.has_entry(picture))
    for kind, count in (("pictures", 1), ("entries", entries), ("boxes", reader.count(picture) if entries else 0)):
        balance.seen(kind, count)
        balance.left_out(kind, f"of pictures left out ({reason})" if kind != "pictures" else reason, count)


def find(
    source: Path,
    box_format: BoxFormat,
    boxes: Path | None = None,
    names: Mapping[int, str] | None = None,
    wanted: Mapping[str, str] | None = None,
    clip: bool = False,
) -> Source:
    """Find pictures and labels, and the split of each picture.

    Args:
        source: A data set's folder, laid out as is usual for its format (see the table in this folder's README), or
            with ``boxes`` a picture or a folder of pictures.
        box_format: How the boxes are written down.
        boxes: YOLO and VOC: the label file of the one picture, or a folder with one label file a picture under the same
            relative path. COCO: the JSON file. Default: found in ``source``.
        names: YOLO only: class id to name. Default: those that lie with the labels.
        wanted: The split of folders, by name or path below ``source``; it counts more than what is declared.
        clip: Cut boxes off at the picture's edge, however far they reach beyond.

    Raises:
        FileNotFoundError: ``source`` or ``boxes`` does not exist.
        ValueError: There is no picture, the layout is not a usual one, the COCO file is broken, or it is not clear
            which pictures are held out.
    """
    parts = _parts(source, box_format, boxes)
    return Source(box_format, parts, names, clip, splits.places(parts, wanted or {}))


def _parts(source: Path, box_format: BoxFormat, boxes: Path | None) -> list[Part]:
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such {'folder' if boxes is None else 'picture or folder'}")
    if boxes is None:
        parts = FORMATS[box_format].find(source)
        if not any(part.pictures for part in parts):
            others = [f"--format {other.value}" for other in FORMATS if other != box_format and _fits(source, other)]
            mend = f"did you mean {' or '.join(others)}?" if others else "give the folder of pictures and --boxes"
            raise ValueError(
                f"{source}: pictures and labels are not found in it as they usually lie in a {box_format.value} data "
                f"set; {mend}"
            )
        return splits.with_source_name(parts, source)
    find_pictures(source)
    if not boxes.exists():
        raise FileNotFoundError(f"{boxes}: there is no such file or folder with boxes")
    if box_format is not BoxFormat.COCO and source.is_dir() and not boxes.is_dir():
        raise ValueError(f"{boxes}: {source} is a folder of pictures, so the boxes must be a folder of label files too")
    return [splits.with_own_name(FORMATS[box_format].part(source, boxes))]


def _fits(source: Path, box_format: BoxFormat) -> bool:
    """Whether a data set's folder is laid out as is usual for a format."""
    try:
        return any(part.pictures for part in FORMATS[box_format].find(source))
    except ValueError:
        return False


def read(
    images: str | Path,
    boxes: str | Path | None,
    box_format: BoxFormat | str,
    names: Mapping[int, str] | str | None = None,
    split: str | None = None,
) -> Iterator[Annotation | Problem]:
    """Read a picture or a folder of pictures with their boxes, one at a time.

    Args:
        images: A picture, or a folder that is searched for pictures in all its depth.
        boxes: Their labels, as ``find`` takes them; None: ``images`` is a data set's folder, in which they lie too.
        box_format: ``"yolo"``, ``"coco"`` or ``"voc"``.
        names: YOLO only: class id to name, or a file that has them, or ``"a,b,c"``. Default: those that lie with the
            labels.
        split: ``"train"``, ``"val"`` or ``"test"``: only pictures that the data set declares to be of it, or whose
            folders are called so. Default: all, whatever their splits.

    Returns:
        Annotations in the order of the pictures' paths, and every problem that was found.

    Raises:
        FileNotFoundError: ``images`` or ``boxes`` does not exist.
        ValueError: There is no picture, or none of ``split``, or it is not clear which pictures are; the COCO file is
            broken, or YOLO labels have no class names at all.

    Examples:
        >>> from inpaint_transform.annotations import labelled_boxes
        >>> from inpaint_transform.swaps import class_counts
        >>> class_counts(labelled_boxes(read("images", "coco.json", "coco", split="train")))  # doctest: +SKIP
        {'cone': 931, 'cube': 521}
    """
    box_format = BoxFormat(box_format)
    class_names = read_names(names) if isinstance(names, str) else names
    if split is not None and split not in splits.SPLITS:
        raise ValueError(f"split={split!r}: use {', '.join(splits.SPLITS)}, or None for all pictures")
    parts = _parts(Path(images), box_format, None if boxes is None else Path(boxes))
    source = Source(box_format, parts, class_names, places={} if split is None else splits.places(parts, {}))
    source.declared_classes()  # so that missing names are one error at once
    if split is not None and not source.count(split):
        raise ValueError(f"split={split!r}: {images} has no picture of it; leave split out to read all {len(source)}")
    return source.read(only=splits.SPLITS if split is None else (split,))
