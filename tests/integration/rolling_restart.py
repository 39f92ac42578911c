"""All nodes of a cluster are restarted in turn under load, with clients that reconnect: what is lost, and for how long.

    python -m tests.integration.rolling_restart --rounds 3 --clients 60

prints one line for each restart and a summary. A node is stopped by SIGTERM and started again, and the next one's turn
comes when its status says `ready`. Each client subscribes to a topic that all share and has a procedure of its own,
which another one calls; it publishes numbers, and reconnects to the next address when its session ends. The test uses
`restart_all`.

    python -m tests.integration.rolling_restart --rounds 2 --earlier ../wampha-0.1

begins with the code of another checkout: the first round upgrades each node, the second takes it back.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import (
    CALL,
    ERROR,
    EVENT,
    GOODBYE,
    INVOCATION,
    PUBLISH,
    PUBLISHED,
    RESULT,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

TOPIC: Final = "test.shared"
LOOK_S: Final = 0.01  # longest wait for a message
READY_S: Final = 30.0
LONG_S: Final = 1.0  # an attempt that failed after more than this left its client waiting
SETTLE_S: Final = 1.0  # load before the first restart and behind the last
GOING: Final = (
    "wamp.error.canceled",
    "wamp.error.no_such_procedure",
    "wamp.error.unavailable",
)  # of a callee on its way

Number = tuple[int, int, int]  # client, its how many-th session, its how many-th publication there


@dataclass
class Life:
    """One session of one client, as that client saw it."""

    client: int
    ordinal: int
    node: str
    began: float = 0.0  # SUBSCRIBED
    ended: float = 0.0
    goodbye: str = ""  # the reason; empty: cut off without a word
    at_the_end: bool = False  # ended by the test
    heard: list[Number] = field(default_factory=list)
    acknowledged: list[tuple[float, int]] = field(default_factory=list)  # publications, when PUBLISHED came
    answers: Counter[str] = field(default_factory=Counter)  # of calls
    problems: list[str] = field(default_factory=list)


class Client:
    """Connects, works, and does so again elsewhere when its session ends."""

    def __init__(self, number: int, nodes: list[NodeProcess], clients: int, period_s: float) -> None:
        self.lives: Final[list[Life]] = []
        self.gaps_s: Final[list[float]] = []  # from the end of a session until the next one has all of its own again
        self.failed_s: Final[list[float]] = []  # how long each attempt to connect took that failed
        self.problems: Final[list[str]] = []
        self._number: Final = number
        self._clients: Final = clients
        self._period_s: Final = period_s
        self._addresses: Final = itertools.cycle(nodes[number % len(nodes) :] + nodes[: number % len(nodes)])
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run)
        self._ids: Final = itertools.count(1_000_000)  # apart from those of `Session`

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the session that there is."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(30)
        if self._thread.is_alive():
            self.problems.append("it hangs")

    def _run(self) -> None:
        try:
            lost = time.monotonic()
            while not self._stopping.is_set():
                node = next(self._addresses)
                began = time.monotonic()
                try:
                    session = node.session("rawsocket", "msgpack")
                except (OSError, ConnectionEndedError):
                    self.failed_s.append(time.monotonic() - began)
                    time.sleep(LOOK_S)
                    continue
                with session:
                    self._live(session, node, lost)
                lost = time.monotonic()
        except Exception as failure:
            self.problems.append(f"it failed: {failure!r}")

    def _live(self, session: Session, node: NodeProcess, lost: float) -> None:
        life = Life(self._number, len(self.lives), node.name)
        self.lives.append(life)
        try:
            self._settle(session)
            life.began = time.monotonic()
            self.gaps_s.append(life.began - lost)
            for message in self._messages(session, life):
                self._handle(session, life, message)
        except AnsweredError as error:
            life.problems.append(f"refused: {error.uri}")
        except (OSError, ConnectionEndedError):
            pass
        if not life.began and session.inbox and session.inbox[-1][0] == GOODBYE:
            life.goodbye = session.inbox[-1][2]
        life.ended = time.monotonic()

    def _settle(self, session: Session) -> None:
        session.subscribe(TOPIC)
        session.register(f"test.procedure{self._number}")

    def _messages(self, session: Session, life: Life) -> Iterator[list[Any]]:
        """What arrives, with requests sent in between; ends with the session."""
        self._calls: dict[int, float] = {}
        self._publications: dict[int, int] = {}
        due, count = time.monotonic(), 0
        while not self._stopping.is_set():
            if time.monotonic() >= due:
                due += self._period_s
                count += 1
                self._send(session, life, count)
            try:
                message = session.inbox.popleft() if session.inbox else session.connection.receive(LOOK_S)
            except TimeoutError:
                continue
            if message[0] == GOODBYE:
                life.goodbye = message[2]
                return
            yield message
        life.at_the_end = True

    def _send(self, session: Session, life: Life, count: int) -> None:
        publication, call = next(self._ids), next(self._ids)
        self._publications[publication] = count
        self._calls[call] = time.monotonic()
        callee = (self._number + 1) % self._clients
        payload = [self._number, life.ordinal, count]
        session.connection.send_many(
            [
                [PUBLISH, publication, {"acknowledge": True, "exclude_me": False}, TOPIC, payload],
                [CALL, call, {}, f"test.procedure{callee}", payload],
            ]
        )

    def _handle(self, session: Session, life: Life, message: list[Any]) -> None:
        code = message[0]
        if code == EVENT:
            life.heard.append(tuple(message[4]))  # type: ignore[arg-type]
        elif code == PUBLISHED:
            life.acknowledged.append((time.monotonic(), self._publications.pop(message[1])))
        elif code == INVOCATION:
            session.connection.send([YIELD, message[1], {}, message[4]])
        elif code == RESULT:
            self._answered(life, message[1], "result")
        elif code == ERROR and message[1] == CALL:
            self._answered(life, message[2], message[4])
        elif code == ERROR:
            life.problems.append(f"refused: {message}")

    def _answered(self, life: Life, call: int, answer: str) -> None:
        if self._calls.pop(call, None) is None:
            life.problems.append(f"call {call} ended twice")
        elif answer not in ("result", *GOING):
            life.problems.append(f"a call ended with {answer}")
        life.answers[answer] += 1


@dataclass
class Stop:
    """One restart of one node."""

    node: str
    told: float
    stopped: float = 0.0
    ready: float = 0.0


@dataclass
class Outcome:
    """What all restarts did."""

    clients: list[Client]
    stops: list[Stop]

    @property
    def lives(self) -> list[Life]:
        """All sessions of all clients."""
        return [life for client in self.clients for life in client.lives]

    def problems(self) -> list[str]:
        """What must not be: anything lost, doubled, refused, or interrupted by another node than its own."""
        found = [f"client {number}: {each}" for number, client in enumerate(self.clients) for each in client.problems]
        for life in self.lives:
            who = f"client {life.client}, session {life.ordinal} at {life.node}"
            found += [f"{who}: {problem}" for problem in life.problems]
            found += [f"{who}: {problem}" for problem in self._interrupted(life)]
            found += [f"{who}: {problem}" for problem in out_of_order(life)]
            found += [f"{who}: {problem}" for problem in self._missed(life)]
        waits = [seconds for client in self.clients for seconds in client.failed_s if seconds > LONG_S]
        return found + [f"an attempt failed after {seconds:.2f} s" for seconds in waits]

    def _interrupted(self, life: Life) -> Iterator[str]:
        if life.at_the_end:
            return
        if life.goodbye != "wamp.close.system_shutdown":
            yield f"it ended without GOODBYE ({life.goodbye!r})"
        if not any(stop.node == life.node and stop.told <= life.ended <= stop.stopped + LONG_S for stop in self.stops):
            yield "it was interrupted although its node was not stopped"

    def _missed(self, life: Life) -> Iterator[str]:
        """Acknowledged publications of others while this session lived, with a moment at both ends."""
        heard = set(life.heard)
        for other in self.lives:
            owed = {
                (other.client, other.ordinal, count)
                for acknowledged, count in other.acknowledged
                if life.began and life.began + 0.2 < acknowledged < life.ended - LONG_S
            }
            if owed - heard:
                yield f"it missed {len(owed - heard)} of {len(owed)} events of client {other.client}"

    def report(self) -> Iterator[str]:
        """Lines for people."""
        gaps = sorted(gap for client in self.clients for gap in client.gaps_s[1:]) or [0.0]
        failed = [seconds for client in self.clients for seconds in client.failed_s]
        answers: Counter[str] = Counter()
        for life in self.lives:
            answers += life.answers
        yield f"sessions: {len(self.lives)}; events heard: {sum(len(life.heard) for life in self.lives)}"
        yield f"acknowledged publications: {sum(len(life.acknowledged) for life in self.lives)}"
        yield "calls ended with: " + ", ".join(f"{name} {count}" for name, count in answers.most_common())
        yield f"from GOODBYE to REGISTERED elsewhere: median {statistics.median(gaps):.3f} s, worst {gaps[-1]:.3f} s"
        yield f"attempts that failed: {len(failed)}, worst after {max(failed, default=0.0):.3f} s"
        long = sum(seconds > LONG_S for seconds in failed)
        yield f"attempts that failed after more than {LONG_S:g} s: {long}"


def out_of_order(life: Life) -> Iterator[str]:
    """The numbers of each publisher's session come once each, in order, without a gap (P3, P4, P5)."""
    last: dict[tuple[int, int], int] = {}
    for client, ordinal, count in life.heard:
        before = last.get((client, ordinal))
        if before is not None and count != before + 1:
            yield f"event {count} of client {client} came after {before}"
        last[client, ordinal] = count


