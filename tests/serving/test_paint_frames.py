"""Requests and results as frames: what goes in comes out, and nothing else gets in."""

import dataclasses
import json

import numpy as np
import pytest
from frames import ENTRY, asking, head, memories, paint_frame, requests, through_socket
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.protocol import REFERENCE_SIDE, InpaintRequest, InpaintResult, Question
from inpaint_transform.serving.transport import paint_frames, wire
from inpaint_transform.serving.transport.wire import Kind, WireError


@settings(deadline=None)
@given(st.lists(requests | asking, min_size=1, max_size=5), st.floats(1e-3, 1e6), memories)
def test_requests_survive(asked, timeout, memory):
    frame = through_socket(paint_frames.pack_requests(asked, timeout, memory))
    assert frame.payload.size in (0, paint_frames.bytes_of(asked))
    assert memory is None or memory.size < 1 << 20 or frame.payload.size == 0
    got, got_timeout = paint_frames.unpack_requests(frame, memory)
    assert got_timeout == timeout
    assert len(got) == len(asked)
    for one, other in zip(asked, got, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
        assert other.mask.dtype == np.bool_
        assert (one.prompt, one.negative_prompt, one.strength, one.seed, one.question) == (
            other.prompt,
            other.negative_prompt,
            other.strength,
            other.seed,
            other.question,
        )


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(1, 40), st.text(min_size=1, max_size=20)), min_size=1, max_size=6),
    st.none() | st.lists(st.floats(0, 1), min_size=1, max_size=5).map(tuple),
    memories,
)
def test_results_survive(wanted, answer, memory):
    results = [
        InpaintResult(None, one)
        if isinstance(one, str)
        else InpaintResult(np.full((one, one, 3), one, np.uint8), answer=answer)
        for one in wanted
    ]
    got = paint_frames.unpack_results(through_socket(paint_frames.pack_results(results, None, memory)), memory)
    if memory is not None:
        memory[:] = 255  # the next request
    for one, other in zip(results, got, strict=True):
        assert (one.rejected, one.answer) == (other.rejected, other.answer)
        assert (one.image is None) == (other.image is None)
        assert one.image is None or np.array_equal(one.image, other.image)


def test_results_may_be_the_requests_themselves():
    memory = np.zeros(1 << 20, np.uint8)
    asked = [InpaintRequest(np.full((9, 9, 3), i, np.uint8), np.ones((9, 9), bool), "") for i in range(1, 6)]
    got, _ = paint_frames.unpack_requests(through_socket(paint_frames.pack_requests(asked, 1.0, memory)), memory)
    results = [InpaintResult(None, "flagged") if i == 2 else InpaintResult(one.image) for i, one in enumerate(got)]
    back = paint_frames.unpack_results(through_socket(paint_frames.pack_results(results, None, memory)), memory)
    assert [None if one.image is None else set(one.image.flat) for one in back] == [{1}, {2}, None, {4}, {5}]


SQUARE = (REFERENCE_SIDE, REFERENCE_SIDE, 3)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(requests | asking, st.sampled_from([None, 0, 1])), min_size=1, max_size=5),
    st.sampled_from([None, 100, 1 << 21]).map(lambda size: size and np.zeros(size, np.uint8)),
)
def test_references_survive_and_go_over_once(given_, memory):
    pictures = [np.full(SQUARE, level, np.uint8) for level in (3, 200)]
    pictures[0][0, 0] = 9
    asked = [dataclasses.replace(one, reference=None if number is None else pictures[number]) for one, number in given_]
    frame = through_socket(paint_frames.pack_requests(asked, 1.0, memory))
    different = {number for _, number in given_ if number is not None}
    crops = [dataclasses.replace(one, reference=None) for one in asked]
    assert paint_frames.bytes_of(asked) == paint_frames.bytes_of(crops) + len(different) * wire.REFERENCE_BYTES
    got, _ = paint_frames.unpack_requests(frame, memory)
    for one, other in zip(asked, got, strict=True):
        assert np.array_equal(one.image, other.image)
        assert (one.reference is None) == (other.reference is None)
        assert one.reference is None or np.array_equal(one.reference, other.reference)


def test_results_leave_the_references_of_what_is_still_painted_alone():
    memory = np.zeros(1 << 20, np.uint8)
    asked = [
        InpaintRequest(
            np.full((9, 9, 3), i, np.uint8), np.ones((9, 9), bool), "", reference=np.full(SQUARE, 5, np.uint8)
        )
        for i in range(3)
    ]
    asked = [dataclasses.replace(one, reference=asked[0].reference) for one in asked]
    got, _ = paint_frames.unpack_requests(through_socket(paint_frames.pack_requests(asked, 1.0, memory)), memory)
    paint_frames.pack_results([InpaintResult(one.image) for one in asked], None, memory)
    assert (got[0].reference == 5).all()


