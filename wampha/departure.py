"""How a node stops: nobody new, everybody away, out of the cluster, all of it before a deadline.

    unready, ports closed          at once
    leadership handed over    \\    together, until END_S before the deadline
    clients sent away         /
    other nodes have confirmed     a third of the time between the two; behind `leave` they would not take it any more
      all that was sent them
    `leave` through the log   \\    together, until LINKS_S before the deadline; from here on nothing is served (rule 5)
    connections closed        /
    links closed                   until the deadline

Each step ends as soon as it is done, and at its time in any case: without a quorum, with clients that never read, with
peers that hang.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet import defer
from twisted.logger import Logger

from wampha.config.rules import DRAIN_END_S
from wampha.config.schema import Drain
from wampha.ledger.base import NodeLedger
from wampha.routing.ports import Clock

LINKS_S: Final = 2.0  # what links wait for a peer that does not read, and a bit more
_END_SHARE: Final = 0.5  # of a deadline that is short
_LINKS_SHARE: Final = 0.2
_CONFIRM_SHARE: Final = 1 / 3  # of the time between


class Router(Protocol):
    """The sessions (`routing.router`)."""

    def sessions(self) -> int:
        """How many there are."""

    def drain(self, *, spread_s: float, answer_s: float, done: Callable[[], None]) -> None:
        """End them one after the other."""

    def close(self) -> None:
        """End all that are left."""


class Doors(Protocol):
    """The ports for clients (`transport.doors`)."""

    def shut(self) -> defer.Deferred[Any]: ...

    def refuse_newcomers(self) -> None: ...

    def drain(self) -> defer.Deferred[Any]: ...

    def cut(self) -> None: ...


class Departure:
    """One stop of one node."""

    _log = Logger(namespace="wampha.node")

    def __init__(
        self,
        *,
        name: str,
        drain: Drain,
        router: Router,
        doors: Doors,
        ledger: NodeLedger,
        emptied: Callable[[], None],
        confirm_links: Callable[[Callable[[], None]], None],
        stop_links: Callable[[], defer.Deferred[Any]],
        clock: Clock,
    ) -> None:
        """`emptied` is called when the last client was sent away, before this node leaves.

        `confirm_links(done)` calls `done` when the other nodes have all that this one has sent them until then.
        """
        self._name: Final = name
        self._drain: Final = drain
        self._router: Final = router
        self._doors: Final = doors
        self._ledger: Final = ledger
        self._emptied: Final = emptied
        self._confirm_links: Final = confirm_links
        self._stop_links: Final = stop_links
        self._clock: Final = clock

    @defer.inlineCallbacks
    def go(self) -> Any:
        """Stop; fires when all is closed, at the deadline at the latest."""
        sessions, deadline_s = self._router.sessions(), self._drain.deadline_s
        end = self._clock.now() + deadline_s
        self._log.info("{name} stops; {sessions} sessions are sent away", name=self._name, sessions=sessions)
        away = end - min(DRAIN_END_S, deadline_s * _END_SHARE)
        yield self._by(away, self._doors.shut())  # else a client sent away could find the port that it left still open
        self._doors.refuse_newcomers()
        if not (yield self._by(away, _told(self._ledger.hand_over), _told(self._send_away))):
            self._warn("{name} stops although sessions are left: {sessions}", sessions=self._router.sessions())
        self._emptied()
        self._router.close()
        closed = end - min(LINKS_S, deadline_s * _LINKS_SHARE)
        drained = self._doors.drain()
        if not (yield self._by(away + _CONFIRM_SHARE * (closed - away), _told(self._confirm_links))):
            self._warn("{name} stops although it does not know whether other nodes have all that it sent them")
        if not (yield self._by(closed, _told(self._ledger.leave), drained)):
            self._warn("{name} stops although it has not left the cluster, or a client reads nothing")
        self._doors.cut()
        self._ledger.stop()
        yield self._by(end, self._stop_links())
        self._log.info("{name} has stopped", name=self._name)

    def _send_away(self, done: Callable[[], None]) -> None:
        self._router.drain(spread_s=self._drain.spread_s, answer_s=self._drain.answer_s, done=done)

    def _by(self, end: float, *steps: defer.Deferred[Any]) -> defer.Deferred[bool]:
        """True when all steps are done, or False when their time is up."""
        result: defer.Deferred[bool] = defer.Deferred()

        def over(done: bool) -> None:
            if not result.called:
                timer.cancel()
                result.callback(done)

        timer = self._clock.call_later(max(0.0, end - self._clock.now()), over, False)
        defer.DeferredList(steps).addCallback(lambda _: over(True))
        return result

    def _warn(self, sentence: str, **values: object) -> None:
        self._log.warn(sentence, name=self._name, **values)


def _told(step: Callable[[Callable[[], None]], None]) -> defer.Deferred[None]:
    """Begin a step that tells by a call when it is done."""
    done: defer.Deferred[None] = defer.Deferred()
    step(lambda: None if done.called else done.callback(None))
    return done
