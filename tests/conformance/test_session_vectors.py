"""The specification's multi-session vectors, played against real nodes: see `vectors/README.md`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.support.nodes import Cluster
from tests.support.wampclient import BATCHED, EVENT, SERIALIZERS, TRANSPORTS, Session

VECTORS: Final = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "vectors" / "multisession").glob("*.json"))
}
pytestmark = pytest.mark.integration

PAYLOAD: Final = ("args", "kwargs")
LAYOUTS: Final[dict[str, tuple[Any, ...]]] = {
    "ERROR": (8, "request_type", "request_id", "details", "error", *PAYLOAD),
    "PUBLISH": (16, "request_id", "options", "topic", *PAYLOAD),
    "PUBLISHED": (17, "request_id", "publication_id"),
    "SUBSCRIBE": (32, "request_id", "options", "topic"),
    "SUBSCRIBED": (33, "request_id", "subscription_id"),
    "UNSUBSCRIBE": (34, "request_id", "subscription_id"),
    "UNSUBSCRIBED": (35, "request_id"),
    "EVENT": (36, "subscription_id", "publication_id", "details", *PAYLOAD),
    "CALL": (48, "request_id", "options", "procedure", *PAYLOAD),
    "RESULT": (50, "request_id", "details", *PAYLOAD),
    "REGISTER": (64, "request_id", "options", "procedure"),
    "REGISTERED": (65, "request_id", "registration_id"),
    "UNREGISTER": (66, "request_id", "registration_id"),
    "UNREGISTERED": (67, "request_id"),
    "INVOCATION": (68, "request_id", "registration_id", "details", *PAYLOAD),
    "YIELD": (70, "request_id", "options", *PAYLOAD),
}
GIVEN_BY_ROUTER: Final = ("subscription_id", "publication_id", "registration_id")

WAYS: Final = [
    *[(transport, serializer) for transport in TRANSPORTS for serializer in SERIALIZERS],
    *[("websocket", serializer) for serializer in BATCHED],
]


class Player:
    """Plays one vector: sends what its clients send, and compares what the router answers.

    Ids of the router's own are those that a vector names, but for their value: equal ones stay equal.
    """

    def __init__(self, sessions: dict[str, Session]) -> None:
        self._sessions = sessions
        self._ids: dict[tuple[str, int], int] = {}  # (kind, id in the vector) -> the router's
        self.events: dict[str, int] = dict.fromkeys(sessions, 0)

    def play(self, sequence: list[dict[str, Any]]) -> None:
        for step in sequence:
            message = step["message"]
            code, *names = LAYOUTS[message["type"]]
            assert message.keys() <= {"type", *names}, "the vector has what the player does not know"
            if step["from"] == "router":
                self._expect(step["to"], code, names, message)
            else:
                fields = [self._of_router(name, message[name]) for name in names if name in message]
                self._sessions[step["from"]].connection.send([code, *fields])

    def _of_router(self, name: str, value: Any) -> Any:
        return self._ids[name, value] if name in GIVEN_BY_ROUTER else value

    def _expect(self, receiver: str, code: int, names: list[str], expected: dict[str, Any]) -> None:
        arrived = self._sessions[receiver].connection.receive()
        assert arrived[0] == code, arrived
        self.events[receiver] += code == EVENT
        seen = dict(zip(names, arrived[1:], strict=False))
        for name, value in expected.items():
            if name in GIVEN_BY_ROUTER:
                assert self._ids.setdefault((name, value), seen[name]) == seen[name]
            elif name == "details":
                assert value.items() <= seen[name].items()
            elif name != "type":
                assert seen[name] == value
        assert seen.get("args") == expected.get("args")

    def drain(self) -> None:
        """Whatever else comes to the sessions is counted."""
        for name, session in self._sessions.items():
            session.synchronize()
            self.events[name] += sum(message[0] == EVENT for message in session.inbox)


def check(vector: dict[str, Any], ports: list[int], transport: str, serializer: str) -> None:
    """Play it with its sessions on these ports in turn, and compare the outcome."""
    with ExitStack() as stack:
        sessions = {
            each["session_id"]: stack.enter_context(
                Session(ports[number % len(ports)], transport, serializer, each["realm"])
            )
            for number, each in enumerate(vector["sessions"])
        }
        player = Player(sessions)
        player.play(vector["sequence"])
        player.drain()
        outcome = vector["expected_outcome"]
        assert sum(player.events.values()) == outcome["event_count"]
        assert [name for name, count in player.events.items() if count] == outcome["event_recipients"]


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_vector_on_one_node(router: Router, name: str, transport: str, serializer: str) -> None:
    check(VECTORS[name], [router.port], transport, serializer)


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize(("transport", "serializer"), WAYS)
@pytest.mark.parametrize("nodes", ["abc", "bca", "cab"])
def test_vector_in_a_cluster(cluster: Cluster, nodes: str, name: str, transport: str, serializer: str) -> None:
    """Each session on another node; a vector of one session is played on every node."""
    check(VECTORS[name], [cluster[letter].port for letter in nodes], transport, serializer)


def test_there_are_vectors_and_each_has_an_outcome() -> None:
    assert VECTORS
    assert all(vector["expected_outcome"]["event_count"] >= 1 for vector in VECTORS.values())
