"""Captions: the templates of the transform, all of them known before training."""

from __future__ import annotations

import random

import pytest

from inpaint_transform.fit.captions import BACKGROUND, EMPTY_SHARE, MAX_CAPTIONS, Captions


def test_a_class_is_called_by_its_templates() -> None:
    captions = Captions(["cone"], ["a {label}", "{a_label}, {colour}"], {"colour": ["red", "blue"]})
    assert captions.by_label == {"cone": ["a cone", "a cone, red", "a cone, blue"]}
    assert captions.everything() == ["", BACKGROUND, "a cone", "a cone, red", "a cone, blue"]


def test_prompts_by_label_and_class_names() -> None:
    captions = Captions(["1", "2"], {"1": "x {label}", "2": ["y {label}"]}, class_names={"1": "cup", "2": "jug"})
    assert captions.by_label == {"1": ["x cup"], "2": ["y jug"]}
    with pytest.raises(ValueError, match="class_names=.* turn it round"):
        Captions(["cup"], class_names={"cup": 1})


def test_nothing_is_drawn_that_is_not_known() -> None:
    captions = Captions(["cone", "cube"])
    rng = random.Random(0)
    drawn = [captions.draw(label, rng) for label in ("cone", "cube", None) for _ in range(200)]
    assert set(drawn) == set(captions.everything())
    assert drawn.count("") / len(drawn) == pytest.approx(EMPTY_SHARE, abs=0.05)


def test_many_attributes_are_bounded() -> None:
    captions = Captions(["cone"], "{a} {b} {label}", {"a": [str(n) for n in range(50)], "b": ["x", "y"]})
    assert 50 <= len(captions.by_label["cone"]) <= MAX_CAPTIONS


def test_of_many_attributes_every_value_is_learnt() -> None:
    colours, sizes = [f"colour{n}" for n in range(10)], [f"size{n}" for n in range(10)]
    captions = Captions(["cone"], ["a {c} {s} {label}", "{s} {label}"], {"c": colours, "s": sizes})
    said = captions.by_label["cone"]
    assert 40 <= len(said) <= MAX_CAPTIONS
    for value in (*colours, *sizes):
        assert any(value in caption.split() for caption in said)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"prompts": lambda *_: "x"}, "function"),
        ({"prompts": "a {colour} {label}"}, r"nothing fills \{colour\}"),
        ({"prompts": {"cube": "a cube"}}, "no entry for label 'cone'"),
        ({"prompts": []}, "at least one prompt"),
    ],
)
def test_prompts_that_cannot_be_filled(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Captions(["cone"], **arguments)
