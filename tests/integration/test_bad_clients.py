"""Bad input of clients: the one at fault gets the right answer, and nobody else notices."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.support.nodes import NodeProcess
from tests.support.rawclients import RawClient, RawSocketClient, WebSocketClient, raw_frame, ws_frame
from tests.support.wampclient import (
    ABORT,
    CALL,
    ERROR,
    EVENT,
    GOODBYE,
    HELLO,
    PUBLISH,
    REGISTER,
    ROLES,
    SERIALIZERS,
    SUBSCRIBE,
    TRANSPORTS,
    UNREGISTER,
    UNSUBSCRIBE,
    YIELD,
    AnsweredError,
    Connection,
    ConnectionEndedError,
    Session,
    connect,
)

MIB: Final = 1 << 20
TOPIC: Final = "test.bystander"
VIOLATION: Final = "wamp.error.protocol_violation"


@pytest.fixture(autouse=True)
def bystander(router: Router) -> Iterator[Session]:
    """A session that must not notice anything."""
    with router.session() as session:
        session.subscribe(TOPIC)
        yield session
        check_undisturbed(session)


def check_undisturbed(session: Session) -> None:
    """The session works, and has heard nothing but itself."""
    session.publish(TOPIC, ["still here"], exclude_me=False)
    assert session.next(EVENT)[4] == ["still here"]
    assert not session.inbox


@pytest.fixture(params=[(one, other) for one in TRANSPORTS for other in SERIALIZERS], ids="-".join)
def offender(router: Router, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session that is going to misbehave, over each transport and serializer."""
    with router.session(*request.param) as session:
        yield session


def check_aborted(connection: Connection, reason: str = VIOLATION) -> str:
    """ABORT with the reason comes, then the end of the connection; gives the sentence for the client."""
    answer = connection.receive()
    assert answer[0] == ABORT and answer[2] == reason, answer
    check_closed(connection)
    sentence: str = answer[1]["message"]
    assert sentence
    return sentence


def check_closed(connection: Connection, code: int | None = None) -> None:
    """The router ends the connection and sends nothing before it."""
    with pytest.raises(ConnectionEndedError) as ended:
        pytest.fail(f"not the end but {connection.receive()}")
    if code is not None:
        assert ended.value.code == code, ended.value


VIOLATIONS: Final[dict[str, list[Any]]] = {
    "args-is-a-string": [PUBLISH, 1, {}, TOPIC, "no list"],
    "args-of-a-call-is-a-map": [CALL, 1, {}, "test.procedure", {"no": "list"}],
    "kwargs-is-a-list": [PUBLISH, 1, {}, TOPIC, [], ["no map"]],
    "options-is-a-list": [SUBSCRIBE, 1, [], TOPIC],
    "uri-is-a-number": [SUBSCRIBE, 1, {}, 7],
    "message-is-too-short": [PUBLISH, 1, {}],
    "message-is-too-long": [CALL, 1, {}, "test.procedure", [], {}, "more"],
    "code-is-unknown": [99, 1, {}],
    "code-is-no-number": ["PUBLISH", 1, {}, TOPIC],
    "message-is-empty": [],
    "message-of-a-router": [EVENT, 1, 2, {}],
    "yield-for-nothing": [YIELD, 4711, {}],
    "error-for-nothing": [ERROR, 68, 4711, {}, "com.example.error"],
    "id-is-zero": [SUBSCRIBE, 0, {}, TOPIC],
    "id-is-negative": [CALL, -1, {}, "test.procedure"],
    "id-is-above-2-to-the-53": [PUBLISH, 2**53 + 1, {}, TOPIC],
    "id-is-a-fraction": [REGISTER, 1.5, {}, "test.procedure"],
    "id-is-a-string": [SUBSCRIBE, "1", {}, TOPIC],
    "id-is-a-truth-value": [SUBSCRIBE, True, {}, TOPIC],
    "unsubscribed-id-is-negative": [UNSUBSCRIBE, 1, -1],
    "unregistered-id-is-above-2-to-the-53": [UNREGISTER, 1, 2**53 + 1],
}


@pytest.mark.parametrize("message", VIOLATIONS.values(), ids=VIOLATIONS)
def test_malformed_message_aborts_the_session(offender: Session, message: list[Any]) -> None:
    offender.connection.send(message)
    check_aborted(offender.connection)


def test_octets_that_no_serializer_reads_abort_the_session(offender: Session) -> None:
    offender.connection.send_payload(b"[16, 1, {}" if offender.connection.serializer == "json" else b"\xc1\xff\xff")
    check_aborted(offender.connection)


