"""What data links carry: messages on their way to another node. Payloads stay the bytes that the client sent.

A frame is addressed to one incarnation of a node by the link's envelope (protocol rule 29); these are its contents.
A call is named by its number at the caller's home node; together with that node's incarnation it is unique.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from wampha.messages.model import Options
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
    options: Options
    payload: Payload


class Invoke(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A call for a callee whose home is the receiving node."""

    call: int
    realm: str
    registration: int
    procedure: str  # as called
    callee: int  # session id
    caller: Originator
    options: Options
    payload: Payload


class Answer(enum.IntEnum):
    """How an `Invoke` ended."""

    RESULT = 0
    ERROR = 1
    NOT_DELIVERED = 2  # nothing has been sent to the callee: the caller's home may choose again (rule 3)


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The end of a call, on its way to the caller's home."""

    call: int
    answer: Answer
    error: str  # URI of an ERROR, or why nothing was delivered: `unavailable`, or empty if nobody offers it
    options: Options  # YIELD.Options or ERROR.Details
    payload: Payload


class CancelInvoke(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The caller of `call` is gone or does not wait any longer; later replies are dropped."""

    call: int
    reason: str


Relayed = Forward | Invoke | Reply | CancelInvoke
