"""A router that only remembers, and a serializer that only knows JSON, for tests of the transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from wampha.auth.anonymous import Anonymous
from wampha.auth.doorway import Doorway
from wampha.errors import ProtocolViolation, WamphaError
from wampha.messages.model import Abort, Event
from wampha.routing.slow import SlowPolicy


class UnwritableError(WamphaError):
    """The payload that the stand-in serializer refuses to write."""


class JsonStandIn:
    """Like `messages.serializers`, with lists as messages."""

    SERIALIZER_ID = "json"
    RAWSOCKET_SERIALIZER_ID = 1
    BINARY = False

    def __init__(self) -> None:
        self.encoded = 0

    def parse(self, data: bytes) -> Any:
        try:
            return json.loads(str(data, "utf8"))
        except ValueError as problem:
            raise ProtocolViolation(f"not JSON: {problem}") from None

    def encode(self, message: Any) -> bytes:
        self.encoded += 1
        if isinstance(message, Event):
            message = [
                36,
                message.subscription,
                message.publication,
                dict(message.details),
                message.payload.data.decode(),
            ]
        elif isinstance(message, Abort):
            message = [3, dict(message.details), message.reason]
        if message == "unwritable":
            raise UnwritableError("no")
        return json.dumps(message if isinstance(message, list) else str(message)).encode()


class MsgpackStandIn(JsonStandIn):
    """Binary frames, so that mixing up the two can be tested; what is in them is JSON too."""

    SERIALIZER_ID = "msgpack"
    RAWSOCKET_SERIALIZER_ID = 2
    BINARY = True


class FakeConversation:
    """Remembers what it was told; violations are answered like the core does."""

    def __init__(self, client: Any, router: FakeRouter) -> None:
        self.client = client
        self.received: list[Any] = []
        self.undeliverable: list[Any] = []
        self.violations: list[str] = []
        self.losses = 0
        self.told: list[tuple[str, Any]] = []
        self._router = router

    def slow_policy(self) -> SlowPolicy:
        return self._router.slow_clients

    def slow_teller(self) -> Callable[[str, Any], None]:
        return lambda topic, what: self.told.append((topic, what))

    def receive(self, message: Any) -> None:
        self.received.append(message)
        self._router.on_message(self, message)

    def undelivered(self, error: Any) -> None:
        self.undeliverable.append(error)

    def violated(self, violation: ProtocolViolation) -> None:
        self.violations.append(str(violation))
        self.client.send(Abort({"message": str(violation)}, violation.uri))
        self.client.finish()

    def lost(self) -> None:
        self.losses += 1


DOORWAY = Doorway({"anonymous": Anonymous("anonymous")})


class FakeRouter:
    """Keeps the conversations in the order in which they began; `on_message(conversation, message)` is the test's."""

    def __init__(
        self, on_message: Callable[[FakeConversation, Any], None] = lambda conversation, message: None
    ) -> None:
        self.conversations: list[FakeConversation] = []
        self.doorways: list[Any] = []
        self.slow_clients = SlowPolicy.DISCONNECT
        self.on_message = on_message

    def connected(self, client: Any, doorway: Any) -> FakeConversation:
        conversation = FakeConversation(client, self)
        self.conversations.append(conversation)
        self.doorways.append(doorway)
        return conversation
