"""What was typed, read: prompts, swaps, attributes, budgets, gates, and the recipe that they make."""

from __future__ import annotations

import random

import pytest
import typer

from inpaint_transform.core.prompts import draw
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.datasets.reading import BoxFormat
from inpaint_transform.datasets.templates import recipe_for
from inpaint_transform.tools.cli.typed import (
    read_attributes,
    read_budget,
    read_class_names,
    read_gates,
    read_loras,
    read_numbers,
    read_prompts,
    read_references,
    read_splits,
    read_swaps,
    read_words,
)


def drawn(recipe: Recipe, label: str, times: int = 30) -> set[str]:
    """What a recipe's prompts may say of a label."""
    more = {"attributes": {}, "class_names": None, "slots": {}}
    return {draw(recipe.prompts, label, random.Random(seed), **more) for seed in range(times)}


def test_prompts_are_sorted_by_label() -> None:
    texts = ["a {label}", "cone = a cube", "cone=a tree", "{label} where a=b"]
    assert read_prompts(texts) == {None: ["a {label}", "{label} where a=b"], "cone": ["a cube", "a tree"]}
    assert read_prompts(()) == {None: ["a photo of a {label}"]}


@pytest.mark.parametrize("text", ["", "cone=", "a {colour} car", "a {label", "cone={}"])
def test_prompts_that_cannot_be_filled_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="prompt"):
        read_prompts([text])


def test_swaps_of_one_class_add_up() -> None:
    swap = read_swaps(["cone=cube, ball", "cone=tree", "car = bus"])
    assert swap is not None
    assert swap.targets == {"cone": ["cube", "ball", "tree"], "car": ["bus"]}
    assert read_swaps(()) is None


@pytest.mark.parametrize("text", ["cone", "=cube", "cone=", "cone=cube,,ball"])
def test_half_a_swap_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="OLD=NEW"):
        read_swaps([text])


def test_attributes_are_slots_and_their_values() -> None:
    assert read_attributes(["color=red, blue", "color=green", "weather = in fog"]) == {
        "color": ["red", "blue", "green"],
        "weather": ["in fog"],
    }
    for wrong in ("color", "color=", "=red", "color=red,,blue", "my color=red"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            read_attributes([wrong])


def test_loras_have_weights_and_words_their_files() -> None:
    assert read_loras(["a.safetensors", "owner/name:0.6", "C:\\style.safetensors", "x:-1"]) == [
        ("a.safetensors", 1.0),
        ("owner/name", 0.6),
        ("C:\\style.safetensors", 1.0),
        ("x", -1.0),
    ]
    assert read_words(["<my-cone>=cone.safetensors", "x = y=z"]) == {"<my-cone>": "cone.safetensors", "x": "y=z"}
    assert read_references(["police car=a.jpg, b.jpg", "police car=c.jpg"]) == {
        "police car": ["a.jpg", "b.jpg", "c.jpg"]
    }
    for read in (read_words, read_references):
        for wrong in ("cone", "=a.jpg", "cone="):
            with pytest.raises(ValueError, match=r"give (WORD|LABEL)="):
                read([wrong])


def test_a_prompt_may_have_the_slots_that_have_values() -> None:
    texts = ["a {color} {label}"]
    assert read_prompts(texts, {"color": ["red"]}) == {None: texts}
    with pytest.raises(ValueError, match="nothing fills {color}; give it values, --attribute color="):
        read_prompts(texts, {})
    with pytest.raises(ValueError, match="are the only slots"):
        read_prompts(texts)


def test_a_budget_is_a_label_and_a_count() -> None:
    assert read_budget(["a=b=3", "cone = 0"]) == {"a=b": 3, "cone": 0}
    for text in ("cone", "cone=", "=3", "cone=-1", "cone=1.5"):
        with pytest.raises(ValueError, match="LABEL=N"):
            read_budget([text])


@pytest.mark.parametrize("text", ["nothing", "fill:0.5", "fill:min_fill=0.5,min_fill=0.6", "fill:nonsense=1"])
def test_a_gate_that_cannot_be_read_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=f"--gate {text}"):
        read_gates([text])
    assert read_gates(()) is None


def test_names_are_for_yolo() -> None:
    assert read_class_names(None, BoxFormat.COCO) is None
    assert read_class_names("cone,cube", BoxFormat.YOLO) == {0: "cone", 1: "cube"}
    with pytest.raises(typer.BadParameter, match="--names"):
        read_class_names("cone", BoxFormat.VOC)


def test_a_label_takes_one_of_its_own_prompts_or_those_for_all() -> None:
    templates = read_prompts(["a {label}", "the {label}", "cube=a red cube"])
    recipe = recipe_for(Recipe(), templates)
    assert recipe.include_labels is None
    assert drawn(recipe, "cone") == {"a cone", "the cone"}
    assert drawn(recipe, "cube") == {"a red cube"}
    turns = [drawn(recipe_for(Recipe(), templates, turn=turn), "cone") for turn in range(3)]
    assert turns == [{"a cone"}, {"the cone"}, {"a cone"}]


@pytest.mark.parametrize(
    ("prompts", "only", "swaps", "painted"),
    [
        ([], [], [], None),
        (["cone=a cone"], [], [], ["cone"]),
        ([], ["cube", "cone"], [], ["cube", "cone"]),
        (["cone=a cone"], ["cube", "cone"], [], ["cone"]),
        ([], [], ["cone=cube"], ["cone"]),
        ([], ["cone", "car"], ["cone=cube"], ["cone", "car"]),
        (["cube=a cube"], [], ["cone=cube"], ["cone"]),
    ],
)
def test_which_labels_are_painted(
    prompts: list[str], only: list[str], swaps: list[str], painted: list[str] | None
) -> None:
    recipe = recipe_for(Recipe(relabel=read_swaps(swaps)), read_prompts(prompts), only)
    assert recipe.include_labels == painted


@pytest.mark.parametrize(
    ("prompts", "only", "message"),
    [([], ["car"], "--only 'cone'"), (["cone=a cone"], [], "--prompt 'cube="), (["cube=x"], ["cone", "car"], "'car'")],
)
def test_a_swap_that_cannot_be_painted_says_what_to_add(prompts: list[str], only: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_for(Recipe(relabel=read_swaps(["cone=cube"])), read_prompts(prompts), only)


def test_numbers_are_read_once_and_in_order() -> None:
    assert read_numbers("4, 0,4,2", "workers", int) == (0, 2, 4)
    with pytest.raises(ValueError, match="workers=''"):
        read_numbers("", "workers", int)


def test_a_split_is_a_folder_and_a_word_for_it() -> None:
    assert read_splits(["dev=val", " a=b/c = train"]) == {"dev": "val", "a=b/c": "train"}
    for wrong in ("dev", "=val", "dev=valid"):
        with pytest.raises(ValueError, match="NAME=SPLIT"):
            read_splits([wrong])
