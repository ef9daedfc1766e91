"""Prompts: which template a label gets, what fills its slots, and that every mistake is named."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.prompts import check, draw, slots_of, templates_of, with_article


def drawn(prompts: Any, label: Any = "car", seed: int = 0, **given: Any) -> str:
    return draw(prompts, label, random.Random(seed), **{"attributes": {}, "class_names": None, "slots": {}, **given})


def all_drawn(prompts: Any, label: Any = "car", **given: Any) -> set[str]:
    return {drawn(prompts, label, seed, **given) for seed in range(100)}


# What a prompt says


@pytest.mark.parametrize(
    ("label", "names", "word"), [("car", None, "car"), (1, {1: "bus"}, "bus"), (0, ["car"], "car")]
)
def test_a_label_is_said_by_its_noun(label: Any, names: Any, word: str) -> None:
    assert drawn("a {label}", label, class_names=names) == f"a {word}"


def test_prompts_by_integer_labels_survive_json() -> None:
    assert templates_of(json.loads(json.dumps({3: "a bus"})), 3) == ["a bus"]


def test_label_and_attributes_fill_their_slots() -> None:
    assert drawn("a {color} {label}, {color}", attributes={"color": ["red"]}) == "a red car, red"
    assert drawn("no slot at all") == "no slot at all"
    assert drawn("{{literal}} {label}") == "{literal} car"


@pytest.mark.parametrize(
    "words",
    [
        "a cup",
        "an ace",
        "a nine",
        "an eight",
        "an 8",
        "an 11",
        "a 110",
        "a 2 of clubs",
        "an hour hand",
        "a unicorn",
        "a uniform",
        "an uninflated ball",
        "an umbrella",
        "a used car",
        "a European bus",
        "a one-way sign",
        "an onion",
        "an RBC",
        "a WBC",
        "an X-ray",
        "a DOG",
        "an ESP8266",
        "an orange_cone",
        "a ",
        "a 信号",
    ],
)
def test_the_article_goes_by_the_sound(words: str) -> None:
    assert drawn("{a_label}!", words.partition(" ")[2]) == f"{words}!"


@given(st.text())
def test_an_article_changes_nothing_of_the_noun(word: str) -> None:
    article, _, rest = with_article(word).partition(" ")
    assert article in ("a", "an")
    assert rest == word


def test_the_article_belongs_to_the_name_not_to_the_id() -> None:
    assert drawn("{a_label}", 1, class_names={1: "ace"}) == "an ace"
    check("{a_label} and {label}", {}, False)
    with pytest.raises(ValueError, match="{an_label}"):
        check("{an_label}", {}, False)


def test_a_value_with_braces_is_not_filled_again() -> None:
    assert drawn("a {color} {label}", label="{color}", attributes={"color": ["{label}"]}) == "a {label} {color}"


def test_lists_are_drawn_from() -> None:
    assert all_drawn(["a {label}", "the {label}"]) == {"a car", "the car"}
    assert all_drawn(("a {label}", "the {label}")) == {"a car", "the car"}
    assert all_drawn("{color}", attributes={"color": ["red", "blue"]}) == {"red", "blue"}


def test_draws_are_even() -> None:
    rng = random.Random(0)
    counts = Counter(draw(["a", "b", "c"], "car", rng, attributes={}, class_names=None, slots={}) for _ in range(600))
    assert min(counts.values()) > 150


def test_every_label_has_prompts_of_its_own() -> None:
    prompts = {"car": "a fast {label}", "bus": ["a long {label}", "a red {label}"], 3: "number three"}
    assert drawn(prompts, "car") == "a fast car"
    assert all_drawn(prompts, "bus") == {"a long bus", "a red bus"}
    assert drawn(prompts, 3) == "number three"


def test_a_slot_that_occurs_twice_gets_one_value() -> None:
    found = all_drawn("{color} and {color}", attributes={"color": ["red", "blue"]})
    assert found == {"red and red", "blue and blue"}


def test_the_sample_wins_over_the_attributes() -> None:
    attributes = {"weather": ["in fog"]}
    assert drawn("{label} {weather}", attributes=attributes) == "car in fog"
    assert all_drawn("{label} {weather}", attributes=attributes, slots={"weather": "at night"}) == {"car at night"}
    slots = {"weather": ["at dusk", "at dawn"], "unused": "word"}
    assert all_drawn("{label} {weather}", attributes=attributes, slots=slots) == {"car at dusk", "car at dawn"}
    assert drawn("{label}{weather}", attributes=attributes, slots={"weather": ""}) == "car"


def test_a_function_gets_the_label_one_value_a_slot_and_the_generator() -> None:
    def prompts(label: Any, values: Any, rng: random.Random) -> str:
        return f"{label} {values['color']} {values['weather']} {rng.random() < 1}"

    check(prompts, {"color": ["red"]}, sample_slots=False)
    assert drawn(prompts, attributes={"color": ["red"]}, slots={"weather": "in fog"}) == "car red in fog True"


@given(st.integers(0, 2**32))
def test_the_generator_decides_and_no_other(seed: int) -> None:
    before, numpy_before = random.getstate(), np.random.get_state()[1].copy()
    given_: dict[str, Any] = {"attributes": {"color": ["red", "blue", "green"]}, "slots": {"weather": ["a", "b"]}}
    prompts = ["{color} {label} {weather}", "{weather}"]
    assert drawn(prompts, seed=seed, **given_) == drawn(prompts, seed=seed, **given_)
    assert random.getstate() == before
    assert np.array_equal(np.random.get_state()[1], numpy_before)


# Mistakes


def test_a_sample_without_labels_is_refused_only_where_the_prompt_needs_one() -> None:
    assert drawn("a photo", None) == "a photo"
    with pytest.raises(ValueError, match=r"prompt needs \{label\}, but the sample has no labels; give BboxParams"):
        drawn("a {label}", None)


def test_a_function_must_give_a_string() -> None:
    with pytest.raises(ValueError, match=r"returned 5 for label 'car'; return a string"):
        drawn(lambda label, slots, rng: 5, "car")


def test_an_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no entry for label 'van'; it knows 'car', 3.*exclude_labels=\['van'\]"):
        drawn({"car": "a car", 3: "a bus"}, "van")


def test_a_slot_that_nothing_fills() -> None:
    with pytest.raises(ValueError, match=r"nothing fills \{weather\} for this sample; it brings \['time'\]"):
        drawn("{label} {weather}", slots={"time": "noon"})
    with pytest.raises(ValueError, match=r"nothing fills \{weather\}; give attributes=\{'weather': \[...\]\}"):
        check("{label} {weather}", {}, sample_slots=False)
    check("{label} {weather}", {}, sample_slots=True)
    check("{label} {weather}", {"weather": ["in fog"]}, sample_slots=False)


@pytest.mark.parametrize("value", [[], (), None, 3, {"a": 1}, {"a"}])
def test_a_slot_of_the_sample_that_is_not_words(value: Any) -> None:
    with pytest.raises(ValueError, match=r"the sample's slot 'weather' is .*; give a string or a list"):
        drawn("{label} {weather}", slots={"weather": value})


@pytest.mark.parametrize("template", ["a {label", "a label}", "{", "}", "a {label}}", "{{label}", "{label!}"])
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: ["fine", t], lambda t: {"car": t}, lambda t: {"car": [t]}])
def test_broken_braces_are_refused_wherever_they_are(template: str, wrap: Any) -> None:
    with pytest.raises(ValueError, match=r"prompts=.*write \{\{ and \}\} for literal braces"):
        check(wrap(template), {}, sample_slots=True)


@pytest.mark.parametrize(
    "template",
    ["{}", "{0}", "{label.name}", "{label[0]}", "{a b}", "{label!r}", "{label:>9}", "{label:d}", "{label:{width}}"],
)
def test_slots_are_plain_names(template: str) -> None:
    with pytest.raises(ValueError, match=r"is not a plain slot such as \{label\}"):
        check(template, {}, sample_slots=True)


@pytest.mark.parametrize("prompts", ["", [], (), {}, {"car": []}, {"car": ""}, {"car": None}, None])
@pytest.mark.parametrize("sample_slots", [False, True])
def test_no_prompt_at_all_is_refused(prompts: Any, sample_slots: bool) -> None:
    with pytest.raises(ValueError, match="give at least one prompt"):
        check(prompts, {}, sample_slots=sample_slots)


@pytest.mark.parametrize("prompts", [5, [5], ["a", None], {"car": 5}, {"car": ["a", 5]}, {"car": {"bus": "a"}}])
def test_a_prompt_that_is_not_a_string_is_refused(prompts: Any) -> None:
    with pytest.raises(ValueError, match="is not a string"):
        check(prompts, {}, sample_slots=False)


@pytest.mark.parametrize("values", [[], (), "red", ""])
def test_attributes_are_lists_of_values(values: Any) -> None:
    with pytest.raises(ValueError, match=r"attributes=\{'color': .*\}: give a list with at least one value"):
        check("a {color} {label}", {"color": values}, sample_slots=False)


names = st.sampled_from(["label", "color", "weather", "größe", "_x", "class"])


@given(st.lists(st.one_of(names.map("{{{}}}".format), st.sampled_from(["{{", "}}", "a ", ", "])), min_size=1))
def test_slots_are_found_in_order(parts: list[str]) -> None:
    expected = [part[1:-1] for part in parts if len(part) > 2]
    assert slots_of("".join(parts)) == expected


@given(st.text(alphabet="{}:!.[]ab 0", max_size=12))
def test_whatever_passes_the_check_can_be_filled(template: str) -> None:
    try:
        slots = slots_of(template)
    except ValueError as error:
        assert f"prompts={template!r}" in str(error)  # noqa: PT017 - both ends of the try are the property
        return
    text = drawn(template, attributes={slot: ["word"] for slot in slots})
    assert text.count("word") == len(slots)
