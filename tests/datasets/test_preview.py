"""The contact sheet's logic: which boxes, which prompts in which order, and what a row shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inpaint_transform.core.protocol import InpaintRequest, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.balance_sheet import BalanceSheet
from inpaint_transform.datasets.files import Problem
from inpaint_transform.datasets.images import Pictures
from inpaint_transform.datasets.preview import Row, paint_row, plan_rows, plan_sheet, tiles
from inpaint_transform.datasets.reading import Annotation, read_image
from inpaint_transform.datasets.templates import recipe_for
from inpaint_transform.gates import ScoreGate
from inpaint_transform.tools.cli.typed import read_prompts, read_swaps

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
    return Annotation(folder / name, BOXES[: len(labels)], tuple(labels), height=130, width=160)


def rows_of(
    annotation: Annotation, recipe: Recipe, texts: Sequence[str], variants: int, seed: int = 0, only: Sequence[str] = ()
) -> list[Row]:
    return plan_rows(annotation, recipes_of(recipe, texts, variants, only), seed)


def recipes_of(recipe: Recipe, texts: Sequence[str], variants: int, only: Sequence[str] = ()) -> list[Recipe]:
    return [recipe_for(recipe, read_prompts(texts), only, turn) for turn in range(variants)]


def test_templates_take_turns_over_the_variants(tmp_path: Path) -> None:
    texts = ["a {label}", "one {label}", "cube=a cone"]
    rows = rows_of(annotate(tmp_path), Recipe(num_boxes=4), texts, 3)
    prompts = {row.index: [edit.prompt for edit in row.edits] for row in rows}
    # The fourth box is too small for the recipe.
    assert prompts == {0: ["a cone", "one cone", "a cone"], 1: ["a cone"] * 3, 2: ["a cone", "one cone", "a cone"]}
    for row in rows:
        assert {edit.box for edit in row.edits} == {BOXES[row.index or 0]}
        assert len({edit.seed for edit in row.edits}) == 3


def test_with_prompts_by_label_only_other_labels_are_left_alone(tmp_path: Path) -> None:
    rows = rows_of(annotate(tmp_path), Recipe(num_boxes=4), ["cube=a cone"], 1)
    assert [row.index for row in rows] == [1]


def test_draws_depend_on_the_seed_and_the_picture_alone(tmp_path: Path) -> None:
    found = annotate(tmp_path)
    recipes = recipes_of(Recipe(), ["a {label}"], 2)
    first, again, other = (plan_rows(found, recipes, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    other_picture = annotate(tmp_path, "b2.png")
    beside = plan_sheet([other_picture, found], recipes, 1, 8, pytest.fail).rows
    # Which box is shown depends on what others show already; what is painted of it does not.
    again = plan_rows(found, recipes, 1, first=[str(beside[1].edits[0].label)])
    assert [beside[1]] == again


def test_a_row_shows_the_picture_the_original_and_every_variant(tmp_path: Path) -> None:
    found = annotate(tmp_path, labels=LABELS[:1])
    original = read_image(found.image)
    recipe = Recipe(feather=0, retries=0)
    [row] = rows_of(found, recipe, ["a {label}", "nonsense"], 2)
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
    sheet = plan_sheet(found, recipes_of(Recipe(num_boxes=2), ["a {label}"], 1), 0, 2, met.append)
    assert met == [problem]
    assert [row.annotation.image.name for row in sheet.rows] == ["a.png", "a.png", "aa.png", "aa.png"]
    assert len(list(found)) == 1
    # Three boxes of each picture are large enough.
    assert (sheet.read, sheet.paintable, sheet.missing) == (2, 6, [])


def test_classes_that_nobody_has_seen_yet_come_first(tmp_path: Path) -> None:
    labels = [("cone", "cone", "cube"), ("cone", "cone", "cube"), ("cone", "tree", "cube")]
    found = [annotate(tmp_path, f"{'a' * n}.png", labels=one) for n, one in enumerate(labels, 1)]
    for seed in range(5):
        recipes = recipes_of(Recipe(), ["a {label}"], 1)
        rows = plan_sheet(iter(found), recipes, seed, 3, pytest.fail, declared=["cone", "cube", "tree"]).rows
        assert {row.edits[0].label for row in rows} == {"cone", "cube", "tree"}


def test_a_class_that_has_no_room_is_not_one_that_is_not_there(tmp_path: Path) -> None:
    found = [annotate(tmp_path, labels=("cone", "cube", "cone", "tree"))]
    recipes = recipes_of(Recipe(), ["a {label}"], 1)
    sheet = plan_sheet(found, recipes, 0, 1, pytest.fail, declared=["cone", "cube", "tree", "hat"])
    [shown] = {row.edits[0].label for row in sheet.rows}
    [passed] = {"cone", "cube"} - {shown}
    # The tree's box is too small.
    assert (sheet.missing, sheet.passed) == (sorted([passed, "hat", "tree"]), [passed])
    room, unmet = sheet.not_shown(1)
    assert room.startswith(f"{passed}: the pictures have boxes that may be painted")
    assert unmet == "hat, tree: no box that may be painted is in any picture"


def test_a_picture_that_is_held_out_is_marked(tmp_path: Path) -> None:
    found = [annotate(tmp_path, "a.png"), annotate(tmp_path, "bb.png")]
    recipes = recipes_of(Recipe(), ["a {label}"], 1)
    rows = plan_sheet(
        found, recipes, 0, 2, pytest.fail, split_of=lambda path: "val" if path.stem == "a" else "train"
    ).rows
    notes = [tiles(paint_row(row, recipes[0], Painter()))[0].note for row in rows]
    assert notes == ["val: held out, an export does not paint it", ""]


def test_every_class_is_looked_for_unless_somebody_says_how_many_pictures(tmp_path: Path) -> None:
    labels = [("cone",)] * 12 + [("tree",)] + [("cone",)] * 3
    found = [annotate(tmp_path, f"{'a' * n}.png", labels=one) for n, one in enumerate(labels, 1)]
    recipes = recipes_of(Recipe(), ["a {label}"], 1)
    sheet = plan_sheet(iter(found), recipes, 0, None, pytest.fail, declared=["cone", "tree"])
    assert [row.edits[0].label for row in sheet.rows] == ["cone"] * 8 + ["tree"]
    assert (sheet.read, sheet.missing) == (13, [])
    few = plan_sheet(iter(found), recipes, 0, 2, pytest.fail, declared=["cone", "tree"])
    assert ([row.edits[0].label for row in few.rows], few.missing) == (["cone"] * 2, ["tree"])
    assert few.not_shown(16) == ["tree: no box that may be painted is in the first 2 of 16 pictures"]
    # What is not to be painted is not missed.
    only = recipes_of(Recipe(), ["a {label}"], 1, only=["cone"])
    assert plan_sheet(iter(found), only, 0, None, pytest.fail, declared=["cone", "tree"]).read == 8


def test_nothing_to_paint_says_what_there_is(tmp_path: Path) -> None:
    recipes = recipes_of(Recipe(), ["tree=a bush"], 1)
    with pytest.raises(ValueError, match=r"32 pixels.*labels found: cone, cube"):
        plan_sheet([annotate(tmp_path)], recipes, 0, 8, pytest.fail)
    with pytest.raises(ValueError, match="no picture could be read"):
        plan_sheet([Problem(tmp_path, None, "broken")], recipes, 0, 8, lambda _: None)


def test_a_swap_asks_for_the_new_class_and_shows_it(tmp_path: Path) -> None:
    recipe = Recipe(num_boxes=4, relabel=read_swaps(["cone=cube,tree"]), retries=0)
    found = annotate(tmp_path)
    rows = rows_of(found, recipe, ["a {label}"], 6)
    assert [row.index for row in rows] == [0, 2]  # the cones that are large enough, and no cube
    edits = [edit for row in rows for edit in row.edits]
    assert {edit.new_label for edit in edits} == {"cube", "tree"}
    assert all(edit.prompt == f"a {edit.new_label}" for edit in edits)
    whole, close, *variants = tiles(paint_row(rows[0], recipe, Painter(rejects="a tree")))
    assert (whole.labels, close.labels) == (LABELS, ["cone"])
    # A rejected swap shows the old pixels, and so the old class.
    assert [tile.labels for tile in variants] == [
        [edit.new_label if edit.new_label == "cube" else "cone"] for edit in rows[0].edits
    ]


def test_variants_leave_overlapping_neighbours_alone_as_an_export_does(tmp_path: Path) -> None:
    picture = annotate(tmp_path, labels=LABELS[:1]).image
    boxes = ((10, 10, 70, 70), (50, 50, 110, 110))
    [row] = rows_of(Annotation(picture, boxes, ("cone", "cube")), Recipe(), ["a {label}"], 2, only=["cone"])
    assert all(edit.protected == (boxes[1],) for edit in row.edits)


def test_a_gate_is_asked_for_the_new_class(tmp_path: Path) -> None:
    asked = []
    gate = ScoreGate(lambda original, painted, label, box: asked.append(label) or label == "cube")
    recipe = Recipe(relabel=read_swaps(["cone=cube,tree"]), retries=0)
    [row] = rows_of(annotate(tmp_path, labels=LABELS[:1]), recipe, ["a {label}"], 6)
    outcomes = paint_row(row, recipe, Painter(), gate).outcomes
    assert asked == [edit.new_label for edit in row.edits]
    assert [outcome.accepted for outcome in outcomes] == [edit.new_label == "cube" for edit in row.edits]


def test_a_label_that_no_class_has_is_refused_though_the_sheet_is_full(tmp_path: Path) -> None:
    found = [annotate(tmp_path, "a.png"), annotate(tmp_path, "b2.png", labels=["cube", "tree"])]
    recipes = recipes_of(Recipe(), ["a {label}"], 1)
    known: dict[str | None, list[str]] = {None: ["a {label}"], "tree": ["a bush"]}
    rows = plan_sheet(iter(found), recipes, 0, 1, pytest.fail, known).rows
    assert {row.annotation.image.name for row in rows} == {"a.png"}
    wrong: dict[str | None, list[str]] = {None: ["a {label}"], "a sign with E": ["mc2"]}
    with pytest.raises(ValueError, match="no class is called 'a sign with E'; the classes are cone, cube, hat, tree"):
        plan_sheet(iter(found), recipes, 0, 1, pytest.fail, wrong, ["hat"])


def test_a_sheet_decodes_a_picture_once_and_counts_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda content: decoded.append(1) or real(content))
    balance, pictures = BalanceSheet(), Pictures()
    found = [annotate(tmp_path, "a.png"), annotate(tmp_path, "b2.png", labels=[]), annotate(tmp_path, "c33.png")]
    recipes = recipes_of(Recipe(), ["a {label}"], 2)
    balance.seen("pictures", 3)
    rows = plan_sheet(iter(found), recipes, 0, 8, pytest.fail, None, (), balance, pictures).rows
    for row in rows:
        paint_row(row, recipes[0], Painter(), None, pictures)
    assert len(decoded) == 3
    reasons = {"of pictures without a box to paint": 1}
    assert balance.to_dict()["pictures"] == {"seen": 3, "used": 2, "left_out": reasons}
