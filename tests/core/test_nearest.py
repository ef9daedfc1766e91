"""The word that was probably meant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.nearest import nearest, nearest_of


def test_it_is_the_end_of_a_sentence_or_nothing() -> None:
    assert nearest("cub", ["cone", "cube"]) == "; did you mean 'cube'?"
    assert nearest("zebra", ["cone", "cube"]) == nearest("cub", []) == ""
    # Capitals alone are the nearest of all.
    assert nearest("CAT", ["cart", "cat"]) == "; did you mean 'cat'?"
    assert nearest("cat", ["car"], likeness=0.75) == ""


def test_of_a_mapping_it_is_asked_for_the_first_key_that_is_unknown() -> None:
    assert nearest_of({"steps": 3, "siez": 64}, ["steps", "size"]) == "; did you mean 'size'?"
    assert nearest_of({"steps": 3}, ["steps"]) == nearest_of("step", ["steps"]) == nearest_of(3, ["steps"]) == ""


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_only_what_is_known_is_named(word: str, known: list[str]) -> None:
    hint = nearest(word, known)
    assert hint == "" or hint in {f"; did you mean {one!r}?" for one in known}
