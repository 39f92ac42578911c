"""SIGTERM: clients are sent away one after the other, the cluster hears of it, and nothing can hold the node up."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest

from tests.support.nodes import Cluster, NodeProcess, eventually
from tests.support.wampclient import CALL, EVENT, GOODBYE, INVOCATION, YIELD, AnsweredError, Session

SOON_S: Final = 4.0  # an idle node needs about 0.3 s; two cores may be shared by a whole test run
SLACK_S: Final = 2.0
INTERRUPT: Final = 69  # the callee of the one who was sent away hears of it


def draining(node: NodeProcess, **drain: float) -> NodeProcess:
    """The node, with these settings for its stop."""
    node.settings["node"]["drain"] = drain
    return node


def stopped_after(node: NodeProcess) -> float:
    """Wait for the end; gives the seconds."""
    began = time.monotonic()
    node.exit_status()
    return time.monotonic() - began


@contextmanager
def many(node: NodeProcess, count: int) -> Iterator[list[Session]]:
    """So many sessions at one node, dropped at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(node.session("rawsocket", "msgpack")) for _ in range(count)]


def terminate(node: NodeProcess, number: int = signal.SIGTERM) -> None:
    os.kill(node.pid, number)


def test_an_idle_node_and_one_with_a_few_clients_stop_at_once(fresh_node: Callable[..., NodeProcess]) -> None:
    for count in (0, 3):
        node = fresh_node(f"with{count}")
        node.launch().wait_until_serving()
        with many(node, count) as sessions:
            terminate(node)
            for session in sessions:
                assert session.next(GOODBYE)[2] == "wamp.close.system_shutdown"
        assert stopped_after(node) < SOON_S


def test_a_node_that_a_shell_runs_in_the_background_ignores_sigint_and_nothing_else(
    fresh_node: Callable[..., NodeProcess],
) -> None:
    node = fresh_node()
    node.prefix += ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    node.launch().wait_until_serving()
    terminate(node, signal.SIGINT)
    node.session().leave()
    terminate(node)
    assert stopped_after(node) < SOON_S


def test_clients_are_spread_and_served_until_their_turn_and_nobody_new_is_let_in(
    fresh_node: Callable[..., NodeProcess],
) -> None:
    node = fresh_node()
    node.launch().wait_until_serving()
    with many(node, 300) as sessions:
        last = sessions[-1]
        last.subscribe("test.topic")
        terminate(node)
        sessions[0].next(GOODBYE)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", node.port)).close()
        status = node.status()
        assert (status["stage"], status["ready"]) == ("draining", False)
        last.publish("test.topic", ["still served"], exclude_me=False)
        assert last.next(EVENT)[4] == ["still served"]
        for session in sessions[1:]:
            assert session.next(GOODBYE)[2] == "wamp.close.system_shutdown"
    assert stopped_after(node) < SOON_S


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_disturbs_nothing(fresh_node: Callable[..., NodeProcess], second: int) -> None:
    node = draining(fresh_node(), answer_s=1.0)
    node.launch().wait_until_serving()
    with node.session() as callee, node.session() as caller:
        callee.register("test.procedure")
        request = caller.start(CALL, {}, "test.procedure", [1])
        invocation = callee.next(INVOCATION)
        terminate(node)
        for _ in range(20):
            terminate(node, second)
        callee.connection.send([YIELD, invocation[1], {}, [2]])
        assert caller.answer(request)[3:] == [[2]]
        for session in (callee, caller):
            session.next(GOODBYE)
    assert stopped_after(node) < SOON_S


def test_a_client_that_never_reads_does_not_hold_it_up(fresh_node: Callable[..., NodeProcess]) -> None:
    node = draining(fresh_node(), spread_s=0.0, answer_s=0.0, deadline_s=6.0)
    node.launch().wait_until_serving()
    with node.session() as deaf, node.session() as publisher:
        deaf.subscribe("test.topic")
        for _ in range(100):
            publisher.publish("test.topic", ["x" * 100_000])
        terminate(node)
        publisher.next(GOODBYE)
        publisher.close()
        assert stopped_after(node) < 6.0 + SLACK_S


def test_what_waits_for_a_slow_client_reaches_it_before_the_close(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node()
    node.launch().wait_until_serving()
    with node.session() as slow, node.session() as publisher:
        slow.subscribe("test.topic")
        for number in range(80):
            publisher.publish("test.topic", [number, "x" * 100_000])
        terminate(node)
        publisher.next(GOODBYE)
        assert [slow.next(EVENT)[4][0] for _ in range(80)] == list(range(80))
        assert slow.next(GOODBYE)


def test_without_a_quorum_it_stops_within_its_deadline(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    node = draining(cluster["c"], spread_s=1.0, answer_s=1.0, deadline_s=8.0)
    cluster.start()
    with node.session() as session:
        session.register("test.procedure")
        for other in ("a", "b"):
            cluster[other].pause()  # their connections stay, and hang
        try:
            time.sleep(2.0)  # beyond the lease
            terminate(node)
            assert session.next(GOODBYE)[2] == "wamp.close.system_shutdown"
            session.close()
            assert stopped_after(node) < 8.0 + SLACK_S
        finally:
            for other in ("a", "b"):
                cluster[other].resume()


def test_a_procedure_is_free_elsewhere_as_soon_as_its_callee_gets_goodbye(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    leaving = cluster.leader()
    other = next(node for node in cluster if node is not leaving)
    with other.session() as again, other.session() as caller, many(leaving, 60) as sessions:
        for number, session in enumerate(sessions):
            session.register(f"test.procedure{number}")
        terminate(leaving)
        for number, session in enumerate(sessions):
            session.next(GOODBYE)
            session.close()
            again.register(f"test.procedure{number}")  # refused if it were still registered
        request = caller.start(CALL, {}, "test.procedure7", ["here"])
        again.answer_invocation()
        assert caller.answer(request)[3:] == [["here"]]
        assert stopped_after(leaving) < SOON_S


def test_p6_calls_to_and_from_a_node_that_stops_end_once(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    leaving = draining(cluster["a"], answer_s=1.0)
    cluster.start()
    with leaving.session() as inside, cluster["b"].session() as outside:
        inside.register("test.inside")
        outside.register("test.outside")
        outward = inside.start(CALL, {}, "test.outside")
        inward = [outside.start(CALL, {}, "test.inside", [number]) for number in range(2)]
        outside.next(INVOCATION)
        answered = inside.next(INVOCATION)
        terminate(leaving)
        time.sleep(0.2)
        inside.connection.send([YIELD, answered[1], {}, ["answered"]])  # the other one never is
        with pytest.raises(AnsweredError) as ended:
            inside.answer(outward)
        assert ended.value.uri == "wamp.error.canceled"
        inside.next(GOODBYE)
        inside.close()
        ends = [end_of(outside, request) for request in inward]
        assert ends == [["answered"], "wamp.error.canceled"]
        eventually(lambda: not leaving.running(), SOON_S, "the node has stopped")
        outside.synchronize()
        assert [message[0] for message in outside.inbox] == [INTERRUPT], "each call ends once"


def end_of(session: Session, request: int) -> Any:
    """The args of the RESULT, or the URI of the ERROR."""
    try:
        return session.answer(request)[3]
    except AnsweredError as error:
        return error.uri
