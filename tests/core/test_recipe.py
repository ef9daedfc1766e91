"""The recipe: what it refuses, and which words it knows."""

from __future__ import annotations

from typing import Any

import pytest

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_boxes", 0),
        ("num_boxes", (3, 2)),
        ("box_p", 1.5),
        ("min_box_size", -1),
        ("area_range", (0.5, 0.1)),
        ("context", 0.5),
        ("strength", 0),
        ("strength", (0.9, 0.2)),
        ("shape", "star"),
        ("feather", 0.9),
        ("when_no_box", "paint"),
        ("retries", -1),
        ("class_names", {"car": 1}),
        ("class_names", "car,bus"),
    ],
)
def test_a_recipe_names_what_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        Recipe(**{field: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "nouns"),
    [
        ({}, []),
        ({"class_names": {0: "car", 1: "bus", 2: "car"}}, ["car", "bus"]),
        ({"class_names": ["car", "bus"]}, ["car", "bus"]),
        ({"prompts": {"car": "a car", 7: "a bus"}}, ["car", "7"]),
        ({"prompts": {"car": "a car"}, "relabel": Swap({"car": "bus"})}, ["car", "bus"]),
    ],
)
def test_the_words_for_all_classes(fields: dict[str, Any], nouns: list[str]) -> None:
    assert Recipe(**fields).nouns() == nouns


def test_a_region_without_a_box_gets_a_label_that_is_known() -> None:
    assert Recipe(class_names={3: "car", 5: "bus"}).labels_without_box() == [3, 5]
    assert Recipe().labels_without_box() == [None]


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"exclude_labels": ["car"]}, [5]),
        ({"include_labels": [5]}, [5]),
        ({"box_p": {"bus": 0.5}}, [5]),
        ({"include_labels": ["car"], "exclude_labels": [3]}, []),
    ],
)
def test_a_region_without_a_box_is_no_class_that_is_left_out(fields: dict[str, Any], labels: list[int]) -> None:
    assert Recipe(class_names={3: "car", 5: "bus"}, **fields).labels_without_box() == labels


def test_a_random_region_needs_a_prompt_without_a_label_or_labels_to_draw() -> None:
    with pytest.raises(ValueError, match="when_no_box='random'"):
        Recipe(when_no_box="random")
