"""What ledgers say to one another over the control channel: typed MessagePack, nothing else is read.

Whoever sent a frame is known from its link, not from the frame.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Entry = tuple[bytes, Count, Count]  # command with its type byte, index, term


class BadFrameError(ValueError):
    """Bytes that are no frame."""


class Body(msgspec.Struct, frozen=True, array_like=True):
    """One message of Raft."""


class Append(Body, frozen=True, tag=1):
    """append_entries of the leader; also its heartbeat."""

    term: Count
    commit: Count
    previous_index: Count | None
    previous_term: Count | None
    entries: tuple[Entry, ...]


class Piece(Body, frozen=True, tag=2):
    """append_entries with a piece of a snapshot; with `snapshot` 0 only the heartbeat for one who waits for pieces."""

    term: Count
    commit: Count
    snapshot: Count  # the index up to which it goes
    number: Count  # of the piece, from 0
    data: bytes
    ends: tuple[Entry, Entry] | None  # the entries at that index and before it, with the last piece; it has no data


class Answer(Body, frozen=True, tag=3):
    """How far the follower is; `term` is that of the message answered (repair 2)."""

    term: Count
    next_index: Count
    reset: bool
    success: bool


class RequestVote(Body, frozen=True, tag=4):
    term: Count
    last_index: Count
    last_term: Count


class Vote(Body, frozen=True, tag=5):
    term: Count


class Forwarded(Body, frozen=True, tag=6):
    """A command for the leader."""

    command: bytes
    request: Count | None


class Placed(Body, frozen=True, tag=7):
    """Where the leader put a forwarded command, or why not."""

    request: Count
    error: Count | None
    index: Count
    term: Count


class PreVote(Body, frozen=True, tag=8):
    """Would you vote for me? Disturbs nobody."""

    round: Count
    last_index: Count
    last_term: Count


class PreVoted(Body, frozen=True, tag=9):
    """Yes, and my term."""

    round: Count
    term: Count


class TimeoutNow(Body, frozen=True, tag=10):
    """Become the leader, in a term above this one of mine."""

    term: Count


class Taken(Body, frozen=True, tag=11):
    """So many pieces of this snapshot have been taken."""

    term: Count
    snapshot: Count
    pieces: Count


RaftBody = Append | Piece | Answer | RequestVote | Vote | Forwarded | Placed | PreVote | PreVoted | TimeoutNow | Taken


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One control frame."""


class Raft(Frame, frozen=True, tag=1):
    """A message of Raft within one cluster, from one life of a node."""

    cluster: Count
    life: Count
    recovering: bool
    body: RaftBody


class Ping(Frame, frozen=True, tag=2):
    """Rule 10. Without a cluster: a probe."""

    cluster: Count | None
    term: Count
    incarnation: Count
    life: Count
    sent: float
    echo: float | None  # the leader's stamp heard last in this term
    applied: Count
    recovering: bool
    wants_open: bool


class Reply(Frame, frozen=True, tag=3):
    """Rule 13."""

    cluster: Count
    term: Count
    incarnation: Count
    sent: float  # of the ping
    left: Seconds
    stamp: float
    claim: Count
    dead: bool
    opens: Count | None  # the life that may vote from now on (rule 43)
    quorate: bool


class Claim(Frame, frozen=True, tag=4):
    """Rule 21."""

    cluster: Count
    index: Count


class State(Frame, frozen=True, tag=5):
    """Rule 50: what a voter is."""

    life: Count
    recovering: bool
    cluster: Count | None
    uptime: Seconds
    pledge: Count | None


class Found(Frame, frozen=True, tag=6):
    """Rule 51: will you, in this life, be of this cluster?"""

    cluster: Count
    life: Count


class Go(Frame, frozen=True, tag=7):
    """Rules 53, 54: the cluster exists; nothing is granted in it for `hold` seconds."""

    cluster: Count
    life: Count
    hold: Seconds


AnyFrame = Raft | Ping | Reply | Claim | State | Found | Go

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AnyFrame)


def encode(frame: AnyFrame) -> bytes:
    """The frame as bytes."""
    return _ENCODER.encode(frame)


def decode(data: bytes) -> AnyFrame:
    """The frame of these bytes; raises BadFrameError and nothing else, whatever they are."""
    try:
        frame: AnyFrame = _DECODER.decode(data)
        return frame
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadFrameError(str(error)) from None
