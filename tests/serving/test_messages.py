"""Messages between a server and a painter: what goes in comes out, and nothing else is let in."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult, Question
from inpaint_transform.serving.ray import messages
from inpaint_transform.serving.transport.wire import WireError

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def requests(draw):
    side = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    asks = draw(st.booleans())
    return InpaintRequest(
        rng.integers(0, 256, (side, side, 3), np.uint8),
        rng.random((side, side)) < 0.5,
        draw(texts),
        draw(texts),
        draw(st.floats(0.01, 1)),
        draw(st.integers(0, 2**63 - 1)),
        Question((0, 0, side, side), ("a", draw(texts))) if asks else None,
    )


@st.composite
def answers(draw):
    kind = draw(st.sampled_from(["image", "answered", "rejected", "ValueError", "InpaintError"]))
    side = draw(st.integers(1, 24))
    image = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    return {
        "image": InpaintResult(image),
        "answered": InpaintResult(image, answer=(0.25, 0.75)),
        "rejected": InpaintResult(None, "near constant"),
        "ValueError": ValueError(draw(texts)),
        "InpaintError": InpaintError(draw(texts)),
    }[kind]


@given(st.lists(requests(), min_size=1, max_size=5), st.floats(0.1, 1e5))
def test_requests_come_out_as_they_went_in(asked, timeout):
    text, pixels = messages.pack_requests(asked, timeout)
    assert json.loads(text)
    for part in pixels:
        assert (part.dtype, part.ndim) == (np.uint8, 1)
        part.flags.writeable = False  # as arrays come from Ray
    found, limit = messages.unpack_requests((text, pixels))
    assert limit == timeout
    for mine, theirs in zip(found, asked, strict=True):
        np.testing.assert_array_equal(mine.image, theirs.image)
        np.testing.assert_array_equal(mine.mask, theirs.mask)
        for field in ("prompt", "negative_prompt", "strength", "seed", "question"):
            assert getattr(mine, field) == getattr(theirs, field)


@given(st.lists(answers(), min_size=1, max_size=6))
def test_each_answer_comes_out_in_its_place(given_answers):
    found = messages.unpack_answers(messages.pack_answers(given_answers), len(given_answers))
    for mine, theirs in zip(found, given_answers, strict=True):
        assert type(mine) is type(theirs)
        if isinstance(theirs, Exception):
            assert str(mine) == str(theirs)
        elif theirs.image is None:
            assert (mine.image, mine.rejected) == (None, theirs.rejected)
        else:
            np.testing.assert_array_equal(mine.image, theirs.image)
            assert mine.answer == theirs.answer


def test_an_engine_error_of_another_kind_keeps_its_name():
    (found,) = messages.unpack_answers(messages.pack_answers([RuntimeError("out of luck")]), 1)
    assert isinstance(found, InpaintError)
    assert "RuntimeError: out of luck" in str(found)


REQUEST = InpaintRequest(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.bool_), "cat")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text, pixels: (text.encode(), pixels),
        lambda text, pixels: (text[:-1], pixels),
        lambda text, pixels: ("[" * 100_000, pixels),
        lambda text, pixels: ("[]", pixels),
        lambda text, pixels: ("{}", pixels),
        lambda text, pixels: (text, pixels[:-1]),
        lambda text, pixels: (text, pixels + pixels),
        lambda text, pixels: (text, [*pixels[:-1], pixels[-1][:-1]]),
        lambda text, pixels: (text, [part.astype(np.float32) for part in pixels]),
        lambda text, pixels: (text, [part[None] for part in pixels]),
        lambda text, pixels: (text, [part.tobytes() for part in pixels]),
        lambda text, pixels: (text, np.concatenate(pixels)),
        lambda text, pixels: (text, None),
        lambda text, pixels: (text.replace('"side": 4', '"side": 8000'), pixels),
        lambda text, pixels: (text.replace('"strength": 1.0', '"strength": 7'), pixels),
        lambda text, pixels: (text.replace('"timeout": 1.0', '"timeout": -1'), pixels),
    ],
)
def test_anything_else_is_refused(spoil):
    with pytest.raises(WireError):
        messages.unpack_requests(spoil(*messages.pack_requests([REQUEST], 1.0)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("nothing", 1),
        ("{}", 1),
        ('{"errors": [], "painted": null}', 1),
        ('{"errors": {"0": 3}, "painted": null}', 1),
        ('{"errors": {}, "painted": null}', 1),
        ('{"errors": {"5": {}}, "painted": null}', 1),
        ('{"errors": {"0": {}, "1": {}}, "painted": null}', 1),
        ('{"errors": {}, "painted": {"entries": [{"side": 8000}]}}', 1),
    ],
)
def test_anything_else_is_no_answer(text, count):
    with pytest.raises(WireError):
        messages.unpack_answers((text, []), count)
