"""Clients that come through a Service while things are done to a cluster, and what must hold for them.

Each subscribes to a topic that all share, offers a procedure that another one calls, and publishes numbers; it comes
again when its session ends (`tests/integration/rolling_restart.py`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.helm.agent import Stopped
from tests.helm.balancer import Balancer
from tests.integration.rolling_restart import TOPIC, Client, Life, Number, out_of_order
from tests.support.wampclient import CALL, ERROR, AnsweredError, Session

SHUTDOWN: Final = "wamp.close.system_shutdown"
UNAVAILABLE: Final = "wamp.error.unavailable"
MOMENT_S: Final = 1.0  # what was on its way when a session began or ended is nobody's promise
DEATH_S: Final = 10.0  # a node that nobody reaches is given up after 4 s
AGAIN_S: Final = 0.2
_PERIOD_S: Final = 0.2


class Through:
    """The way of one client through a Service; `name` is the pod of its last session."""

    def __init__(self, service: Balancer) -> None:
        self.name = ""
        self._service: Final = service

    def session(self, transport: str, serializer: str) -> Session:
        """A session on a pod that is ready."""
        session = self._service.session(transport, serializer)
        self.name = self._service.target_of(session)
        return session


class ServiceClient(Client):
    """A client that also remembers when its calls failed, and whose they were."""

    def __init__(self, number: int, service: Balancer, clients: int) -> None:
        way: list[Any] = [Through(service)]
        super().__init__(number, way, clients, _PERIOD_S)
        self.number: Final = number
        self.callee: Final = (number + 1) % clients
        self.refusals: Final[list[tuple[float, str]]] = []

    def _settle(self, session: Session) -> None:
        """A procedure may still be offered by this client's former session, on a node that nobody reaches."""
        session.subscribe(TOPIC)
        deadline = time.monotonic() + DEATH_S
        while True:
            try:
                session.register(f"test.procedure{self.number}")
            except AnsweredError as error:
                if error.uri != "wamp.error.procedure_already_exists" or time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_S)
            else:
                return

    def _handle(self, session: Session, life: Life, message: list[Any]) -> None:
        if message[:2] == [ERROR, CALL]:
            self.refusals.append((time.monotonic(), f"{message[4]} {message[5:]}"))
        super()._handle(session, life, message)


@dataclass
class Step:
    """One thing that was done, and to which pods it was done without asking them."""

    name: str
    begin: float
    end: float = 0.0
    hurt: dict[str, float] = field(default_factory=dict)  # pod -> since when
    ready_min: int = 0  # voters that were ready, at the worst moment
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # figures, by what they are of


