"""The wire: whole frames, or an error."""

import resource
import socket

import numpy as np
import pytest
from frames import head, through_socket
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.serving.transport import paint_frames, shared_memory, wire
from inpaint_transform.serving.transport.wire import Kind, Reader, WireError


def test_a_large_frame_comes_in_pieces():
    asked = InpaintRequest(np.full((1500, 1500, 3), 7, np.uint8), np.ones((1500, 1500), bool), "")
    [got], _ = paint_frames.unpack_requests(through_socket(paint_frames.pack_requests([asked], 1.0)))
    assert np.array_equal(got.image, asked.image)


def test_the_end_of_the_connection_is_an_error():
    with pytest.raises(ConnectionError):
        through_socket([memoryview(head(header=50))])


def test_limits_hold_before_the_bytes_come():
    with pytest.raises(WireError, match="over the limit"):
        through_socket([memoryview(head(header=2000))], max_header=1024)
    with pytest.raises(WireError, match="over the limit"):
        through_socket([memoryview(head(payload=1))], max_payload=0)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_never_do_more_than_fail(data, with_head):
    data = head(header=len(data) // 2) + data if with_head else data
    with pytest.raises((WireError, ConnectionError)):
        paint_frames.unpack_requests(through_socket([memoryview(data)] if data else []))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("prompt='x'"), ValueError, "prompt='x'"),
        (InpaintError("the engine hangs"), InpaintError, "the engine hangs"),
        (OSError(28, "No space left"), InpaintError, "the engine failed: OSError: [Errno 28] No space left"),
    ],
)
def test_an_error_keeps_its_kind_and_says_whether_the_server_ends(error, kind, text, last):
    frame = through_socket(wire.pack_error(error, last))
    assert type(wire.unpack_error(frame)) is kind
    assert str(wire.unpack_error(frame)) == text
    assert frame.header["last"] is last


def test_memory_that_finds_no_descriptor_is_a_frame_without_one():
    sender, receiver = socket.socketpair()
    with sender, receiver:
        descriptor, _ = shared_memory.create(1)
        wire.send_memory(sender, descriptor)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        reader = Reader(receiver)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        try:
            frame = reader.read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert frame.kind is Kind.SHARED_MEMORY
        assert frame.descriptor is None
