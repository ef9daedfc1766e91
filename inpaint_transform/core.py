"""What both faces share: plan which boxes get which prompt, and paint the plan into the image."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint_transform import compositing, crops, prompts, seeds, selection
from inpaint_transform.boxes import Box, intersection, sides
from inpaint_transform.inpainter import Inpainter
from inpaint_transform.messages import InpaintRequest
from inpaint_transform.prompts import ClassNames, Prompts
from inpaint_transform.selection import Label

SHAPES = ("box", "ellipse")
NO_BOX = ("skip", "random")


@dataclass(frozen=True)
class Recipe:
    """What to paint and where: the settings that do not depend on a framework.

    The fields are the arguments of the same names of ``BBoxInpaint``, which documents them.

    Raises:
        ValueError: A field is out of its range; the message names the field, the value and the mend.
    """

    prompts: Prompts = "a photo of a {label}"
    negative_prompt: str | None = None
    attributes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    class_names: ClassNames = None
    prompt_key: str | None = None
    num_boxes: int | tuple[int, int] = 1
    box_p: float | None = None
    min_box_size: int = 32
    area_range: tuple[float, float] = (0.0, 1.0)
    include_labels: Collection[Label] | None = None
    exclude_labels: Collection[Label] = ()
    truncated: bool = True
    context: float = 2.0
    strength: float | tuple[float, float] = 1.0
    shape: str = "box"
    feather: float = 0.08
    match_border: bool = True
    when_no_box: str = "skip"
    retries: int = 2

    def __post_init__(self) -> None:
        prompts.check(self.prompts, self.attributes, self.prompt_key is not None)
        least, most = (self.num_boxes, self.num_boxes) if isinstance(self.num_boxes, int) else self.num_boxes
        _check("num_boxes", self.num_boxes, 1 <= least <= most, "a count >= 1 or (least, most)")
        _check("box_p", self.box_p, self.box_p is None or 0 <= self.box_p <= 1, "a probability in [0, 1]")
        _check("min_box_size", self.min_box_size, self.min_box_size >= 0, "a number of pixels >= 0")
        low, high = self.area_range
        _check("area_range", self.area_range, 0 <= low <= high <= 1, "(least, most) shares of the image in [0, 1]")
        _check("context", self.context, self.context >= 1, "a factor >= 1")
        low, high = self.strength if isinstance(self.strength, Sequence) else (self.strength, self.strength)
        _check("strength", self.strength, 0 < low <= high <= 1, "a number in (0, 1] or (least, most)")
        _check("shape", self.shape, self.shape in SHAPES, f"one of {', '.join(SHAPES)}")
        _check("feather", self.feather, 0 <= self.feather <= 0.5, "a share of the box in [0, 0.5]")
        _check("when_no_box", self.when_no_box, self.when_no_box in NO_BOX, f"one of {', '.join(NO_BOX)}")
        _check("retries", self.retries, self.retries >= 0, "a count >= 0")
        if self.when_no_box == "random" and not self._labels_without_boxes() and self._prompts_need_label():
            raise ValueError(
                "when_no_box='random' paints where there is no label, but the prompts need {label}; give class_names, "
                "prompts by label, or prompts without {label}"
            )

    def _labels_without_boxes(self) -> list[Label]:
        """The labels that a region without an annotation may get."""
        if isinstance(self.prompts, Mapping):
            return list(self.prompts)
        if isinstance(self.class_names, Mapping):
            return list(self.class_names)
        return list(self.class_names or ())

    def _prompts_need_label(self) -> bool:
        if callable(self.prompts) or isinstance(self.prompts, Mapping):
            return False
        templates = [self.prompts] if isinstance(self.prompts, str) else self.prompts
        return any("label" in prompts.slots_of(template) for template in templates)

    def label_without_box(self, rng: random.Random) -> Label:
        """Draw the label for a region of an image that has no boxes; None where the prompts need none."""
        labels = self._labels_without_boxes()
        return rng.choice(labels) if labels else None


def _check(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name}={value!r}: use {allowed}")


@dataclass(frozen=True)
class Edit:
    """One box to repaint: scalars and strings only, so a list of edits is JSON, replays and logs.

    Attributes:
        index: Position of the box among the sample's boxes, or None for a random region.
        box: Pixel box in the image.
        window: The part of the image that the model sees.
        label: The box's label.
        prompt: What to paint.
        negative_prompt: What to avoid; empty for nothing.
        strength: How far to leave the old pixels, in (0, 1].
        seed: Seed of the noise, in [0, 2**63).
    """

    index: int | None
    box: Box
    window: Box
    label: Label
    prompt: str
    negative_prompt: str
    strength: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The edit as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Edit:
        """Read back what ``to_dict`` gave, also after JSON has turned tuples into lists."""
        return cls(**{**values, "box": tuple(values["box"]), "window": tuple(values["window"])})


@dataclass(frozen=True)
class Outcome:
    """What became of one edit.

    Attributes:
        edit: The edit.
        accepted: Whether its pixels are in the image; otherwise the original pixels are.
        reason: Why the last attempt was rejected, or None.
        seed: The noise seed of the last attempt.
        attempts: How many times the model was asked.
    """

    edit: Edit
    accepted: bool
    reason: str | None
    seed: int
    attempts: int


def plan(
    recipe: Recipe,
    height: int,
    width: int,
    boxes: Sequence[Box],
    labels: Sequence[Label] | None,
    rng: random.Random,
    slots: Mapping[str, str | Sequence[str]] | None = None,
) -> list[Edit]:
    """Decide what to paint in one sample.

    Args:
        recipe: The settings.
        height: Image height in pixels.
        width: Image width in pixels.
        boxes: The sample's pixel boxes.
        labels: One label a box, or None where the sample has none.
        rng: Source of every draw.
        slots: The sample's own prompt slots.

    Returns:
        The edits, in the order of their boxes; empty where no box is eligible.

    Raises:
        ValueError: An unknown label or an unfilled prompt slot.

    Examples:
        >>> recipe = Recipe(prompts="a red {label}")
        >>> [edit] = plan(recipe, 480, 640, [(100, 100, 200, 180)], ["car"], random.Random(0))
        >>> edit.prompt, edit.window
        ('a red car', (50, 40, 250, 240))
    """
    names = list(labels) if labels is not None else [None] * len(boxes)
    if len(boxes) == 0:
        if recipe.when_no_box == "skip":
            return []
        region = selection.random_region(height, width, rng, recipe.min_box_size)
        chosen: list[tuple[int | None, Box, Label]] = [(None, region, recipe.label_without_box(rng))] if region else []
    else:
        candidates = selection.eligible(
            boxes,
            names,
            height,
            width,
            min_box_size=recipe.min_box_size,
            area_range=recipe.area_range,
            include_labels=recipe.include_labels,
            exclude_labels=recipe.exclude_labels,
            truncated=recipe.truncated,
        )
        drawn = selection.draw(candidates, rng, recipe.num_boxes, recipe.box_p)
        chosen = [(index, boxes[index], names[index]) for index in drawn]
    return [
        Edit(
            index=index,
            box=box,
            window=crops.context_window(box, height, width, recipe.context),
            label=label,
            prompt=prompts.draw(
                recipe.prompts,
                label,
                rng,
                attributes=recipe.attributes,
                class_names=recipe.class_names,
                slots=slots or {},
            ),
            negative_prompt=recipe.negative_prompt or "",
            strength=_draw_strength(recipe.strength, rng),
            seed=seeds.noise_seed(rng),
        )
        for index, box, label in chosen
    ]


def _draw_strength(strength: float | tuple[float, float], rng: random.Random) -> float:
    if isinstance(strength, int | float):
        return float(strength)
    # Two decimals: requests of equal strength share a pipeline call, and no model has more than 100 distinct steps.
    return round(rng.uniform(*strength), 2)


def paint(
    recipe: Recipe, image: np.ndarray, edits: Sequence[Edit], inpainter: Inpainter
) -> tuple[np.ndarray, list[Outcome]]:
    """Paint the edits of one image; see ``paint_all``."""
    images, outcomes = paint_all(recipe, [image], [edits], inpainter)
    return images[0], outcomes[0]


def paint_all(
    recipe: Recipe,
    images: Sequence[np.ndarray],
    edits: Sequence[Sequence[Edit]],
    inpainter: Inpainter,
) -> tuple[list[np.ndarray], list[list[Outcome]]]:
    """Paint the edits of several images in one batch.

    Every window is cut from the original image, so edits do not see each other's pixels. A rejected output is tried
    again with the next seed up to ``recipe.retries`` times; all retries of a round share one call. What is still
    rejected keeps its original pixels.

    Args:
        recipe: The settings that shaped the edits.
        images: ``(H, W)`` or ``(H, W, C)`` each; uint8, uint16, or float32 in [0, 1]. Never written to.
        edits: The edits of each image. Boxes that do not lie in the image (a replay on another size) are clipped,
            and dropped where nothing remains.
        inpainter: Who paints.

    Returns:
        The images, the very same array where nothing was painted, and the outcomes of each.

    Raises:
        TypeError: An image's dtype cannot be painted.
        ValueError: An image's shape cannot be painted, or float values leave [0, 1].
        InpaintError: The inpainter failed.
    """
    jobs: list[tuple[int, Edit]] = []
    for number, (image, wanted) in enumerate(zip(images, edits, strict=True)):
        if wanted:
            compositing.check_image(image)
        jobs += [(number, fitted) for edit in wanted if (fitted := _fit(edit, *image.shape[:2])) is not None]
    if not jobs:
        return list(images), [[] for _ in images]

    windows = [_window_rgb8(images[number], edit.window) for number, edit in jobs]
    masks = [compositing.shape_mask(edit.box, edit.window, recipe.shape) for _, edit in jobs]
    painted: dict[int, np.ndarray] = {}
    outcomes: dict[int, Outcome] = {}
    working = {}
    for attempt in range(recipe.retries + 1):
        pending = [job for job in range(len(jobs)) if job not in painted]
        if not pending:
            break
        requests = []
        for job in pending:
            edit = jobs[job][1]
            if job not in working:
                working[job] = (
                    crops.crop(windows[job], (0, 0, *sides(edit.window)), inpainter.size),
                    crops.crop_mask(masks[job], inpainter.size),
                )
            crop, mask = working[job]
            seed = seeds.retry_seed(edit.seed, attempt)
            requests.append(InpaintRequest(crop, mask, edit.prompt, edit.negative_prompt, edit.strength, seed))
        for job, request, result in zip(pending, requests, inpainter.paint(requests), strict=True):
            if result.image is not None:
                painted[job] = result.image
            outcomes[job] = Outcome(jobs[job][1], result.image is not None, result.rejected, request.seed, attempt + 1)

    results = list(images)
    for job, crop in sorted(painted.items()):
        number, edit = jobs[job]
        if results[number] is images[number]:
            results[number] = images[number].copy()
        window = crops.uncrop(crop, edit.window)
        if recipe.match_border:
            window = compositing.match_border(window, windows[job], masks[job])
        blend_width = recipe.feather * min(sides(edit.box))
        alpha = compositing.feather_alpha(masks[job], blend_width, edit.window, *images[number].shape[:2])
        compositing.blend_into(results[number], window, edit.window, alpha)
    by_image: list[list[Outcome]] = [[] for _ in images]
    for job, outcome in sorted(outcomes.items()):
        by_image[jobs[job][0]].append(outcome)
    return results, by_image


def _window_rgb8(image: np.ndarray, window: Box) -> np.ndarray:
    part = image[window[1] : window[3], window[0] : window[2]]
    if image.dtype == np.float32:
        low, high = float(part.min()), float(part.max())
        # Resampling overshoots a little; a normalised image leaves the range by far.
        if not (low >= -0.05 and high <= 1.05):
            raise ValueError(
                f"image is float32 with values in [{low:.3g}, {high:.3g}]; give values in [0, 1], and place the "
                f"transform before any normalisation"
            )
    return compositing.to_rgb8(part)


def _fit(edit: Edit, height: int, width: int) -> Edit | None:
    """The edit inside an image of possibly another size than it was planned for; None where no pixel is left."""
    frame = (0, 0, width, height)
    if intersection(edit.box, frame) == edit.box and intersection(edit.window, frame) == edit.window:
        return edit
    box = intersection(edit.box, frame)
    if box is None:
        return None
    context = max(sides(edit.window)) / max(sides(edit.box))
    return dataclasses.replace(edit, box=box, window=crops.context_window(box, height, width, context))
