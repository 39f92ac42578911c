"""What data links carry: messages on their way to another node. Payloads stay the bytes that the client sent.

A frame is addressed to one incarnation of a node by the link's envelope (protocol rule 29); these are its contents.
A call is named by its number at the caller's home node; together with that node's incarnation it is unique.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from wampha.messages.model import NO_OPTIONS, Options
from wampha.messages.payload import Payload


class Originator(msgspec.Struct, frozen=True, array_like=True):
    """The session that published or called."""

    session: int
    authid: str
    authrole: str


THE_ROUTER: Final = Originator(0, "", "")  # of events that no session published; session ids begin at 1


class Forward(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A publication for the subscribers of the receiving node."""

    realm: str
    topic: str
    publication: int
    publisher: Originator
    options: Options  # of the PUBLISH
    payload: Payload
    details: Options = NO_OPTIONS  # of the EVENT, but for what differs between subscriptions
    retained: int = 0  # index of the entry that retains it; 0: none does


class Invoke(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A call for a callee whose home is the receiving node."""

    call: int
    realm: str
    registration: int
    procedure: str  # as called
    callee: int  # session id
    caller: Originator
    details: Options  # of the INVOCATION, as far as the caller's home can say
    payload: Payload
    waits: bool = False  # it may be queued until the callee has a place for it (`concurrency`)


class Answer(enum.IntEnum):
    """How an `Invoke` ended."""

    RESULT = 0
    ERROR = 1
    NOT_DELIVERED = 2  # nothing has been sent to the callee: the caller's home may choose again (rule 3)
    PROGRESS = 3  # it goes on: a result on the way
    UNAVAILABLE = 4  # the callee says so, and wants it to be given to another one (`call_reroute`)
    LOST = 5  # the callee left before it answered


RESULT: Final = Answer.RESULT  # for the hot path: to look a member up in its enum costs ten times as much
PROGRESS: Final = Answer.PROGRESS


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The end of a call, or a progressive result, on its way to the caller's home."""

    call: int
    answer: Answer
    error: str  # URI of an ERROR, or of why nothing was delivered; empty if nobody offers it there
    options: Options  # YIELD.Options or ERROR.Details
    payload: Payload


class CancelInvoke(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The caller of `call` is gone, or has canceled it, or its time is over.

    The modes are those of CANCEL. After `skip` and `killnowait` later replies are dropped; `kill` waits for one.
    """

    call: int
    reason: str  # an error URI
    mode: str


class InvokeMore(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The next part of a progressive call, for the callee that got the first (`Invoke`)."""

    call: int
    more: bool  # another part will follow
    payload: Payload


class Query(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A question to the receiving node (`routing/gather.py`)."""

    number: int
    question: bytes  # MessagePack: releases may know different questions, and a link does not care


class QueryReply(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The answer to a `Query`; None if the node cannot give any."""

    number: int
    answer: bytes | None


class Reported(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """What was forwarded before this comes before what the sender's report of this number tells of its sessions."""

    number: int


Relayed = Forward | Invoke | Reply | CancelInvoke | InvokeMore | Query | QueryReply | Reported
