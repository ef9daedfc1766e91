"""The Albumentations face: ``BBoxInpaint`` reads the sample, calls the core, writes the image back."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import albumentations as A
import numpy as np
from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform
from albumentations.core.type_definitions import ALL_TARGETS
from torch.utils.data import get_worker_info

from inpaint_transform.core import boxes as pixel_boxes
from inpaint_transform.core import seeds, stale
from inpaint_transform.core.boxes import Box
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.plan import Scene
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.faces.albumentations_labels import LabelColumns, check_linked
from inpaint_transform.faces.arguments import arguments_of
from inpaint_transform.faces.editor import Editor

# AlbumentationsX, the same import name, replaced the sampling hook and made its generators aware of workers.
_SAMPLES_PARAMETERS = hasattr(A.BasicTransform, "sample_parameters")


class _Sampling:
    """The 2.0.8 sampling hook, on a mixin: AlbumentationsX refuses a transform class that declares it itself."""

    py_random: random.Random
    _forced: bool

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return self._draw(params, data, self.py_random, forced=self._forced)

    def _draw(
        self, params: dict[str, Any], data: dict[str, Any], stream: random.Random, *, forced: bool
    ) -> dict[str, Any]:
        raise NotImplementedError


class BBoxInpaint(_Sampling, DualTransform):
    """Repaint the inside of bounding boxes with a diffusion inpainting model.

    With probability ``p`` one or more labelled boxes of the image get new content, painted to a prompt made from
    their label. Boxes, labels, masks and keypoints pass through as ``A.NoOp`` passes them. Pixels outside the boxes
    stay bit-equal.

    Nothing is loaded before the first edit. One pipeline serves every copy of the transform in a process, and one
    server serves every DataLoader worker of a training job.

    Args:
        model (str | dict | ModelSpec): Preset name, hub id, local diffusers folder, or a ``ModelSpec``.
        prompts (str | list | dict | callable): What to paint: a prompt with ``{label}`` or ``{a_label}`` ("a cup", "an
            ace") and attribute slots, a list of prompts to draw from, or either by label. A function
            ``(label, slots, rng) -> str`` also works, but a transform that holds one does not serialise.
        negative_prompt (str | None): What to avoid.
        attributes (dict[str, list[str]] | None): Values to draw for the slots, e.g. ``{"color": ["red", "blue"]}``.
        label_field (str | None): Which of ``BboxParams(label_fields=...)`` names the class. Default: the first.
        class_names (dict | list | None): Class id to noun, for integer labels.
        prompt_key (str | None): Sample key with more slot values for this image, e.g. ``{"weather": "in fog"}``.
        relabel (dict | Swap | None): What boxes become: ``{"camaro": "accord"}``, a list to draw from,
            ``{label: weight}``, or a ``Swap``, which also knows the classes' sizes. The new label is painted and, once
            the painted pixels are accepted, written into the sample.
        linked_fields (dict | None): With ``relabel`` and several label fields, what the others become:
            ``{"category_id": {"accord": 7}}``, or None for a field that does not follow from the class.
        num_boxes (int | tuple[int, int]): How many boxes to repaint in an image, or the range of a uniform draw.
        box_p (float | dict | None): Repaint every eligible box with this probability instead of ``num_boxes``; a dict
            gives each label its own, 0 for labels that are not in it.
        min_box_size (int): Shortest allowed shorter side in pixels; smaller boxes are never repainted.
        area_range (tuple[float, float]): Allowed box area over image area.
        include_labels (list | None): Only repaint boxes with these labels.
        exclude_labels (list | None): Never repaint boxes with these labels.
        truncated (bool): Whether boxes that touch the image border are repainted.
        context (float): Side of the window that the model sees over the longer box side, >= 1.
        strength (float | tuple[float, float]): How far to leave the old pixels, in (0, 1], or a range to draw from;
            1 ignores them.
        shape (str): ``"box"``, ``"ellipse"`` for the ellipse inside it, or ``"mask"`` for the object's instance mask
            where the sample has ``masks`` (the box where it has none).
        mask_field (str | None): Label field that holds each box's position among ``masks``. Default: masks and boxes
            have the same order and number.
        mask_dilation (float): How far instance masks are grown with ``shape="mask"``, over the shorter box side.
        protect (bool): Leave the pixels of overlapping neighbours alone: their instance masks where the sample has
            ``masks``, else their boxes. A box with less than half of it free is not repainted.
        stale (str): What becomes of masks and keypoints inside a repainted box: ``"keep"`` passes them on,
            ``"skip"`` does not repaint boxes that hold any, ``"clear"`` sets masks to 0 and drops keypoints where
            pixels were painted. With ``shape="mask"`` the object's own instance mask stays true and is kept.
        feather (float): Width of the blend at the edge, inside the box, over the shorter box side, in [0, 0.5].
        match_border (bool): Shift the painted colours so that they continue the picture around the box.
        when_no_box (str): What to do with an image without boxes: ``"skip"``, or ``"random"`` to repaint a random
            square region.
        retries (int): How often a rejected output (not finite, near constant, flagged) is painted again with another
            seed before the original pixels are kept.
        gate (Gate | callable | dict | list | None): Who judges what was painted, see ``inpaint_transform.gates``; what
            it rejects is painted again as with ``retries``.
        schedule (dict | Schedule | None): How ``p`` or ``box_p`` changes over the epochs of ``set_epoch``, e.g.
            ``{"epochs": 100, "warmup": 3, "off_last": 15}``.
        log (str | None): JSON lines file to which every edit is written, from any number of workers; see
            ``inpaint-transform report``.
        log_key (str | None): Sample key whose value names the sample in the log, e.g. a file name.
        log_crops (bool): Also save every edit's window, before and after, beside the log.
        on_error (str): ``"raise"``, or ``"skip"`` to keep the original image, count it and warn once when painting
            fails. Wrong input raises either way.
        seed (int | None): None draws from the pipeline's generator, differently in every worker and epoch. An int
            makes every draw a function of seed, epoch and the sample's content, so the same sample gets the same
            edit whatever the number of workers and their order; see ``set_epoch``.
        p (float): Probability of applying the transform.

    Targets:
        image, mask, bboxes, keypoints, volume, mask3d

    Image types:
        uint8, uint16, float32 in [0, 1]; 1, 3 or more channels, of which the first three are colour.

    Raises:
        ValueError: An argument or a sample is unusable; the message names it and the mend.
        InpaintError: The model does not load or fails to paint, with ``on_error="raise"``.

    Note:
        - ``A.Compose`` itself moves boxes through float32, so they come back as ``A.NoOp`` returns them, up to
          1e-4 pixels off.
        - Masks and keypoints inside a repainted box describe the old object.
        - ``A.Normalize`` goes after this transform.

    Examples:
        >>> import albumentations as A
        >>> import numpy as np
        >>> from inpaint_transform import BBoxInpaint
        >>> transform = A.Compose(
        ...     [BBoxInpaint("tiny", prompts={"rbc": "a red blood cell"}, p=1.0, seed=0)],
        ...     bbox_params=A.BboxParams("coco", label_fields=["labels"]),
        ... )
        >>> image = np.full((120, 160, 3), 220, np.uint8)
        >>> sample = transform(image=image, bboxes=[[40, 30, 60, 60]], labels=["rbc"])
        >>> sample["image"].shape, sample["labels"]
        ((120, 160, 3), ['rbc'])
        >>> bool((sample["image"][:30] == image[:30]).all())
        True

    References:
        Inpainting with Stable Diffusion: https://arxiv.org/abs/2112.10752

    """

    _targets = ALL_TARGETS
    prompts: Any
    gate: Any
    label_field: str | None
    mask_field: str | None
    log_key: str | None

    class InitSchema(BaseTransformInitSchema):
        model: Any
        prompts: Any
        negative_prompt: str | None
        attributes: dict[str, list[str]] | None
        label_field: str | None
        class_names: Any
        prompt_key: str | None
        relabel: Any
        linked_fields: dict[str, Any] | None
        num_boxes: int | tuple[int, int]
        box_p: float | dict[Any, float] | None
        min_box_size: int
        area_range: tuple[float, float]
        include_labels: list[Any] | None
        exclude_labels: list[Any] | None
        truncated: bool
        context: float
        strength: float | tuple[float, float]
        shape: str
        mask_field: str | None
        mask_dilation: float
        protect: bool
        stale: str
        feather: float
        match_border: bool
        when_no_box: str
        retries: int
        gate: Any
        schedule: Any
        log: Any
        log_key: str | None
        log_crops: bool
        on_error: Literal["raise", "skip"]
        seed: int | None

        def model_dump(self, **options: Any) -> dict[str, Any]:
            """The arguments, gates as they are: pydantic would take them apart, for they are dataclasses."""
            return {**super().model_dump(**options), "gate": self.gate}

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
    ) -> None:
        arguments = arguments_of(locals())
        super().__init__(p=p)
        self.editor = Editor(arguments)
        # Serialisation reads every argument back from the attribute of its name.
        for name, value in self.editor.arguments.items():
            # A.Compose overwrites seed in every transform with its own, and p is set.
            if name not in ("seed", "p"):
                setattr(self, name, value)
        self._worker_seed: int | None = None
        self._forced = False

    if _SAMPLES_PARAMETERS:

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:  # noqa: ARG002
            """Draw the edits; the sampling hook of AlbumentationsX."""
            # It has decided about p before it comes here.
            return A.SampledParams(params=self._draw(params, data, sampling.py_random, forced=True))

    def should_apply(self, force_apply: bool = False) -> bool:
        """Leave the decision to the hook, which sees the sample."""
        self._reseed_in_worker()
        self._forced = force_apply
        return self.p > 0

    def _reseed_in_worker(self) -> None:
        """Give every worker and every epoch draws of its own: Albumentations 2.0.8 gives all of them the same."""
        info = get_worker_info()
        if info is None or info.seed == self._worker_seed:
            return
        self._worker_seed = info.seed
        name = type(self).__name__
        self.set_random_state(
            np.random.default_rng(seeds.worker_rng(info.seed, 0, name).getrandbits(64)),
            seeds.worker_rng(info.seed, self.py_random.getrandbits(64), name),
        )

    def _draw(
        self, params: dict[str, Any], data: dict[str, Any], stream: random.Random, *, forced: bool
    ) -> dict[str, Any]:
        """The edits, and an empty list in which painting notes which of them were accepted."""
        edits = self.editor.draw(_Sample(self, params, data), self.p, stream, forced=forced)
        if "image" not in data and any(edit.new_label is not None for edit in edits):
            raise ValueError("relabel needs image=...: of a stack, some images may be accepted and others not")
        key = data.get(self.log_key) if self.log_key is not None else None
        return {
            "edits": [edit.to_dict() for edit in edits],
            "accepted": [],
            "key": None if key is None or not edits else str(key),
        }

    def read_boxes(
        self, data: dict[str, Any], height: int, width: int
    ) -> tuple[list[Box], list[Label] | None, list[np.ndarray] | None]:
        """The sample's pixel boxes, their labels, and their instance masks."""
        rows = data.get("bboxes")
        if rows is None or len(rows) == 0:
            return [], None, None
        columns, rows = self._columns(), np.asarray(rows)
        if self.editor.recipe.relabel is not None:
            check_linked(columns.fields, columns.field, self.editor.linked_fields)
        masks = data.get("masks")
        if masks is not None and self.mask_field is not None:
            masks = [_mask_at(masks, position) for position in columns.values(rows, self.mask_field)]
        elif masks is not None and len(masks) != len(rows):
            if self.editor.recipe.shape == "mask":
                raise ValueError(
                    f"the sample has {len(masks)} masks for {len(rows)} boxes; give a mask for each box in the same "
                    f"order, or mask_field=..., a label field with each box's position among the masks"
                )
            masks = None
        boxes = pixel_boxes.from_normalized(rows, height, width)
        return boxes, columns.read(rows), None if masks is None else list(masks)

    def _columns(self) -> LabelColumns:
        processor = self.get_processor("bboxes")
        if processor is None:
            raise ValueError(
                "bboxes came without A.Compose(bbox_params=...), so their format is unknown; put the transform into "
                "A.Compose([...], bbox_params=A.BboxParams(format, label_fields=[...]))"
            )
        return LabelColumns(processor, self.label_field)

    def annotated(self, data: Mapping[str, Any], index: int) -> list[np.ndarray]:
        """The masks that repainting box ``index`` would make stale."""
        own = self.editor.recipe.shape == "mask" and self.mask_field is None
        masks = [mask for number, mask in enumerate(data.get("masks", ())) if not (own and number == index)]
        return masks + ([data["mask"]] if data.get("mask") is not None else [])

    @property
    def inpainter(self) -> Inpainter:
        """Who paints for this transform in this process; loads nothing by itself."""
        return self.editor.inpainter

    def apply_with_params(self, params: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Apply to every target, images first: labels, masks and keypoints depend on what became of them."""
        order = sorted(kwargs, key=lambda key: key not in _IMAGES)
        result = super().apply_with_params(params, *args, **{key: kwargs[key] for key in order})
        return {key: result[key] for key in kwargs}

    def _paint(self, images: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
        wanted = [Edit.from_dict(edit) for edit in params["edits"]]
        painted, outcomes = self.editor.paint_each(images, [wanted] * len(images), [params["key"]] * len(images))
        params["accepted"][:] = [
            number for number in range(len(wanted)) if all(found[number].accepted for found in outcomes)
        ]
        return painted

    def _painted(self, params: Mapping[str, Any]) -> dict[int, Edit]:
        """The edits whose pixels are in the image."""
        return {number: Edit.from_dict(params["edits"][number]) for number in params["accepted"]}

    def apply(self, img: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Paint the edits into one image."""
        return self._paint([img], params)[0] if params["edits"] else img

    def apply_to_images(self, images: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Paint the same edits into every image of a stack, in one batch."""
        return np.stack(self._paint(list(images), params)) if params["edits"] else images

    def apply_to_volumes(self, volumes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Paint the same edits into every slice of every volume."""
        return np.stack([self.apply_to_images(volume, *args, **params) for volume in volumes])

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Masks pass through, or are cleared where pixels were painted."""
        return stale.cleared(mask, self._stale(params)) if self._clears else mask

    def apply_to_masks(self, masks: Any, *args: Any, **params: Any) -> Any:  # noqa: ARG002
        """Instance masks pass through, or are cleared where pixels were painted."""
        if not self._clears:
            return masks
        own = self.editor.recipe.shape == "mask"
        result = [
            stale.cleared(mask, self._stale(params, number if own else None)) for number, mask in enumerate(masks)
        ]
        return np.stack(result) if isinstance(masks, np.ndarray) else result

    def apply_to_mask3d(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Volumes' masks, slice by slice."""
        return np.stack([self.apply_to_mask(part, *args, **params) for part in mask]) if self._clears else mask

    def apply_to_masks3d(self, masks: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Volumes' masks, slice by slice."""
        return np.stack([self.apply_to_mask3d(mask, *args, **params) for mask in masks]) if self._clears else masks

    @property
    def _clears(self) -> bool:
        return self.editor.recipe.stale == "clear"

    def _stale(self, params: Mapping[str, Any], own: int | None = None) -> list[tuple[Box, np.ndarray]]:
        """What was painted, without the edit of box ``own``."""
        shape = self.editor.recipe.shape
        edits = self._painted(params).values()
        return [(edit.window, edit.mask(shape)) for edit in edits if own is None or edit.index != own]

    def apply_to_bboxes(self, bboxes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Boxes pass through; labels too, unless an accepted edit has given one a new class."""
        changes = {
            edit.index: edit.new_label
            for edit in self._painted(params).values()
            if edit.new_label is not None and edit.index is not None
        }
        if not changes:
            return bboxes
        rows = np.array(bboxes)
        self._columns().write(rows, changes, self.editor.linked_fields)
        return rows

    def apply_to_keypoints(self, keypoints: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Keypoints pass through, or are dropped where pixels were painted."""
        return keypoints[stale.still_true(keypoints, self._stale(params))] if self._clears else keypoints

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

        Under ``"inpainter"`` the counters of the engine: requests, batch sizes, waits, the busy share. With a shared
        server they cover all its clients, also where this process would paint by itself and only its workers have the
        server; asking starts none.
        """
        return self.editor.stats()

    def get_transform_init_args(self) -> dict[str, Any]:
        """The arguments that serialise; unlike Albumentations' own, ``seed`` is one, for it keys the edits."""
        arguments = dict(super().get_transform_init_args())
        if self.editor.seed is not None:
            arguments["seed"] = self.editor.seed
        return arguments

    def to_dict_private(self) -> dict[str, Any]:
        """The transform as JSON values."""
        if callable(self.prompts):
            raise TypeError(
                "prompts is a function, which does not serialise; use strings, lists or a dict to save this transform"
            )
        if self.editor.gate is not None:
            self.editor.gate.to_dict()  # raises where it holds a function
        return dict(super().to_dict_private())

    @classmethod
    def get_class_fullname(cls) -> str:
        """The name in saved pipelines, stable wherever the class lives in the package."""
        return f"inpaint_transform.{cls.__name__}"


class _Sample:
    """One sample, read for the editor."""

    def __init__(self, transform: BBoxInpaint, params: Mapping[str, Any], data: dict[str, Any]) -> None:
        self._transform = transform
        self._data = data
        self._shape = params["shape"][:2]

    def key(self) -> tuple[np.ndarray, np.ndarray]:
        return _reference_image(self._data), np.asarray(self._data.get("bboxes", ()))

    def scene(self) -> Scene:
        data, transform = self._data, self._transform
        height, width = self._shape
        boxes, labels, masks = transform.read_boxes(data, height, width)
        points = data.get("keypoints")
        return Scene(
            height,
            width,
            boxes,
            labels,
            masks=masks,
            slots=transform.editor.read_slots(data),
            occupied=lambda index: stale.occupied(boxes[index], transform.annotated(data, index), points),
        )


def _mask_at(masks: Sequence[np.ndarray], position: Label) -> np.ndarray:
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(masks):
        raise ValueError(f"mask_field names the mask {position!r}; the sample has the masks 0 to {len(masks) - 1}")
    return masks[position]


# The targets that are painted.
_IMAGES = {"image", "images", "volume", "volumes"}


def _reference_image(data: Mapping[str, Any]) -> np.ndarray:
    """The image that keys a sample: the image, or the first of a stack."""
    if "image" in data:
        return np.asarray(data["image"])
    for key in ("images", "volume", "volumes"):
        if key in data:
            first = np.asarray(data[key][0])
            return first[0] if key == "volumes" else first
    raise ValueError("the sample has no image; call the transform with image=...")
