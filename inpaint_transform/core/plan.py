"""Planning: which boxes of a sample get which prompt, drawn from the recipe."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint_transform.core import crops, masks, prompts, seeds, selection
from inpaint_transform.core.boxes import Box, Outline
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label, lookup
from inpaint_transform.core.recipe import Recipe


def plan(
    recipe: Recipe,
    height: int,
    width: int,
    boxes: Sequence[Box],
    labels: Sequence[Label] | None,
    rng: random.Random,
    slots: Mapping[str, str | Sequence[str]] | None = None,
    outlines: Sequence[Outline] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    occupied: Callable[[int], bool] = lambda _: False,
    share: float = 1.0,
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
        outlines: The polygon inside each box that is painted instead of the box, or None.
        masks: The instance mask of each box, ``(H, W)`` bool, or None where the sample has none.
        occupied: Whether a box, by its index, holds annotations that painting would make stale; asked with
            ``stale="skip"`` only.
        share: Factor on ``box_p``.

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
        chosen: list[tuple[int | None, Box, Label, dict[str, Any]]] = (
            [(None, region, recipe.label_without_box(rng), {})] if region else []
        )
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
        scene = _Scene(recipe, boxes, names, outlines, masks)
        probabilities = scene.probabilities(share)
        drawn = selection.draw(
            candidates,
            rng,
            recipe.num_boxes,
            probabilities,
            lambda index: scene.paintable(index) and not (recipe.stale == "skip" and occupied(index)),
        )
        chosen = [(index, boxes[index], names[index], scene.region(index)) for index in drawn]
    edits = []
    for index, box, label, painted_part in chosen:
        target = recipe.relabel.draw(label, box, rng) if recipe.relabel is not None and index is not None else label
        edits.append(
            Edit(
                index=index,
                box=box,
                window=crops.context_window(box, height, width, recipe.context),
                label=label,
                prompt=prompts.draw(
                    recipe.prompts,
                    target,
                    rng,
                    attributes=recipe.attributes,
                    class_names=recipe.class_names,
                    slots=slots or {},
                ),
                negative_prompt=recipe.negative_prompt or "",
                strength=_draw_strength(recipe.strength, rng),
                seed=seeds.noise_seed(rng),
                new_label=None if target == label else target,
                **painted_part,
            )
        )
    return edits


@dataclass(frozen=True)
class _Scene:
    """The objects of one sample, as the planner sees them."""

    recipe: Recipe
    boxes: Sequence[Box]
    labels: Sequence[Label]
    outlines: Sequence[Outline] | None
    masks: Sequence[np.ndarray] | None

    def probabilities(self, share: float) -> Sequence[float] | None:
        """With which probability each box is drawn; None where a number of boxes is drawn."""
        box_p = self.recipe.box_p
        if not isinstance(box_p, Mapping):
            return None if box_p is None else [box_p * share] * len(self.boxes)
        return [(lookup(box_p, label) or 0.0) * share for label in self.labels]

    def paintable(self, index: int) -> bool:
        """Whether a box has a target that fits it, and enough of it may be painted."""
        swap = self.recipe.relabel
        if swap is not None and not swap.options(self.labels[index], self.boxes[index]):
            return False
        if self.masks is not None:
            whole = self._own(index).sum()
            return bool(whole) and self._free(index).sum() >= selection.MIN_FREE_SHARE * whole
        return masks.free_share(self.boxes[index], self._protected(index)) >= selection.MIN_FREE_SHARE

    def region(self, index: int) -> dict[str, Any]:
        """Which part of a box is painted, as fields of an edit."""
        if self.masks is not None:
            return {"mask_runs": masks.encode_rle(self._free(index))}
        outline = self.outlines[index] if self.outlines is not None else None
        return {"outline": outline, "protected": self._protected(index)}

    # A scene lives as long as one plan, and a box that is drawn is asked for twice.
    @functools.cached_property
    def _neighbours(self) -> Callable[[int], list[int]]:
        all_boxes = np.asarray(self.boxes)
        return functools.cache(lambda index: selection.neighbours(index, all_boxes))

    def _protected(self, index: int) -> tuple[Box, ...]:
        if not self.recipe.protect:
            return ()
        return tuple(self.boxes[other] for other in self._neighbours(index))

    def _own(self, index: int) -> np.ndarray:
        """What of a box its object has, or what shape says: ``(box height, box width)`` bool."""
        box = self.boxes[index]
        if self.recipe.shape == "mask" and self.masks is not None:
            return masks.dilated(self.masks[index], box, self.recipe.mask_dilation)
        outline = self.outlines[index] if self.outlines is not None else None
        return (
            masks.shape_mask(box, box, self.recipe.shape)
            if outline is None
            else masks.outline_mask(outline, box, self.recipe.shape)
        )

    def _free(self, index: int) -> np.ndarray:
        """What of it no neighbour's mask covers."""
        free = self._own(index)
        x0, y0, x1, y1 = self.boxes[index]
        if self.recipe.protect and self.masks is not None:
            for other in self._neighbours(index):
                free &= ~self.masks[other][y0:y1, x0:x1].astype(bool)
        return free


def _draw_strength(strength: float | tuple[float, float], rng: random.Random) -> float:
    if isinstance(strength, int | float):
        return float(strength)
    # Two decimals: requests of equal strength share a pipeline call, and no model has more than 100 distinct steps.
    return round(rng.uniform(*strength), 2)
