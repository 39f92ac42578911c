"""Messages that wait for a session, on their way to its new home."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wampha.messages import model
from wampha.messages.payload import Family, Payload
from wampha.routing.estate import Reader, write

PAYLOAD = Payload(Family.CBOR, 2, b"\x81\x01\xa0")
MESSAGES: list[Any] = [
    model.Event(1, 2, {"topic": "a", "x_more": [1, None, "two"]}, PAYLOAD),
    model.Event(1, 3, {}, Payload(Family.JSON, 1, b"[1]" * 1000)),
    model.Result(1, {"progress": True}, PAYLOAD),
    model.Error(48, 1, {}, "an.error", PAYLOAD),
    model.Invocation(1, 2, {"caller": 7}, PAYLOAD),
    model.Interrupt(1, {"mode": "kill"}),
    model.Published(1, 2),
    model.Subscribed(1, 2),
    model.Unsubscribed(1),
    model.Registered(1, 2),
    model.Unregistered(1),
    model.SubscriptionRevoked(0, {"subscription": 7}),
    model.Revoked(0, {"registration": 7}),
]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_every_message_arrives_as_it_was_however_it_is_cut(size: int) -> None:
    data = b"".join(map(write, MESSAGES))
    reader = Reader()
    got = [message for start in range(0, len(data), size) for message in reader.read(data[start : start + size])]
    assert got == MESSAGES
    assert reader.received == len(data)


def test_all_that_a_session_can_be_sent_while_it_waits_can_be_written() -> None:
    """WELCOME, ABORT, GOODBYE and CHALLENGE belong to a connection; all other messages of a router are here."""
    sent = {each for each in vars(model).values() if isinstance(each, type) and issubclass(each, model.Hot)}
    received = {model.Publish, model.Call, model.Yield, model.Subscribe, model.Unsubscribe, model.Register}
    received |= {model.Unregister, model.Cancel}
    of_connections = {model.Welcome, model.Abort, model.Goodbye, model.Challenge}
    assert {type(message) for message in MESSAGES} == sent - received - of_connections - {model.Hot}


def test_what_is_no_message_is_noticed() -> None:
    with pytest.raises(msgspec.MsgspecError):
        list(Reader().read(b"\0\0\0\1\0\xc1"))
    with pytest.raises(IndexError):
        list(Reader().read(b"\0\0\0\1\xff\xc0"))