class Crowd:
    """Clients of one Service. Use `running()` around what is done."""

    def __init__(self, service: Balancer, clients: int) -> None:
        self.clients: Final = [ServiceClient(number, service, clients) for number in range(clients)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """They come, and go in the end."""
        for client in self.clients:
            client.start()
        try:
            yield
        finally:
            for client in self.clients:
                client.stop()
            for client in self.clients:
                client.join()

    @property
    def lives(self) -> list[Life]:
        """All sessions of all clients."""
        return [life for client in self.clients for life in client.lives]

    def settled(self) -> bool:
        """Whether all have a session that lives."""
        return all(client.lives and client.lives[-1].began and not client.lives[-1].ended for client in self.clients)

    def clients_at(self, pod: str) -> int:
        """How many have their session there."""
        return sum(client.lives[-1].node == pod for client in self.clients)

    def problems(self, steps: Sequence[Step], stopped: Sequence[Stopped]) -> list[str]:
        """What must not be: see the functions below."""
        found = [f"client {client.number}: {each}" for client in self.clients for each in client.problems]
        hurt = _hurt_lives(self.lives, steps)
        for life in self.lives:
            who = f"client {life.client}, session {life.ordinal} at {life.node}"
            mine = [*life.problems, *out_of_order(life), *_interrupted(life, hurt, stopped), *_missed(life, self, hurt)]
            found += [f"{who}: {problem}" for problem in mine]
        return found + _interrupted_twice(self.lives, stopped, hurt) + _refused(self.clients)

    def moves(self, step: Step) -> list[int]:
        """How often each client's session ended in a step."""
        counts: dict[int, int] = dict.fromkeys(range(len(self.clients)), 0)
        for life in self.lives:
            counts[life.client] += not life.at_the_end and step.begin <= life.ended <= step.end
        return list(counts.values())

    def report(self) -> Iterator[str]:
        """Lines for people."""
        gaps = sorted(gap for client in self.clients for gap in client.gaps_s[1:]) or [0.0]
        yield f"sessions: {len(self.lives)}; events heard: {sum(len(life.heard) for life in self.lives)}"
        refusals = [answer for client in self.clients for _, answer in client.refusals]
        unavailable = sum(answer.startswith(UNAVAILABLE) for answer in refusals)
        yield f"calls refused: {len(refusals)}, of which {unavailable} since the callee's node did not serve just then"
        yield f"acknowledged publications: {sum(len(life.acknowledged) for life in self.lives)}"
        worst, median = gaps[-1], gaps[len(gaps) // 2]
        yield f"from the end of a session to REGISTERED in the next: median {median:.2f} s, worst {worst:.2f} s"


def _hurt_lives(lives: Sequence[Life], steps: Sequence[Step]) -> dict[int, float]:
    """By identity of the life: since when its pod was hurt, if that was what ended it."""
    found = {}
    for life in lives:
        for step in steps:
            since = step.hurt.get(life.node)
            if since is not None and life.began < since <= life.ended <= step.end + MOMENT_S:
                found[id(life)] = since
            elif since is not None and since <= life.began <= life.ended <= step.end and not life.at_the_end:
                found[id(life)] = life.began  # it came to a pod that nobody knew yet to be hurt
    return found


def _stop_of(life: Life, stopped: Sequence[Stopped]) -> Stopped | None:
    """The stop of its pod that ended it."""
    for stop in stopped:
        if stop.pod == life.node and stop.told <= life.ended <= stop.ended + MOMENT_S:
            return stop
    return None


def _interrupted(life: Life, hurt: dict[int, float], stopped: Sequence[Stopped]) -> Iterator[str]:
    """A session ends with its pod, by a GOODBYE if that was asked to stop; with no other pod."""
    if life.at_the_end or id(life) in hurt:
        return
    if _stop_of(life, stopped) is None:
        yield f"it was interrupted although its pod was not stopped ({life.goodbye!r})"
    elif life.goodbye != SHUTDOWN:
        yield f"it ended without GOODBYE ({life.goodbye!r})"


def _interrupted_twice(lives: Sequence[Life], stopped: Sequence[Stopped], hurt: dict[int, float]) -> list[str]:
    """One pod's end interrupts a client once."""
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for life in lives:
        stop = _stop_of(life, stopped)
        if stop is not None and not life.at_the_end and id(life) not in hurt:
            counts[life.client, id(stop)] += 1
    return [
        f"client {client} was interrupted {count} times by one stop"
        for (client, _), count in counts.items()
        if count > 1
    ]


def _missed(life: Life, crowd: Crowd, hurt: dict[int, float]) -> Iterator[str]:
    """What was acknowledged to a session that stayed reaches every other that stayed."""
    heard = set(life.heard)
    until = hurt.get(id(life), life.ended) - MOMENT_S
    for other in crowd.lives:
        owed_until = min(until, hurt.get(id(other), until + MOMENT_S) - MOMENT_S)
        owed: set[Number] = {
            (other.client, other.ordinal, count)
            for acknowledged, count in other.acknowledged
            if life.began and life.began + MOMENT_S < acknowledged < owed_until
        }
        if owed - heard:
            yield f"it missed {len(owed - heard)} of {len(owed)} events of client {other.client} at {other.node}"


def _refused(clients: Sequence[ServiceClient]) -> list[str]:
    """A call finds no procedure only around a moment in which its callee was on its way: what was registered stays.

    That a callee's node does not serve for a moment is another thing, which happens when a machine has too much to do.
    """
    found = []
    for client in clients:
        lives = clients[client.callee].lives
        lasting = (refusal for refusal in client.refusals if not refusal[1].startswith(UNAVAILABLE))
        for moment, answer in lasting:
            settled = [life for life in lives if life.began and life.began + MOMENT_S < moment < life.ended - MOMENT_S]
            own = [life for life in client.lives if life.ended - MOMENT_S < moment <= life.ended]
            if settled and not own:
                left_s = settled[0].ended - moment
                where = f"{settled[0].node}, where it stayed for {left_s:.1f} s more"
                found.append(f"a call of client {client.number} ended with {answer} although its callee was at {where}")
    return found
