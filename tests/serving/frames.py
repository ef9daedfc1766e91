"""Frames and requests for the tests of the transport."""

import dataclasses
import json
import socket
import struct

import numpy as np
from hypothesis import strategies as st

from inpaint_transform.core.protocol import InpaintRequest, Question
from inpaint_transform.serving.transport import wire
from inpaint_transform.serving.transport.wire import Kind, Reader


def through_socket(buffers, **limits):
    """Send while reading on, as the kernel's buffers are finite."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.setblocking(False)
        receiver.setblocking(False)
        reader = Reader(receiver, **limits)
        while True:
            sent = wire.send_some(sender, buffers)
            frame = reader.read()
            if frame is not None:
                return frame
            if sent:
                sender.close()


@st.composite
def questions(draw, side):
    x0, y0 = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
    box = (x0, y0, draw(st.integers(x0 + 1, side)), draw(st.integers(y0 + 1, side)))
    return Question(box, tuple(draw(st.lists(st.text(max_size=20), min_size=1, max_size=5))))


requests = st.builds(
    lambda side, prompt, negative, strength, seed: InpaintRequest(
        np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8),
        np.random.default_rng(seed + 1).random((side, side)) < 0.5,
        prompt,
        negative,
        strength,
        seed,
    ),
    st.integers(1, 40),
    st.text(max_size=50),
    st.text(max_size=50),
    st.floats(0, 1, exclude_min=True),
    st.integers(0, 2**63 - 1),
)
asking = requests.flatmap(
    lambda one: questions(one.image.shape[0]).map(lambda question: dataclasses.replace(one, question=question))
)


# None: nothing shared. Little: some requests do not fit.
memories = st.sampled_from([None, 100, 1 << 20]).map(lambda size: size and np.zeros(size, np.uint8))


def head(kind=Kind.PAINT, header=2, payload=0, magic=wire.MAGIC, version=wire.VERSION):
    return struct.pack("<4sBBIQ", magic, version, kind, header, payload)


ENTRY = {"side": 4, "prompt": "", "negative_prompt": "", "strength": 1.0, "seed": 0}


def paint_frame(entries, payload=None, **fields):
    text = json.dumps({"entries": entries, "timeout": 1.0, **fields}).encode()
    pixels = b"\0" * (sum(3 * 16 + 2 for _ in entries) if payload is None else payload)
    return head(header=len(text), payload=len(pixels)) + text + pixels
