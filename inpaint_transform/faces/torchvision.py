"""The torchvision face: ``BBoxInpaint`` for ``torchvision.transforms.v2``."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from inpaint_transform.core.known_only import known_only
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Inpainter
from inpaint_transform.faces.arguments import arguments_of, check_change, shown
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.edits import Edits, behind
from inpaint_transform.faces.nested import containers, replaced
from inpaint_transform.faces.torchvision_sample import Sample
from inpaint_transform.faces.torchvision_types import v2


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
        reference: Pictures of what to paint, by label.
        class_names: Class id to noun, for integer labels; a list names the ids from 0 on, so give a dict for COCO's.
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
        match_border: Shift the painted colours to the picture around the box, and make them as sharp and grainy.
        when_no_box: ``"skip"``, or ``"random"`` to repaint a random region, which gets no box: give prompts of what
            is no object of yours.
        retries: How often a rejected output is painted again.
        gate: Who judges what was painted.
        schedule: How ``p`` or ``box_p`` changes over the epochs.
        log: JSON lines file to which every edit is written.
        log_key: Key of the sample whose value names it in the log.
        log_crops: Also save every edit's window.
        reuse: Use what was painted again, and do not wait for what is not painted yet; see ``Reuse``.
        edits_key: Key of the sample's dict under which the edits come back; see ``inpaint_transform.BBoxInpaint``.
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

    @known_only()
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

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; arguments stay as they were given, but for ``p``."""
        if name != "p" and "editor" in self.__dict__:
            check_change(self, name, self.editor.arguments)
        super().__setattr__(name, value)

    # Or torch.compile would follow the sample into the pipeline and compile that too, for minutes, to other pixels.
    @torch.compiler.disable  # type: ignore[untyped-decorator] # torch's own
    def forward(self, *inputs: Any) -> Any:
        """Paint a sample.

        Args:
            *inputs: The sample, in any nesting of dicts, lists and tuples.

        Returns:
            The sample in the same structure; the very same object when nothing is painted.
        """
        given = inputs if len(inputs) > 1 else inputs[0]
        sample = Sample(self.editor, given)
        if self.p <= 0:
            return self._noted(given, Edits())
        sample.check()
        if not sample.images:
            self.editor.tally.count_unpainted(["no image"])
            return self._noted(given, Edits())
        edits = self.editor.draw(sample, self.p)
        if not edits:
            return self._noted(given, Edits())
        painted, accepted, noted = self.editor.paint_same(sample.frames(), edits, sample.name())
        return self._noted(sample.with_edits(painted, accepted) if accepted else given, noted)

    def _noted(self, sample: Any, noted: Edits) -> Any:
        """The sample with its edits, where it is to carry them: in its first dict, the outermost first."""
        key = self.editor.edits_key
        if key is None:
            return sample
        found = next((part for part in containers(sample) if isinstance(part, Mapping)), None)
        if found is None:
            raise ValueError(f"edits_key={key!r} needs a dict in the sample, for instance (image, target)")
        changed = copy.copy(found)
        changed[key] = behind(found, key, noted)  # type: ignore[index]
        return changed if found is sample else replaced(sample, found, changed)

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

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return shown(type(self), {**self.editor.arguments, "p": self.p})
