"""The Albumentations face: ``BBoxInpaint`` reads the sample, calls the core, writes the image back."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Mapping
from typing import Any, Literal

import albumentations as A
import numpy as np
from albumentations.core.type_definitions import ALL_TARGETS

from inpaint_transform.core.edit import Edit
from inpaint_transform.core.known_only import known_only
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.faces.albumentations_hooks import Hooks, box_processor
from inpaint_transform.faces.albumentations_sample import Sample
from inpaint_transform.faces.arguments import arguments_of, check_change, holds_arrays, shown
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.edits import Edits, behind

# Whoever configures all transforms of Albumentations alike hands them these.
GEOMETRY = ("interpolation", "mask_interpolation", "border_mode", "fill", "fill_mask", "strict")
# A.Compose overwrites seed in every transform with its own, and p is Albumentations' to use.
MAY_CHANGE = ("seed", "p")


class BBoxInpaint(Hooks, A.DualTransform):
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
        reference (dict[str, list] | None): Pictures of what to paint, by label, files or ``(h, w, 3)`` uint8 arrays:
            ``{"police car": ["1.jpg", "2.jpg"]}``. One is drawn for each edit, as a prompt is. For ``flux2-klein``, and
            Stable Diffusion 1 and SDXL with ``ModelSpec(ip_adapter=...)``. A transform that holds arrays does not
            serialise.
        label_field (str | None): Which of ``BboxParams(label_fields=...)`` names the class. Default: of several
            ``"labels"``, or the one with "label", "class" or "categor" in its name; where that is not one, the first,
            with a warning.
        class_names (dict | list | None): Class id to noun, for integer labels. A list names the ids from 0 on, and is
            one off for ids that begin at 1: for COCO's give ``{1: "person", 2: "bicycle", ...}``.
        prompt_key (str | None): Sample key with more slot values for this image, e.g. ``{"weather": "in fog"}``.
        relabel (dict | Swap | None): What boxes become: ``{"camaro": "accord"}``, a list to draw from,
            ``{label: weight}``, or a ``Swap``, which also knows the classes' sizes. The new label is painted and, once
            the painted pixels are accepted, written into the sample. Boxes of other classes are still repainted as
            what they are; ``include_labels=["camaro"]`` paints swapped ones only.
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
        match_border (bool): Shift the painted colours so that they continue the picture around the box, and make them
            as sharp and as grainy: a model loses detail, most where a window is larger than its working crop.
        when_no_box (str): What to do with an image without boxes: ``"skip"``, or ``"random"`` to repaint a random
            square region, which gets no box: give prompts of what is no object of yours.
        retries (int): How often a rejected output (not finite, near constant, flagged) is painted again with another
            seed before the original pixels are kept.
        gate (Gate | callable | dict | list | None): Who judges what was painted, see ``inpaint_transform.gates``; what
            it rejects is painted again as with ``retries``.
        schedule (dict | Schedule | None): How ``p`` or ``box_p`` changes over the epochs of ``set_epoch``, e.g.
            ``{"epochs": 100, "warmup": 3, "off_last": 15}``.
        log (str | None): JSON lines file to which every edit is written, from any number of workers; its folder is
            made with the first edit. See ``inpaint-transform report``.
        log_key (str | None): Sample key whose value names the sample in the log, e.g. a file name.
        log_crops (bool): Also save every edit's window, before and after, beside the log.
        reuse (dict | Reuse | None): Use what was painted again and do not wait for what is not painted yet, e.g.
            ``{"variants": 3, "echo": 8}``; see ``inpaint_transform.Reuse``. Place the transform before random crops,
            flips and colours: what is painted is found again by the pixels of its object.
        edits_key (str | None): Sample key under which the edits come back: a list of dicts with each edit's box
            ``index``, ``prompt``, ``label``, ``target``, whether it was ``accepted`` and why not (``reason``), and
            with ``reuse`` which ``look`` it shows and whether that was a ``"hit"``, ``"painted"`` or ``"cold"``.
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
    reference: Any
    gate: Any
    label_field: str | None
    mask_field: str | None
    log_key: str | None

    @known_only(ignored=GEOMETRY)
    def __init__(
        self,
        model: str | dict[str, Any] | ModelSpec = "tiny",
        prompts: Any = "a photo of a {label}",
        negative_prompt: str | None = None,
        attributes: dict[str, list[str]] | None = None,
        reference: dict[Any, list[Any]] | None = None,
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
        reuse: Any = None,
        edits_key: str | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        seed: int | None = None,
        p: float = 0.5,
    ) -> None:
        # Before the framework's own checks, whose messages name neither the mend nor this transform.
        editor = Editor(arguments_of(locals()))
        super().__init__(p=p)
        self.editor = editor
        # Serialisation reads every argument back from the attribute of its name.
        for name, value in self.editor.arguments.items():
            if name not in MAY_CHANGE:
                super().__setattr__(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; arguments stay as they were given."""
        if name not in MAY_CHANGE and "editor" in self.__dict__:
            check_change(self, name, self.editor.arguments)
        super().__setattr__(name, value)

    @property
    def inpainter(self) -> Inpainter:
        """Who paints for this transform in this process; loads nothing by itself."""
        return self.editor.inpainter

    @property
    def always(self) -> bool:
        """Whether samples to which nothing happens are to be seen too: then they carry that."""
        return self.editor.edits_key is not None

    def draw(self, data: Mapping[str, Any], stream: random.Random, *, forced: bool) -> dict[str, Any]:
        """Draw the edits."""
        edits = self.editor.draw(self._sample(data), self.p, stream, forced=forced)
        return {"edits": [edit.to_dict() for edit in edits], "key": self.editor.read_name(data) if edits else None}

    def paint(self, drawn: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Paint the edits into all images, and write into the annotations what follows."""
        # As Albumentations' own transforms give arrays back.
        data = {
            key: np.ascontiguousarray(value) if isinstance(value, np.ndarray) and key in self._key2func else value
            for key, value in data.items()
        }
        edits = [Edit.from_dict(edit) for edit in drawn["edits"]]
        if not edits:
            return self._noted(data, Edits())
        sample = self._sample(data)
        painted, accepted, noted = self.editor.paint_same(sample.frames(), edits, drawn["key"])
        data = self._noted(data, noted)
        if not accepted:
            return data
        return {**data, **sample.painted(painted), **sample.annotations(accepted)}

    def _noted(self, data: dict[str, Any], noted: Edits) -> dict[str, Any]:
        """The sample with its edits, where it is to carry them."""
        key = self.editor.edits_key
        return data if key is None else {**data, key: behind(data, key, noted)}

    def _sample(self, data: Mapping[str, Any]) -> Sample:
        kinds = {key: self._additional_targets.get(key, key) for key in data if key in self._key2func}
        return Sample(self.editor, data, kinds, functools.partial(box_processor, self))

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

        With ``reuse``, under ``"reuse"`` what all workers of the job made of the pool: ``hit``, ``cold``, ``painted``
        and ``rejected`` edits and the same by epoch, ``objects``, ``looks``, ``unjudged`` paintings that
        become looks when they are drawn next, ``looks_per_object``, ``uses_per_look``, ``age_epochs``, ``bytes``, and
        ``effective_p``, of the last epoch, beside ``asked_p``. Of a frozen pool each process counts its own edits.
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
        if holds_arrays(self.reference):
            raise TypeError("reference holds arrays, which do not serialise; give files to save this transform")
        if self.editor.gate is not None:
            self.editor.gate.to_dict()  # raises where it holds a function
        return dict(super().to_dict_private())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(type(self), {**self.editor.arguments, 'p': self.p})})"

    @classmethod
    def get_class_fullname(cls) -> str:
        """The name in saved pipelines, stable wherever the class lives in the package."""
        return f"inpaint_transform.{cls.__name__}"
