"""Tells this node's subscribers who joined and left, and publishes what sessions leave behind.

Every node does so for its own subscribers when it applies the change, in the order of the log; nothing is forwarded.
So the death of a home node neither loses nor doubles anything (rule 28), and all nodes use the same publication ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from wampha.messages.payload import Payload
from wampha.names.ids import derived_publication
from wampha.routing.broker import Broker
from wampha.routing.ports import Clock
from wampha.state.changes import SessionJoined, SessionLeft, TestamentsDue
from wampha.state.facts import EVERYBODY

ON_JOIN: Final = "wamp.session.on_join"
ON_LEAVE: Final = "wamp.session.on_leave"
_TOLD_MAX: Final = 200  # changes that are told in one turn: with a subscriber each, some 5 ms


class Presence:
    """What is still to be told, in the order of the log."""

    def __init__(self, *, broker: Callable[[str], Broker | None], clock: Clock) -> None:
        """`broker` gives that of a realm."""
        self._broker: Final = broker
        self._clock: Final = clock
        self._waiting: Final[deque[SessionJoined | SessionLeft | TestamentsDue]] = deque()
        self._going_on = False  # in a later turn
        self._steps: Final[Mapping[type, Callable[[Broker, Any], None]]] = {
            SessionJoined: _tell_join,
            SessionLeft: _tell_leave,
            TestamentsDue: _publish_testaments,
        }

    def applied(self, changes: Iterable[Any]) -> None:
        """A batch of the log was applied: tell of it, as far as one turn allows."""
        self._waiting.extend(change for change in changes if type(change) in self._steps)
        if not self._going_on:
            self._tell_some()

    def reset(self) -> None:
        """Nobody is left to be told."""
        self._waiting.clear()

    def _go_on(self) -> None:
        self._going_on = False
        self._tell_some()

    def _tell_some(self) -> None:
        for _ in range(min(_TOLD_MAX, len(self._waiting))):
            change = self._waiting.popleft()
            broker = self._broker(change.member.realm)
            if broker is not None:
                self._steps[type(change)](broker, change)
        if self._waiting:
            self._going_on = True
            self._clock.call_later(0, self._go_on)


def _tell_join(broker: Broker, change: SessionJoined) -> None:
    if broker.hears(ON_JOIN):
        member = change.member
        broker.publish_here(ON_JOIN, derived_publication(ON_JOIN, member.id), Payload.of([member.details()]))


def _tell_leave(broker: Broker, change: SessionLeft) -> None:
    """Its last words first: what follows on_leave is not the session's any more."""
    # Advanced profile, "Session Meta API": `kill_all` generates neither session meta events nor testaments.
    if change.killed is not None and change.killed.of == EVERYBODY:
        return
    _publish_testaments(broker, change)
    if broker.hears(ON_LEAVE):
        member = change.member
        broker.publish_here(
            ON_LEAVE,
            derived_publication(ON_LEAVE, member.id),
            Payload.of([member.id, member.authid, member.authrole]),
        )


def _publish_testaments(broker: Broker, change: SessionLeft | TestamentsDue) -> None:
    for testament in change.testaments:
        broker.publish_here(
            testament.topic, testament.publication, testament.payload, testament.details, testament.options
        )
