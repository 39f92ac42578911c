"""Frames: any cutting of the stream reads alike, and nothing that arrives can do more than be refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cluster.harness import forward
from wampha.cluster.frames import (
    KEEP_ALIVE,
    Envelope,
    FrameError,
    FrameReader,
    append_envelope,
    framed,
    read_data,
)
from wampha.messages.model import NO_OPTIONS
from wampha.messages.payload import NOTHING, Family, Payload
from wampha.messages.relayed import Answer, CancelInvoke, Invoke, InvokeMore, Originator, Reply

MIB = 1024 * 1024
RELAYED = (
    forward(2**53, b"\x93\x01\x02\x03"),
    Invoke(1, "realm1", 9, "com.add", 2**53, Originator(1, "a", "b"), {"_x": [1, None, b"\0"]}, NOTHING),
    Reply(1, Answer.ERROR, "com.failed", NO_OPTIONS, Payload(Family.JSON, 2, b'[1],{"a":2}')),
    CancelInvoke(2**53, "wamp.error.canceled", "kill"),
    InvokeMore(2**53, True, NOTHING),
)


def _written(*envelopes: Envelope) -> bytes:
    buffer = bytearray()
    for envelope in envelopes:
        append_envelope(buffer, envelope, MIB)
    return bytes(buffer)


@pytest.mark.parametrize("relayed", RELAYED, ids=lambda relayed: type(relayed).__name__)
def test_every_relayed_message_arrives_as_it_was_sent(relayed):
    envelope = Envelope(2**64 - 1, 2**40, relayed)
    (body,) = FrameReader(MIB).frames(_written(envelope))
    assert read_data(body) == envelope


@given(st.lists(st.binary(max_size=40), max_size=12), st.data())
def test_frames_do_not_depend_on_how_the_stream_is_cut(bodies, data):
    stream = b"".join(framed(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = FrameReader(100)
    read = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.frames(stream[start:stop])
    assert read == bodies


def test_a_long_frame_in_small_chunks_takes_linear_time():
    body = bytes(16 * MIB)
    stream = framed(body) + framed(b"next")
    reader = FrameReader(17 * MIB)
    read = []
    for start in range(0, len(stream), 1024):  # were each chunk to copy what came before, 130 GiB would be moved
        read += reader.frames(stream[start : start + 1024])
    assert read == [body, b"next"]


def test_a_length_above_the_bound_is_refused_before_its_bytes_come():
    reader = FrameReader(100)
    with pytest.raises(FrameError, match="2147483648 bytes"):
        list(reader.frames(b"\x80\0\0\0"))


def test_the_bound_may_rise_between_two_frames_of_one_chunk():
    reader = FrameReader(4)
    read = []
    for body in reader.frames(framed(b"ok") + framed(b"a longer one")):
        read.append(body)
        reader.bytes_max = 100
    assert read == [b"ok", b"a longer one"]


def test_a_keep_alive_is_an_empty_frame():
    assert list(FrameReader(0).frames(KEEP_ALIVE)) == [b""]


@pytest.mark.parametrize(
    "options",
    [{"n": 2**70}, {"s": "\ud800"}, {"o": object()}, {"c": 1j}],
    ids=["big", "surrogate", "object", "complex"],
)
def test_what_cannot_be_written_is_refused_and_leaves_no_trace(options):
    buffer = bytearray(b"before")
    relayed = Reply(1, Answer.RESULT, "", options, NOTHING)
    with pytest.raises(FrameError, match="cannot be written"):
        append_envelope(buffer, Envelope(1, 1, relayed), MIB)
    assert buffer == b"before"


def test_a_frame_that_the_peer_would_refuse_is_not_written():
    buffer = bytearray(b"before")
    with pytest.raises(FrameError, match="link_frame_bytes_max"):
        append_envelope(buffer, Envelope(1, 1, forward(1, bytes(2 * MIB))), MIB)
    assert buffer == b"before"


@given(st.sampled_from(RELAYED), st.data())
def test_mutated_frames_are_read_or_refused_and_nothing_else(relayed, data):
    body = bytearray(_written(Envelope(7, 1, relayed))[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        body = body or bytearray(b"\x90")
    with contextlib.suppress(FrameError):
        read_data(bytes(body))


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_and_nothing_else(body):
    with contextlib.suppress(FrameError):
        read_data(body)


@pytest.mark.parametrize("body", [b"", b"\x90", b"\x91" * 100_000, b"\x81" * 100_000, b"\x94\x09\x01\x01\x90"])
def test_hostile_frames_are_refused(body):
    with pytest.raises(FrameError):
        read_data(body)
