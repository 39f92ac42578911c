"""The doors of a node: when clients are let in, when nobody listens, and that no timer outlives them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from wampha.errors import StartError
from wampha.transport.doors import LINKS_LOOK_S, LINKS_LOOKS, LISTEN_RETRY_S, Doors


class FakeDoor:
    def __init__(self) -> None:
        self.bound = False
        self.taken = False  # by somebody else
        self.pending: defer.Deferred[None] | None = None  # set by a test: the next `listen` waits for it
        self.did: list[str] = []

    def listen(self) -> defer.Deferred[Any]:
        if self.taken:
            return defer.fail(StartError("cannot listen on `here`"))
        self.bound = True
        return self.pending or defer.succeed(None)

    def stop(self) -> defer.Deferred[Any]:
        self.bound = False
        return defer.succeed(None)

    def refuse_newcomers(self) -> None:
        self.did.append("refused newcomers")

    def drain(self) -> defer.Deferred[None]:
        self.did.append("drained")
        return defer.succeed(None)

    def cut(self) -> None:
        self.did.append("cut")


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.linked = True
        self.opened = 0
        self.two = (FakeDoor(), FakeDoor())
        self.doors = Doors(doors=self.two, linked=lambda: self.linked, opened=self._opened, reactor=self.clock)

    def _opened(self) -> None:
        self.opened += 1

    @property
    def bound(self) -> list[bool]:
        return [door.bound for door in self.two]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_they_open_at_once_when_every_member_is_linked(bench: Bench) -> None:
    bench.doors.open()
    assert bench.bound == [True, True] and bench.opened == 1 and bench.doors.open_to_clients
    bench.doors.open()
    assert bench.opened == 1
    assert not bench.clock.getDelayedCalls()


def test_they_wait_for_links_but_not_for_ever(bench: Bench) -> None:
    bench.linked = False
    bench.doors.open()
    for _ in range(LINKS_LOOKS - 1):
        bench.clock.advance(LINKS_LOOK_S)
    assert bench.bound == [False, False] and not bench.doors.open_to_clients
    bench.clock.advance(LINKS_LOOK_S)
    assert bench.bound == [True, True] and bench.opened == 1


def test_they_open_as_soon_as_the_last_link_is_there(bench: Bench) -> None:
    bench.linked = False
    bench.doors.open()
    bench.clock.advance(LINKS_LOOK_S)
    bench.linked = True
    bench.clock.advance(LINKS_LOOK_S)
    assert bench.bound == [True, True]


def test_rule_4_they_close_and_open_again(bench: Bench) -> None:
    for count in (1, 2, 3):
        bench.doors.open()
        assert bench.bound == [True, True] and bench.opened == count
        bench.doors.close()
        assert bench.bound == [False, False] and not bench.doors.open_to_clients


@pytest.mark.parametrize("waits", [True, False], ids=["for links", "for an address"])
def test_closed_while_they_wait_they_stay_closed(bench: Bench, waits: bool) -> None:
    bench.linked = not waits
    bench.two[1].taken = not waits
    with capturedLogs():
        bench.doors.open()
        bench.doors.close()
    bench.linked, bench.two[1].taken = True, False
    bench.clock.advance(10)
    assert bench.bound == [False, False] and not bench.opened
    assert not bench.clock.getDelayedCalls()


def test_a_port_that_is_bound_only_after_they_were_closed_is_let_go(bench: Bench) -> None:
    pending = bench.two[0].pending = defer.Deferred()
    bench.doors.open()
    bench.doors.close()
    pending.callback(None)
    assert bench.bound == [False, False] and not bench.opened


def test_a_taken_address_is_tried_again_and_said_once(bench: Bench) -> None:
    bench.two[1].taken = True
    with capturedLogs() as said:
        bench.doors.open()
        for _ in range(5):
            bench.clock.advance(LISTEN_RETRY_S)
    assert len(said) == 1 and "cannot listen" in str(said[0]["error"])
    assert bench.bound == [True, False] and not bench.doors.open_to_clients
    bench.two[1].taken = False
    bench.clock.advance(LISTEN_RETRY_S)
    assert bench.bound == [True, True] and bench.opened == 1


def test_shut_they_never_open_again(bench: Bench) -> None:
    bench.doors.open()
    bench.doors.shut()
    bench.doors.close()
    bench.doors.open()
    bench.clock.advance(10)
    assert bench.bound == [False, False] and bench.opened == 1


def test_an_address_that_is_taken_at_the_start_is_an_error(bench: Bench) -> None:
    bench.two[1].taken = True
    with pytest.raises(StartError, match="cannot listen"):
        bench.doors.take_addresses(keep=True)


def test_addresses_are_kept_by_a_node_alone_and_let_go_by_a_member(bench: Bench) -> None:
    bench.doors.take_addresses(keep=False)
    assert bench.bound == [False, False] and not bench.opened
    bench.doors.take_addresses(keep=True)
    assert bench.bound == [True, True] and bench.opened == 1


def test_what_concerns_connections_reaches_every_door(bench: Bench) -> None:
    bench.doors.refuse_newcomers()
    bench.doors.drain()
    bench.doors.cut()
    assert [door.did for door in bench.two] == [["refused newcomers", "drained", "cut"]] * 2
