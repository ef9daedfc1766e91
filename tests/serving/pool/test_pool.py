"""The pool of a transform: which look is drawn, when it is due, what it counts and what it says."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from painters import Painter

from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.paint import paint_all
from inpaint_transform.core.plan import Scene, plan
from inpaint_transform.core.protocol import Destination, InpaintResult
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.reuse import Reuse
from inpaint_transform.core.swaps import Swap
from inpaint_transform.gates import ChangeGate, gate_of
from inpaint_transform.serving.pool.pool import Pool, settings_of
from inpaint_transform.serving.pool.raw import keep_raw
from inpaint_transform.serving.session import current_session

IMAGE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
SCENE = Scene(160, 240, [(20, 30, 80, 80), (120, 20, 180, 90)], ["cat", "dog"])
RECIPE = Recipe(prompts=["a {color} {label}", "one {label}"], attributes={"color": ["red", "blue"]}, num_boxes=2)


def make(
    path: Path,
    recipe: Recipe = RECIPE,
    painter: Painter | None = None,
    epoch=lambda: 0,
    model: str = "tiny",
    **reuse,
) -> Pool:
    reuse = {"variants": 2, "echo": 3, "wait": True, "path": path, **reuse}
    return Pool(Reuse(**reuse), ModelSpec(model), recipe, None, current_session(), lambda: painter or Painter(), epoch)


def once(pool: Pool, seed: int, recipe: Recipe = RECIPE, image=IMAGE, scene=SCENE, painter: Painter | None = None):
    """One sample; the image and the outcomes."""
    drawer = pool.drawer(image)
    edits = plan(recipe, scene, random.Random(seed), drawer)
    if drawer.due:
        paint_all(recipe, [image], [drawer.due], painter or Painter(), looks=pool)
    [result], [outcomes] = paint_all(recipe, [image], [edits], painter or Painter(), looks=pool)
    pool.count(outcomes)
    pool.flush()
    return result, outcomes


def test_the_same_look_is_the_same_edit_whatever_was_drawn_before(tmp_path: Path) -> None:
    pool = make(tmp_path)
    found = {}
    for seed in range(30):
        for outcome in once(pool, seed)[1]:
            edit = outcome.edit
            key = edit.index, edit.look.variant, edit.look.generation
            assert found.setdefault(key, (edit.prompt, edit.seed, edit.strength)) == (
                edit.prompt,
                edit.seed,
                edit.strength,
            )
    assert {key[:2] for key in found} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(set(found.values())) == len(found)


def test_looks_follow_the_object_and_not_the_picture(tmp_path: Path) -> None:
    pool, larger = make(tmp_path), np.zeros((300, 400, 3), np.uint8)
    larger[40:200, 100:340] = IMAGE
    scene = Scene(300, 400, [(x0 + 100, y0 + 40, x1 + 100, y1 + 40) for x0, y0, x1, y1 in SCENE.boxes], SCENE.labels)
    recipe = dataclasses.replace(RECIPE, context=1.2)
    for seed in range(8):
        once(pool, seed, recipe)
    outcomes = [outcome for seed in range(8) for outcome in once(pool, seed, recipe, larger, scene)[1]]
    assert {outcome.reuse for outcome in outcomes} == {"hit"}


def test_a_look_that_was_used_enough_is_painted_anew_and_serves_until_then(tmp_path: Path) -> None:
    pool, recipe = make(tmp_path, variants=1), dataclasses.replace(RECIPE, num_boxes=1, include_labels=["cat"])
    generations = []
    for seed in range(13):
        _, [outcome] = once(pool, seed, recipe)
        assert outcome.accepted
        generations.append(outcome.edit.look.generation)
    assert generations == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_a_swap_is_in_the_look(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, relabel=Swap({"cat": ["bird", "fox"], "dog": ["fox", "bird"]}))
    pool = make(tmp_path, recipe, variants=8)
    targets: dict[tuple[int | None, int], object] = {}
    for seed in range(20):
        for outcome in once(pool, seed, recipe)[1]:
            edit = outcome.edit
            assert edit.new_label in ("bird", "fox")
            assert edit.new_label in edit.prompt
            if edit.look.generation == 0:
                assert targets.setdefault((edit.index, edit.look.variant), edit.new_label) == edit.new_label
    assert set(targets.values()) == {"bird", "fox"}


def test_regions_without_boxes_come_again(tmp_path: Path) -> None:
    recipe = Recipe(prompts="a thing", when_no_box="random")
    pool = make(tmp_path, recipe)
    kinds = [once(pool, seed, recipe, scene=Scene(160, 240))[1][0].reuse for seed in range(20)]
    assert kinds.count("painted") <= 8
    assert kinds[-1] == "hit"


@pytest.mark.parametrize("frozen", [False, True])
def test_other_settings_do_not_match_and_one_word_says_so(tmp_path: Path, frozen: bool) -> None:
    pool = make(tmp_path)
    once(pool, 0)
    assert pool.hints(0.5) == []
    pool.flush()
    recipe = dataclasses.replace(RECIPE, feather=0.2)
    other = make(tmp_path, recipe, frozen=frozen, wait=False)
    [(name, words)] = other.hints(0.5)
    assert name == "foreign"
    assert "feather=0.08 instead of 0.2" in words
    assert {outcome.reuse for outcome in once(other, 0, recipe)[1]} == {"cold"}


def fitted(folder: Path, content: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return str(folder)


def test_a_model_that_is_fitted_anew_into_its_folder_is_another(tmp_path: Path) -> None:
    def kinds(pool: Pool) -> set[str]:
        return {outcome.reuse for seed in range(6) for outcome in once(pool, seed)[1]}

    once(make(tmp_path / "pool", model=fitted(tmp_path / "model", b"first")), 0)
    assert "hit" in kinds(make(tmp_path / "pool", model=fitted(tmp_path / "model", b"first"), frozen=True, wait=False))
    anew = make(tmp_path / "pool", model=fitted(tmp_path / "model", b"again"), frozen=True, wait=False)
    [(name, words)] = anew.hints(0.5)
    assert name == "foreign"
    assert "weights=" in words
    assert kinds(anew) == {"cold"}


def test_a_pool_serves_where_the_model_is_not(tmp_path: Path) -> None:
    model = fitted(tmp_path / "model", b"first")
    first = make(tmp_path / "pool", model=model)
    for seed in range(12):
        once(first, seed)
    (tmp_path / "model").rename(tmp_path / "on another machine")
    there = make(tmp_path / "pool", model=model, frozen=True, wait=False)
    assert there.hints(0.5) == []
    assert {outcome.reuse for seed in range(12) for outcome in once(there, seed)[1]} == {"hit"}
    # Which of two trainings is meant, nobody can know.
    once(make(tmp_path / "pool", model=fitted(tmp_path / "model", b"again")), 0)
    (tmp_path / "model").rename(tmp_path / "there too")
    there = make(tmp_path / "pool", model=model, frozen=True, wait=False)
    [(name, words)] = there.hints(0.5)
    assert (name, "weights=" in words) == ("foreign", True)


def test_what_counts_as_other_settings() -> None:
    def other(spec=ModelSpec("tiny"), recipe=RECIPE, gate=None) -> bytes:  # noqa: B008
        return settings_of(spec, recipe, gate)[0]

    mine = other()
    assert other(ModelSpec("tiny", serving="shared", max_batch_size=2, device_share=0.5)) == mine
    assert other(recipe=dataclasses.replace(RECIPE, num_boxes=1, min_box_size=5)) == mine
    changed = [
        other(ModelSpec("tiny", steps=4)),
        other(recipe=dataclasses.replace(RECIPE, match_border=False)),
        other(gate=ChangeGate(5)),
        other(gate=ChangeGate(6)),
        other(gate=gate_of(once)),
        other(gate=gate_of(make)),
        other(gate=gate_of([once, {"gate": "change"}])),
    ]
    assert len({mine, *changed}) == 8


def test_statistics_add_up(tmp_path: Path) -> None:
    epoch = [0]
    pool = make(tmp_path, epoch=lambda: epoch[0])
    for number in range(3):
        epoch[0] = number
        for seed in range(10):
            once(pool, seed)
    found = pool.stats(0.5)
    assert found["hit"] + found["painted"] == 60
    assert found["objects"] == 2
    assert found["looks"] == 4
    assert found["looks_per_object"] == 2.0
    assert found["asked_p"] == found["effective_p"] == 0.5
    assert found["bytes"] > 4 * 60 * 50 * 3
    assert [*found["epochs"]] == ["0", "1", "2"]
    assert all(counts["edits"] == 20 for counts in found["epochs"].values())
    assert 0 < found["uses_per_look"] <= 3


def test_effective_p_is_of_the_epoch_that_goes_on(tmp_path: Path) -> None:
    epoch = [0]
    pool = make(tmp_path, wait=False, painter=Painter(), epoch=lambda: epoch[0])
    once(pool, 0, painter=Painter())
    assert pool.stats(0.5)["effective_p"] == 0.0


def test_what_was_painted_and_not_judged_is_counted(tmp_path: Path) -> None:
    pool = make(tmp_path, wait=False)
    assert pool.stats(0.5)["unjudged"] == 0
    destination = Destination(str(tmp_path), pool.reuse.bytes, pool.reuse.echo)
    keep_raw(destination, [b"a" * 17, b"b" * 17], [InpaintResult(None, "not finite")] * 2)
    found = pool.stats(0.5)
    assert (found["unjudged"], found["looks"]) == (2, 0)


def test_a_frozen_pool_is_not_touched(tmp_path: Path) -> None:
    once(make(tmp_path), 0)
    pool = make(tmp_path / ".." / tmp_path.name, wait=False)
    pool.flush()
    before = (tmp_path / "data.mdb").read_bytes()
    frozen = make(tmp_path, frozen=True, wait=False)
    for seed in range(20):
        once(frozen, seed)
    assert frozen.stats(1.0)["hit"] > 0
    assert (tmp_path / "data.mdb").read_bytes() == before


def test_a_frozen_pool_that_lacks_most_looks_is_told_within_an_epoch(tmp_path: Path) -> None:
    """Whose worker ends before the clock would ask again."""
    once(make(tmp_path, variants=8), 0)
    frozen = make(tmp_path, variants=8, frozen=True, wait=False)
    told = []
    for seed in range(120):
        once(frozen, seed)
        told += frozen.hints(0.5)
    assert frozen.stats(0.5)["hit"] > 0
    [(name, words)] = told
    assert name == "effective"
    assert "lacks the others" in words
