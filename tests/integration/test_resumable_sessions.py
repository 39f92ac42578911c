"""Sessions that outlive their connection, with real nodes and raw messages (docs/resumable-sessions.md)."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.integration.test_client_libraries import converse
from tests.support.nodes import GRACE_S, RESUMABLE_REALM, Cluster, NodeProcess, eventually
from tests.support.wampclient import (
    CALL,
    EVENT,
    GOODBYE,
    INVOCATION,
    PUBLISH,
    SERIALIZERS,
    TRANSPORTS,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

WAYS: Final = [(transport, serializer) for transport in TRANSPORTS for serializer in SERIALIZERS]
EVENTS: Final = 300


def fresh(kind: str) -> str:
    """A URI that no other test uses."""
    return f"test.{kind}.n{uuid.uuid4().hex}"


def joined(port: int, transport: str = "websocket", serializer: str = "json") -> Session:
    """A session that can be resumed."""
    return Session(port, transport, serializer, RESUMABLE_REALM, details={"resumable": True})


def back(port: int, session: Session, transport: str = "websocket", serializer: str = "json") -> Session:
    """The same session over a new connection."""
    details = {"resumable": True, "resume-session": session.id, "resume-token": session.welcome["resume_token"]}
    resumed = Session(port, transport, serializer, RESUMABLE_REALM, details=details, after=session.requests)
    assert (resumed.id, resumed.welcome["resumed"]) == (session.id, True)
    return resumed


def plain(port: int) -> Session:
    """A session in the same realm that cannot be resumed."""
    return Session(port, "rawsocket", "msgpack", RESUMABLE_REALM)


def publish_many(publisher: Session, topic: str, first: int, count: int) -> None:
    """Publish numbers, the last one acknowledged."""
    publisher.connection.send_many([PUBLISH, 1, {}, topic, [number]] for number in range(first, first + count - 1))
    publisher.publish(topic, [first + count - 1])


def events(session: Session, count: int) -> list[int]:
    """The numbers of the next events."""
    return [session.next(EVENT)[4][0] for _ in range(count)]


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_resumed_on_one_node_with_nothing_lost_twice_or_out_of_order(
    router: Router, transport: str, serializer: str
) -> None:
    topic = fresh("topic")
    with joined(router.port, transport, serializer) as session, plain(router.port) as publisher:
        subscription = session.subscribe(topic)
        publish_many(publisher, topic, 0, EVENTS)
        assert events(session, EVENTS) == list(range(EVENTS))
        session.close()
        publish_many(publisher, topic, EVENTS, EVENTS)  # some may go to the connection that is gone
        publisher.synchronize()
        publish_many(publisher, topic, 2 * EVENTS, EVENTS)
        with back(router.port, session, transport, serializer) as again:
            publish_many(publisher, topic, 3 * EVENTS, EVENTS)
            gap = again.welcome["x_gap"]
            got = events(again, gap["replayed"] + EVENTS)
            assert got == list(range(4 * EVENTS))[-len(got) :]
            # SUBSCRIBED, and whatever the router sent to the old connection
            assert gap["sent"] == 1 + 4 * EVENTS - len(got)
            assert gap["dropped"] == 0
            again.unsubscribe(subscription)


@pytest.mark.parametrize("way", WAYS[:1] + WAYS[-1:], ids=str)
def test_resumed_on_one_node_over_another_transport(router: Router, way: tuple[str, str]) -> None:
    topic = fresh("topic")
    others = [each for each in WAYS if each != way]
    with plain(router.port) as publisher:
        session = joined(router.port, *way)
        session.subscribe(topic)
        for number, (transport, serializer) in enumerate(others):
            session.close()
            publisher.publish(topic, [number, "text", 1.5, None], {"key": [number]})
            session = back(router.port, session, transport, serializer)
            if session.welcome["x_gap"]["replayed"]:
                assert session.next(EVENT)[4:] == [[number, "text", 1.5, None], {"key": [number]}]
        session.leave()


def test_calls_and_registrations_go_on_on_one_node(router: Router) -> None:
    procedure = fresh("procedure")
    with joined(router.port) as callee, joined(router.port) as caller:
        callee.register(procedure)
        first = caller.start(CALL, {}, procedure, [1])
        invocation = callee.next(INVOCATION)
        callee.close()
        caller.synchronize()
        with back(router.port, callee) as callee:  # noqa: PLW2901
            assert callee.welcome["x_gap"]["invocations"] == [invocation[1]]
            caller.close()
            callee.connection.send([YIELD, invocation[1], {}, [10]])
            callee.synchronize()
            with back(router.port, caller) as caller:  # noqa: PLW2901
                seen = caller.welcome["x_gap"]
                if seen["replayed"]:  # else the result went to the connection that was gone
                    assert caller.answer(first)[3:] == [[10]]
                second = caller.start(CALL, {}, procedure, [2])
                assert callee.answer_invocation()[4] == [2]
                assert caller.answer(second)[3:] == [[2]]


def test_the_old_connection_is_closed_when_its_session_is_resumed_on_one_node(router: Router) -> None:
    topic = fresh("topic")
    with joined(router.port) as session, plain(router.port) as publisher:
        session.subscribe(topic)
        with back(router.port, session) as again:
            assert session.next(GOODBYE)[2] == "wampha.close.resumed"
            with pytest.raises(ConnectionEndedError):
                session.connection.receive()
            publisher.publish(topic, [1])
            assert events(again, 1) == [1]


def test_tokens_are_refused_on_one_node_when_wrong_used_or_late(router: Router) -> None:
    with joined(router.port) as session:
        session.close()
        with back(router.port, session) as again:
            refused(router.port, session.id, session.welcome["resume_token"])
            again.synchronize()
        refused(router.port, session.id, "wrong")
        refused(router.port, 1, again.welcome["resume_token"])
        time.sleep(GRACE_S + 0.2)
        refused(router.port, session.id, again.welcome["resume_token"])


def refused(port: int, session: int, token: str) -> None:
    """The router sends ABORT."""
    details = {"resume-session": session, "resume-token": token}
    with pytest.raises(ConnectionEndedError, match=r"wamp\.error\.no_such_session"):
        Session(port, "websocket", "json", RESUMABLE_REALM, details=details)


AUTOBAHN: Final = (sys.executable, str(Path(__file__).parent / "clients" / "autobahn_python_resuming.py"))
SEEN: Final = {
    "heard": [1, 2, 3],
    "called": 42,
    "waited": "in the end",
    "resumed": True,
    "same": True,
    "new_token": True,
    "gap": ["calls", "dropped", "invocations", "node_lost", "replayed", "sent", "unregistered"],
    "call": 2,
}


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_autobahn_resumes_on_one_node(router: Router, transport: str, serializer: str) -> None:
    assert converse(AUTOBAHN, transport, serializer, router.port, router.port) == SEEN


# ---- across nodes


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_autobahn_resumes_across_nodes(cluster: Cluster, transport: str, serializer: str) -> None:
    ports = [cluster[name].port for name in "acb"]
    assert converse(AUTOBAHN, transport, serializer, *ports) == SEEN


@pytest.mark.parametrize("publisher_at", ["a", "b", "c"])
def test_resumed_across_nodes_under_load_with_nothing_lost_twice_or_out_of_order(
    cluster: Cluster, publisher_at: str
) -> None:
    """Events come all the time while the session goes round the nodes."""
    topic = fresh("topic")
    session = joined(cluster["a"].port)
    subscription = session.subscribe(topic)
    with Publishing(cluster[publisher_at].port, topic) as publishing:
        got: list[int] = []
        for name in "bcabcaabc":
            got += inbox(session, 0.1)
            session.close()
            session = back(cluster[name].port, session)
            gap = session.welcome["x_gap"]
            got += events(session, gap["replayed"])
        publishing.stop()
        got += rest(session)
    assert len(set(got)) == len(got)
    assert got == sorted(got)
    assert got[-1] == publishing.published - 1
    # What is missing was sent to a connection that was closed: a few at each change.
    assert len(got) > publishing.published * 0.8
    session.unsubscribe(subscription)
    session.leave()


def test_registrations_go_along_across_nodes_and_calls_never_meet_two_owners(cluster: Cluster) -> None:
    procedure = fresh("procedure")
    callee = joined(cluster["a"].port)
    registration = callee.register(procedure)
    with plain(cluster["c"].port) as caller, plain(cluster["b"].port) as rival:
        for name in "bcab":
            callee.close()
            requests = [caller.start(CALL, {}, procedure, [number]) for number in range(20)]
            callee = back(cluster[name].port, callee)
            assert callee.welcome["x_gap"]["unregistered"] == []
            requests += [caller.start(CALL, {}, procedure, [number]) for number in range(20, 40)]
            results = serve(callee, caller, requests)
            assert results[-1] == 39
            assert results == sorted(results)
            with pytest.raises(AnsweredError, match="procedure_already_exists"):
                rival.register(procedure)
        callee.unregister(registration)
        rival.register(procedure)
    callee.leave()


def test_tokens_are_refused_across_nodes_when_wrong_used_or_late(cluster: Cluster) -> None:
    with joined(cluster["a"].port) as session:
        session.close()
        refused(cluster["b"].port, session.id, "a:wrong")
        with back(cluster["b"].port, session) as again:
            for node in cluster:
                refused(node.port, session.id, session.welcome["resume_token"])
            again.synchronize()
        time.sleep(GRACE_S + 0.2)
        refused(cluster["c"].port, session.id, again.welcome["resume_token"])


def test_a_node_that_stops_costs_a_session_nothing(fresh_cluster: Callable[[], Cluster]) -> None:
    """Rolling restart: the client reads to the end of its connection, and goes on at another node."""
    cluster = fresh_cluster().start()
    topic, procedure = fresh("topic"), fresh("procedure")
    session = joined(cluster["a"].port)
    session.subscribe(topic)
    registration = session.register(procedure)
    with Publishing(cluster["c"].port, topic) as publishing, plain(cluster["c"].port) as caller:
        got = inbox(session, 0.3)
        stopping = threading.Thread(target=cluster["a"].stop)
        stopping.start()
        with contextlib.suppress(ConnectionEndedError):
            while True:
                got += events(session, 1)
        session.close()
        session = eventually(lambda: attempt(cluster["b"].port, session), 5.0, "the session is resumed")
        stopping.join()
        publishing.stop()
        got += rest(session)
        assert got == list(range(publishing.published))
        request = caller.start(CALL, {}, procedure, [1])
        invocation = session.answer_invocation()
        assert (invocation[2], caller.answer(request)[3]) == (registration, [1])
    session.leave()


def test_when_the_home_node_died_the_session_goes_on_and_is_told_what_is_lost(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster().start()
    topic, procedure = fresh("topic"), fresh("procedure")
    session = joined(cluster["c"].port)
    session.subscribe(topic)
    session.register(procedure)
    with plain(cluster["a"].port) as witness:
        time.sleep(0.2)  # the cluster knows of the session and its token
        left, came = witness.subscribe("wamp.session.on_leave"), witness.subscribe("wamp.session.on_join")
        cluster["c"].kill()
        session.close()
        again = eventually(lambda: attempt(cluster["b"].port, session), 20.0, "the session is resumed")
        assert again.welcome["x_gap"]["node_lost"] is True
        assert again.welcome["authid"] == session.welcome["authid"]
        told = {event[1]: event[4][0] for event in (witness.next(EVENT), witness.next(EVENT))}
        assert told[left] == session.id
        assert told[came]["session"] == session.id
        again.subscribe(topic)
        again.register(procedure)
        witness.publish(topic, [1])
        assert events(again, 1) == [1]
        for name in "ab":
            refused(cluster[name].port, session.id, session.welcome["resume_token"])
    again.leave()


def test_a_move_is_told_to_nobody_and_the_session_can_be_killed_while_it_waits(cluster: Cluster) -> None:
    topic = fresh("topic")
    meta = ("session.on_leave", "session.on_join", "subscription.on_subscribe", "subscription.on_unsubscribe")
    with plain(cluster["c"].port) as witness, joined(cluster["a"].port) as session:
        subscription, registration = session.subscribe(topic), session.register(topic)
        told = {witness.subscribe(f"wamp.{name}"): name for name in meta}
        told |= {witness.subscribe(f"wamp.registration.{name}"): name for name in ("on_register", "on_unregister")}
        session.close()
        again = back(cluster["b"].port, session)
        for name in "ab":
            with plain(cluster[name].port) as asking:
                assert asking.call("wamp.subscription.list_subscribers", [subscription])[0] == [[session.id]]
                assert asking.call("wamp.registration.list_callees", [registration])[0] == [[session.id]]
                assert asking.call("wamp.session.get", [session.id])[0][0]["session"] == session.id
        again.close()
        again.connection.socket.close()
        eventually(lambda: cluster["b"].status()["detached"]["sessions"] == 1, 5.0, "the session waits")
        witness.call("wamp.session.kill", [session.id])
        refused(cluster["b"].port, session.id, again.welcome["resume_token"])
        seen = [(told[event[1]], event[4]) for event in meta_events(witness) if session.id in flat(event[4])]
        assert [name for name, _ in seen].count("session.on_leave") == 1
        assert {name for name, _ in seen} <= {"session.on_leave", "subscription.on_unsubscribe", "on_unregister"}


def meta_events(session: Session) -> list[list[Any]]:
    """All events that come within half a second."""
    got = []
    with contextlib.suppress(TimeoutError):
        while True:
            got.append(session.next(EVENT, 0.5))
    return got


def flat(args: list[Any]) -> list[Any]:
    """What stands in the arguments of a meta event."""
    return [value for arg in args for value in (arg.values() if isinstance(arg, dict) else [arg]) if value != {}]


def test_of_many_that_resume_at_once_across_nodes_exactly_one_wins(cluster: Cluster) -> None:
    for _ in range(20):
        session = joined(cluster["a"].port)
        session.close()
        with ThreadPoolExecutor(6) as pool:
            tries = [pool.submit(attempt, node.port, session) for node in [*cluster, *cluster]]
        winners = [each.result() for each in tries if each.result() is not None]
        assert len(winners) == 1
        winner = winners[0]
        assert winner is not None
        winner.synchronize()
        winner.leave()


def attempt(port: int, session: Session) -> Session | None:
    """A try to resume the session."""
    try:
        return back(port, session)
    except ConnectionEndedError as ended:  # a node that does not serve at this moment says nothing
        assert re.search(r"wamp\.error\.(no_such_session|unavailable)|reason ''", str(ended)), ended
        return None


class Publishing:
    """Publishes numbers all the time."""

    def __init__(self, port: int, topic: str) -> None:
        self.published = 0
        self._session = plain(port)
        self._topic = topic
        self._going = True
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> Publishing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """Publish no more; what was published has been accepted."""
        self._going = False
        self._thread.join()

    def _publish(self) -> None:
        while self._going:
            publish_many(self._session, self._topic, self.published, 20)
            self.published += 20
            time.sleep(0.002)


def inbox(session: Session, seconds: float) -> list[int]:
    """The numbers of the events that come within that time."""
    got: list[int] = []
    deadline = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while (left := deadline - time.monotonic()) > 0:
            got += [session.next(EVENT, left)[4][0]]
    return got


def rest(session: Session) -> list[int]:
    """The numbers of all events that still come, until none has come for half a second."""
    got: list[int] = []
    with contextlib.suppress(TimeoutError):
        while True:
            got += [session.next(EVENT, 0.5)[4][0]]
    return got


def serve(callee: Session, caller: Session, requests: list[int]) -> list[int]:
    """Answer what was called; what came of each request, less those that were refused as not sent."""
    results = []
    pending = list(requests)
    while pending:
        with contextlib.suppress(TimeoutError):
            callee.answer_invocation(timeout_s=0.05)
        while pending:
            try:
                answer = caller.answer(pending[0], 0.005)
            except TimeoutError:
                break
            except AnsweredError as error:
                assert error.uri == "wamp.error.unavailable"
            else:
                results.append(answer[3][0])
            pending.pop(0)
    return results


@pytest.mark.parametrize("details", [{"resume-session": "1", "resume-token": ""}, {"resume-session": 1}], ids=str)
def test_malformed_fields_are_a_violation(router: Router, details: dict[str, Any]) -> None:
    with pytest.raises(ConnectionEndedError, match=r"wamp\.error\.protocol_violation"):
        Session(router.port, "websocket", "json", RESUMABLE_REALM, details=details)


def test_a_procedure_is_free_when_its_callee_does_not_come_back(router: Router) -> None:
    procedure = fresh("procedure")
    with joined(router.port) as callee, plain(router.port) as other:
        callee.register(procedure)
        callee.close()
        with pytest.raises(AnsweredError, match="procedure_already_exists"):
            other.register(procedure)
        time.sleep(GRACE_S + 0.2)
        other.register(procedure)


def test_goodbye_ends_a_session_for_good(router: Router) -> None:
    with joined(router.port) as session:
        session.leave()
        refused(router.port, session.id, session.welcome["resume_token"])


def test_a_node_with_sessions_that_wait_stops_in_time_and_says_nothing_of_tokens(
    fresh_node: Callable[..., NodeProcess],
) -> None:
    node = fresh_node(log={"level": "debug", "format": "text"})
    node.launch().wait_until_serving()
    session = joined(node.port)
    session.close()
    again = back(node.port, session)
    refused(node.port, session.id, session.welcome["resume_token"])
    again.close()
    eventually(lambda: node.status()["detached"] == {"sessions": 1, "bytes": 0}, 5.0, "the session waits")
    node.stop()
    for each in (session, again):
        assert each.welcome["resume_token"].partition(":")[2] not in node.log()
