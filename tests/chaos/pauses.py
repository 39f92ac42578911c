"""Nodes stand still (SIGSTOP) for moments or for long, and go on: nobody may notice but by waiting.

    python -m tests.chaos.pauses --rounds 5

Three voters, random clients on all of them. The leader and a follower are stopped for 0.2 to 30 s. On the stopped node
there are sessions that subscribed and registered before; while it is stopped, clients elsewhere subscribe, and register
what its callee has lost; and before it goes on, requests of its clients lie in its sockets: a publication for the new
subscriber, and a call of the procedure that may have a new owner.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.listener import Listener
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.probes import Acknowledgements, Stream
from tests.chaos.results import Figure, Report, finish, options, times
from tests.support.wampclient import (
    CALL,
    EVENT,
    PUBLISH,
    REGISTER,
    SUBSCRIBE,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 4.8, 8.0, 15.0, 30.0)
NO_SESSION_S: Final = 5.0  # a shorter pause costs no session
SUBSCRIBED_S: Final = 2.0
FLOOD_S: Final = 4.0
FLOOD_MIB: Final = 80.0  # link_queue_bytes_max is 64 MiB; a quarter more for the interpreter
CHUNK: Final = 32 * 1024
_BEFORE_S: Final = 0.5
_LATE_S: Final = 3.0  # for an event to arrive
_RETRY_S: Final = 0.2
_LOAD: Final = Load(per_second=10)


@dataclass
class Found:
    """What all pauses of one kind did."""

    pauses: int = 0
    sessions: int = 0  # of the stopped node
    ended: int = 0
    ended_after_short: int = 0  # of those: after a pause of less than NO_SESSION_S
    answered: int = 0  # requests that lay in the sockets of the stopped node
    subscribed_s: list[float] = field(default_factory=list)
    paused_s: list[float] = field(default_factory=list)  # publishing between the others
    violations: list[str] = field(default_factory=list)


class Scene(contextlib.ExitStack):
    """Sessions on the node that is stopped, and on another."""

    def __init__(self, stopped: HostNode, elsewhere: HostNode, number: int) -> None:
        super().__init__()
        self._stem: Final = f"test.pause{number}"
        self.subscriber: Final = self.enter_context(Listener(stopped))
        self.callee: Final = self.enter_context(Listener(stopped))
        self.client: Final = self.enter_context(Listener(stopped))
        self.newcomer: Final = self.enter_context(Listener(elsewhere))
        self.subscriber.ask(SUBSCRIBE, {}, f"{self._stem}.old")
        self.callee.ask(REGISTER, {}, f"{self._stem}.procedure")
        self.owner = self.callee.id
        self._requests: tuple[int, int]

    @property
    def sessions(self) -> tuple[Listener, ...]:
        """Those of the stopped node."""
        return self.subscriber, self.callee, self.client

    def use(self, until: float) -> None:
        """While the node is stopped, until `until`: a new subscriber, and a new owner if the old one is dead."""
        request = self.newcomer.send(SUBSCRIBE, {}, f"{self._stem}.new")
        while time.monotonic() < until:
            if self.owner == self.callee.id:
                with contextlib.suppress(AnsweredError, TimeoutError):
                    self.newcomer.answer(
                        self.newcomer.send(REGISTER, {}, f"{self._stem}.procedure"), until - time.monotonic()
                    )
                    self.owner = self.newcomer.id
            time.sleep(max(0.0, min(_RETRY_S, until - time.monotonic())))
        self._requests = (
            self.client.send(PUBLISH, {"acknowledge": True}, f"{self._stem}.new", ["from the stopped node"]),
            self.client.send(CALL, {}, f"{self._stem}.procedure"),
        )
        self._was_subscribed = bool(self.newcomer.heard(lambda message: message[:2] == [33, request]))
        self._subscribed = request

    def judge(self) -> tuple[int, list[str]]:
        """After the node went on: how many requests of its clients were answered, and what was wrong with them."""
        self.newcomer.answer(self._subscribed)
        published, called = self._requests
        answered, wrong = 0, []
        with contextlib.suppress(ConnectionEndedError):
            self.client.answer(published)
            answered += 1
            if self._was_subscribed and not self._arrived(self.newcomer, "from the stopped node"):
                wrong.append("P2: a resumed node published by its old table")
        with contextlib.suppress(ConnectionEndedError, AnsweredError):
            owner = self.client.answer(called)[3][0]
            answered += 1
            if owner not in (self.owner, self.newcomer.id):
                wrong.append("P1: a resumed node called a procedure's old owner")
        return answered, wrong + self._lost()

    def _lost(self) -> list[str]:
        """What was acknowledged before the pause holds after it, as long as its session lives."""
        self.newcomer.ask(PUBLISH, {"acknowledge": True}, f"{self._stem}.old", ["from elsewhere"])
        if self._arrived(self.subscriber, "from elsewhere") or self.subscriber.ended is not None:
            return []
        return ["P2, P5: a subscription was lost in a pause"]

    @staticmethod
    def _arrived(session: Listener, text: str) -> bool:
        try:
            session.wait_for(lambda message: message[0] == EVENT and message[4] == [text], _LATE_S)
        except (TimeoutError, ConnectionEndedError):
            return False
        return True


def pause_one(nemesis: Nemesis, *, leader: bool, pause_s: float, found: Found) -> None:
    """One pause of a whole cluster, which is whole again afterwards."""
    cluster = nemesis.cluster
    stopped = cluster.leader() if leader else cluster.follower()
    one, two = cluster.others(stopped)[:2]
    with Scene(stopped, one, found.pauses) as scene, Stream(one, two) as stream, Acknowledgements(two) as waiting:
        time.sleep(_BEFORE_S)
        began = nemesis.pause(stopped)
        try:
            scene.use(began + pause_s)
        finally:
            nemesis.resume(stopped)
        answered, wrong = scene.judge()
        cluster.wait_until_whole()
        ended = sum(session.ended is not None for session in scene.sessions)
    found.pauses += 1
    found.sessions += len(scene.sessions)
    found.ended += ended
    found.ended_after_short += ended if pause_s < NO_SESSION_S else 0
    found.answered += answered
    found.subscribed_s.append(waiting.stall_s(began))
    found.paused_s.append(stream.pause_s(began))
    found.violations += [f"{sentence} (after {pause_s} s)" for sentence in wrong]
    if stream.lost or stream.wrong:
        found.violations.append(f"P4, P5: {stream.lost} events between the others lost, {stream.wrong} wrong")


def flood(cluster: HostCluster, pause_s: float) -> Report:
    """Stop a follower while a client elsewhere publishes to it as much as it can, until its sockets are full."""
    stopped = cluster.follower()
    one, two = cluster.others(stopped)[:2]
    report = Report("pauses", "follower with full sockets")
    with Listener(stopped) as subscriber, one.session("rawsocket", "msgpack") as publisher, Stream(two, one) as stream:
        subscriber.ask(SUBSCRIBE, {}, "test.flood")
        publisher.connection.socket.settimeout(_RETRY_S)
        time.sleep(_BEFORE_S)
        before, highest, sent, size = one.resident_bytes(), 0, 0, CHUNK
        began = time.monotonic()
        stopped.pause()
        try:
            while time.monotonic() < began + pause_s:
                size = _publish_one(publisher) if size else time.sleep(_RETRY_S) or 0
                sent += size
                highest = max(highest, one.resident_bytes() - before)
        finally:
            stopped.resume()
        paused_s = stream.pause_s(began)
        cluster.wait_until_whole()
    report.add(
        Figure((5,), "sent to a stopped follower", sent / 2**20, "MiB"),
        Figure((5,), "memory of the node that sends", highest / 2**20, "MiB more", FLOOD_MIB),
        Figure((5,), "longest pause of publishing between the others", paused_s, "s"),
        Figure((5,), "events between the others lost or wrong", stream.lost + stream.wrong, goal=0),
    )
    if stream.lost or stream.wrong:
        report.violations.append(f"P4, P5: {stream.lost} events between the others lost, {stream.wrong} wrong")
    print(f"{sent / 2**20:.0f} MiB for a stopped follower: {highest / 2**20:.0f} MiB more memory", flush=True)
    return report


def _publish_one(publisher: Session) -> int:
    """Publish one event; gives its bytes. 0 if that blocks: half of it may have gone, so nothing else can be sent."""
    frame = publisher.connection.frame(publisher.connection.encode([PUBLISH, 1, {}, "test.flood", [b"x" * CHUNK]]))
    try:
        publisher.connection.socket.sendall(frame)
    except TimeoutError:
        return 0
    return len(frame)


def report_of(role: str, found: Found) -> Report:
    """The figures of one role, with their goals."""
    rows = (4,) if role == "leader" else (5,)
    report = Report("pauses", role, violations=found.violations)
    report.add(
        Figure(rows, "pauses", found.pauses),
        Figure(rows, "requests in the sockets of the stopped node that it answered", found.answered),
        Figure(rows, "promises broken by it", len(found.violations), goal=0),
        Figure(rows, f"its sessions that ended after less than {NO_SESSION_S:g} s", found.ended_after_short, goal=0),
        Figure(rows, f"its sessions that ended, of {found.sessions}", found.ended),
        *times(rows, "SUBSCRIBED elsewhere", found.subscribed_s, SUBSCRIBED_S),
        Figure(rows, "longest pause of publishing between the others", max(found.paused_s), "s", 0.2),
    )
    return report


def run(pauses_s: tuple[float, ...], rounds: int, *, seed: int = 0) -> list[Report]:
    """All pauses of leader and follower on one cluster."""
    found = {"leader": Found(), "follower": Found()}
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder)) as cluster:
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        with Crowd(cluster, 1, seed=seed, load=_LOAD) as crowd:
            for turn in range(rounds):
                for pause_s in pauses_s:
                    for role, one in found.items():
                        pause_one(nemesis, leader=role == "leader", pause_s=pause_s, found=one)
                        print(
                            f"{role} stopped for {pause_s} s, {turn + 1} of {rounds}: "
                            f"SUBSCRIBED elsewhere after {one.subscribed_s[-1]:.3f} s, "
                            f"{one.ended} of {one.sessions} sessions ended so far",
                            flush=True,
                        )
        crowd.record_into(nemesis.history)
        nemesis.record_gaps()
        cluster.wait_until_equal(10)
        flooded = flood(cluster, FLOOD_S)
    reports = [report_of(role, one) for role, one in found.items()]
    return [*reports, flooded, judge("pauses", (4, 5), nemesis.history)]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how many pauses of each length (5)")
    parser.add_argument("--seconds", type=float, nargs="+", default=PAUSES_S, help="the lengths of the pauses")
    arguments = parser.parse_args()
    end_on_signals()
    finish(run(tuple(arguments.seconds), arguments.rounds), arguments.record)


if __name__ == "__main__":
    main()
