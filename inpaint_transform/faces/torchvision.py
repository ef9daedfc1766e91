"""The torchvision face: ``BBoxInpaint`` for ``torchvision.transforms.v2``."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core import stale
from inpaint_transform.core.boxes import Box, Outline
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.plan import Scene
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.faces import torchvision_labels as label_values
from inpaint_transform.faces.arguments import arguments_of, known_only, linked_value
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.nested import find_field, find_labels, find_mapping, holds, replaced
from inpaint_transform.faces.torchvision_types import (
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
    v2,
)


class BBoxInpaint(v2.Transform):
    """Repaint the inside of bounding boxes with a diffusion inpainting model.

    With probability ``p`` one or more boxes of the sample get new content, painted to a prompt made from their label.
    Everything else comes back as the same object: boxes, labels, masks, and the whole sample when nothing is
    painted. Pixels outside the boxes stay bit-equal.

    The sample may be nested as torchvision allows: ``transform(image, target)``, ``transform(sample)``. Painted are
    its ``tv_tensors.Image`` and ``Video`` and PIL images, all with the same edits; where there are none, the first
    plain tensor of three or more dimensions. They keep type, dtype, device and metadata. The boxes are the first
    ``tv_tensors.BoundingBoxes``, in any format; a rotated box is painted inside its own outline, and its size and area
    are those of the upright rectangle around it.

    Nothing is loaded before the first edit. One pipeline serves every copy of the transform in a process, and one
    server serves every DataLoader worker of a training job.

    Args:
        labels_getter (str | callable | None): Where the labels are. ``"default"`` looks for them in the sample, beside
            the boxes first: keys such as ``labels`` and ``category_id``, or ``(image, boxes, labels)``. A function
            gets the sample and returns one label a box. None: the boxes have no labels.
        label_field (str | None): The key with the labels, wherever it is in the sample, instead of the keys that
            ``"default"`` tries.
        seed (int | None): None draws from torch's global generator, which a DataLoader seeds differently in every
            worker and epoch. An int makes every draw a function of seed, epoch and the sample's content, as in
            ``inpaint_transform.BBoxInpaint``; see ``set_epoch``.
        model: This and all other arguments as in ``inpaint_transform.BBoxInpaint``, which documents them.
        prompts: What to paint.
        negative_prompt: What to avoid.
        attributes: Values to draw for the slots.
        class_names: Class id to noun, for integer labels.
        prompt_key: Key of the sample with more slot values.
        relabel: What boxes become. The new label is written into a copy of what holds the labels.
        linked_fields: With ``relabel``, what other keys of the sample become that have one entry a box.
        num_boxes: How many boxes to repaint.
        box_p: Or with which probability each.
        min_box_size: Shortest allowed shorter side in pixels.
        area_range: Allowed box area over image area.
        include_labels: Only repaint boxes with these labels.
        exclude_labels: Never repaint boxes with these labels.
        truncated: Whether boxes that touch the image border are repainted.
        context: Side of the window that the model sees over the longer box side.
        strength: How far to leave the old pixels.
        shape: ``"box"``, ``"ellipse"``, or ``"mask"`` for the object's instance mask: the ``tv_tensors.Mask`` of shape
            ``(N, H, W)``.
        mask_field: Key with each box's position among the instance masks.
        mask_dilation: How far instance masks are grown.
        protect: Leave the pixels of overlapping neighbours alone.
        stale: What becomes of masks and keypoints inside a repainted box.
        feather: Width of the blend at the edge, inside the box.
        match_border: Shift the painted colours to the picture around the box.
        when_no_box: ``"skip"``, or ``"random"`` to repaint a random region.
        retries: How often a rejected output is painted again.
        gate: Who judges what was painted.
        schedule: How ``p`` or ``box_p`` changes over the epochs.
        log: JSON lines file to which every edit is written.
        log_key: Key of the sample whose value names it in the log.
        log_crops: Also save every edit's window.
        on_error: ``"raise"``, or ``"skip"`` to keep the original image when painting fails.
        p: Probability of applying the transform.

    Image types:
        tensors ``(..., C, H, W)``: uint8, uint16, float32 in [0, 1]; 1, 3 or more channels, of which the first three
        are colour. PIL: L, I;16, RGB, RGBA.

    Raises:
        ValueError: An argument or a sample is unusable; the message names it and the mend.
        TypeError: An image has another dtype.
        InpaintError: The model does not load or fails to paint, with ``on_error="raise"``.

    Note:
        - Masks and keypoints inside a repainted box describe the old object.
        - ``v2.Normalize`` goes after this transform.
        - ``torch.jit.script`` is refused, as by every v2 transform without a v1 twin; ``torch.compile`` breaks the
          graph here.

    Examples:
        >>> import torch
        >>> from torchvision import tv_tensors
        >>> from inpaint_transform.faces.torchvision import BBoxInpaint
        >>> transform = BBoxInpaint("tiny", prompts={1: "a red blood cell"}, p=1.0, seed=0)
        >>> image = tv_tensors.Image(torch.full((3, 120, 160), 220, dtype=torch.uint8))
        >>> boxes = tv_tensors.BoundingBoxes([[40, 30, 100, 90]], format="XYXY", canvas_size=(120, 160))
        >>> target = {"boxes": boxes, "labels": torch.tensor([1])}
        >>> painted, same = transform(image, target)
        >>> type(painted).__name__, same["boxes"] is boxes, bool((painted[:, :30] == image[:, :30]).all())
        ('Image', True, True)

    """

    p: float
    labels_getter: Callable[[Any], Any] | Literal["default"] | None
    label_field: str | None
    mask_field: str | None
    prompt_key: str | None
    log_key: str | None

    @known_only
    def __init__(
        self,
        model: str | dict[str, Any] | ModelSpec = "tiny",
        prompts: Any = "a photo of a {label}",
        negative_prompt: str | None = None,
        attributes: dict[str, list[str]] | None = None,
        label_field: str | None = None,
        class_names: Any = None,
        prompt_key: str | None = None,
        relabel: Any = None,
        linked_fields: dict[str, Any] | None = None,
        num_boxes: int | tuple[int, int] = 1,
        box_p: float | dict[Any, float] | None = None,
        min_box_size: int = 32,
        area_range: tuple[float, float] = (0.0, 1.0),
        include_labels: list[Any] | None = None,
        exclude_labels: list[Any] | None = None,
        truncated: bool = True,
        context: float = 2.0,
        strength: float | tuple[float, float] = 1.0,
        shape: str = "box",
        mask_field: str | None = None,
        mask_dilation: float = 0.05,
        protect: bool = True,
        stale: str = "keep",
        feather: float = 0.08,
        match_border: bool = True,
        when_no_box: str = "skip",
        retries: int = 2,
        gate: Any = None,
        schedule: Any = None,
        log: str | os.PathLike[str] | None = None,
        log_key: str | None = None,
        log_crops: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        seed: int | None = None,
        p: float = 0.5,
        labels_getter: Callable[[Any], Any] | Literal["default"] | None = "default",
    ) -> None:
        arguments = arguments_of(locals())
        super().__init__()
        self.editor = Editor(arguments)
        if labels_getter is not None and labels_getter != "default" and not callable(labels_getter):
            raise ValueError(f"labels_getter={labels_getter!r}: use 'default', a function of the sample, or None")
        if label_field is not None and labels_getter != "default":
            raise ValueError(f"label_field={label_field!r} is for labels_getter='default'; give one of the two")
        # Past nn.Module, which would register an argument that is a module, such as a labels_getter, as its own.
        self.__dict__.update(self.editor.arguments)

    # Or torch.compile would follow the sample into the pipeline and compile that too, for minutes, to other pixels.
    @torch.compiler.disable  # type: ignore[untyped-decorator] # torch's own
    def forward(self, *inputs: Any) -> Any:
        """Paint a sample.

        Args:
            *inputs: The sample, in any nesting of dicts, lists and tuples.

        Returns:
            The sample in the same structure; the very same object when nothing is painted.
        """
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, _ = tree_flatten(sample)
        found = find_images(flat)
        if not found or self.p <= 0:
            return sample
        annotated = _Annotated(sample, flat, flat[found[0]], self)
        edits = self._draw(annotated, [flat[index] for index in found])
        if not edits:
            return sample
        painted, accepted = self._paint([flat[index] for index in found], edits, self._name(sample))
        # Labels first: they may be a list, which flattening takes apart. What is put in has the same structure.
        changes = {
            edit.index: edit.new_label for edit in accepted if edit.new_label is not None and edit.index is not None
        }
        if changes:
            sample = annotated.relabelled(changes)
        flat, structure = tree_flatten(sample)
        if self.editor.recipe.stale == "clear":
            flat = [self._without_stale(item, accepted) for item in flat]
        for index, image in zip(found, painted, strict=True):
            flat[index] = image
        return tree_unflatten(flat, structure)

    def _draw(self, annotated: _Annotated, images: Sequence[Any]) -> list[Edit]:
        """Decide whether to paint, and what."""
        annotated.check(images)
        edits = self.editor.draw(annotated, self.p)
        if any(edit.new_label is not None for edit in edits):
            annotated.check_relabel()
            if len(images) > 1 or len(frames(images[0])) > 1:
                raise ValueError("relabel needs a single image: of several, some may be accepted and others not")
        return edits

    def _paint(self, images: Sequence[Any], edits: list[Edit], name: str | None) -> tuple[list[Any], list[Edit]]:
        """Paint the same edits into every image, in one batch.

        Returns:
            The images, the very same objects where nothing was painted, and the edits that are in all of them.
        """
        stacks = [frames(image) for image in images]
        originals = [frame for stack in stacks for frame in stack]
        painted, accepted = self.editor.paint_same(originals, edits, name)
        rest = iter(painted)
        results = []
        for image, stack in zip(images, stacks, strict=True):
            new = [next(rest) for _ in stack]
            unchanged = all(after is before for after, before in zip(new, stack, strict=True))
            results.append(image if unchanged else like(image, new))
        return results, accepted

    def _name(self, sample: Any) -> str | None:
        name = None if self.log_key is None else find_mapping(sample, self.log_key).get(self.log_key)
        return None if name is None else str(name)

    def _without_stale(self, item: Any, accepted: Sequence[Edit]) -> Any:
        """Masks with zeros, and keypoints without those, where the edits have painted."""
        shape = self.editor.recipe.shape
        painted = [(edit.index, (edit.window, edit.mask(shape))) for edit in accepted]
        if isinstance(item, tv_tensors.Mask):
            masks = planes(item)
            own = shape == "mask" and item.ndim == 3
            kept = [
                stale.cleared(mask, [region for index, region in painted if not (own and index == number)])
                for number, mask in enumerate(masks)
            ]
            if all(after is before for after, before in zip(kept, masks, strict=True)):
                return item
            return tv_tensors.wrap(torch.from_numpy(np.stack(kept)).reshape(item.shape).to(item.device), like=item)
        if is_points(item):
            true = stale.still_true(points_of(item), [region for _, region in painted])
            if true.all():
                return item
            if item.ndim != 2:
                raise ValueError(
                    f"stale='clear' drops keypoints, but KeyPoints of shape {tuple(item.shape)} have a fixed number "
                    f"for each object; use stale='keep' or 'skip'"
                )
            return tv_tensors.wrap(item.as_subclass(torch.Tensor)[torch.from_numpy(true)], like=item)
        return item

    @property
    def inpainter(self) -> Inpainter:
        """Who paints for this transform in this process; loads nothing by itself."""
        return self.editor.inpainter

    def set_epoch(self, epoch: int) -> None:
        """Tell the transform and its copies in running workers which epoch it is, as ``DistributedSampler`` wants it.

        Matters with ``seed``: the same sample gets another edit in another epoch. Call it before the epoch's loader
        is iterated.

        Args:
            epoch: Epoch number, >= 0.
        """
        self.editor.epoch.value = epoch

    def stats(self) -> dict[str, Any]:
        """What this process painted: edits, attempts, accepted, rejected by reason, errors.

        Under ``"inpainter"`` the counters of the engine; see ``inpaint_transform.BBoxInpaint.stats``.
        """
        return self.editor.stats()


class _Annotated:
    """What a sample says about its boxes, read for the editor."""

    def __init__(self, sample: Any, flat: Sequence[Any], image: Any, transform: BBoxInpaint) -> None:
        self.sample = sample
        self.boxes = next((item for item in flat if isinstance(item, tv_tensors.BoundingBoxes)), None)
        self._image = image
        self._masks = [item for item in flat if isinstance(item, tv_tensors.Mask)]
        self._points = [item for item in flat if is_points(item)]
        self._transform = transform
        self._found: Any = None

    def check(self, images: Sequence[Any]) -> None:
        """Refuse boxes that belong to no image."""
        if self.boxes is None:
            check_wrapped(self.sample)
            return
        for image in images:
            if size_of(image) != self.boxes.canvas_size:
                raise ValueError(
                    f"an image is {size_of(image)} (height, width), but the boxes have "
                    f"canvas_size={self.boxes.canvas_size}; give them the image's size"
                )

    @functools.cached_property
    def _rows(self) -> tuple[np.ndarray, list[Outline] | None]:
        return (np.empty((0, 4)), None) if self.boxes is None else read_boxes(self.boxes)

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        """The first frame, and the boxes over its sides."""
        height, width = size_of(self._image)
        return frames(self._image)[0], self._rows[0] / (width, height, width, height)

    def scene(self) -> Scene:
        """What there is to paint."""
        height, width = size_of(self._image)
        rows, outlines = self._rows
        boxes = pixel_boxes.from_pixels(rows, height, width)
        editor, key = self._transform.editor, self._transform.prompt_key
        return Scene(
            height,
            width,
            boxes,
            self.labels(),
            outlines,
            self.instances(),
            {} if key is None else editor.read_slots(find_mapping(self.sample, key)),
            lambda index: self.occupied(index, boxes[index]),
        )

    def labels(self) -> list[Label] | None:
        """The labels of the boxes."""
        if self.boxes is None or len(self.boxes) == 0:
            return None
        getter = self._transform.labels_getter
        if callable(getter):
            self._found = getter(self.sample)
        elif getter is not None:
            self._found = find_labels(self.sample, self.boxes, self._transform.label_field)
        return None if self._found is None else label_values.read(self._found, len(self.boxes))

    def instances(self) -> list[np.ndarray] | None:
        """The instance mask of each box."""
        stack = next((mask for mask in self._masks if mask.ndim == 3), None)
        if self.boxes is None or stack is None:
            return None
        masks, field = planes(stack), self._transform.mask_field
        if field is not None:
            found = find_field(self.sample, self.boxes, field)
            if found is None:
                raise ValueError(f"mask_field={field!r} is not a key of the sample")
            positions = label_values.read(found, len(self.boxes))
            for position in positions:
                if not isinstance(position, int) or not 0 <= position < len(masks):
                    raise ValueError(
                        f"mask_field names the mask {position!r}; the sample has the masks 0 to {len(masks) - 1}"
                    )
            return [masks[int(position or 0)] for position in positions]
        if len(masks) != len(self.boxes):
            if self._transform.shape == "mask":
                raise ValueError(
                    f"the sample has {len(masks)} masks for {len(self.boxes)} boxes; give a mask for each box in the "
                    f"same order, or mask_field=..., a key with each box's position among the masks"
                )
            return None
        return masks

    def occupied(self, index: int, box: Box) -> bool:
        """Whether repainting a box would make a mask or a keypoint stale."""
        own = self._transform.shape == "mask" and self._transform.mask_field is None
        masks = [
            plane
            for mask in self._masks
            for number, plane in enumerate(planes(mask))
            if not (own and mask.ndim == 3 and number == index)
        ]
        points = np.concatenate([points_of(item) for item in self._points]) if self._points else None
        return stale.occupied(box, masks, points)

    def check_relabel(self) -> None:
        """Refuse new labels that would have no place in the sample."""
        if not holds(self.sample, self._found):
            raise ValueError(
                "relabel writes new labels, but what labels_getter returned is not itself in the sample; return the "
                "very object that the sample holds"
            )

    def relabelled(self, changes: Mapping[int, Label]) -> Any:
        """The sample with new labels, by box."""
        sample = replaced(self.sample, self._found, label_values.written(self._found, changes))
        for field, by_label in self._transform.editor.linked_fields.items():
            values = find_field(self.sample, self.boxes, field)
            if by_label is None:
                continue
            if values is None:
                raise ValueError(f"linked_fields has {field!r}, which is not a key of the sample")
            linked_fields = self._transform.editor.linked_fields
            linked = {index: linked_value(linked_fields, field, label) for index, label in changes.items()}
            sample = replaced(sample, values, label_values.written(values, linked))
        return sample
