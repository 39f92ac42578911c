"""P11: nothing depends on the wall clock."""

from __future__ import annotations

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from wampha.clock import ReactorClock, boottime, steady


def test_timers_do_not_run_by_the_wall_clock() -> None:
    reactor = EPollReactor()
    steady(reactor)
    before = boottime()
    call = reactor.callLater(5, lambda: None)
    assert before + 5 <= call.getTime() <= boottime() + 5  # the wall clock counts from 1970


def test_a_node_reads_the_clock_by_which_its_timers_run() -> None:
    time = Clock()
    time.advance(17.0)
    assert ReactorClock(time).now() == 17.0
    reactor = EPollReactor()
    steady(reactor)
    before = boottime()
    assert before <= ReactorClock(reactor).now() <= boottime()


def test_a_timer_may_be_cancelled_after_it_ran() -> None:
    time = Clock()
    ran = []
    timer = ReactorClock(time).call_later(1.0, ran.append, "once")
    time.advance(1.0)
    timer.cancel()
    timer.cancel()
    assert ran == ["once"]


def test_a_cancelled_timer_does_not_run() -> None:
    time = Clock()
    ran = []
    ReactorClock(time).call_later(1.0, ran.append, "never").cancel()
    time.advance(2.0)
    assert ran == []