def test_message_that_is_no_list_aborts_the_session(offender: Session) -> None:
    offender.connection.send_payload(offender.connection.encode({"no": "list"}))
    check_aborted(offender.connection)


def test_too_deep_nesting_aborts_the_session(offender: Session) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    offender.connection.send([PUBLISH, 1, {}, TOPIC, deep])
    check_aborted(offender.connection)


def test_hostile_nesting_aborts_the_session(offender: Session) -> None:
    opening, rest = {"json": (b"[", b"]"), "msgpack": (b"\x91", b"\xc0"), "cbor": (b"\x81", b"\xf6")}[
        offender.connection.serializer
    ]
    offender.connection.send_payload(opening * 100_000 + rest)
    check_aborted(offender.connection)


def test_millions_of_elements_abort_the_session(offender: Session) -> None:
    many = {"json": b"[16,1,{},%s]" % (b"{}," * (2 << 20) + b"0"), "msgpack": b"\xdd\0\x80\0\0" + b"\x80" * (8 << 20)}
    offender.connection.send_payload(many.get(offender.connection.serializer, b"\x9a\0\x80\0\0" + b"\xa0" * (8 << 20)))
    assert "more than 1000000" in check_aborted(offender.connection)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_text_that_is_not_utf8_aborts_the_session(router: Router, transport: str) -> None:
    with router.session(transport, "json") as offender:
        offender.connection.send_payload(b'[16, 1, {}, "test.topic", ["\xff\xfe"]]')
        check_aborted(offender.connection)


def test_message_of_17_mib_closes_the_websocket_with_1009(router: Router) -> None:
    with router.session("websocket", "json") as offender:
        with suppress(ConnectionError):  # the router need not read it to the end
            offender.connection.send([PUBLISH, 1, {}, TOPIC, ["x" * 17 * MIB]])
        with suppress(ConnectionResetError):
            check_closed(offender.connection, 1009)


def test_announced_17_mib_are_refused_before_they_are_sent(router: Router) -> None:
    with router.session("websocket", "json") as offender:
        offender.connection.send_bytes(b"\x81\xff" + (17 * MIB).to_bytes(8, "big") + b"\0\0\0\0[16")
        check_closed(offender.connection, 1009)


BAD_URIS: Final = {
    "space": "test.with space",
    "hash": "test.#",
    "empty-component": "test..topic",
    "empty": "",
    "too-long": "test." + "x" * 2000,
}


@pytest.mark.parametrize("uri", BAD_URIS.values(), ids=BAD_URIS)
def test_bad_uri_is_answered_by_error_and_nothing_else_happens(offender: Session, uri: str) -> None:
    for code, options in [(SUBSCRIBE, {}), (REGISTER, {}), (CALL, {}), (PUBLISH, {"acknowledge": True})]:
        with pytest.raises(AnsweredError) as refused:
            offender.ask(code, options, uri)
        assert refused.value.uri == "wamp.error.invalid_uri", (code, refused.value)
    offender.start(PUBLISH, {}, uri)  # unacknowledged: no ERROR
    offender.synchronize()
    assert not offender.inbox


@pytest.mark.parametrize("code", [PUBLISH, REGISTER])
def test_names_of_wamp_itself_are_refused_to_clients(offender: Session, code: int) -> None:
    with pytest.raises(AnsweredError) as refused:
        offender.ask(code, {"acknowledge": True} if code == PUBLISH else {}, "wamp.session.forged")
    assert refused.value.uri == "wamp.error.invalid_uri"


@pytest.mark.parametrize(
    ("code", "rest", "uri"),
    [
        (UNSUBSCRIBE, [4711], "wamp.error.no_such_subscription"),
        (UNREGISTER, [4711], "wamp.error.no_such_registration"),
        (CALL, [{}, "test.nobody"], "wamp.error.no_such_procedure"),
    ],
)
def test_request_for_what_is_not_there_is_answered_by_error(
    offender: Session, code: int, rest: list[Any], uri: str
) -> None:
    with pytest.raises(AnsweredError) as refused:
        offender.ask(code, *rest)
    assert refused.value.uri == uri
    offender.publish(TOPIC + ".other")


# ---- below WAMP


def test_unknown_websocket_serializer_is_refused_in_the_handshake(router: Router) -> None:
    with WebSocketClient(router.port) as client:
        answer = client.shake_hands(subprotocols="wamp.2.flatbuffers")
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert client.at_end()