def test_images_need_not_be_contiguous():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)[::-1, ::-1]
    mask = np.eye(4, dtype=bool)[:, ::-1]
    [got], _ = paint_frames.unpack_requests(
        through_socket(paint_frames.pack_requests([InpaintRequest(image, mask, "")], 1.0))
    )
    assert np.array_equal(got.image, image)
    assert np.array_equal(got.mask, mask)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        head(magic=b"XXXX"),
        head(version=99),
        head(kind=77),
        head(header=2**32 - 1),
        head(payload=2**63),
        head(header=0),
        head() + b"[]",
        head() + b"{,",
        head(header=6) + b'{"a":N',
        head(kind=Kind.STATS, header=7) + b'{"a":1e',
        head(header=200_000) + b"[" * 200_000,
        head(kind=Kind.STATS, payload=10) + b"{}",
        paint_frame([]),
        paint_frame([ENTRY] * 65),
        paint_frame(["x"]),
        paint_frame([ENTRY], payload=49),
        paint_frame([ENTRY], payload=51),
        paint_frame([{**ENTRY, "side": -4}]),
        paint_frame([{**ENTRY, "side": 10**9}]),
        paint_frame([{**ENTRY, "side": "4"}]),
        paint_frame([{**ENTRY, "side": True}]),
        paint_frame([{**ENTRY, "prompt": 3}]),
        paint_frame([{**ENTRY, "prompt": "x" * 20_000}]),
        paint_frame([{**ENTRY, "strength": 0}]),
        paint_frame([{**ENTRY, "strength": "1"}]),
        paint_frame([{**ENTRY, "seed": -1}]),
        paint_frame([{**ENTRY, "seed": 2**63}]),
        paint_frame([{**ENTRY, "seed": 1.5}]),
        *(
            paint_frame([{**ENTRY, "question": question}])
            for question in (
                "what is it",
                {},
                {"box": [0, 0, 4, 4]},
                {"box": [0, 0, 4, 4], "texts": []},
                {"box": [0, 0, 4, 4], "texts": "cone"},
                {"box": [0, 0, 4, 4], "texts": ["cone", 3]},
                {"box": [0, 0, 4, 4], "texts": ["x"] * 257},
                {"box": [0, 0, 4, 4], "texts": ["x" * 10_000] * 2},
                {"box": [0, 0, 4, 5], "texts": ["cone"]},
                {"box": [-1, 0, 4, 4], "texts": ["cone"]},
                {"box": [2, 0, 2, 4], "texts": ["cone"]},
                {"box": [0, 0, 4], "texts": ["cone"]},
                {"box": [0, 0, 4, 4], "texts": ["cone"], "clip": 3},
                {"box": [0, 0, 4, 3.5], "texts": ["cone"]},
                {"box": [0, 0, 4, True], "texts": ["cone"]},
                {"box": [0, 0, 4, 10**400], "texts": ["cone"]},
                {"box": {"x0": 0}, "texts": ["cone"]},
            )
        ),
        *(paint_frame([ENTRY], references=count) for count in (-1, 65, "1", 1.0, True, None, [])),
        paint_frame([ENTRY], references=1),
        paint_frame([ENTRY], payload=50 + wire.REFERENCE_BYTES),
        *(
            paint_frame([{**ENTRY, "reference": number}], payload=50 + wire.REFERENCE_BYTES, references=1)
            for number in (1, -1, "0", 0.0, False, [0], 10**400)
        ),
        paint_frame([{**ENTRY, "reference": 0}]),
        paint_frame([ENTRY], timeout=0),
        paint_frame([ENTRY], timeout=float("inf")),
        paint_frame([ENTRY], timeout=None),
    ],
    ids=lambda data: repr(data[18:60]),
)
def test_refuses(data):
    with pytest.raises(WireError):
        paint_frames.unpack_requests(through_socket([memoryview(data)]))


@pytest.mark.parametrize(
    "answer", ["yes", [], [0.5, "0.5"], [True], [None], [-0.1], [1.5], [10**400], [0.1] * 257, {"cone": 1.0}]
)
def test_refuses_answers(answer):
    text = json.dumps({"entries": [{"side": 1, "answer": answer}]}).encode()
    data = head(kind=Kind.PAINTED, header=len(text), payload=3) + text + b"\0" * 3
    with pytest.raises(WireError, match="answer"):
        paint_frames.unpack_results(through_socket([memoryview(data)]))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("image", np.zeros((4, 5, 3), np.uint8), "image of shape"),
        ("image", np.zeros((4, 4, 3), np.float32), "float32"),
        ("mask", np.zeros((4, 5), bool), "mask of shape"),
        ("mask", np.zeros((4, 4), np.uint8), "uint8"),
        ("prompt", "x" * 20_000, "prompt of 20000 characters"),
        ("strength", 1.5, "strength=1.5"),
        ("strength", float("nan"), "strength=nan"),
        ("seed", -1, "seed=-1"),
        ("reference", np.zeros((4, 4, 3), np.uint8), r"reference of shape \(4, 4, 3\)"),
        ("reference", np.zeros(SQUARE, np.float32), "reference of shape .* float32"),
        ("question", Question((0, 0, 5, 4), ("a",)), r"the box \(0, 0, 5, 4\) is empty or not inside"),
        ("question", Question((0, 0, 4, 4), ("a",), "b" * 17_000), "more than 16384 characters"),
        ("question", Question((0, 0, 4, 4), ()), "question with 0 texts: use 1 to 256"),
        ("question", Question((0, 0, 4, 4), ("a" * 17_000,)), "more than 16384 characters"),
    ],
)
def test_wrong_requests_are_named_before_they_are_sent(field, value, named):
    fields = {"image": np.zeros((4, 4, 3), np.uint8), "mask": np.ones((4, 4), bool), "prompt": "", field: value}
    with pytest.raises(ValueError, match=named):
        paint_frames.check_request(InpaintRequest(**fields))


def test_frames_stay_under_their_limits():
    big = InpaintRequest(np.zeros((4096, 4096, 3), np.uint8), np.zeros((4096, 4096), bool), "")
    per_frame = paint_frames.requests_per_frame([big] * 100)
    assert 1 <= per_frame < 100
    assert per_frame * (big.image.nbytes + big.mask.size // 8 + wire.REFERENCE_BYTES) <= wire.MAX_PAYLOAD
