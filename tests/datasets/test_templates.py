"""Prompts by label: a label that does not exist is never passed over."""

from __future__ import annotations

import pytest

from inpaint_transform.datasets.templates import check_labels, check_prompt


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
