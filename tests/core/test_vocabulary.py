"""Names and ids both work in every setting, and what is neither is refused."""

from __future__ import annotations

import pytest

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.core.swaps import Swap
from inpaint_transform.core.vocabulary import are_numbers, spoken, spoken_keys, synonyms

NAMES = {1: "car", 2: "bus", 7: "dog"}
CODES = {"n01": "car", "n02": "bus"}


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([1, 2.0], True), (["a"], False), ([1, "a"], None), ([None], None), ([True], None), ([], None)],
)
def test_what_labels_are(labels, kind) -> None:
    assert are_numbers(labels) is kind


@pytest.mark.parametrize(
    ("given", "names", "numbers", "labels"),
    [
        (1, None, True, [1]),
        ("1", None, True, [1]),
        ("car", NAMES, True, [1]),
        ("car", ["bus", "car"], True, [1]),
        ("car", {"1": "car", "2": "car"}, True, [1, 2]),
        ("car", None, False, ["car"]),
        ("car", NAMES, False, ["car"]),
        (1, NAMES, False, ["car"]),
        (1, ["bus", "car"], False, ["car"]),
        ("1", ["bus", "car"], False, ["car"]),
        ("1", {"1": "car"}, False, ["car"]),
        ("1", ["1", "2"], False, ["1"]),
        ("n01", CODES, False, ["n01"]),
        ("car", CODES, False, ["n01"]),
    ],
)
def test_a_class_is_called_as_the_samples_call_it(given, names, numbers: bool, labels: list) -> None:
    assert spoken("include_labels", given, names, numbers) == labels


@pytest.mark.parametrize(
    ("given", "names", "numbers", "said"),
    [
        ("car", None, True, "include_labels has 'car', but the labels are numbers"),
        (1, None, False, "include_labels has 1, but the labels are names"),
        ("Car", NAMES, True, "none of class_names; did you mean 'car'"),
        ("Car", NAMES, False, "none of class_names; did you mean 'car'"),
        ("cat", NAMES, True, "none of class_names; did you mean 'car'"),
        (5, CODES, False, "include_labels has 5, which is none of class_names"),
    ],
)
def test_anything_else_is_refused(given, names, numbers: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spoken("include_labels", given, names, numbers)


def test_what_is_given_as_the_samples_call_it_wins() -> None:
    assert spoken_keys("box_p", {"car": 0.1, 1: 0.5}, NAMES, numbers=True) == {1: 0.5}
    assert spoken_keys("box_p", {1: 0.5, "car": 0.1}, NAMES, numbers=True) == {1: 0.5}


def test_synonyms_of_a_class() -> None:
    assert synonyms(1, NAMES) == [1, "car"]
    assert synonyms("car", NAMES) == ["car", 1]
    assert synonyms("car", None) == ["car"]


@pytest.mark.parametrize("labels", [[1, 2], ["car", "bus"]])
@pytest.mark.parametrize("named", [True, False])
def test_every_setting_of_a_recipe_is_translated(labels: list, named: bool) -> None:
    car, bus = ("car", "bus") if named else (1, 2)
    recipe = Recipe(
        prompts={car: "a car", bus: "a bus", "dog": "a dog"},
        class_names=NAMES,
        include_labels=[car],
        exclude_labels=[bus],
        box_p={car: 0.5},
        relabel=Swap({car: {bus: 1, "dog": 2}}, sizes={bus: 50.0}),
    )
    found = recipe.spoken(labels)
    dog = 7 if labels[0] == 1 else "dog"
    assert (found.include_labels, found.exclude_labels) == ([labels[0]], [labels[1]])
    assert found.box_p == {labels[0]: 0.5}
    assert found.prompts == {labels[0]: "a car", labels[1]: "a bus", dog: "a dog"}
    assert found.relabel == Swap({labels[0]: {labels[1]: 1, dog: 2}}, sizes={labels[1]: 50.0})
    assert recipe.spoken(labels) is found


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"include_labels": ["Car"]}, "include_labels has 'Car', but a label is 'car'"),
        ({"exclude_labels": ["CAR"]}, "exclude_labels has 'CAR'"),
        ({"box_p": {"Car": 1.0}}, "box_p has 'Car'"),
        ({"relabel": Swap({"Car": "bus"})}, "relabel has 'Car'"),
    ],
)
def test_a_wrong_case_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe(**settings).spoken(["bus", "car"])
    Recipe(**settings).spoken(["bus", "train"])


def test_settings_by_label_need_labels() -> None:
    for settings in ({"include_labels": ["car"]}, {"box_p": {"car": 1.0}}, {"relabel": Swap({"car": "bus"})}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} chooses by label, but the sample has no labels"):
            Recipe(**settings).spoken(None)
    assert Recipe(box_p=0.5).spoken(None).box_p == 0.5
