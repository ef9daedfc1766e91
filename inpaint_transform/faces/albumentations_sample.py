"""One sample of Albumentations: what it says to the planner, and what becomes of each of its targets."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core import stale
from inpaint_transform.core.blend import check_image
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label
from inpaint_transform.core.plan import Scene
from inpaint_transform.faces.albumentations_labels import MAX_WHOLE, LabelColumns
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.relabel import check_linked, check_relabel, linked_values, new_labels

# How deep the pictures lie in each kind of target.
IMAGES = {"image": 0, "images": 1, "volume": 1, "volumes": 2}
MASKS = {"mask": 0, "masks": 1, "mask3d": 1, "masks3d": 2}
# A share of an image's side may be so far outside of [0, 1].
ROUNDING = 1e-3


class Sample:
    """A sample as a Compose hands it to a transform, or as a bare call gives it.

    Args:
        editor: The transform's editor.
        data: The sample by key.
        kinds: Which kind of target the keys hold; others pass through.
        processor: Gives the ``BboxProcessor`` of the Compose that is calling; without one boxes are over the image's
            sides, as Albumentations' own transforms take them.

    Raises:
        TypeError: When it is first read: an image is no array, or its dtype cannot be painted.
        ValueError: Then too: there is no image, or its shape cannot be painted.
    """

    # Whatever is not asked for is not worked out: most samples do not fire.
    def __init__(
        self, editor: Editor, data: Mapping[str, Any], kinds: Mapping[str, str], processor: Callable[[], Any]
    ) -> None:
        self._editor = editor
        self._data = data
        self._kinds = kinds
        self._find_processor = processor

    @functools.cached_property
    def _processor(self) -> Any:
        return self._find_processor()

    @functools.cached_property
    def _labels(self) -> LabelColumns:
        columns = LabelColumns(self._processor, self._editor.arguments["label_field"])
        if columns.doubt is not None:
            self._editor.tally.warn_once("label_field", columns.doubt)
        return columns

    @functools.cached_property
    def _images(self) -> list[str]:
        """The keys of the images, the main one first: it is what keys the sample."""
        data, kinds = self._data, self._kinds
        keys = [key for key in self._keys(IMAGES) if len(data[key]) > 0]
        if not keys:
            raise ValueError("the sample has no image; call the transform with image=...")
        for key in keys:
            image = next(_planes(data[key], IMAGES[kinds[key]]))
            if not isinstance(image, np.ndarray):
                raise TypeError(
                    f"{key} is a {type(image).__name__}; give a numpy array (H, W, C), and place the transform before "
                    f"ToTensorV2"
                )
            check_image(image)
        return sorted(keys, key=lambda key: list(IMAGES).index(kinds[key]))

    @functools.cached_property
    def _size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.frames()[0].shape[:2]
        return height, width

    def frames(self) -> list[np.ndarray]:
        """The pictures of all targets."""
        return [frame for key in self._images for frame in _planes(self._data[key], IMAGES[self._kinds[key]])]

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        """The first picture, and the boxes."""
        return self.frames()[0], self._rows()

    def labels(self) -> Sequence[Label] | None:
        """One label a box, empty where it has no boxes; None where its boxes have none."""
        rows = self._rows()
        if not len(rows):
            return ()
        self._check_shares(rows)
        self._check_numbers(rows)
        if self._editor.recipe.relabel is not None:
            self._check_relabel()
        return self._labels.read(rows)

    def scene(self) -> Scene:
        """What there is to paint."""
        rows = self._rows()
        boxes = self._boxes(rows)
        if (
            not len(rows)
            and self._processor is None
            and "bboxes" not in self._data
            and self._editor.recipe.when_no_box == "skip"
        ):
            self._editor.tally.warn_once(
                "bboxes",
                "the sample has no bboxes, so there is nothing to paint; give A.Compose([...], "
                "bbox_params=A.BboxParams(format, label_fields=[...])) and bboxes, or when_no_box='random'",
            )
        return Scene(
            *self._size,
            boxes,
            self.labels() if boxes else None,
            masks=self._instances(rows),
            slots=self._editor.read_slots(self._data),
            occupied=lambda index: self._occupied(index, boxes[index]),
        )

    def painted(self, frames: Sequence[np.ndarray]) -> dict[str, Any]:
        """The image targets with other pictures, as ``frames`` gives them."""
        result, rest = {}, iter(frames)
        for key in self._images:
            depth = IMAGES[self._kinds[key]]
            new = [next(rest) for _ in _planes(self._data[key], depth)]
            result[key] = np.stack(new).reshape(np.shape(self._data[key])) if depth else new[0]
        return result

    def annotations(self, accepted: Sequence[Edit]) -> dict[str, Any]:
        """The other targets that are not what they were, once edits are in the picture."""
        result = {} if self._editor.recipe.stale != "clear" else self._cleared(accepted)
        field, linked, names = self._labels.field, self._editor.linked_fields, self._editor.recipe.class_names
        changes = new_labels(self._placed([edit for edit in accepted if edit.new_label is not None]))
        if changes and field is not None:
            rows = np.array(self._data["bboxes"])
            others = [other for other in self._labels.fields if other != field]
            for name, values in {field: changes, **linked_values(changes, others, linked, names)}.items():
                self._labels.write(rows, name, values)
            result["bboxes"] = rows
        return result

    def _placed(self, edits: Sequence[Edit]) -> Iterator[tuple[Edit, int]]:
        """The edits with their boxes' rows. A replay may be on other boxes: it leaves those alone."""
        rows = self._rows()
        if not edits or not len(rows):
            return
        boxes, labels = self._boxes(rows), self._labels.read(rows)
        for edit in edits:
            if edit.index is None:
                continue
            # Where it was is where it usually still is.
            for row in itertools.chain(range(len(boxes))[edit.index : edit.index + 1], range(len(boxes))):
                if boxes[row] == edit.box and (labels is None or labels[row] == edit.label):
                    yield edit, row
                    break

    def _cleared(self, accepted: Sequence[Edit]) -> dict[str, Any]:
        """Masks with zeros, and keypoints without those, where the edits have painted."""
        shape, data = self._editor.recipe.shape, self._data
        regions = [(edit.window, edit.mask(shape)) for edit in accepted]
        own = {self._own_mask(row): edit for edit, row in self._placed(accepted)}

        def cleared(mask: np.ndarray, number: int | None = None) -> np.ndarray:
            mine = own.get(number) if number is not None else None
            kept = [region for edit, region in zip(accepted, regions, strict=True) if edit is not mine]
            return stale.cleared(mask, kept)

        result: dict[str, Any] = {}
        for key in self._keys(MASKS):
            kind, mask = self._kinds[key], data[key]
            if kind == "mask":
                result[key] = cleared(mask)
                continue
            planes = list(_planes(mask, MASKS[kind]))
            new = [cleared(plane, number if key == "masks" else None) for number, plane in enumerate(planes)]
            if any(after is not before for after, before in zip(new, planes, strict=True)):
                result[key] = np.stack(new).reshape(mask.shape) if isinstance(mask, np.ndarray) else new
        for key in self._keys({"keypoints": 0}):
            result[key] = data[key][stale.still_true(data[key], regions)]
        return result

    def _check_numbers(self, rows: np.ndarray) -> None:
        for field in self._labels.too_large(rows):
            said = f"the label field {field!r} has numbers from {MAX_WHOLE} on, which A.Compose changes"
            if field == self._labels.field:
                raise ValueError(f"{said}: a class would be taken for another; give smaller ids, or names")
            self._editor.tally.warn_once(f"numbers of {field}", f"{said}, with or without this transform; give strings")

    def _check_relabel(self) -> None:
        field = self._labels.field
        check_relabel(field is not None, len(self.frames()), "A.BboxParams(format, label_fields=[...]) and the labels")
        check_linked(self._labels.fields, field, self._editor.linked_fields)

    def _rows(self) -> np.ndarray:
        """The boxes ``(N, 4 + ...)`` over the image's sides, the label columns last."""
        rows = np.asarray(self._data.get("bboxes", ()))
        return rows if len(rows) else np.empty((0, 4))

    def _boxes(self, rows: np.ndarray) -> list[Box]:
        self._check_shares(rows)
        return pixel_boxes.from_normalized(rows, *self._size)

    def _check_shares(self, rows: np.ndarray) -> None:
        """Refuse boxes in pixels where no Compose has made shares of them."""
        if (
            self._processor is None
            and len(rows)
            and not (rows[:, :4].min() >= -ROUNDING and rows[:, :4].max() <= 1 + ROUNDING)
        ):
            raise ValueError(
                f"bboxes came without A.Compose(bbox_params=...), so they are taken as shares of the image's sides, "
                f"but one is {rows[0, :4].tolist()}; put the transform into A.Compose([...], "
                f"bbox_params=A.BboxParams(format, label_fields=[...]))"
            )

    def _positions(self, rows: np.ndarray) -> Sequence[int] | None:
        """Which of the instance masks is each box's; None where there are none, or it is not known."""
        masks, field = self._data.get("masks"), self._editor.arguments["mask_field"]
        if masks is None or not len(rows):
            return None
        if field is None:
            return range(len(rows)) if len(masks) == len(rows) else None
        positions = self._labels.values(rows, field)
        for position in positions:
            if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(masks):
                raise ValueError(
                    f"mask_field names the mask {position!r}; the sample has the masks 0 to {len(masks) - 1}"
                )
        return [int(position or 0) for position in positions]

    def _instances(self, rows: np.ndarray) -> list[np.ndarray] | None:
        """The instance mask of each box."""
        masks, positions = self._data.get("masks"), self._positions(rows)
        if masks is not None and positions is not None:
            return [masks[position] for position in positions]
        if masks is not None and len(rows) and self._editor.recipe.shape == "mask":
            raise ValueError(
                f"the sample has {len(masks)} masks for {len(rows)} boxes; give a mask for each box in the same "
                f"order, or mask_field=..., a label field with each box's position among the masks"
            )
        return None

    def _own_mask(self, row: int) -> int | None:
        """The position of the instance mask that gives an edit of a box its shape, and stays true."""
        positions = self._positions(self._rows()) if self._editor.recipe.shape == "mask" else None
        return None if positions is None else positions[row]

    def _occupied(self, index: int, box: Box) -> bool:
        """Whether repainting a box would make a mask or a keypoint stale."""
        own = self._own_mask(index)
        masks = [
            plane
            for key in self._keys(MASKS)
            for number, plane in enumerate(_planes(self._data[key], MASKS[self._kinds[key]]))
            if not (key == "masks" and number == own)
        ]
        points = [self._data[key] for key in self._keys({"keypoints": 0})]
        return any(stale.occupied(box, masks, found) for found in [*points, None])

    def _keys(self, kinds: Mapping[str, int]) -> list[str]:
        return [key for key, kind in self._kinds.items() if kind in kinds and self._data.get(key) is not None]


def _planes(value: Any, depth: int) -> Iterator[np.ndarray]:
    """The pictures in nested stacks, none for an empty one."""
    if depth == 0:
        yield value
    else:
        for part in value:
            yield from _planes(part, depth - 1)
