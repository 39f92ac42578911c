"""What a node shows to whoever watches it: health, metrics, the state of the cluster, and a page. It changes nothing.

/livez /startupz /readyz /healthz [?verbose]    health.py
/metrics                                        exposition.py
/status                                         overview.py, JSON
/                                               page.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from twisted.internet import defer
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from wampha.counters import Counters
from wampha.distributions import Distribution
from wampha.errors import StartError
from wampha.observe import page
from wampha.observe.census import Census
from wampha.observe.chronicle import Chronicle
from wampha.observe.exposition import Exposition, Reading
from wampha.observe.health import Check, checks, in_words, verdict
from wampha.observe.overview import Overview
from wampha.observe.turns import Turns
from wampha.observe.web import Asked, Handler, Reply, Routes, Server, Tell, json, text
from wampha.routing.gather import Gather
from wampha.routing.ports import Clock, Ledger

_NOT_NOW: Final = 503


class Router(Protocol):
    """The sessions (`routing.router`)."""

    gather: Gather

    def census(self) -> list[Any]:
        """All sessions, as a list of its own."""

    def figures(self) -> Mapping[str, Mapping[str, int]]:
        """Messages received by type, and failed authentications by method."""


class Monitor:
    """Of one node."""

    def __init__(
        self,
        *,
        status: Callable[[], Mapping[str, Any]],
        frame: Mapping[str, Any],
        router: Router,
        ledger: Ledger,
        round_trips: Callable[[], Mapping[str, Distribution]],
        counters: Counters,
        turns: Turns,
        chronicle: Chronicle,
        clock: Clock,
        wall_ms: Callable[[], int],
    ) -> None:
        """`status` is what the node says of itself, `frame` what does not change: name, version, cluster, voters."""
        self._status: Final = status
        self._static: Final = frame
        self._router: Final = router
        self._round_trips: Final = round_trips
        self._counters: Final = counters
        self._turns: Final = turns
        self._chronicle: Final = chronicle
        self._wall_ms: Final = wall_ms
        self._clock: Final = clock
        self._census: Final = Census(sessions=router.census, clock=clock)
        self._overview: Final = Overview(
            ledger=ledger, gather=router.gather, clock=clock, report=self.report, frame=self._frame
        )
        self._server: Server | None = None
        self._port: Any = None

    # ---- what is told

    def report(self) -> dict[str, Any]:
        """What this node says of itself to those who watch any node of its cluster; a few kB."""
        status = dict(self._status())
        status.pop("pid", None)
        cluster = status.pop("cluster", None)
        reasons = [check.reason for check in checks(status) if not check.ok]
        return {
            **status,
            "incarnation_of_cluster": None if cluster is None else f"{cluster:016x}",  # more bits than JavaScript has
            "reasons": reasons,
            "received": dict(self._router.figures()["received"]),
            "events": self._chronicle.events(),
        }

    def _frame(self) -> Mapping[str, Any]:
        status = self._status()
        leads = {"leader": status.get("leader"), "term": status.get("term")}
        return {**self._static, **leads, "at_ms": self._wall_ms()}

    # ---- the server

    def routes(self) -> Routes:
        """Everything that can be asked, by path and method."""
        handlers: dict[str, Handler] = {
            "/livez": _health(list),
            "/startupz": _health(list),
            "/readyz": _health(lambda: checks(self._status())),
            "/healthz": _health(lambda: checks(self._status())),
            "/metrics": self._metrics,
            "/status": self._tell_status,
        }
        return {**page.routes(), **{path: {"GET": handler} for path, handler in handlers.items()}}

    def listen(self, endpoint_string: str, reactor: Any) -> None:
        """Answer at a Twisted endpoint string; raises StartError, with a sentence, if it cannot be used."""
        server = Server(self.routes(), self._counters, reactor)
        found: list[Any] = []
        try:
            endpoint = cast(Any, serverFromString)(reactor, endpoint_string)
            endpoint.listen(server).addCallbacks(found.append, found.append)
        except (ValueError, TypeError) as error:
            raise StartError(f"monitoring.endpoint: `{endpoint_string}` cannot be understood: {error}") from None
        if isinstance(found[0], Failure):
            problem = found[0].value
            reason = problem.socketError if isinstance(problem, CannotListenError) else problem
            raise StartError(
                f"monitoring.endpoint: cannot listen on `{endpoint_string}`: {reason}; stop the program that uses it, "
                "choose another address, or switch monitoring off by `monitoring: null`"
            )
        self._server, self._port = server, found[0]

    def stop(self) -> defer.Deferred[Any]:
        """Answer nobody any more; fires when the port is free."""
        self._overview.stop()
        if self._server is None:
            return defer.succeed(None)
        self._server.cut()
        port, self._port = self._port, None
        return defer.maybeDeferred(port.stopListening) if port else defer.succeed(None)

    def _metrics(self, asked: Asked, tell: Tell) -> None:
        def counted(sessions: Mapping[tuple[str, str, str], int]) -> None:
            reading = Reading(
                status=self._status(),
                counters=self._counters,
                turns=self._turns.distribution(),
                round_trips=self._round_trips(),
                sessions=sessions,
                figures=self._router.figures(),
                cpu_s=time.process_time(),
            )
            self._clock.call_later(0, encode, Exposition(reading))  # a turn of its own

        def encode(exposition: Exposition) -> None:
            body, kind = exposition.encode(asked.accept)
            tell(Reply(body, kind))

        self._census.ask(counted)

    def _tell_status(self, asked: Asked, tell: Tell) -> None:
        self._overview.ask(lambda overview: tell(json(overview)))


def _health(look: Callable[[], list[Check]]) -> Handler:
    def answer(asked: Asked, tell: Tell) -> None:
        found = look()
        status = 200 if all(check.ok for check in found) else _NOT_NOW
        if "verbose" in asked.query:
            tell(json(verdict(found), status))
        else:
            tell(text(in_words(found), status))

    return answer
