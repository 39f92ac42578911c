"""A node that stands still: who feeds it waits, nobody else does, and nothing is lost unless it is announced (P5, P10).

Reliability matrix, rows 5, 8, 9 and 19.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import (
    CALL,
    EVENT,
    GOODBYE,
    INVOCATION,
    PUBLISH,
    YIELD,
    ConnectionEndedError,
    Session,
)

MIB: Final = 1024 * 1024
FLOOD: Final = 1500
FEEDERS: Final = 6
LARGE: Final = 4  # messages of each
PAYLOAD: Final = "x" * 32_768  # in all 48 MiB: more than the sockets' buffers and the link's mark take


def started(fresh_cluster: Callable[[], Cluster], **limits: int) -> tuple[NodeProcess, NodeProcess, NodeProcess]:
    """A cluster with these limits: the leader, and two others."""
    cluster = fresh_cluster()
    for node in cluster:
        node.settings["limits"] = limits
    leader = cluster.start().leader()
    return (leader, *(node for node in cluster if node is not leader))  # type: ignore[return-value]


@contextmanager
def flooding(publisher: Session, topic: str) -> Any:
    """A thread that publishes as fast as it may."""

    def publish() -> None:
        for number in range(FLOOD):
            publisher.connection.send([PUBLISH, 1 + number, {}, topic, [number, PAYLOAD]])

    with sending([publish]) as (thread,):
        yield thread


@contextmanager
def sending(senders: list[Callable[[], None]]) -> Any:
    """A thread for each of them."""
    threads = [threading.Thread(target=send) for send in senders]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join(30)


def resident_bytes(node: NodeProcess) -> int:
    pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize("pause_s", [1.5, 3.5], ids=["the link stays", "the link is cut and resumes"])
def test_who_feeds_a_node_that_stands_still_waits_and_all_events_arrive_in_order(
    fresh_cluster: Callable[[], Cluster], pause_s: float
) -> None:
    here, there, other = started(fresh_cluster, link_queue_bytes_max=34 * MIB)
    with (
        here.session("rawsocket", "msgpack") as feeder,
        there.session("rawsocket", "msgpack") as subscriber,
        here.session() as publisher,
        other.session() as bystander,
    ):
        subscriber.subscribe("test.hot")
        bystander.subscribe("test.cool")
        before = resident_bytes(here)
        there.pause()
        try:
            with flooding(feeder, "test.hot") as thread:
                began = time.monotonic()
                eventually(lambda: here.status()["counters"].get("clients_paused"), 1.4, "the feeder is paused")
                count = 0
                while time.monotonic() < began + pause_s:
                    publisher.publish("test.cool", [count], acknowledge=True)
                    assert bystander.next(EVENT, timeout_s=1.0)[4] == [count]
                    count += 1
                assert thread.is_alive(), "the feeder was not made to wait"
                assert resident_bytes(here) - before < 64 * MIB
                assert count > 10
                there.resume()
                heard = [subscriber.next(EVENT)[4][0] for _ in range(FLOOD)]
        finally:
            there.resume()
        assert heard == list(range(FLOOD))
    assert not here.status()["counters"].get("link_gaps")


@pytest.mark.parametrize("kind", ["events", "calls"])
def test_many_who_feed_large_messages_to_a_node_that_reads_slowly_lose_none_of_them(
    fresh_cluster: Callable[[], Cluster], kind: str
) -> None:
    here, there, other = started(fresh_cluster, client_queue_bytes_max=400 * MIB)
    large = "x" * (15 * MIB)
    with (
        contextlib.ExitStack() as stack,
        there.session("rawsocket", "msgpack") as target,
        here.session() as publisher,
        other.session() as bystander,
    ):
        feeders = [stack.enter_context(here.session("rawsocket", "msgpack")) for _ in range(FEEDERS)]
        target.subscribe("test.large")
        target.register("test.large")
        bystander.subscribe("test.cool")
        before = resident_bytes(here)
        there.pause()
        try:
            code = PUBLISH if kind == "events" else CALL
            with sending([partial(send_some, feeder, code, number, large) for number, feeder in enumerate(feeders)]):
                began, count = time.monotonic(), 0
                while time.monotonic() < began + 1.7:
                    publisher.publish("test.cool", [count], acknowledge=True)
                    assert bystander.next(EVENT, timeout_s=1.0)[4] == [count]
                    count += 1
                # Each client's message may be there twice: as it comes in, in pieces, and whole. All of them: 360 MiB.
                assert resident_bytes(here) - before < (2 * FEEDERS + 6) * 16 * MIB
                there.resume()
                heard = [taken(target, kind) for _ in range(FEEDERS * LARGE)]
        finally:
            there.resume()
        for feeder in range(FEEDERS):
            assert [message for sender, message in heard if sender == feeder] == list(range(LARGE))
    counters = here.status()["counters"]
    assert not counters.get("link_gaps") and not counters.get("link_queue_resets")
    assert counters.get("clients_paused")


def send_some(feeder: Session, code: int, sender: int, filler: str) -> None:
    for number in range(LARGE):
        feeder.connection.send([code, 1 + number, {}, "test.large", [sender, number, filler]])


def taken(target: Session, kind: str) -> list[int]:
    """The sender and the number of the next message that arrives."""
    if kind == "events":
        return target.next(EVENT)[4][:2]  # type: ignore[no-any-return]
    invocation = target.next(INVOCATION)
    target.connection.send([YIELD, invocation[1], {}])
    return invocation[4][:2]  # type: ignore[no-any-return]


def test_who_feeds_a_node_goes_on_when_it_is_declared_dead(fresh_cluster: Callable[[], Cluster]) -> None:
    here, there, _ = started(fresh_cluster, link_queue_bytes_max=34 * MIB)
    with here.session("rawsocket", "msgpack") as feeder, there.session("rawsocket", "msgpack") as subscriber:
        subscriber.subscribe("test.hot")
        there.pause()
        try:
            with flooding(feeder, "test.hot") as thread:
                eventually(lambda: here.status()["counters"].get("clients_paused"), 1.4, "the feeder is paused")
                thread.join(12)
                assert not thread.is_alive()
            # What waits for it may be given up a moment earlier: then it could still come back with its sessions.
            eventually(lambda: not is_member(there, here), 10, "the node is declared dead")
        finally:
            there.resume()
        feeder.synchronize()
        assert subscriber.next(GOODBYE)[2] == "wamp.close.system_shutdown"


def test_a_node_that_stands_still_while_it_is_dialled_keeps_nobody_from_serving_and_is_dialled_again(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    leader = cluster.leader()
    still = next(node for node in cluster if node is not leader)
    still.pause()
    try:
        late = cluster.observer("d").launch()
        late.wait_until_serving()
        late.wait_for_log(rf"peer {still.name} at .* not completed in time")
    finally:
        still.resume()
    with late.session() as publisher:
        late.wait_for_log(rf"data link to {still.name} at .* is up")
        eventually(lambda: serves_again(still, publisher), 10, "events from one to the other")


def is_member(node: NodeProcess, asked: NodeProcess) -> bool:
    """Whether the node is up, by the table of another."""
    return any(member.startswith(f"{node.name}/") for member in asked.status()["members"])


def serves_again(node: NodeProcess, publisher: Session) -> bool:
    """Whether an event reaches a subscriber there."""
    try:
        with node.session() as subscriber:
            subscriber.subscribe("test.again")
            publisher.publish("test.again", [1], acknowledge=True)
            return bool(subscriber.next(EVENT)[4] == [1])
    except (OSError, ConnectionEndedError):
        return False
