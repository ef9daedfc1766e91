"""The contact sheet's logic: which boxes, which prompts in which order, and what a row shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.preview import paint_row, plan_rows, plan_sheet, read_templates, tiles
from inpaint_transform.datasets.reading import Annotation, read_image

BOXES = ((10, 10, 60, 60), (80, 20, 130, 70), (70, 80, 150, 120), (5, 70, 15, 80))
LABELS = ("cone", "cube", "cone", "cone")


class Painter:
    """Paints every crop in one colour, and rejects what it is told to reject."""

    size = 32

    def __init__(self, rejects: str = "") -> None:
        self.rejects = rejects

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        return [
            InpaintResult(None, "near constant")
            if request.prompt == self.rejects
            else InpaintResult(np.full_like(request.image, 200))
            for request in requests
        ]

    def stats(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        """Nothing to free."""


def annotate(folder: Path, name: str = "a.png", labels: Sequence[str] = LABELS) -> Annotation:
    pixels = np.random.default_rng(len(name)).integers(0, 100, (130, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return Annotation(folder / name, BOXES[: len(labels)], tuple(labels))


def test_prompts_are_sorted_by_label() -> None:
    texts = ["a {label}", "cone = a cube", "cone=a tree", "{label} where a=b"]
    assert read_templates(texts) == {None: ["a {label}", "{label} where a=b"], "cone": ["a cube", "a tree"]}


@pytest.mark.parametrize("text", ["", "cone=", "a {colour} car", "a {label", "cone={}"])
def test_prompts_that_cannot_be_filled_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="prompt"):
        read_templates([text])


def test_templates_take_turns_over_the_variants(tmp_path: Path) -> None:
    templates = read_templates(["a {label}", "one {label}", "cube=a cone"])
    rows = plan_rows(annotate(tmp_path), Recipe(num_boxes=4), templates, 3, seed=0)
    prompts = {row.index: [edit.prompt for edit in row.edits] for row in rows}
    # The fourth box is too small for the recipe.
    assert prompts == {0: ["a cone", "one cone", "a cone"], 1: ["a cone"] * 3, 2: ["a cone", "one cone", "a cone"]}
    for row in rows:
        assert {edit.box for edit in row.edits} == {BOXES[row.index or 0]}
        assert len({edit.seed for edit in row.edits}) == 3


def test_with_prompts_by_label_only_other_labels_are_left_alone(tmp_path: Path) -> None:
    rows = plan_rows(annotate(tmp_path), Recipe(num_boxes=4), read_templates(["cube=a cone"]), 1, seed=0)
    assert [row.index for row in rows] == [1]


def test_draws_depend_on_the_seed_and_the_picture_alone(tmp_path: Path) -> None:
    found = annotate(tmp_path)
    templates = read_templates(["a {label}"])
    first, again, other = (plan_rows(found, Recipe(), templates, 2, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    beside = plan_sheet([annotate(tmp_path, "b2.png"), found], Recipe(), templates, 2, 1, 8, pytest.fail)
    assert beside[1:] == first


def test_a_row_shows_the_picture_the_original_and_every_variant(tmp_path: Path) -> None:
    found = annotate(tmp_path, labels=LABELS[:1])
    original = read_image(found.image)
    templates = read_templates(["a {label}", "nonsense"])
    recipe = Recipe(feather=0, retries=0)
    [row] = plan_rows(found, recipe, templates, 2, seed=0)
    whole, close, painted, rejected = tiles(paint_row(row, recipe, Painter(rejects="nonsense")))
    assert (whole.caption, close.caption, painted.caption, rejected.caption) == (
        "a.png",
        "original: cone",
        "a cone",
        "nonsense",
    )
    np.testing.assert_array_equal(whole.image, original)
    x0, y0, x1, y1 = row.edits[0].window
    np.testing.assert_array_equal(close.image, original[y0:y1, x0:x1])
    np.testing.assert_array_equal(rejected.image, close.image)
    assert rejected.alert
    assert "near constant" in rejected.note
    [box] = painted.boxes
    changed = np.argwhere((painted.image != close.image).any(axis=2))
    assert (*changed.min(axis=0)[::-1], *(changed.max(axis=0)[::-1] + 1)) == box
    assert not painted.alert
    assert not painted.note


def test_the_sheet_goes_on_after_problems_and_stops_at_its_limit(tmp_path: Path) -> None:
    problem = Problem(tmp_path / "x.txt", 3, "broken")
    met = []
    found = iter([problem, *(annotate(tmp_path, f"{'a' * n}.png") for n in (1, 2, 3))])
    rows = plan_sheet(found, Recipe(num_boxes=2), read_templates(["a {label}"]), 1, 0, 2, met.append)
    assert met == [problem]
    assert [row.annotation.image.name for row in rows] == ["a.png", "a.png", "aa.png", "aa.png"]
    assert len(list(found)) == 1


def test_nothing_to_paint_says_what_there_is(tmp_path: Path) -> None:
    templates = read_templates(["tree=a bush"])
    with pytest.raises(ValueError, match=r"32 pixels.*labels found: cone, cube"):
        plan_sheet([annotate(tmp_path)], Recipe(), templates, 1, 0, 8, pytest.fail)
    with pytest.raises(ValueError, match="no picture could be read"):
        plan_sheet([Problem(tmp_path, None, "broken")], Recipe(), templates, 1, 0, 8, lambda _: None)
