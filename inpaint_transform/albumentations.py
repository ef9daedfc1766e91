"""The Albumentations face: ``BBoxInpaint`` reads the sample, calls the core, writes the image back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import albumentations as A
import numpy as np
from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform
from albumentations.core.type_definitions import ALL_TARGETS
from torch.utils.data import get_worker_info

from inpaint_transform import boxes as pixel_boxes
from inpaint_transform import seeds
from inpaint_transform.boxes import Box
from inpaint_transform.core import Edit, Recipe, paint_all, plan
from inpaint_transform.epoch import SharedEpoch
from inpaint_transform.errors import InpaintError
from inpaint_transform.inpainter import Inpainter, connect, current_session
from inpaint_transform.models import ModelSpec
from inpaint_transform.selection import Label
from inpaint_transform.tally import Tally

# AlbumentationsX, the same import name, replaced the sampling hook and made its generators aware of workers.
_SAMPLES_PARAMETERS = hasattr(A.BasicTransform, "sample_parameters")


class _Sampling:
    """The 2.0.8 sampling hook, on a mixin: AlbumentationsX refuses a transform class that declares it itself."""

    py_random: random.Random

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return self._draw(params, data, self.py_random)

    def _draw(self, params: dict[str, Any], data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
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
        prompts (str | list | dict | callable): What to paint: a prompt with ``{label}`` and attribute slots, a list
            of prompts to draw from, or either by label. A function ``(label, slots, rng) -> str`` also works, but a
            transform that holds one does not serialise.
        negative_prompt (str | None): What to avoid.
        attributes (dict[str, list[str]] | None): Values to draw for the slots, e.g. ``{"color": ["red", "blue"]}``.
        label_field (str | None): Which of ``BboxParams(label_fields=...)`` names the class. Default: the first.
        class_names (dict | list | None): Class id to noun, for integer labels.
        prompt_key (str | None): Sample key with more slot values for this image, e.g. ``{"weather": "in fog"}``.
        num_boxes (int | tuple[int, int]): How many boxes to repaint in an image, or the range of a uniform draw.
        box_p (float | None): Repaint every eligible box with this probability instead of ``num_boxes``.
        min_box_size (int): Shortest allowed shorter side in pixels; smaller boxes are never repainted.
        area_range (tuple[float, float]): Allowed box area over image area.
        include_labels (list | None): Only repaint boxes with these labels.
        exclude_labels (list | None): Never repaint boxes with these labels.
        truncated (bool): Whether boxes that touch the image border are repainted.
        context (float): Side of the window that the model sees over the longer box side, >= 1.
        strength (float | tuple[float, float]): How far to leave the old pixels, in (0, 1], or a range to draw from;
            1 ignores them.
        shape (str): ``"box"``, or ``"ellipse"`` for the ellipse inside it.
        feather (float): Width of the blend at the edge, inside the box, over the shorter box side, in [0, 0.5].
        match_border (bool): Shift the painted colours so that they continue the picture around the box.
        when_no_box (str): What to do with an image without boxes: ``"skip"``, or ``"random"`` to repaint a random
            square region.
        retries (int): How often a rejected output (not finite, near constant, flagged) is painted again with another
            seed before the original pixels are kept.
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

    class InitSchema(BaseTransformInitSchema):
        model: Any
        prompts: Any
        negative_prompt: str | None
        attributes: dict[str, list[str]] | None
        label_field: str | None
        class_names: Any
        prompt_key: str | None
        num_boxes: int | tuple[int, int]
        box_p: float | None
        min_box_size: int
        area_range: tuple[float, float]
        include_labels: list[Any] | None
        exclude_labels: list[Any] | None
        truncated: bool
        context: float
        strength: float | tuple[float, float]
        shape: str
        feather: float
        match_border: bool
        when_no_box: str
        retries: int
        on_error: Literal["raise", "skip"]
        seed: int | None

    def __init__(
        self,
        model: str | dict[str, Any] | ModelSpec = "tiny",
        prompts: Any = "a photo of a {label}",
        negative_prompt: str | None = None,
        attributes: dict[str, list[str]] | None = None,
        label_field: str | None = None,
        class_names: Any = None,
        prompt_key: str | None = None,
        num_boxes: int | tuple[int, int] = 1,
        box_p: float | None = None,
        min_box_size: int = 32,
        area_range: tuple[float, float] = (0.0, 1.0),
        include_labels: list[Any] | None = None,
        exclude_labels: list[Any] | None = None,
        truncated: bool = True,
        context: float = 2.0,
        strength: float | tuple[float, float] = 1.0,
        shape: str = "box",
        feather: float = 0.08,
        match_border: bool = True,
        when_no_box: str = "skip",
        retries: int = 2,
        on_error: Literal["raise", "skip"] = "raise",
        seed: int | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        spec = ModelSpec.of(model)
        # Serialisation reads every argument back from the attribute of its name.
        self.model = model if isinstance(model, str) else spec.to_dict()
        self.prompts = prompts
        self.negative_prompt = negative_prompt
        self.attributes = attributes
        self.label_field = label_field
        self.class_names = class_names
        self.prompt_key = prompt_key
        self.num_boxes = num_boxes
        self.box_p = box_p
        self.min_box_size = min_box_size
        self.area_range = area_range
        self.include_labels = include_labels
        self.exclude_labels = exclude_labels
        self.truncated = truncated
        self.context = context
        self.strength = strength
        self.shape = shape
        self.feather = feather
        self.match_border = match_border
        self.when_no_box = when_no_box
        self.retries = retries
        self.on_error = on_error
        # Not self.seed: A.Compose overwrites that in every transform with its own.
        self._content_seed = seed
        self._recipe = Recipe(
            prompts=prompts,
            negative_prompt=negative_prompt,
            attributes=attributes or {},
            class_names=class_names,
            prompt_key=prompt_key,
            num_boxes=num_boxes,
            box_p=box_p,
            min_box_size=min_box_size,
            area_range=area_range,
            include_labels=include_labels,
            exclude_labels=exclude_labels or (),
            truncated=truncated,
            context=context,
            strength=strength,
            shape=shape,
            feather=feather,
            match_border=match_border,
            when_no_box=when_no_box,
            retries=retries,
        )
        self._spec = spec
        self._session = current_session()
        self._epoch = SharedEpoch()
        self._tally = Tally()
        self._worker_seed: int | None = None
        self._forced = False

    if _SAMPLES_PARAMETERS:

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:  # noqa: ARG002
            """Draw the edits; the sampling hook of AlbumentationsX."""
            return A.SampledParams(params=self._draw(params, data, sampling.py_random))

    def should_apply(self, force_apply: bool = False) -> bool:
        """Decide whether to run; with ``seed`` the hook decides, where it can see the sample."""
        self._reseed_in_worker()
        if self._content_seed is None:
            return bool(super().should_apply(force_apply=force_apply))
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

    def _draw(self, params: dict[str, Any], data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        if self._content_seed is not None:
            image, rows = _reference_image(data), data.get("bboxes", ())
            rng = seeds.content_rng(self._content_seed, self._epoch.value, image, rows)
            # AlbumentationsX has decided by itself before it comes here, and knows no place to override that.
            if not _SAMPLES_PARAMETERS and not self._forced and rng.random() >= self.p:
                return {"edits": []}
        height, width = params["shape"][:2]
        boxes, labels = self._read_boxes(data, height, width)
        edits = plan(self._recipe, height, width, boxes, labels, rng, self._read_slots(data))
        return {"edits": [edit.to_dict() for edit in edits]}

    def _read_boxes(self, data: dict[str, Any], height: int, width: int) -> tuple[list[Box], list[Label] | None]:
        rows = data.get("bboxes")
        if rows is None or len(rows) == 0:
            return [], None
        processor = self.get_processor("bboxes")
        if processor is None:
            raise ValueError(
                "bboxes came without A.Compose(bbox_params=...), so their format is unknown; put the transform into "
                "A.Compose([...], bbox_params=A.BboxParams(format, label_fields=[...]))"
            )
        return pixel_boxes.from_normalized(rows, height, width), self._read_labels(processor, np.asarray(rows))

    def _read_labels(self, processor: Any, rows: np.ndarray) -> list[Label] | None:
        """Decode the labels that ``A.Compose`` has turned into float columns."""
        fields = list(processor.params.label_fields or ())
        if self.label_field is not None and self.label_field not in fields:
            raise ValueError(f"label_field={self.label_field!r} is not one of BboxParams(label_fields={fields})")
        if not fields:
            return None
        position = fields.index(self.label_field) if self.label_field else 0
        column = rows[:, rows.shape[1] - len(fields) + position]
        decoded = processor.label_manager.restore_field("bboxes", fields[position], column)
        return [_plain(value) for value in decoded]

    def _read_slots(self, data: dict[str, Any]) -> Mapping[str, str | Sequence[str]]:
        if self.prompt_key is None:
            return {}
        slots = data.get(self.prompt_key) or {}
        if not isinstance(slots, Mapping):
            raise ValueError(
                f"the sample's {self.prompt_key!r} is {slots!r}; give a dict of slot values, "
                f"e.g. {{'weather': 'in fog'}}"
            )
        return slots

    @property
    def inpainter(self) -> Inpainter:
        """Who paints for this transform in this process; loads nothing by itself."""
        return connect(self._spec, self._session)

    def _paint(self, images: Sequence[np.ndarray], edits: list[dict[str, Any]]) -> list[np.ndarray]:
        wanted = [Edit.from_dict(edit) for edit in edits]
        return self._paint_each(images, [wanted] * len(images))

    def _paint_each(self, images: Sequence[np.ndarray], edits: Sequence[Sequence[Edit]]) -> list[np.ndarray]:
        """Paint each image's edits, all in one batch; errors and counts as this transform wants them."""
        try:
            painted, outcomes = paint_all(self._recipe, images, edits, self.inpainter)
        except InpaintError as error:
            if self.on_error == "raise":
                raise
            self._tally.count_error(error)
            return list(images)
        self._tally.count(outcome for per_image in outcomes for outcome in per_image)
        return painted

    def apply(self, img: np.ndarray, edits: list[dict[str, Any]], **params: Any) -> np.ndarray:  # noqa: ARG002
        """Paint the edits into one image."""
        return self._paint([img], edits)[0] if edits else img

    def apply_to_images(self, images: np.ndarray, edits: list[dict[str, Any]], **params: Any) -> np.ndarray:  # noqa: ARG002
        """Paint the same edits into every image of a stack, in one batch."""
        return np.stack(self._paint(list(images), edits)) if edits else images

    def apply_to_volumes(self, volumes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Paint the same edits into every slice of every volume."""
        return np.stack([self.apply_to_images(volume, *args, **params) for volume in volumes])

    def apply_to_mask(self, mask: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Masks pass through."""
        return mask

    apply_to_masks = apply_to_mask
    apply_to_mask3d = apply_to_mask
    apply_to_masks3d = apply_to_mask

    def apply_to_bboxes(self, bboxes: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Boxes and labels pass through."""
        return bboxes

    def apply_to_keypoints(self, keypoints: np.ndarray, *args: Any, **params: Any) -> np.ndarray:  # noqa: ARG002
        """Keypoints pass through."""
        return keypoints

    def set_epoch(self, epoch: int) -> None:
        """Tell the transform and its copies in running workers which epoch it is, as ``DistributedSampler`` wants it.

        Matters with ``seed``: the same sample gets another edit in another epoch. Call it before the epoch's loader
        is iterated.

        Args:
            epoch: Epoch number, >= 0.
        """
        self._epoch.value = epoch

    def stats(self) -> dict[str, Any]:
        """What this process painted: edits, attempts, accepted, rejected by reason, errors.

        Under ``"inpainter"`` the counters of the engine: requests, batch sizes, waits, the busy share. With a shared
        server they cover all its clients; empty before there is one, and asking starts none.
        """
        return {**self._tally.counts(), "inpainter": self.inpainter.stats()}

    def get_transform_init_args(self) -> dict[str, Any]:
        """The arguments that serialise; unlike Albumentations' own, ``seed`` is one, for it keys the edits."""
        arguments = dict(super().get_transform_init_args())
        if self._content_seed is not None:
            arguments["seed"] = self._content_seed
        return arguments

    def to_dict_private(self) -> dict[str, Any]:
        """The transform as JSON values."""
        if callable(self.prompts):
            raise TypeError(
                "prompts is a function, which does not serialise; use strings, lists or a dict to save this transform"
            )
        return dict(super().to_dict_private())

    @classmethod
    def get_class_fullname(cls) -> str:
        """The name in saved pipelines, stable wherever the class lives in the package."""
        return f"inpaint_transform.{cls.__name__}"


def _reference_image(data: Mapping[str, Any]) -> np.ndarray:
    """The image that keys a sample: the image, or the first of a stack."""
    if "image" in data:
        return np.asarray(data["image"])
    for key in ("images", "volume", "volumes"):
        if key in data:
            first = np.asarray(data[key][0])
            return first[0] if key == "volumes" else first
    raise ValueError("the sample has no image; call the transform with image=...")


def _plain(value: Any) -> Label:
    """A label as a plain Python value; ids that Albumentations has made floats become ints again."""
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
