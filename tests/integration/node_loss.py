"""One node of three is killed under traffic between the other two: what is lost, and how long the cluster stands.

    python -m tests.integration.node_loss --kills 20

prints one line for each kill, each of a fresh cluster, and the median and the worst time. The tests use `lose_a_node`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from tests.support.nodes import Cluster, NodeProcess
from tests.support.wampclient import EVENT, PUBLISH, Session

TOPIC: Final = "test.traffic"
BATCH: Final = 20
PAUSE_S: Final = 0.01  # between batches: about 2,000 events per second
BEFORE_S: Final = 0.5  # traffic before the kill
AFTER_S: Final = 3.0  # and after it: longer than any lease, so that a suspension would show
LATE_S: Final = 10.0  # longest wait for the last event


@dataclass
class Loss:
    """What one kill did."""

    role: str
    published: int
    heard: list[int]
    subscribed_s: list[float] = field(default_factory=list)  # from the kill to each of the new SUBSCRIBED

    @property
    def exact(self) -> bool:
        """Whether every event came, once and in order."""
        return self.heard == list(range(self.published))


class Traffic:
    """A publisher on one node and a subscriber on another, each in a thread of its own."""

    def __init__(self, publishes: NodeProcess, hears: NodeProcess) -> None:
        self.heard: Final[list[int]] = []
        self.published = 0
        self._subscriber: Final = hears.session("rawsocket", "msgpack")
        self._publisher: Final = publishes.session("rawsocket", "msgpack")
        self._subscriber.subscribe(TOPIC)
        self._stopping: Final = threading.Event()
        self._threads: Final = [threading.Thread(target=self._publish), threading.Thread(target=self._hear)]

    def start(self) -> None:
        """Begin to publish."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Publish the last event and wait until it is heard, or for LATE_S."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._publisher.close()
        self._subscriber.close()

    def _publish(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            numbers = range(self.published, self.published + BATCH)
            self._publisher.connection.send_many([PUBLISH, 1 + number, {}, TOPIC, [number]] for number in numbers)
            self.published += BATCH
        self._publisher.publish(TOPIC, [-1])

    def _hear(self) -> None:
        while True:
            try:
                number: int = self._subscriber.next(EVENT, LATE_S)[4][0]
            except TimeoutError:
                return
            if number < 0:
                return
            self.heard.append(number)


def lose_a_node(cluster: Cluster, *, leader: bool) -> Loss:
    """Kill the leader, or a follower, of a running cluster under traffic between the other two."""
    victim = cluster.leader()
    if not leader:
        victim = next(node for node in cluster if node is not victim)
    one, two = (node for node in cluster if node is not victim)
    traffic = Traffic(one, two)
    with one.session() as first, two.session() as second:
        traffic.start()
        time.sleep(BEFORE_S)
        victim.kill()
        killed = time.monotonic()
        subscribed = [subscribe_and_check(first, second, killed), subscribe_and_check(second, first, killed)]
        time.sleep(max(0.0, killed + AFTER_S - time.monotonic()))
        traffic.stop()
    return Loss("leader" if leader else "follower", traffic.published, traffic.heard, subscribed)


_topics: Final = count()


def subscribe_and_check(subscriber: Session, publisher: Session, since: float) -> float:
    """Subscribe to a fresh topic; gives the seconds until SUBSCRIBED, after which an event must arrive."""
    topic = f"test.new{next(_topics)}"
    subscription = subscriber.subscribe(topic)
    seconds = time.monotonic() - since
    publisher.publish(topic, ["after the loss"])
    event = subscriber.next(EVENT)
    assert event[1] == subscription
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many, leaders and followers in turn")
    losses = [measured(number) for number in range(parser.parse_args().kills)]
    times = [max(loss.subscribed_s) for loss in losses]
    print(f"kill to SUBSCRIBED: median {statistics.median(times):.3f} s, worst {max(times):.3f} s")
    print(f"kills without a lost or doubled event: {sum(loss.exact for loss in losses)} of {len(losses)}")


def measured(number: int) -> Loss:
    """One kill of a fresh cluster, told in one line."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            loss = lose_a_node(cluster.start(), leader=number % 2 == 0)
        finally:
            cluster.end()
    times = ", ".join(f"{seconds:.3f}" for seconds in loss.subscribed_s)
    verdict = "all once and in order" if loss.exact else f"WRONG: {len(loss.heard)} heard"
    print(f"kill {number + 1} ({loss.role}): SUBSCRIBED after {times} s; {loss.published} events, {verdict}")
    return loss


if __name__ == "__main__":
    main()
