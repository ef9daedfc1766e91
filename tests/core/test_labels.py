"""Labels: looked up, named and read, whatever a framework or JSON has made of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.labels import check_class_names, class_name, lookup, noun, plain_label


@pytest.mark.parametrize(
    ("label", "class_names", "expected"),
    [
        ("car", None, "car"),
        ("car", {"car": "sports car"}, "sports car"),
        (1, {1: "bus"}, "bus"),
        (1, {"1": "bus"}, "bus"),
        (1.0, {1: "bus"}, "bus"),
        (1.0, {"1": "bus"}, "bus"),
        (0, ["car", "bus"], "car"),
        (1, ["car", "bus"], "bus"),
        (1.0, ["car", "bus"], "bus"),
        (1, ("car", "bus"), "bus"),
        ("bus", ["car", "bus"], "bus"),
    ],
)
def test_class_names_turn_labels_into_nouns(label: Any, class_names: Any, expected: str) -> None:
    assert noun(label, class_names) == expected


@given(st.dictionaries(st.integers(-5, 100), st.text(min_size=1), min_size=1))
def test_integer_keys_survive_json(names: dict[int, str]) -> None:
    through_json = json.loads(json.dumps(names))
    for label, name in names.items():
        assert lookup(through_json, label) == name
        assert noun(label, through_json) == name
        assert noun(float(label), through_json) == name


@pytest.mark.parametrize("label", [3, 2.0, 0.5])
def test_a_bare_number_without_class_names_is_refused(label: float) -> None:
    with pytest.raises(ValueError, match=r"label .* is a number; give class_names="):
        noun(label, None)


@pytest.mark.parametrize(
    ("label", "class_names"),
    [
        (2, ["car", "bus"]),
        (-1, ["car", "bus"]),
        (0.5, ["car", "bus"]),
        ("van", ["car", "bus"]),
        ("van", {"car": "sports car"}),
        (7, {1: "bus"}),
        (0, []),
        (0, {}),
    ],
)
def test_a_label_without_a_name_is_refused(label: Any, class_names: Any) -> None:
    with pytest.raises(ValueError, match=r"class_names=.*has no entry for label .*; add it"):
        noun(label, class_names)


def test_no_label_has_no_noun() -> None:
    with pytest.raises(ValueError, match="the sample has no labels"):
        noun(None, ["car"])


def test_where_any_word_will_do_a_number_is_one() -> None:
    assert noun(3, None, words=False) == "3"
    assert noun(3, {3: "car"}, words=False) == "car"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(3), 3),
        (np.int64(3), 3),
        (3.0, 3),
        (0.5, 0.5),
        (np.str_("car"), "car"),
        (np.bool_(True), True),
        (None, None),
        (float("inf"), float("inf")),
    ],
)
def test_a_label_as_python_has_it(value: Any, plain: Any) -> None:
    found = plain_label(value)
    assert found == plain
    assert type(found) is type(plain)


@given(st.integers(-3, 12), st.lists(st.text(min_size=1, max_size=5), max_size=8))
def test_people_are_told_names_of_ids_and_else_the_label(label: int, names: list[str]) -> None:
    known = dict(enumerate(names))
    # As a list, a dict, and a dict of which JSON has made keys texts.
    for given_names in (names, known, {str(key): name for key, name in known.items()}):
        assert class_name(label, given_names) == known.get(label, str(label))
        assert class_name(float(label), given_names) == known.get(label, str(float(label)))
    assert class_name(label, None) == str(label)


def test_a_name_stays_and_an_unknown_class_is_no_error() -> None:
    assert class_name("cone", {"cone": "traffic cone"}) == "cone"
    assert class_name(None, ["cone"]) == "None"
    assert class_name(5, ["cone"]) == class_name(5, {1: "cone"}) == "5"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"cone": 1, "cube": 2},
            "class_names={'cone': 1, 'cube': 2} gives ids by name; turn it round.*{1: 'cone', ...}",
        ),
        ("cone,cube", "class_names='cone,cube' is one text; give a list.*\\['cone', 'cube'\\]"),
        ({1: "cone", 2: None}, "class_names=.* calls a class None, which is no text"),
        ([1, 2], "class_names=\\[1, 2\\] calls a class 1, which is no text"),
        ({"cone", "cube"}, "class_names=.*: give {id: name, ...}, or a list"),
        (3, "class_names=3: give {id: name, ...}, or a list"),
        ({f"thing {number}": number for number in range(1000)}, "^.{,300}$"),
    ],
)
def test_what_is_no_class_names_is_refused_with_the_mend(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_class_names(given)


@pytest.mark.parametrize("given", [None, {}, ["car"], ("car",), {1: "car"}, {"1": "car"}, {"car": "sports car"}])
def test_names_by_label_and_lists_of_names_are_class_names(given: Any) -> None:
    check_class_names(given)
