"""One sample of torchvision: what it says to the planner, and what becomes of each of its parts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core import stale
from inpaint_transform.core.boxes import Box, Outline
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label
from inpaint_transform.core.plan import Scene
from inpaint_transform.faces import torchvision_labels as label_values
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.nested import find_field, find_labels, find_mapping, holds, replaced
from inpaint_transform.faces.relabel import check_relabel, linked_values, new_labels
from inpaint_transform.faces.torchvision_types import (
    check_arrays,
    check_wrapped,
    find_images,
    frames,
    is_points,
    like,
    planes,
    points_of,
    read_boxes,
    size_of,
    tv_tensors,
)


class Sample:
    """A sample in any nesting of dicts, lists and tuples.

    Args:
        editor: The transform's editor.
        sample: The sample.

    Attributes:
        images: The images that are painted.
    """

    def __init__(self, editor: Editor, sample: Any) -> None:
        self._editor = editor
        self._sample = sample
        flat, _ = tree_flatten(sample)
        self._flat = flat
        self._places = find_images(flat)
        self.images = [flat[place] for place in self._places]
        self._boxes = next((item for item in flat if isinstance(item, tv_tensors.BoundingBoxes)), None)
        self._masks = [item for item in flat if isinstance(item, tv_tensors.Mask)]
        self._points = [item for item in flat if is_points(item)]

    def check(self) -> None:
        """Refuse what would never be painted, and boxes that belong to another image.

        Raises:
            TypeError: The image is an array.
            ValueError: The boxes are not wrapped, or are another image's.
        """
        if not self.images:
            check_arrays(self._flat)
            return
        if self._boxes is None:
            check_wrapped(self._sample)
            return
        for image in self.images:
            if size_of(image) != self._boxes.canvas_size:
                raise ValueError(
                    f"an image is {size_of(image)} (height, width), but the boxes have "
                    f"canvas_size={self._boxes.canvas_size}; give them the image's size"
                )

    def frames(self) -> list[np.ndarray]:
        """The frames of all images."""
        return [frame for image in self.images for frame in frames(image)]

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        """The first frame, and the boxes over its sides."""
        height, width = size_of(self.images[0])
        return frames(self.images[0])[0], self._rows[0] / (width, height, width, height)

    def labels(self) -> Sequence[Label] | None:
        """One label a box, empty where it has no boxes; None where its boxes have none."""
        count = len(self._rows[0])
        if count == 0:
            return ()
        if self._editor.recipe.relabel is not None:
            self._check_relabel()
        return self._labels(count)

    def scene(self) -> Scene:
        """What there is to paint."""
        height, width = size_of(self.images[0])
        rows, outlines = self._rows
        boxes = pixel_boxes.from_pixels(rows, height, width)
        key = self._editor.recipe.prompt_key
        return Scene(
            height,
            width,
            boxes,
            self.labels() if boxes else None,
            outlines,
            self._instances(len(boxes)),
            {} if key is None else self._editor.read_slots(find_mapping(self._sample, key)),
            lambda index: self._occupied(index, boxes[index]),
        )

    def name(self) -> str | None:
        """What the log calls the sample."""
        return self._editor.read_name(find_mapping(self._sample, self._editor.arguments["log_key"]))

    def with_edits(self, painted: Sequence[np.ndarray], accepted: Sequence[Edit]) -> Any:
        """The sample with other frames, as ``frames`` gives them, and with what follows from the edits in them."""
        # Labels first: they may be a list, which flattening takes apart. What is put in has the same structure.
        changes = new_labels((edit, edit.index) for edit in accepted if edit.index is not None)
        flat, structure = tree_flatten(self._relabelled(changes) if changes else self._sample)
        if self._editor.recipe.stale == "clear":
            regions = [(edit.window, edit.mask(self._editor.recipe.shape)) for edit in accepted]
            flat = [self._cleared(item, accepted, regions) for item in flat]
        rest = iter(painted)
        for place, image in zip(self._places, self.images, strict=True):
            flat[place] = like(image, [next(rest) for _ in frames(image)])
        return tree_unflatten(flat, structure)

    @functools.cached_property
    def _rows(self) -> tuple[np.ndarray, list[Outline] | None]:
        """The boxes ``(N, 4)`` in pixels, and the outlines of rotated ones."""
        return (np.empty((0, 4)), None) if self._boxes is None else read_boxes(self._boxes)

    @functools.cached_property
    def _found(self) -> Any:
        """What of the sample holds the labels."""
        getter = self._editor.arguments["labels_getter"]
        if callable(getter):
            return getter(self._sample)
        if getter is None:
            return None
        return find_labels(self._sample, self._boxes, self._editor.arguments["label_field"])

    def _labels(self, count: int) -> list[Label] | None:
        return None if count == 0 or self._found is None else label_values.read(self._found, count)

    @functools.cached_property
    def _stack(self) -> Any:
        """The instance masks ``(N, H, W)``."""
        return next((mask for mask in self._masks if mask.ndim == 3), None)

    def _positions(self, count: int) -> list[int] | None:
        """Which of the instance masks is each box's; None where there are none, or it is not known."""
        field, masks = self._editor.arguments["mask_field"], self._stack
        if masks is None or self._boxes is None:
            return None
        if field is None:
            return list(range(count)) if len(masks) == count else None
        found = find_field(self._sample, self._boxes, field)
        if found is None:
            raise ValueError(f"mask_field={field!r} is not a key of the sample")
        positions = label_values.read(found, count)
        for position in positions:
            if not isinstance(position, int) or not 0 <= position < len(masks):
                raise ValueError(
                    f"mask_field names the mask {position!r}; the sample has the masks 0 to {len(masks) - 1}"
                )
        return [int(position or 0) for position in positions]

    def _instances(self, count: int) -> list[np.ndarray] | None:
        """The instance mask of each box."""
        positions = self._positions(count)
        if positions is not None:
            masks = planes(self._stack)
            return [masks[position] for position in positions]
        if self._stack is not None and self._boxes is not None and self._editor.recipe.shape == "mask":
            raise ValueError(
                f"the sample has {len(self._stack)} masks for {count} boxes; give a mask for each box in the "
                f"same order, or mask_field=..., a key with each box's position among the masks"
            )
        return None

    def _own_masks(self, indices: Sequence[int | None]) -> dict[int | None, int]:
        """The position of the instance mask that gave an edit its shape, and stays true, by box."""
        positions = self._positions(len(self._rows[0])) if self._editor.recipe.shape == "mask" else None
        return {} if positions is None else {index: positions[index] for index in indices if index is not None}

    def _occupied(self, index: int, box: Box) -> bool:
        """Whether repainting a box would make a mask or a keypoint stale."""
        own = self._own_masks([index]).get(index)
        masks = [
            plane
            for mask in self._masks
            for number, plane in enumerate(planes(mask))
            if not (mask is self._stack and number == own)
        ]
        points = np.concatenate([points_of(item) for item in self._points]) if self._points else None
        return stale.occupied(box, masks, points)

    def _cleared(self, item: Any, accepted: Sequence[Edit], regions: stale.Painted) -> Any:
        """A mask with zeros, or keypoints without those, where the edits have painted."""
        if isinstance(item, tv_tensors.Mask):
            masks = planes(item)
            own = self._own_masks([edit.index for edit in accepted]) if item is self._stack else {}
            new = [
                stale.cleared(
                    mask,
                    [region for edit, region in zip(accepted, regions, strict=True) if own.get(edit.index) != number],
                )
                for number, mask in enumerate(masks)
            ]
            if all(after is before for after, before in zip(new, masks, strict=True)):
                return item
            return tv_tensors.wrap(torch.from_numpy(np.stack(new)).reshape(item.shape).to(item.device), like=item)
        if is_points(item):
            true = stale.still_true(points_of(item), regions)
            if true.all():
                return item
            if item.ndim != 2:
                raise ValueError(
                    f"stale='clear' drops keypoints, but KeyPoints of shape {tuple(item.shape)} have a fixed number "
                    f"for each object; use stale='keep' or 'skip'"
                )
            return tv_tensors.wrap(item.as_subclass(torch.Tensor)[torch.from_numpy(true)], like=item)
        return item

    def _check_relabel(self) -> None:
        """Refuse new labels that would have no place in the sample."""
        check_relabel(self._found is not None, len(self.frames()), "label_field=... or labels_getter=...")
        if not holds(self._sample, self._found):
            raise ValueError(
                "relabel writes new labels, but what labels_getter returned is not itself in the sample; return the "
                "very object that the sample holds"
            )
        for field, by_label in self._editor.linked_fields.items():
            if by_label is not None and find_field(self._sample, self._boxes, field) is None:
                raise ValueError(f"linked_fields has {field!r}, which is not a key of the sample")

    def _relabelled(self, changes: Mapping[int, Label]) -> Any:
        """The sample with new labels, by box."""
        sample = replaced(self._sample, self._found, label_values.written(self._found, changes))
        linked, names = self._editor.linked_fields, self._editor.recipe.class_names
        for field, values in linked_values(changes, linked, linked, names).items():
            held = find_field(self._sample, self._boxes, field)
            sample = replaced(sample, held, label_values.written(held, values))
        return sample
