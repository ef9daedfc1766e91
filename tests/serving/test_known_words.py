"""Who asks a small model for what it does not know is told so, once."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import Destination, InpaintRequest
from inpaint_transform.serving.client.client import SharedInpainter
from inpaint_transform.serving.known_words import FILE, Listener, Words, save_words, words_of
from inpaint_transform.serving.local import LocalInpainter
from inpaint_transform.serving.registry import connect, current_session

TINY = ModelSpec("tiny").resolved()


def request(prompt: str) -> InpaintRequest:
    return InpaintRequest(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), prompt)


def checkpoint(folder: Path, content: Any) -> ModelSpec:
    (folder / FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    return ModelSpec(str(folder)).resolved()


@pytest.mark.parametrize(
    "prompt",
    ["a photo of a red blood cell", "RBC", "a photo of Platelets", "a red_blood_cell!", "(cone)", "two\ncubes, a CUBE"],
)
def test_prompts_that_tiny_understands(prompt: str) -> None:
    words = words_of(TINY)
    assert words is not None
    assert words.in_prompt(prompt)


@pytest.mark.parametrize("prompt", ["", "a photo of a car", "silicone cubes", "a cell", "red blood", "nine"])
def test_prompts_that_it_does_not(prompt: str) -> None:
    words = words_of(TINY)
    assert words is not None
    assert not words.in_prompt(prompt)


@given(st.text(), st.text(alphabet="abc ", min_size=1).filter(str.strip), st.text())
def test_a_known_phrase_is_heard_wherever_it_stands(before: str, phrase: str, after: str) -> None:
    assert Words("m", {phrase: []}).in_prompt(f"{before} {phrase.upper()}. {after}")


def test_a_strange_prompt_is_told_once_with_the_words_that_are_known() -> None:
    listener = Listener(TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listener.hear(["a photo of a cone", "a cube"])
    with pytest.warns(
        RuntimeWarning, match=r"'a nine' has.*tiny, .*only red blood cell.*, cube,.*model='sd15'"
    ) as told:
        listener.hear(["a cone", "a nine", "a ten"])
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listener.hear(["an ace"])


def test_what_is_painted_in_this_process_is_heard(tmp_path: Path) -> None:
    """Before anything is loaded: this folder holds no model at all."""
    painter = LocalInpainter(checkpoint(tmp_path, {"name": "zoo", "knows": {"zebra": []}}))
    with pytest.warns(RuntimeWarning, match="'a lion'.*zoo.*zebra"), pytest.raises(InpaintError):
        painter.paint([request("a lion")])


def test_what_is_painted_later_is_heard_at_once(tmp_path: Path) -> None:
    """Nobody waits for an answer that could bring an advice."""
    spec = checkpoint(tmp_path, {"name": "zoo", "knows": {"zebra": []}})
    gone = dataclasses.replace(spec, serving="shared", address=str(tmp_path / "gone"))
    later = SharedInpainter(gone, current_session())
    with pytest.warns(RuntimeWarning, match="'a lion'.*zoo"), pytest.raises(InpaintError):
        later.paint_later([request("a lion")], [b"name"], Destination(str(tmp_path / "pool"), 1, 1))


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"name": "m"}',
        '{"knows": {"a": []}}',
        '{"name": "m", "knows": ["a"]}',
        '{"name": "m", "knows": {}}',
        '{"name": "m", "knows": {"a": 1}}',
        '{"name": "m", "knows": {" .": []}}',
    ],
)
def test_a_file_that_says_nothing_is_as_none(content: str, tmp_path: Path) -> None:
    assert words_of(checkpoint(tmp_path, content)) is None


def test_large_models_and_loras_know_all_kinds_of_things(tmp_path: Path) -> None:
    assert words_of(ModelSpec("sd15").resolved()) is None
    assert words_of(ModelSpec(str(tmp_path)).resolved()) is None
    assert words_of(ModelSpec("tiny", lora="more.safetensors").resolved()) is None


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    boards = Words("boards", {"arduino": ["uno"], "raspberry pi": []})
    save_words(tmp_path, boards)
    assert words_of(ModelSpec(str(tmp_path)).resolved()) == boards


def test_the_first_words_of_the_log_are_the_models(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    spec = checkpoint(tmp_path, {"name": "zoo", "knows": {"zebra": [], "lion": ["lioness"]}})
    with caplog.at_level("INFO", "inpaint_transform"):
        connect(dataclasses.replace(spec, serving="local"))
    assert caplog.messages == ["painting with the model zoo, which knows only zebra, lion"]


def test_tiny_names_what_its_model_card_names() -> None:
    words = words_of(TINY)
    assert words is not None
    card = (Path(TINY.id).parent / "MODEL_CARD.md").read_text()
    assert all(f'"{word}"' in card for thing, names in words.things.items() for word in (thing, *names))
