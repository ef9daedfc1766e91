"""Planning: which boxes of a sample get which prompt, drawn from the recipe."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inpaint_transform.core import crops, masks, prompts, references, seeds, selection
from inpaint_transform.core.boxes import Box, Outline, intersection, sides
from inpaint_transform.core.edit import Edit
from inpaint_transform.core.labels import Label, lookup
from inpaint_transform.core.looks import LookDrawer
from inpaint_transform.core.recipe import Recipe


@dataclass(frozen=True)
class Scene:
    """One sample as the planner sees it: how large the image is, and the objects in it.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels.
        boxes: The sample's pixel boxes.
        labels: One label a box, or None where the sample has none.
        outlines: The polygon inside each box that is painted instead of the box, or None.
        masks: The instance mask of each box, ``(H, W)``, or None where the sample has none.
        slots: The sample's own prompt slots.
        occupied: Whether a box, by its index, holds annotations that painting would make stale; asked with
            ``stale="skip"`` only.
    """

    height: int
    width: int
    boxes: Sequence[Box] = ()
    labels: Sequence[Label] | None = None
    outlines: Sequence[Outline] | None = None
    masks: Sequence[np.ndarray] | None = None
    slots: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    occupied: Callable[[int], bool] = lambda _: False


def plan(recipe: Recipe, scene: Scene, rng: random.Random, looks: LookDrawer | None = None) -> list[Edit]:
    """Decide what to paint in one sample.

    Args:
        recipe: The settings.
        scene: The sample.
        rng: Source of every draw.
        looks: With reuse, who decides which look of its object an edit shows; None draws every edit anew.

    Returns:
        The edits, in the order of their boxes; empty where no box is eligible.

    Raises:
        ValueError: An unknown label or an unfilled prompt slot.

    Examples:
        >>> scene = Scene(480, 640, [(100, 100, 200, 180)], ["car"])
        >>> [edit] = plan(Recipe(prompts="a red {label}"), scene, random.Random(0))
        >>> edit.prompt, edit.window
        ('a red car', (50, 40, 250, 240))
    """
    if len(scene.boxes) > 0:
        objects = _Objects(recipe.spoken(scene.labels), scene, looks)
        return [objects.look(index, rng) for index in objects.draw(rng)]
    labels = recipe.labels_without_box() if recipe.when_no_box == "random" else []
    if not labels:
        return []
    rng = rng if looks is None else looks.region_rng(rng)
    region = selection.random_region(scene.height, scene.width, rng, recipe.min_box_size)
    if region is None:
        return []
    # Nothing is drawn where there is no choice.
    label = None if labels == [None] else rng.choice(labels)
    objects = _Objects(recipe, scene, looks)
    return [objects.look_of(region, label, lambda source: objects.edit_of(None, region, label, label, source), rng)]


def plan_each(recipe: Recipe, scene: Scene, rng: random.Random, looks: LookDrawer | None = None) -> list[Edit]:
    """An edit for each box that ``plan`` may ever draw, as if it were drawn alone.

    Args:
        recipe: The settings; how many boxes are drawn does not count.
        scene: The sample.
        rng: Source of every draw.
        looks: See ``plan``.

    Returns:
        The edits, in the order of their boxes.

    Raises:
        ValueError: An unknown label or an unfilled prompt slot.
    """
    objects = _Objects(recipe.spoken(scene.labels), scene, looks)
    return [objects.look(index, rng) for index in range(len(scene.boxes)) if objects.obstacle(index) is None]


def plan_box(recipe: Recipe, scene: Scene, index: int, rng: random.Random) -> Edit:
    """The edit of one box, whether ``plan`` would draw it or not.

    Args:
        recipe: The settings; which boxes are drawn does not count.
        scene: The sample.
        index: Which box.
        rng: Source of every draw.

    Raises:
        ValueError: An unknown label or an unfilled prompt slot.

    Examples:
        >>> scene = Scene(480, 640, [(100, 100, 200, 180), (0, 0, 9, 9)], ["car", "cat"])
        >>> plan_box(Recipe(prompts="a red {label}"), scene, 1, random.Random(0)).prompt
        'a red cat'
    """
    return _Objects(recipe.spoken(scene.labels), scene).edit(index, rng)


def obstacles(recipe: Recipe, scene: Scene) -> list[str | None]:
    """Why each box may not be repainted, in a few words that name the setting; None for one that may."""
    if len(scene.boxes) == 0:
        return []
    objects = _Objects(recipe.spoken(scene.labels), scene)
    return [objects.obstacle(index) for index in range(len(scene.boxes))]


@dataclass(frozen=True)
class _Objects:
    """The objects of a scene, and what a recipe says of each."""

    recipe: Recipe
    scene: Scene
    looks: LookDrawer | None = None
    _regions: dict[int, np.ndarray] = field(default_factory=dict)

    @functools.cached_property
    def labels(self) -> list[Label]:
        """One label a box, None where the sample has none."""
        given = self.scene.labels
        return [None] * len(self.scene.boxes) if given is None else list(given)

    def draw(self, rng: random.Random) -> list[int]:
        """Draw the boxes to repaint; see ``selection.draw``.

        What would be painted over by another edit is not drawn: it was judged with pixels that are then no more.
        """
        kept: set[int] = set()

        def usable(index: int) -> bool:
            if self._unfit(index) is not None:
                return False
            if kept and any(self._meet(index, other) for other in self._overlapping(index) if other in kept):
                return False
            kept.add(index)
            return True

        candidates = [index for index in range(len(self.labels)) if self._unwanted(index) is None]
        return selection.draw(candidates, rng, self.recipe.num_boxes, self._probabilities, usable)

    def obstacle(self, index: int) -> str | None:
        """Why a box may not be repainted; None where it may."""
        probabilities = self._probabilities
        if (unwanted := self._unwanted(index)) is not None:
            return unwanted
        if probabilities is not None and probabilities[index] == 0:
            return "box_p is 0"
        return self._unfit(index)

    def look(self, index: int, rng: random.Random) -> Edit:
        """The edit of a box: a look of its object where looks are used again, or a new one."""
        return self.look_of(self.scene.boxes[index], self.labels[index], functools.partial(self.edit, index), rng)

    def look_of(self, box: Box, label: Label, edit: Callable[[random.Random], Edit], rng: random.Random) -> Edit:
        """The same for a box that is or is not one of the scene's."""
        if self.looks is None:
            return edit(rng)
        window = crops.context_window(box, self.scene.height, self.scene.width, self.recipe.context)
        return self.looks.draw(box, window, label, edit, rng)

    def edit(self, index: int, rng: random.Random) -> Edit:
        """The edit of a box, its target and its prompt drawn."""
        box, label = self.scene.boxes[index], self.labels[index]
        swap = self.recipe.relabel
        target = label if swap is None else swap.draw(label, box, rng)
        return self.edit_of(index, box, label, target, rng, **self._region(index))

    def edit_of(
        self, index: int | None, box: Box, label: Label, target: Label, rng: random.Random, **region: Any
    ) -> Edit:
        """An edit of a box that is or is not one of the scene's."""
        recipe, scene = self.recipe, self.scene
        return Edit(
            index=index,
            box=box,
            window=crops.context_window(box, scene.height, scene.width, recipe.context),
            label=label,
            prompt=prompts.draw(
                recipe.prompts,
                target,
                rng,
                attributes=recipe.attributes,
                class_names=recipe.class_names,
                slots=scene.slots,
            ),
            negative_prompt=recipe.negative_prompt or "",
            strength=_draw_strength(recipe.strength, rng),
            seed=seeds.noise_seed(rng),
            reference=references.draw(recipe.reference, target, rng),
            new_label=None if target == label else target,
            **region,
        )

    @functools.cached_property
    def _probabilities(self) -> Sequence[float] | None:
        """With which probability each box is drawn; None where a number of boxes is drawn."""
        box_p = self.recipe.box_p
        if not isinstance(box_p, Mapping):
            return None if box_p is None else [box_p] * len(self.labels)
        return [lookup(box_p, label) or 0.0 for label in self.labels]

    def _unwanted(self, index: int) -> str | None:
        """Which setting leaves a box out."""
        recipe, scene = self.recipe, self.scene
        return selection.obstacle(
            scene.boxes[index],
            self.labels[index],
            scene.height,
            scene.width,
            min_box_size=recipe.min_box_size,
            area_range=recipe.area_range,
            include_labels=recipe.include_labels,
            exclude_labels=recipe.exclude_labels,
            truncated=recipe.truncated,
        )

    def _unfit(self, index: int) -> str | None:
        """What about a box itself forbids to repaint it; dearer to find out."""
        swap = self.recipe.relabel
        if swap is not None and not swap.options(self.labels[index], self.scene.boxes[index]):
            return "fits no class of relabel by its size"
        if self.scene.masks is not None:
            whole = self._own(index).sum()
            if not whole:
                return "its mask is empty"
            covered = self._painted(index).sum() < selection.MIN_FREE_SHARE * whole
        else:
            covered = self._covered(index)
        if covered:
            return "covered by neighbours"
        if self._renames_another(index):
            return "another box is of the same object"
        if self.recipe.stale == "skip" and self.scene.occupied(index):
            return "holds masks or keypoints (stale='skip')"
        return None

    def _covered(self, index: int) -> bool:
        """Whether too little of a box is free of its neighbours' boxes."""
        protected = self._protected(index)
        if not protected:
            return False
        box = self.scene.boxes[index]
        # Free is at most what the largest neighbour leaves, and at least what all of them would leave side by side:
        # where that decides, nothing has to be drawn.
        area, shares = math.prod(sides(box)), masks.shared_areas(box, protected)
        if area and (area - int(shares.max())) / area < selection.MIN_FREE_SHARE:
            return True
        if area and (area - int(shares.sum())) / area >= selection.MIN_FREE_SHARE:
            return False
        return masks.free_share(box, protected) < selection.MIN_FREE_SHARE

    def _meet(self, one: int, other: int) -> bool:
        """Whether the edits of two boxes would paint a pixel both."""
        shared = intersection(self.scene.boxes[one], self.scene.boxes[other])
        return shared is not None and bool((self._part(one, shared) & self._part(other, shared)).any())

    def _renames_another(self, index: int) -> bool:
        """Whether an edit would leave another box with the old class on what is painted as a new one."""
        swap, boxes = self.recipe.relabel, self.scene.boxes
        if swap is None or set(swap.options(self.labels[index], boxes[index])) == {self.labels[index]}:
            return False
        for other in self._overlapping(index):
            shared = intersection(boxes[index], boxes[other])
            if shared is None:
                continue
            painted, object_mask = (
                self._part(index, shared),
                None if self.scene.masks is None else self.scene.masks[other],
            )
            if object_mask is not None and object_mask.any():
                x0, y0, x1, y1 = shared
                share = (painted & (object_mask[y0:y1, x0:x1] != 0)).sum() / (object_mask != 0).sum()
            else:
                share = painted.sum() / math.prod(sides(boxes[other]))
            if share >= selection.MIN_FREE_SHARE:
                return True
        return False

    def _part(self, index: int, part: Box) -> np.ndarray:
        """What an edit paints of a part of its box."""
        left, top = self.scene.boxes[index][:2]
        return self._painted(index)[part[1] - top : part[3] - top, part[0] - left : part[2] - left]

    def _painted(self, index: int) -> np.ndarray:
        """What an edit paints of its box: ``(box height, box width)`` bool."""
        if index not in self._regions:
            region = self._free(index)
            if self.scene.masks is None:
                masks.clear(region, self.scene.boxes[index], self._protected(index))
            self._regions[index] = region
        return self._regions[index]

    def _region(self, index: int) -> dict[str, Any]:
        """Which part of a box is painted, as fields of an edit."""
        if self.scene.masks is not None:
            return {"mask_runs": masks.encode_rle(self._painted(index))}
        outline = self.scene.outlines[index] if self.scene.outlines is not None else None
        return {"outline": outline, "protected": self._protected(index)}

    # A scene lives as long as one plan, and a box that is drawn is asked for twice.
    @functools.cached_property
    def _overlaps(self) -> selection.Overlaps:
        return selection.Overlaps(self.scene.boxes)

    def _overlapping(self, index: int) -> list[int]:
        """The other boxes that share pixels with a box."""
        others: list[int] = self._overlaps.of(index)[0].tolist()
        return others

    @functools.cached_property
    def _neighbours(self) -> Callable[[int], list[int]]:
        return functools.cache(lambda index: selection.neighbours(index, self.scene.boxes, self._overlaps))

    def _protected(self, index: int) -> tuple[Box, ...]:
        if not self.recipe.protect:
            return ()
        return tuple(self.scene.boxes[other] for other in self._neighbours(index))

    def _own(self, index: int) -> np.ndarray:
        """What of a box its object has, or what shape says: ``(box height, box width)`` bool."""
        box = self.scene.boxes[index]
        if self.recipe.shape == "mask" and self.scene.masks is not None:
            return masks.dilated(self.scene.masks[index], box, self.recipe.mask_dilation)
        outline = self.scene.outlines[index] if self.scene.outlines is not None else None
        return (
            masks.shape_mask(box, box, self.recipe.shape)
            if outline is None
            else masks.outline_mask(outline, box, self.recipe.shape)
        )

    def _free(self, index: int) -> np.ndarray:
        """What of it no neighbour's mask covers."""
        free = self._own(index)
        x0, y0, x1, y1 = self.scene.boxes[index]
        if self.recipe.protect and self.scene.masks is not None:
            for other in self._neighbours(index):
                free &= ~self.scene.masks[other][y0:y1, x0:x1].astype(bool)
        return free


def _draw_strength(strength: float | tuple[float, float], rng: random.Random) -> float:
    if isinstance(strength, int | float):
        return float(strength)
    # Two decimals: requests of equal strength share a pipeline call, and no model has more than 100 distinct steps.
    return round(rng.uniform(*strength), 2)
