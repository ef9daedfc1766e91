from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from typing import Any

import numpy as np
import pytest

from inpaint_transform import BBoxInpaint
from inpaint_transform.core.recipe import Recipe
from inpaint_transform.faces.arguments import Arguments

DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(BBoxInpaint.__init__).parameters.items()
    if name != "self"
}


def test_the_recipe_and_the_faces_have_the_same_defaults() -> None:
    recipe = Recipe()
    own = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    # Empty is None in an argument: JSON has no other word for it.
    assert {name: value or None for name, value in own.items() if not isinstance(value, bool | int)} == {
        name: DEFAULTS[name] or None for name in own if not isinstance(own[name], bool | int)
    }
    assert all(DEFAULTS[name] == value for name, value in own.items() if isinstance(value, bool | int))
    assert Arguments.read(DEFAULTS).recipe == recipe


def test_a_loaded_argument_is_stored_as_a_given_one() -> None:
    given = {"num_boxes": (1, 2), "area_range": (0.1, 0.5), "strength": (0.5, 1.0), "include_labels": ["a"]}
    loaded = {"num_boxes": [1, 2], "area_range": [0.1, 0.5], "strength": [0.5, 1.0], "include_labels": ("a",)}
    assert Arguments.read({**DEFAULTS, **given}).stored == Arguments.read({**DEFAULTS, **loaded}).stored


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"label_field": 3}, "label_field=3: use a name or None"),
        ({"log_key": ["name"]}, "log_key=['name']"),
        ({"edits_key": ""}, "edits_key='': use a name of its own"),
        ({"edits_key": "file", "log_key": "file", "log": "x"}, "edits_key='file': use a name of its own"),
        ({"include_labels": 5}, "include_labels=5: use a list of at least one label"),
        ({"include_labels": []}, "include_labels=[]: use a list of at least one label, or None for all"),
        ({"exclude_labels": 5}, "exclude_labels=5: use a list"),
        ({"context": float("inf")}, "context=inf"),
        ({"linked_fields": {"id": 3}}, "linked_fields={'id': 3}"),
        ({"linked_fields": "id"}, "linked_fields='id'"),
        ({"log": 3}, "log=3: use a path or None"),
        ({"log_crops": "yes"}, "log_crops='yes'"),
        ({"on_error": "ignore"}, "on_error='ignore': use one of raise, skip"),
        ({"seed": True}, "seed=True"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"p": "half"}, "p='half': use a probability in [0, 1]"),
        ({"p": -0.1}, "p=-0.1: use a probability in [0, 1]"),
        ({"p": 30}, "p=30: use a probability in [0, 1], 0.3 for 30 %"),
        ({"p": float("nan")}, "p=nan: use a probability"),
        ({"p": None}, "p=None: use a probability"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        Arguments.read({**DEFAULTS, **arguments})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "labels", [np.array(["cone", "cube"]), {"cone": 0, "cube": 1}.keys(), ("cone", "cube"), iter(["cone", "cube"])]
)
def test_lists_of_labels_may_be_anything_that_can_be_listed(labels: Any) -> None:
    assert BBoxInpaint(include_labels=labels).include_labels == ["cone", "cube"]


def test_ids_of_numpy_become_plain_ones_that_json_knows() -> None:
    transform = BBoxInpaint(include_labels=np.array([0, 1]), exclude_labels=[np.int64(2)], class_names=["a", "b", "c"])
    assert json.dumps([transform.include_labels, transform.exclude_labels]) == "[[0, 1], [2]]"
    assert pickle.loads(pickle.dumps(transform)).include_labels == [0, 1]


def test_an_argument_does_not_change_once_a_transform_is_made() -> None:
    """It would say one thing, and save it, and paint another."""
    transform = BBoxInpaint(include_labels=["cone"])
    for same in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        with pytest.raises(AttributeError, match=r"include_labels of a BBoxInpaint does not change .* make another"):
            same.include_labels = ["cube"]
        same.p = 0.25
        same.seed = 3
        assert same.include_labels == ["cone"]
        assert same.p == 0.25
