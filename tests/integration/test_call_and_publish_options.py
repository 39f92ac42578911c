"""Features of the advanced profile that need no state of the cluster, message by message, over real connections.

Each test runs on one node and between two, in both directions, and mixes transports and serializers. What the router
must do is worked out in `tests/unit/routing/test_call_options.py` and `test_publish_options.py`; here it is seen from
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

import pytest

from tests.support.nodes import Cluster, NodeProcess
from tests.support.wampclient import (
    CALL,
    CANCEL,
    ERROR,
    EVENT,
    INTERRUPT,
    INVOCATION,
    PUBLISH,
    RESULT,
    SERIALIZERS,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

_fresh: Final[Iterator[int]] = count()
WAYS: Final = [("a", "a"), ("a", "b"), ("c", "a")]  # the homes of publisher or caller, and of the other side
KINDS: Final = [("websocket", "json"), ("rawsocket", "msgpack"), ("websocket", "cbor")]

Pair = tuple[Session, Session]


@pytest.fixture(params=WAYS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[[int], Pair]]:
    """Makes an active session and a passive one, with transports and serializers that change with a number."""
    first, second = request.param
    with ExitStack() as stack:

        def make(kind: int) -> Pair:
            active = stack.enter_context(cluster[first].session(*KINDS[kind % 3]))
            return active, stack.enter_context(cluster[second].session(*KINDS[(kind + 1) % 3]))

        yield make


def fresh() -> str:
    """A URI that no other test uses."""
    return f"options.n{next(_fresh)}"


def answer_to(caller: Session, request: int) -> list[Any]:
    """The next RESULT or ERROR for a call."""
    return caller._next(lambda message: message[1 if message[0] == RESULT else 2] == request, 5.0)


def silent(session: Session) -> bool:
    """Whether nothing but what is in the inbox has come."""
    session.synchronize()
    return not session.inbox


@pytest.mark.parametrize("kind", range(3))
def test_black_and_white_lists(pair: Callable[[int], Pair], kind: int) -> None:
    publisher, subscriber = pair(kind)
    topic = fresh()
    subscriber.subscribe(topic)
    authid = subscriber.welcome["authid"]
    for number, options in enumerate(
        (
            {"exclude": [subscriber.id]},
            {"exclude_authid": [authid]},
            {"exclude_authrole": ["anonymous"]},
            {"eligible": []},
            {"eligible": [publisher.id]},
            {"eligible_authid": ["nobody"]},
            {"eligible_authrole": ["nobody"]},
        )
    ):
        publisher.publish(topic, [number], **options)
    allowed = {"eligible": [subscriber.id], "eligible_authid": [authid], "eligible_authrole": ["anonymous"]}
    publisher.publish(topic, ["allowed"], exclude=[publisher.id], **allowed)
    assert subscriber.next(EVENT)[4] == ["allowed"]
    assert silent(subscriber)


@pytest.mark.parametrize("kind", range(3))
def test_publisher_identification_and_patterns(pair: Callable[[int], Pair], kind: int) -> None:
    publisher, subscriber = pair(kind)
    topic = fresh()
    subscriber.subscribe(topic[:-1], match="prefix")
    publisher.publish(topic, [1], disclose_me=True)
    assert subscriber.next(EVENT)[3] == {
        "topic": topic,
        "publisher": publisher.id,
        "publisher_authid": publisher.welcome["authid"],
        "publisher_authrole": "anonymous",
    }
    publisher.publish(topic, [2])
    assert subscriber.next(EVENT)[3] == {"topic": topic}


@pytest.mark.parametrize("kind", range(3))
def test_caller_identification(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    open_procedure, curious = fresh(), fresh()
    callee.register(open_procedure)
    callee.register(curious, disclose_caller=True)
    identity = {"caller": caller.id, "caller_authid": caller.welcome["authid"], "caller_authrole": "anonymous"}
    for procedure, options, shown in (
        (open_procedure, {}, {}),
        (open_procedure, {"disclose_me": True}, identity),
        (curious, {}, identity),
    ):
        request = caller.start(CALL, options, procedure, [1])
        assert callee.answer_invocation()[3] == shown
        caller.answer(request)


@pytest.mark.parametrize("kind", range(3))
def test_passthru_payloads_go_both_ways(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    uri = fresh()
    ppt = {"ppt_scheme": "wamp", "ppt_serializer": "cbor", "ppt_cipher": "xsalsa20poly1305", "ppt_keyid": "0x1"}
    callee.register(uri)
    callee.subscribe(uri)
    caller.publish(uri, ["opaque"], **ppt)
    assert callee.next(EVENT)[3:] == [ppt, ["opaque"]]
    request = caller.start(CALL, ppt, uri, ["opaque"])
    invocation = callee.next(INVOCATION)
    assert invocation[3:] == [ppt, ["opaque"]]
    callee.connection.send([YIELD, invocation[1], ppt, ["answer"]])
    assert caller.answer(request)[2:] == [ppt, ["answer"]]


@pytest.mark.parametrize("kind", range(3))
def test_payloads_of_autobahn_s_older_form_go_both_ways(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    uri = fresh()
    enc = {"enc_algo": "x_mine", "enc_serializer": "cbor", "enc_key": "k"}

    def sealed(session: Session) -> Any:
        return "\0AQID" if session.connection.serializer == "json" else b"\1\2\3"

    callee.register(uri)
    callee.subscribe(uri)
    caller.publish(uri, sealed(caller), **enc)
    assert callee.next(EVENT)[3:] == [enc, sealed(callee)]
    request = caller.start(CALL, enc, uri, sealed(caller))
    invocation = callee.next(INVOCATION)
    assert invocation[3:] == [enc, sealed(callee)]
    callee.connection.send([ERROR, INVOCATION, invocation[1], enc, "com.failed", sealed(callee)])
    assert answer_to(caller, request)[3:] == [enc, "com.failed", sealed(caller)]


@pytest.mark.parametrize("kind", range(3))
def test_progressive_results(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    procedure = fresh()
    callee.register(procedure)
    request = caller.start(CALL, {"receive_progress": True}, procedure, [3])
    invocation = callee.next(INVOCATION)
    assert invocation[3] == {"receive_progress": True}
    callee.connection.send_many([YIELD, invocation[1], {"progress": True}, [number]] for number in range(500))
    callee.connection.send([YIELD, invocation[1], {}, ["end"]])
    callee.connection.send([YIELD, invocation[1], {"progress": True}, ["late"]])
    for number in range(500):
        assert answer_to(caller, request) == [RESULT, request, {"progress": True}, [number]]
    assert answer_to(caller, request) == [RESULT, request, {}, ["end"]]
    assert silent(caller)


@pytest.mark.parametrize("kind", range(3))
def test_progressive_invocations(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    procedure = fresh()
    registration = callee.register(procedure)
    request = caller.start(CALL, {"progress": True, "receive_progress": True}, procedure, [0])
    caller.connection.send_many([CALL, request, {"progress": True}, procedure, [number]] for number in range(1, 200))
    caller.connection.send([CALL, request, {}, procedure, [200]])
    first = callee.next(INVOCATION)
    assert first[2:] == [registration, {"progress": True, "receive_progress": True}, [0]]
    callee.connection.send([YIELD, first[1], {"progress": True}, ["begun"]])
    for number in range(1, 201):
        more = {"progress": True} if number < 200 else {}
        assert callee.next(INVOCATION)[1:] == [first[1], registration, {**more, "receive_progress": True}, [number]]
    callee.connection.send([YIELD, first[1], {}, ["done"]])
    assert answer_to(caller, request)[2:] == [{"progress": True}, ["begun"]]
    assert answer_to(caller, request)[2:] == [{}, ["done"]]


@pytest.mark.parametrize("kind", range(3))
def test_pattern_based_registration(pair: Callable[[int], Pair], kind: int) -> None:
    caller, callee = pair(kind)
    name = fresh()
    ids = {
        callee.register(f"{name}.", match="prefix"): f"{name}.x.b",
        callee.register(f"{name}..", match="wildcard"): None,
        callee.register(f"{name}.a.b"): f"{name}.a.b",
    }
    for registration, procedure in ids.items():
        if procedure is not None:
            request = caller.start(CALL, {}, procedure, [1])
            shown = {} if procedure.endswith("a.b") else {"procedure": procedure}
            assert callee.answer_invocation()[2:4] == [registration, shown]
            caller.answer(request)


@pytest.mark.parametrize("mode", ["skip", "kill", "killnowait"])
def test_cancel(pair: Callable[[int], Pair], mode: str) -> None:
    caller, callee = pair(0)
    procedure = fresh()
    callee.register(procedure)
    request = caller.start(CALL, {}, procedure)
    invocation = callee.next(INVOCATION)[1]
    caller.connection.send([CANCEL, request, {"mode": mode}])
    if mode != "skip":
        assert callee.next(INTERRUPT)[1:] == [invocation, {"mode": mode, "reason": "wamp.error.canceled"}]
    if mode == "kill":
        assert silent(caller)
        callee.connection.send([ERROR, INVOCATION, invocation, {}, "wamp.error.canceled", ["as you wish"]])
        assert answer_to(caller, request)[3:] == [{}, "wamp.error.canceled", ["as you wish"]]
    else:
        assert answer_to(caller, request)[4] == "wamp.error.canceled"
        callee.connection.send([YIELD, invocation, {}, ["late"]])
    assert silent(callee)
    assert silent(caller)


def test_cancel_of_a_foreign_call_disturbs_nobody(pair: Callable[[int], Pair]) -> None:
    caller, callee = pair(0)
    procedure = fresh()
    callee.register(procedure)
    request = caller.start(CALL, {}, procedure)
    stranger, _ = pair(1)
    stranger.connection.send([CANCEL, request, {"mode": "killnowait"}])
    assert silent(stranger)
    callee.answer_invocation(["answer"])
    assert caller.answer(request)[3] == ["answer"]


def test_a_timeout_is_counted_in_milliseconds_and_interrupts_the_callee(pair: Callable[[int], Pair]) -> None:
    caller, callee = pair(1)
    procedure = fresh()
    callee.register(procedure)
    request = caller.start(CALL, {"timeout": 50}, procedure)
    invocation = callee.next(INVOCATION)[1]
    answer = answer_to(caller, request)
    assert answer[4] == "wamp.error.timeout"
    assert answer[6] == {"outcome": "unknown"}
    assert callee.next(INTERRUPT)[1:] == [invocation, {"mode": "killnowait", "reason": "wamp.error.timeout"}]


def test_a_callee_is_interrupted_when_its_caller_is_gone(pair: Callable[[int], Pair]) -> None:
    caller, callee = pair(1)
    procedure = fresh()
    callee.register(procedure)
    caller.start(CALL, {"receive_progress": True}, procedure)
    invocation = callee.next(INVOCATION)[1]
    caller.close()
    assert callee.next(INTERRUPT)[1:] == [invocation, {"mode": "killnowait", "reason": "wamp.error.canceled"}]
    callee.connection.send([YIELD, invocation, {"progress": True}, ["to nobody"]])
    assert silent(callee)


def test_a_timeout_is_kept_while_the_node_of_the_callee_stands_still(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster().start()
    callee_home = next(node for node in cluster if node is not cluster.leader())
    caller_home = next(node for node in cluster if node not in (callee_home,))
    with callee_home.session() as callee, caller_home.session() as caller:
        callee.register("p")
        callee_home.pause()
        try:
            request = caller.start(CALL, {"timeout": 300}, "p")
            assert answer_to(caller, request)[4] == "wamp.error.timeout"
        finally:
            callee_home.resume()


# ---- what the configuration discloses


def test_a_role_may_disclose_and_trust(fresh_node: Callable[..., NodeProcess]) -> None:
    allow = {"call": True, "register": True, "publish": True, "subscribe": True}
    permission = {"uri": "", "match": "prefix", "allow": allow, "trustlevel": 3}
    permission["disclose"] = {"caller": True, "publisher": True}
    realms = [{"name": "realm1", "roles": [{"name": "anonymous", "permissions": [permission]}]}]
    node = fresh_node(realms=realms)
    node.launch().wait_until_serving()
    with node.session() as one, node.session() as other:
        other.subscribe("t")
        other.register("p")
        one.publish("t", [1])
        details = other.next(EVENT)[3]
        assert (details["publisher"], details["trustlevel"]) == (one.id, 3)
        request = one.start(CALL, {}, "p", [1])
        details = other.answer_invocation()[3]
        assert (details["caller"], details["caller_authrole"], details["trustlevel"]) == (one.id, "anonymous", 3)
        one.answer(request)


# ---- bad input


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_black_list_of_a_million_entries_is_refused(cluster: Cluster, serializer: str) -> None:
    topic = fresh()
    with cluster["a"].session("rawsocket", serializer) as publisher, cluster["a"].session() as subscriber:
        subscriber.subscribe(topic)
        with pytest.raises(AnsweredError) as refused:
            publisher.publish(topic, [1], exclude=[5] * 100_000)
        assert refused.value.uri == "wamp.error.invalid_argument"
        with cluster["a"].session("rawsocket", serializer) as bad:
            bad.connection.send([PUBLISH, 1, {"exclude": [2**40] * 900_000}, topic])
            assert bad.connection.receive()[2] == "wamp.error.protocol_violation"
        publisher.publish(topic, [2])
        assert subscriber.next(EVENT)[4] == [2]


@pytest.mark.parametrize(
    "message",
    [
        [PUBLISH, 1, {"eligible": 7}, "t"],
        [PUBLISH, 1, {"exclude": ["7"]}, "t"],
        [PUBLISH, 1, {"exclude_authrole": [7]}, "t"],
        [PUBLISH, 1, {"disclose_me": "yes"}, "t"],
        [CALL, 1, {"timeout": "1s"}, "p"],
        [CALL, 1, {"timeout": -1}, "p"],
        [CALL, 1, {"receive_progress": 1}, "p"],
        [CANCEL, 1, {"mode": "gently"}],
        [YIELD, 1, {"progress": "yes"}],
        [PUBLISH, 1, {"ppt_scheme": 1}, "t"],
    ],
    ids=str,
)
def test_options_of_the_wrong_type_abort_the_session(cluster: Cluster, message: list[Any]) -> None:
    with cluster["a"].session() as bad, cluster["a"].session() as good:
        bad.connection.send(message)
        abort = bad.connection.receive()
        assert (abort[0], abort[2]) == (3, "wamp.error.protocol_violation")
        with pytest.raises(ConnectionEndedError):
            bad.connection.receive()
        good.synchronize()


def test_a_flood_of_progressive_results_cuts_the_caller_that_does_not_read_and_nobody_else(
    fresh_node: Callable[..., NodeProcess],
) -> None:
    node = fresh_node(limits={"client_queue_bytes_max": 1 << 20, "message_bytes_max": 1 << 20})
    node.launch().wait_until_serving()
    with node.session() as callee, node.session() as caller, node.session() as other:
        callee.register("flood")
        callee.register("echo")
        caller.start(CALL, {"receive_progress": True}, "flood")
        invocation = callee.next(INVOCATION)[1]
        flood = [YIELD, invocation, {"progress": True}, ["x" * 100_000]]
        while not callee.inbox:
            callee.connection.send_many([flood] * 10)
            callee.synchronize()
        assert callee.next(INTERRUPT)[1] == invocation
        node.wait_for_log("it does not read")
        request = other.start(CALL, {}, "echo", [1])
        callee.answer_invocation()
        assert other.answer(request)[3] == [1]
