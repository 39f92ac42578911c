"""Which cookies the cluster knows: the first who proves something with one, until that one logs out or time is over."""

from __future__ import annotations

from wampha.counters import Counters
from wampha.state import snapshot
from wampha.state.changes import CookieForgotten
from wampha.state.codec import VERSION, encode, version_of
from wampha.state.commands import (
    Command,
    Down,
    EndPeriod,
    ForgetCookie,
    Identity,
    Lead,
    Outcome,
    Owner,
    RememberCookie,
    Up,
)
from wampha.state.cookies import IDENTITY_COOKIES_MAX
from wampha.state.machine import Machine

A, B, DEAD = Owner("a", 1), Owner("b", 2), Owner("c", 3)
JOE, EVA = (Identity("realm1", name, "ticket", b"proof of " + name.encode()) for name in ("joe", "eva"))


class Bench:
    def __init__(self) -> None:
        self.counters = Counters()
        self.machine = Machine(self.counters)
        self._index = 0
        for command in (Up(A, (), "", "", VERSION), Up(B, (), "", "", VERSION), Lead(1, "a")):
            self.execute(command)

    def execute(self, command: Command) -> Outcome:
        self._index += 1
        return self.machine.apply(self._index, encode(command))

    def remember(self, cookie: bytes, who: Identity = JOE, *, periods: int = 3, most: int = 100) -> Outcome:
        return self.execute(RememberCookie(A, cookie, who, periods, most))

    def forget(self, cookie: bytes, who: Identity = JOE, *, most: int = 100) -> Outcome:
        return self.execute(ForgetCookie(B, cookie, who, 3, most))

    def end_period(self, period: int) -> Outcome:
        return self.execute(EndPeriod(A, period))

    def known(self, *cookies: bytes) -> list[Identity | None]:
        return [self.machine.tables.cookies.identity(cookie) for cookie in cookies]


def test_a_cookie_is_the_first_one_s_who_proves_something_with_it() -> None:
    bench = Bench()
    assert bench.known(b"1") == [None]
    assert bench.remember(b"1") is Outcome.OK
    assert bench.remember(b"1", EVA) is Outcome.REFUSED
    assert bench.known(b"1") == [JOE]


def test_who_has_logged_out_is_not_known_whatever_arrives_late() -> None:
    bench = Bench()
    bench.remember(b"1")
    bench.machine.take_changes()
    assert bench.forget(b"1") is Outcome.OK
    assert bench.machine.take_changes() == [CookieForgotten(b"1")]
    assert bench.remember(b"1") is Outcome.REFUSED
    # The logout comes before what it undoes: the one was proposed again, the other one had been lost for a while.
    assert bench.forget(b"2") is Outcome.OK
    assert bench.remember(b"2") is Outcome.REFUSED
    assert bench.known(b"1", b"2") == [None, None]


def test_time_passes_by_the_log_alone_and_each_period_ends_once() -> None:
    bench = Bench()
    bench.remember(b"1", periods=2)
    assert [bench.end_period(0), bench.end_period(0)] == [Outcome.OK, Outcome.REFUSED]
    bench.remember(b"2", periods=2)
    bench.forget(b"3")
    assert bench.known(b"1", b"2") == [JOE, JOE]
    assert bench.end_period(1) is Outcome.OK
    assert bench.known(b"1", b"2") == [None, JOE]
    bench.end_period(2)
    bench.end_period(3)
    assert not len(bench.machine.tables.cookies)
    assert not bench.machine.tables.cookies.of("realm1", "joe")


def test_of_too_many_cookies_the_oldest_are_dropped() -> None:
    bench = Bench()
    for number in range(5):
        bench.remember(b"%d" % number, Identity("realm1", f"user{number}", "ticket", b""), most=3)
    assert [identity is not None for identity in bench.known(b"0", b"1", b"2", b"3", b"4")] == [False] * 2 + [True] * 3
    assert bench.counters["cookies_crowded_out"] == 2


def test_one_user_s_browsers_do_not_crowd_out_those_of_others() -> None:
    bench = Bench()
    bench.remember(b"eva", EVA)
    for number in range(IDENTITY_COOKIES_MAX):
        bench.remember(b"%d" % number)
        bench.forget(b"%d" % number)
    bench.remember(b"last")
    assert bench.known(b"eva", b"last") == [EVA, JOE]
    assert len(bench.machine.tables.cookies) == IDENTITY_COOKIES_MAX + 1
    assert bench.counters["cookies_crowded_out"] == 1


def test_a_cookie_outlives_the_node_where_it_was_given() -> None:
    bench = Bench()
    bench.remember(b"1")
    bench.execute(Down(A, 1))
    assert bench.known(b"1") == [JOE]
    assert bench.remember(b"2") is Outcome.DEAD
    assert bench.end_period(0) is Outcome.DEAD
    assert bench.execute(ForgetCookie(DEAD, b"1", JOE, 3, 100)) is Outcome.DEAD


def test_a_snapshot_has_them_with_their_age() -> None:
    bench = Bench()
    late = Machine(Counters())
    late.restore(bench.machine.snapshot())
    assert late.tables.cookies.period == 0
    bench.remember(b"1", periods=2)
    bench.end_period(0)
    bench.remember(b"2", periods=2)
    bench.forget(b"3")
    late.restore(bench.machine.snapshot())
    assert late.snapshot() == bench.machine.snapshot()
    assert list(late.tables.cookies) == list(bench.machine.tables.cookies)
    late.apply(99, encode(EndPeriod(A, 1)))
    assert late.tables.cookies.identity(b"1") is None
    assert late.tables.cookies.identity(b"2") == JOE


def test_releases_before_cookies_share_a_cluster_in_which_there_are_none() -> None:
    """They read version 1 of commands, and the first piece of a snapshot without what came later."""
    assert {version_of(command) for command in (RememberCookie(A, b"", JOE, 1, 1), EndPeriod(A, 0))} == {2}
    bench = Bench()
    bench.execute(Up(Owner("old", 9), (), "", "", 1))
    assert bench.remember(b"1") is Outcome.REFUSED
    assert bench.known(b"1") == [None]
    facts = snapshot._DECODER.decode(bench.machine.snapshot()[0][1:])
    assert isinstance(facts, snapshot._Facts)
    assert len(facts.rows) == 9
    assert facts.more == [0]
