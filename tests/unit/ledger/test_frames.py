"""Control frames: what is written can be read, and nothing else can."""

from __future__ import annotations

import contextlib
import math
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wampha.ledger import frames
from wampha.ledger.frames import AnyFrame, BadFrameError, decode, encode

EACH = [
    frames.Raft(7, 8, True, frames.Append(3, 2, 1, 0, ((b"\x00x", 2, 3),))),
    frames.Raft(7, 8, False, frames.Piece(3, 2, 9, 4, b"data", None)),
    frames.Raft(7, 8, False, frames.Piece(3, 2, 9, 4, b"", ((b"\x00x", 8, 2), (b"\x00y", 9, 3)))),
    frames.Raft(7, 8, False, frames.Taken(3, 9, 5)),
    frames.Raft(7, 8, False, frames.TimeoutNow(3)),
    frames.Raft(7, 8, False, frames.Answer(3, 9, True, False)),
    frames.Raft(7, 8, False, frames.RequestVote(3, 9, 2)),
    frames.Raft(7, 8, False, frames.Vote(3)),
    frames.Raft(7, 8, False, frames.Forwarded(b"\x00x", 4)),
    frames.Raft(7, 8, False, frames.Placed(4, None, 9, 3)),
    frames.Raft(7, 8, False, frames.PreVote(1, 9, 3)),
    frames.Raft(7, 8, False, frames.PreVoted(1, 3)),
    frames.Ping(7, 3, 11, 8, 12.5, 12.0, 9, False, False),
    frames.Ping(None, 0, 11, 8, 12.5, None, 0, True, False),
    frames.Reply(7, 3, 11, 12.5, 1.4, 99.5, 9, False, None, True),
    frames.Claim(7, 9),
    frames.State(8, True, None, 0.3, None),
    frames.Found(7, 8),
    frames.Go(7, 8, 1.5),
]


@pytest.mark.parametrize("frame", EACH, ids=lambda frame: type(getattr(frame, "body", frame)).__name__)
def test_a_frame_survives_the_wire(frame: AnyFrame) -> None:
    assert decode(encode(frame)) == frame


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_by_one_exception(data: bytes) -> None:
    with contextlib.suppress(BadFrameError):
        decode(data)


@given(st.sampled_from(EACH), st.data())
def test_mutated_frames_are_read_or_refused(frame: AnyFrame, data: st.DataObject) -> None:
    mutated = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadFrameError):
        decode(bytes(mutated))


@pytest.mark.parametrize(
    "value",
    [
        [1, 7, 8, True, [1, 3, 2, 1, 0, [[b"x", -2, 3]]]],  # a negative index
        [7, 7, 8, math.nan],  # a time that is no number
        [7, 7, 8, -1.0],
        [3, 7, 3, 11, 1.0, math.inf, 1.0, 9, False, None],  # too short
        [9, 1, 2],  # no such frame
        [1, 7, 8, True, [99, 3]],  # no such message
        "ping",
        {"type": "append_entries"},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(value: object) -> None:
    with pytest.raises(BadFrameError):
        decode(msgspec.msgpack.encode(value))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadFrameError):
        decode(b"\x91" * 100_000)


def test_a_pickle_is_refused() -> None:
    with pytest.raises(BadFrameError):
        decode(pickle.dumps({"type": "append_entries"}, protocol=2))
