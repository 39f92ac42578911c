"""Sessions are counted by kind, in portions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from wampha.clock import ReactorClock
from wampha.observe.census import Census


def sessions(count: int, realm: str = "realm1", kind: tuple[str, str] = ("websocket", "json")) -> list[Any]:
    return [SimpleNamespace(realm=realm, client=SimpleNamespace(kind=kind)) for _ in range(count)]


def test_sessions_are_counted_by_realm_transport_and_serializer() -> None:
    there = [
        *sessions(3),
        *sessions(2, kind=("rawsocket", "cbor")),
        *sessions(1, "realm2"),
        *sessions(1, kind=("", "")),
    ]
    told: list[Any] = []
    Census(sessions=lambda: there, clock=ReactorClock(Clock())).ask(told.append)
    assert told == [
        {
            ("realm1", "websocket", "json"): 3,
            ("realm1", "rawsocket", "cbor"): 2,
            ("realm2", "websocket", "json"): 1,
            ("realm1", "", ""): 1,
        }
    ]


def test_many_sessions_are_counted_over_several_turns_and_for_all_who_ask_meanwhile() -> None:
    clock, told, asked = Clock(), [], []  # type: ignore[var-annotated]

    def there() -> list[Any]:
        asked.append(1)
        return sessions(1200)

    census = Census(sessions=there, clock=ReactorClock(clock))
    census.ask(told.append)
    census.ask(told.append)
    assert told == [], "told in a later turn"
    clock.advance(0)
    assert told == [{("realm1", "websocket", "json"): 1200}] * 2
    assert len(asked) == 1 and not clock.getDelayedCalls()
    census.ask(told.append)
    assert len(asked) == 2
