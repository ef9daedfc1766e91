"""The tokenizer: one token a word, and what it knew keeps its ids."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from inpaint_transform.fit.vocabulary import new_tokenizer, new_words, with_words, words_of

CAPTIONS = ["a photo of a red blood cell", "Arduino_Uno Rev3-8266", "Würfel", "it's"]


def test_every_word_has_a_token_of_its_own() -> None:
    tokenizer = new_tokenizer(CAPTIONS)
    assert new_words(tokenizer, CAPTIONS) == []
    for text in CAPTIONS:
        assert len(tokenizer.tokenize(text)) == len(words_of(tokenizer, text))


def test_other_words_fall_back_to_letters_and_differ() -> None:
    tokenizer = new_tokenizer(CAPTIONS)
    assert new_words(tokenizer, ["a zebra"]) == ["zebra"]
    assert tokenizer("zebra").input_ids != tokenizer("zebu").input_ids


WORDS = st.lists(st.text("abcdefgzäß19-_", min_size=1, max_size=8), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(old=WORDS, new=WORDS)
def test_learning_words_changes_no_old_id(old: list[str], new: list[str]) -> None:
    before = new_tokenizer(old)
    after = with_words(before, new)
    assert new_words(after, [*old, *new]) == []
    assert before.get_vocab().items() <= after.get_vocab().items()
    for text in old:
        assert after(text).input_ids == before(text).input_ids
    assert (after.eos_token_id, after.bos_token_id) == (before.eos_token_id, before.bos_token_id)


def test_it_is_the_same_after_saving(tmp_path: Path) -> None:
    tokenizer = with_words(new_tokenizer(CAPTIONS), ["cone"])
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    for text in [*CAPTIONS, "cone", "zebra"]:
        assert loaded(text).input_ids == tokenizer(text).input_ids
