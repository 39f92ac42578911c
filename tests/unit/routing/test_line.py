"""The way out of a session that can be resumed, with connections that take frames (`Client.group`)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import FakeClock
from tests.support.fakerouter import JsonStandIn
from tests.support.transports import Bench
from tests.unit.transport.test_outbox import event, messages
from wampha.routing.line import Line
from wampha.routing.slow import SlowPolicy

SUBSCRIBED = [33, 5, 50]  # as the stand-in serializer writes it


class Keeper:
    """Grants a fixed number of bytes."""

    room_bytes = 10_000

    def __init__(self) -> None:
        self.overflows = 0

    def held(self) -> None:
        pass

    def overflowed(self) -> None:
        self.overflows += 1


class Session:
    """What `Delivery` sees of a session."""

    def __init__(self, client: Any) -> None:
        self.client = client


class Fixture:
    """A line on a real connection without a socket."""

    def __init__(self) -> None:
        self.serializer = JsonStandIn()
        self.bench = Bench(serializers=[self.serializer])
        self.transports = [self.bench.open_rawsocket(), self.bench.open_rawsocket()]
        self.clients = [conversation.client for conversation in self.bench.router.conversations]
        self.keeper = Keeper()
        self.clock = FakeClock()
        self.line = Line(client=self.clients[0], policy=SlowPolicy.DISCONNECT, keeper=self.keeper, clock=self.clock)
        self._session: Any = Session(self.line)

    def deliver(self, *publications: int) -> None:
        for publication in publications:
            self.bench.delivery.deliver([self._session], event(publication=publication))

    def publications(self, connection: int) -> list[int]:
        """What a connection was sent since the last time: the publication, or the request of another message."""
        self.bench.delivery.flush()
        seen = [message[2] if message[0] == 36 else -message[1] for message in messages(self.transports[connection])]
        self.transports[connection].writes.clear()
        return seen


@pytest.fixture
def attached() -> Fixture:
    return Fixture()


def test_events_are_framed_once_with_those_of_other_sessions_and_written_at_once(attached: Fixture) -> None:
    plain: Any = Session(attached.clients[1])
    attached.bench.delivery.deliver([attached._session, plain], event(publication=1))
    attached.deliver(2)
    attached.bench.delivery.flush()
    assert attached.serializer.encoded == 2
    assert len(attached.transports[0].writes) == 1
    assert (attached.publications(0), attached.publications(1)) == ([1, 2], [1])
    assert attached.line.sent == 2


def test_messages_and_events_of_one_turn_keep_their_order(attached: Fixture) -> None:
    attached.deliver(1)
    attached.line.send(SUBSCRIBED)
    attached.deliver(2)
    assert attached.publications(0) == [1, -5, 2]
    assert attached.line.sent == 3


def test_what_is_delivered_in_the_turn_of_the_loss_is_gone_or_waits_but_never_both(attached: Fixture) -> None:
    line = attached.line
    attached.deliver(1)
    line.detach()
    attached.deliver(2, 3)
    assert (line.group is attached.clients[0].group, line.sent) == (False, 1)
    line.attach(attached.clients[1])
    attached.deliver(4)
    assert attached.publications(1) == [2, 3, 4]
    assert line.sent == 4


def test_what_comes_while_the_connection_closes_waits_behind_what_it_was_handed(attached: Fixture) -> None:
    line = attached.line
    attached.deliver(1)
    attached.clients[0].group = None
    attached.deliver(2)
    line.send(SUBSCRIBED)
    attached.bench.delivery.flush()
    assert (line.sent, line.held) == (1, 2)
    line.detach()
    line.attach(attached.clients[1])
    assert attached.publications(1) == [2, -5]


def test_in_one_turn_nothing_overtakes_what_had_to_wait(attached: Fixture) -> None:
    line = attached.line
    line.detach()
    attached.deliver(1)
    line._client = attached.clients[0]  # as if it could be sent to again before this turn's events were handed on
    attached.deliver(2)
    assert attached.publications(0) == [1, 2]


def test_what_is_delivered_during_a_replay_comes_behind_it(attached: Fixture) -> None:
    line = attached.line
    line.detach()
    attached.keeper.room_bytes = 1_000_000
    attached.deliver(*range(600))
    line.attach(attached.clients[1])
    attached.deliver(600)
    attached.bench.delivery.flush()
    attached.clock.advance(0)
    assert attached.publications(1) == list(range(601))


def test_after_the_end_everything_goes_nowhere(attached: Fixture) -> None:
    line = attached.line
    line.detach()
    attached.deliver(1)
    line.end()
    attached.deliver(2)
    line.send(SUBSCRIBED)
    line.attach(attached.clients[1])
    assert attached.publications(1) == []
    assert (line.held, line.held_bytes, attached.keeper.overflows) == (0, 0, 0)


@pytest.mark.logs_errors
def test_a_failure_while_handing_on_ends_the_session(attached: Fixture) -> None:
    def fail() -> None:
        try:
            raise ValueError("ours")
        except ValueError:
            attached.line.failed()

    fail()
    assert attached.keeper.overflows == 1
    assert attached.transports[0].aborted
    attached.line.detach()
    fail()
    assert attached.keeper.overflows == 1