def test_unknown_rawsocket_serializer_is_refused_with_error_1(router: Router) -> None:
    with RawSocketClient(router.port) as client:
        answer = client.shake_hands(serializer=7)
        assert answer == b"\x7f\x10\0\0"
        assert client.at_end()


def test_rawsocket_handshake_with_reserved_octets_is_refused_with_error_3(router: Router) -> None:
    with RawSocketClient(router.port) as client:
        assert client.shake_hands(reserved=b"\0\x01") == b"\x7f\x30\0\0"
        assert client.at_end()


def test_neither_websocket_nor_rawsocket_is_closed(router: Router) -> None:
    with RawClient(router.port) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # a TLS hello at a plain port
        assert client.at_end()


def test_unmasked_frame_closes_the_websocket_with_1002(router: Router) -> None:
    with WebSocketClient(router.port) as client:
        client.shake_hands()
        client.send(ws_frame(b'[1, "realm1", {}]', mask=None))
        assert client.read_close()[0] == 1002


def test_unknown_rawsocket_frame_kind_ends_the_connection(router: Router) -> None:
    with RawSocketClient(router.port) as client:
        client.shake_hands()
        client.send(raw_frame(b"what is this?", kind=5))
        assert client.at_end()


def test_connections_that_are_reset_disturb_nobody(router: Router) -> None:
    for _ in range(20):
        session = router.session("rawsocket", "msgpack")
        session.subscribe(TOPIC + ".reset")
        session.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        session.close()


# ---- who waits for nothing, and who does not read

IMPATIENT: Final = {
    "opening_timeout_s": 0.5,
    "hello_timeout_s": 0.5,
    "message_bytes_max": 256 * 1024,
    "client_queue_bytes_max": 256 * 1024,
}


@pytest.fixture
def impatient(fresh_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node with short deadlines and small queues."""
    node = fresh_node(limits=IMPATIENT)
    node.launch().wait_until_serving()
    return node


def test_silent_and_slow_clients_are_cut_and_told_why(impatient: NodeProcess) -> None:
    with impatient.session() as other:
        check_silence_ends(impatient)
        for transport in TRANSPORTS:
            check_client_without_hello_is_aborted(impatient, transport)
        for transport in TRANSPORTS:
            check_client_that_does_not_read_is_cut(impatient, transport, other)
        other.subscribe(TOPIC)
        check_undisturbed(other)


def check_silence_ends(node: NodeProcess) -> None:
    """Connections that say nothing, or begin a handshake and stop, end by themselves."""
    beginnings = [b"", b"G", b"GET /ws HTTP/1.1\r\nHost: x\r\n", b"\x7f", b"\x7f\xf1\0"]
    clients = [RawClient(node.port) for _ in beginnings]
    for client, beginning in zip(clients, beginnings, strict=True):
        client.send(beginning)
    for client, beginning in zip(clients, beginnings, strict=True):
        with client:
            assert client.at_end(), f"the connection that said {beginning!r} stays"


def check_client_without_hello_is_aborted(node: NodeProcess, transport: str) -> None:
    with connect(node.port, transport, "json") as client:
        check_aborted(client, "wamp.error.timeout")


def check_client_that_does_not_read_is_cut(node: NodeProcess, transport: str, publisher: Session) -> None:
    """It is cut once more waits for it than the bound, while the publisher's requests are answered as ever."""
    deaf = connect(node.port, transport, "json")
    with deaf:
        deaf.send([HELLO, "realm1", {"roles": ROLES}])
        deaf.receive()
        deaf.send([SUBSCRIBE, 1, {}, "test.flood"])
        deaf.receive()
        for _ in range(200):  # 25 MiB, more than the kernel's buffers and the queue together hold
            publisher.publish("test.flood", ["x" * 128 * 1024])
        node.wait_for_log(r"too slow|not read|behind|slow")
        with pytest.raises((ConnectionEndedError, ConnectionError)):
            while True:
                deaf.receive()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "message", [[SUBSCRIBE, 1, {}, TOPIC], [PUBLISH, 1, {}, TOPIC, []], [CALL, 1, {}, "x.y"], [GOODBYE, {}, "x.y"]]
)
def test_message_before_hello_is_a_violation(router: Router, transport: str, message: list[Any]) -> None:
    with connect(router.port, transport, "json") as client:
        client.send(message)
        check_aborted(client)


def test_second_hello_is_a_violation(offender: Session) -> None:
    offender.connection.send([HELLO, "realm1", {"roles": ROLES}])
    check_aborted(offender.connection)
