"""All nodes die at once; and members come, go, and come back at another address.

    python -m tests.chaos.restarts --times 100

Three voters are killed (-9) in the same moment and restarted half a second later: how long it takes until a
subscription is acknowledged again, and that nothing of before has returned. Then, under load, an observer is added,
taken away, and replaced by one of the same name on another host with another address; and so is a voter, whose host
name leads to the new address.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.clients import Crowd, Load
from tests.chaos.judge import judge
from tests.chaos.listener import Listener
from tests.chaos.namespaces import end_on_signals
from tests.chaos.nemesis import Nemesis
from tests.chaos.nodes import HostCluster, HostNode
from tests.chaos.results import Figure, Report, finish, options, times
from tests.support.wampclient import EVENT, PUBLISH, SUBSCRIBE, AnsweredError, ConnectionEndedError, Session

DOWN_S: Final = 0.5
AGAIN_S: Final = 5.0
MEMBER_S: Final = 10.0
_LOOK_S: Final = 0.02
_LOAD: Final = Load(per_second=10)
_topics: Final = itertools.count()


def lose_all(cluster: HostCluster) -> tuple[float, list[str]]:
    """Kill all nodes and restart them; gives the seconds from the kill to SUBSCRIBED, and what should not be there."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(node.session()) for node in cluster]
        for session in sessions:
            session.subscribe("test.before")
            session.register(f"test.before{session.id}")
        began = time.monotonic()
        for node in cluster:
            node.kill()
    time.sleep(DOWN_S)
    for node in cluster:
        node.launch()
    with _first_session(list(cluster)) as session:
        session.subscribe("test.after")
        took = time.monotonic() - began
        cluster.wait_until_whole()
        left = [
            f"P11: {node.name} has {status['routes']} routes and {status['registrations']} registrations"
            for node in cluster
            if (status := node.status())["routes"] != 1 or status["registrations"]
        ]
    return took, left


def _first_session(nodes: list[HostNode]) -> Session:
    for node in itertools.cycle(nodes):
        try:
            return node.session()
        except (OSError, ConnectionEndedError):
            time.sleep(_LOOK_S)
    raise AssertionError


def run_all(count: int) -> Report:
    """All nodes are lost so many times."""
    took: list[float] = []
    report = Report("restarts", "all nodes at once")
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder)) as cluster:
        cluster.start().wait_until_whole()
        for turn in range(count):
            seconds, left = lose_all(cluster)
            took.append(seconds)
            report.violations += left
            print(f"all nodes {turn + 1} of {count}: SUBSCRIBED after {seconds:.2f} s", flush=True)
    report.add(
        *times((24,), "kill of all nodes, restarted after 0.5 s, up to SUBSCRIBED", took, AGAIN_S),
        Figure((24,), "rows of before that came back", len(report.violations), goal=0),
    )
    return report


def reached(cluster: HostCluster, node: HostNode, since: float) -> float:
    """Seconds until clients of `node` hear what is published elsewhere, and are heard."""
    other = cluster.others(node)[0]
    topic = f"test.reached{next(_topics)}"
    while True:
        with (
            contextlib.suppress(OSError, ConnectionEndedError, AnsweredError, TimeoutError),
            contextlib.ExitStack() as stack,
        ):
            one, two = (stack.enter_context(Listener(each)) for each in (node, other))
            for session in (one, two):
                session.ask(SUBSCRIBE, {}, topic)
            for sender, receiver in ((one, two), (two, one)):
                sender.ask(PUBLISH, {"acknowledge": True}, topic, [sender.id])
                receiver.wait_for(lambda message, sender=sender: message[0] == EVENT and message[4] == [sender.id])
            return time.monotonic() - since
        time.sleep(_LOOK_S)


def run_members(rounds: int) -> list[Report]:
    """Members come, go and move under load."""
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, HostCluster(Path(folder), named=True) as cluster:
        cluster.start().wait_until_whole()
        nemesis = Nemesis(cluster)
        with Crowd(cluster, 2, load=_LOAD) as crowd:
            for turn in range(rounds):
                for what, seconds in _change_members(cluster, nemesis):
                    took.setdefault(what, []).append(seconds)
                    print(f"{what} {turn + 1} of {rounds}: {seconds:.2f} s", flush=True)
        crowd.record_into(nemesis.history)
        nemesis.record_gaps()
        cluster.wait_until_equal(MEMBER_S)
    report = Report("restarts", "members")
    for what, seconds_of in took.items():
        report.add(*times((25,), f"{what}: its clients reach others after", seconds_of, MEMBER_S))
    return [report, judge("restarts", (25,), nemesis.history, "random clients")]


def _change_members(cluster: HostCluster, nemesis: Nemesis) -> list[tuple[str, float]]:
    def starts(node: HostNode) -> float:
        began = time.monotonic()
        nemesis.start(node)
        seconds = reached(cluster, node, began)
        cluster.wait_until_whole()
        return seconds

    def replaced(name: str) -> float:
        nemesis.kill(cluster[name])
        cluster[name].check_log()
        return starts(cluster.move(name))

    found = [("an observer is added", starts(cluster.observer("observer")))]
    found += [("an observer is replaced at another address", replaced("observer"))]
    found += [("a voter is replaced at another address", replaced(cluster.follower().name))]
    nemesis.leave(cluster["observer"])
    cluster["observer"].wait_for_end()
    cluster.remove("observer")
    return found


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=100, help="how often all nodes are killed (100)")
    parser.add_argument("--rounds", type=int, default=5, help="how often members come, go and move (5)")
    arguments = parser.parse_args()
    end_on_signals()
    reports = [run_all(arguments.times)] if arguments.times else []
    reports += run_members(arguments.rounds) if arguments.rounds else []
    finish(reports, arguments.record)


if __name__ == "__main__":
    main()