@contextmanager
def _running(clients: list[Client]) -> Iterator[None]:
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop()
        for client in clients:
            client.join()


def restart_all(
    cluster: Cluster,
    *,
    clients: int,
    rounds: int = 1,
    period_s: float = 0.1,
    earlier: Path | None = None,
    told: Any = None,
) -> Outcome:
    """Restart every node of a running cluster `rounds` times under load; `told(stop)` hears of each restart.

    With a folder of `earlier` code, which the nodes run now, every second round restarts them with that.
    """
    crowd = [Client(number, list(cluster), clients, period_s) for number in range(clients)]
    stops: list[Stop] = []
    with _running(crowd):
        time.sleep(SETTLE_S)
        for number in range(rounds):
            use_code(cluster, earlier if number % 2 else None)
            for node in cluster:
                stops.append(restart(node))
                if told:
                    told(stops[-1])
        time.sleep(SETTLE_S)
    return Outcome(crowd, stops)


def use_code(cluster: Cluster, folder: Path | None) -> None:
    """From their next start on, the nodes run the package in this folder; None: the one that is installed."""
    for node in cluster:
        node.environment.pop("PYTHONPATH", None)
        if folder is not None:
            node.environment["PYTHONPATH"] = str(folder.resolve())


def restart(node: NodeProcess) -> Stop:
    """SIGTERM, start again, wait until the node is ready."""
    stop = Stop(node.name, time.monotonic())
    node.stop()
    stop.stopped = time.monotonic()
    node.launch()
    eventually(
        lambda: "accepts" in node.log().rpartition("initialized")[2] or None, READY_S, "clients let in", node.log
    )
    eventually(lambda: node.status()["ready"], READY_S, f"{node.name} is ready", node.log)
    stop.ready = time.monotonic()
    return stop


def _tell(stop: Stop) -> None:
    print(f"{stop.node}: stopped after {stop.stopped - stop.told:.2f} s, ready {stop.ready - stop.stopped:.2f} s later")


def main() -> int:
    """Measure and print; the status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how many times each node is restarted")
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two publications of a client")
    parser.add_argument("--earlier", type=Path, help="a checkout of earlier code, which the nodes begin with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        if options.earlier:
            use_code(cluster, options.earlier)
            for node in cluster:
                realms = node.settings["realms"]
                node.settings["realms"] = [{key: realm[key] for key in ("name", "roles")} for realm in realms]
        try:
            outcome = restart_all(
                cluster.start(),
                clients=options.clients,
                rounds=options.rounds,
                period_s=options.period,
                earlier=options.earlier,
                told=_tell,
            )
        finally:
            cluster.end()
        cluster.check_logs()
    print(*outcome.report(), sep="\n")
    problems = outcome.problems()
    for problem in problems[:20]:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
