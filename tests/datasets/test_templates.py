"""Prompts by label: a label that does not exist is never passed over."""

from __future__ import annotations

import pytest

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap
from inpaint_transform.datasets.templates import check_labels, check_prompt, new_classes, no_class


def test_a_prompt_that_was_taken_for_a_label_is_told_with_the_way_out() -> None:
    templates = {None: ["a {label}"], "a sign that says E": ["mc2"]}
    with pytest.raises(
        ValueError, match=r"no class is called 'a sign that says E'; the classes are cone, cube.*'=a sign"
    ):
        check_labels(templates, ["cone", "cube"])
    check_labels({None: ["a"], "cone": ["b"]}, ["cone", "cube"])


@pytest.mark.parametrize("prompt", ["", "  ", "a {colour} car", "a {label", "{}"])
def test_prompts_that_cannot_be_filled_are_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match="prompt"):
        check_prompt(prompt)


def test_a_class_that_a_swap_brings_in_is_named_with_the_one_that_may_be_meant() -> None:
    swap = Recipe(relabel=Swap({"cone": ["cub", "cube", "zebra"], "cube": "cone"}))
    assert new_classes(swap, ["cone", "cube"]) == [
        "new class: cub, which the data set does not have; did you mean 'cube'?",
        "new class: zebra, which the data set does not have",
    ]
    assert new_classes(Recipe(relabel=Swap({"cone": "cube"})), ["cone", "cube"]) == []
    assert new_classes(Recipe(), []) == []


def test_the_class_that_was_probably_meant_is_named() -> None:
    assert no_class("conne", ["cone", "cube"]).endswith("; did you mean 'cone'?")
    assert "did you mean" not in no_class("zebra", ["cone", "cube"])
