"""Floods, bombs and crowds against one node: who causes them is bounded, and nobody else notices."""

from __future__ import annotations

import statistics
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.integration.test_bad_clients import TOPIC, check_aborted, check_undisturbed
from tests.support.nodes import ALL_RIGHTS, NodeProcess, client_settings, eventually, free_ports
from tests.support.rawclients import RawClient, WebSocketClient, ws_frame
from tests.support.wampclient import (
    ERROR,
    EVENT,
    PUBLISH,
    PUBLISHED,
    SUBSCRIBE,
    SUBSCRIBED,
    TRANSPORTS,
    Session,
    connect,
)

MIB: Final = 1 << 20
SLOW: Final = "slow"  # a realm whose sessions may send 100 messages per second, and 50 at once
SMALL: Final = "small"  # one whose sessions may have few subscriptions
SUBSCRIPTIONS: Final = 1000
TOPICS: Final = 2500  # of a realm
HALF_OPEN: Final = 2000
FAST: Final = {"session_messages_per_s": 100, "session_messages_burst": 50}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with patience for silent clients, and with realms that have bounds of their own."""
    (port,) = free_ports(1)
    settings = client_settings(port)
    settings["realms"] += [
        {"name": SLOW, "roles": [{**ALL_RIGHTS, "limits": FAST}]},
        {"name": SMALL, "roles": [{**ALL_RIGHTS, "limits": {"session_subscriptions_max": SUBSCRIPTIONS}}]},
    ]
    settings["limits"] = {"opening_timeout_s": 120.0, "hello_timeout_s": 120.0, "realm_topics_max": TOPICS}
    node = NodeProcess(tmp_path_factory.mktemp("limited"), "limited", port, settings)
    try:
        node.launch().wait_until_serving()
        yield node
    finally:
        node.end()


@pytest.fixture(autouse=True)
def bystander(limited: NodeProcess) -> Iterator[Session]:
    """A session that must not notice anything."""
    with limited.session() as session:
        session.subscribe(TOPIC)
        yield session
        check_undisturbed(session)
    limited.check_log()


def resident_bytes(node: NodeProcess) -> int:
    """The memory of the process."""
    return int(node.status()["resident_bytes"])


# ---- how fast a session may send


def test_who_sends_too_fast_is_read_more_slowly_and_loses_nothing(limited: NodeProcess, bystander: Session) -> None:
    kinds = [("websocket", "json"), ("rawsocket", "msgpack"), ("websocket", "cbor.batched")]
    count = 150
    with ExitStack() as stack:
        hurried = [stack.enter_context(limited.session(*kind, realm=SLOW)) for kind in kinds]
        listener = stack.enter_context(limited.session(realm=SLOW))
        listener.subscribe("too.fast")
        began = time.monotonic()
        for number, session in enumerate(hurried):
            session.connection.send_many(
                [PUBLISH, request, {"acknowledge": True}, "too.fast", [number, request]]
                for request in range(1, count + 1)
            )
        for _ in range(20):  # nobody else waits
            bystander.publish("somebody.else")
        assert time.monotonic() - began < (count - 50) / 100
        for session in hurried:
            answers = [session.connection.receive() for _ in range(count)]
            assert [(code, request) for code, request, _ in answers] == [(PUBLISHED, n + 1) for n in range(count)]
        assert time.monotonic() - began > (count - 50) / 100 * 0.9
        events = [listener.next(EVENT)[4] for _ in range(3 * count)]
        for number in range(3):
            assert [request for source, request in events if source == number] == list(range(1, count + 1))
    assert limited.status()["counters"]["sessions_throttled"] >= 3


def test_a_session_that_waits_for_its_turn_can_vanish(limited: NodeProcess) -> None:
    with limited.session(realm=SLOW) as hurried:
        hurried.connection.send_many([PUBLISH, n, {}, "too.fast"] for n in range(1, 100))
    eventually(lambda: limited.status()["sessions"] == 1, 10.0, "only the bystander is left", limited.log)


# ---- crowds


def login_s(node: NodeProcess) -> float:
    """The median time of a login."""
    times = []
    for number in range(30):
        began = time.perf_counter()
        with node.session(TRANSPORTS[number % 2]):
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def test_thousands_of_half_open_connections_do_not_slow_logins_down(limited: NodeProcess, bystander: Session) -> None:
    beginnings = [b"", b"GET /ws HTTP/1.1\r\nHost: x\r\n", b"\x7f\xf1\0", b"\x7f\xf1\0\0"]
    alone_s = login_s(limited)
    before = resident_bytes(limited)
    with ExitStack() as stack:
        for number in range(HALF_OPEN):
            client = stack.enter_context(RawClient(limited.port))
            client.send(beginnings[number % len(beginnings)])
        eventually(lambda: limited.status()["file_descriptors"] > HALF_OPEN, 20.0, "all are there", limited.log)
        assert login_s(limited) < max(3 * alone_s, 0.1)
        bystander.publish("somebody.else")
        assert resident_bytes(limited) - before < HALF_OPEN * 32 * 1024
    eventually(lambda: limited.status()["file_descriptors"] < HALF_OPEN / 4, 20.0, "all are gone", limited.log)


# ---- floods


def test_a_flood_of_subscriptions_ends_at_the_bounds_of_session_and_realm(limited: NodeProcess) -> None:
    before = resident_bytes(limited)
    with ExitStack() as stack:
        flooders = [stack.enter_context(limited.session("rawsocket", "msgpack", SMALL)) for _ in range(4)]
        granted = []
        for number, flooder in enumerate(flooders):
            wanted = SUBSCRIPTIONS + 200
            flooder.connection.send_many([SUBSCRIBE, n, {}, f"t{number}.n{n}"] for n in range(1, wanted + 1))
            answers = [flooder.connection.receive() for _ in range(wanted)]
            granted.append(sum(answer[0] == SUBSCRIBED for answer in answers))
            assert {answer[4] for answer in answers if answer[0] == ERROR} == {"wamp.error.unavailable"}
        assert granted == [SUBSCRIPTIONS, SUBSCRIPTIONS, TOPICS - 2 * SUBSCRIPTIONS, 0]
        assert resident_bytes(limited) - before < 64 * MIB
    eventually(lambda: limited.status()["routes"] < 10, 10.0, "no route is left", limited.log)


def flood(session: Session, first: int, count: int) -> None:
    """Use so many URIs of 500 characters, each once."""
    for begin in range(first, first + count, 500):
        session.connection.send_many(
            [PUBLISH, n + 1, {}, f"flood.{n}.{'x' * 500}"] for n in range(begin, min(begin + 500, first + count))
        )
    session.requests = first + count
    session.publish("flood.end")


def test_a_flood_of_uris_takes_no_more_memory_than_its_first_wave(limited: NodeProcess) -> None:
    wave = 12_000  # more than any memory of URIs holds
    with limited.session("rawsocket", "msgpack") as flooder:
        flood(flooder, 0, 2 * wave)
        before = resident_bytes(limited)
        flood(flooder, 2 * wave, wave)
        assert resident_bytes(limited) - before < 8 * MIB


# ---- bombs


def test_compression_is_not_offered_and_a_compressed_bomb_is_refused(limited: NodeProcess) -> None:
    before = resident_bytes(limited)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(b"\0" * (64 * MIB)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    for opcode in (0x41, 0x42):  # RSV1: compressed
        with WebSocketClient(limited.port) as client:
            client.send(
                client.request(headers=("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",))
            )
            head = client.read_until(b"\r\n\r\n")
            assert b" 101 " in head and b"extensions" not in head.lower()
            client.send(ws_frame(bomb, opcode))
            assert client.read_close()[0] == 1002
    assert resident_bytes(limited) - before < 8 * MIB


def pairs() -> Iterator[tuple[int, int]]:
    """Pairs of integers that have equal hashes as tuples in Python: its hash of tuples can be calculated backwards."""
    first, second, fifth, ring = 11400714785074694791, 14029467366897019727, 2870177450012600261, 1 << 64
    inverse = pow(second, -1, ring)
    found = number = 0
    while found < COLLIDING:
        number += 1
        mixed = (fifth + number * second) % ring
        mixed = (mixed << 31 | mixed >> 33) * first % ring
        wanted = (1 - mixed) * inverse % ring
        signed = wanted - ring if wanted >= ring // 2 else wanted
        if abs(signed) < PRIME and signed != -1:
            found += 1
            yield number, signed


COLLIDING: Final = 100_000  # to find each among those before it would take minutes
PRIME: Final = 2**61 - 1  # integers that differ by it have the same hash


def colliding(serializer: str) -> bytes:
    """A list with a map whose keys have equal hashes wherever a stranger can choose that."""
    if serializer == "cbor":  # integers of any size
        keys = b"".join(b"\xc2\x4a" + (n * PRIME).to_bytes(10, "big") + b"\0" for n in range(1, COLLIDING + 1))
        return b"\x81\xba" + struct.pack(">L", COLLIDING) + keys
    if serializer == "msgpack":  # lists of two integers
        keys = b"".join(b"\x92\xd3%b\xd3%b\0" % (struct.pack(">q", a), struct.pack(">q", b)) for a, b in pairs())
        return b"\x91\xdf" + struct.pack(">L", COLLIDING) + keys
    return b"[{" + b",".join(b'"k%d":0' % n for n in range(COLLIDING)) + b"}]"  # strings have secret hashes


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_keys_with_equal_hashes_end_their_session_before_they_take_time(limited: NodeProcess, transport: str) -> None:
    heads = {"cbor": b"\x85\x10\x01\xa0\x63a.b", "msgpack": b"\x95\x10\x01\x80\xa3a.b"}
    for serializer, head in heads.items():
        with limited.session(transport, serializer) as offender:
            offender.connection.send_payload(head + colliding(serializer))
            check_aborted(offender.connection)
        with connect(limited.port, transport, serializer) as stranger:
            hello = {"cbor": b"\x83\x01\x63a.b", "msgpack": b"\x93\x01\xa3a.b"}[serializer]
            stranger.send_payload(hello + colliding(serializer)[1:])
            check_aborted(stranger)
    with limited.session(transport, "json") as harmless:
        harmless.connection.send_payload(b'[16,1,{"acknowledge":true},"a.b",' + colliding("json") + b"]")
        assert harmless.connection.receive()[0] == PUBLISHED


# ---- browsers


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:3000", b"101"), ("http://evil.example", b"403"), ("null", b"403"), ("file://", b"403")],
)
def test_pages_of_other_hosts_are_refused_and_the_audit_log_says_so(
    limited: NodeProcess, origin: str, status: bytes
) -> None:
    with WebSocketClient(limited.port) as client:
        request = client.request(headers=(f"Origin: {origin}",)).replace(b"Host: localhost", b"Host: 127.0.0.1")
        client.send(request)
        assert client.read_until(b"\r\n\r\n").split()[1] == status
    if status == b"403":
        limited.wait_for_log(rf"wampha\.audit.*origin_refused .*origin='{origin}'")


def test_a_client_library_that_names_its_server_as_origin_is_let_in(limited: NodeProcess) -> None:
    with WebSocketClient(limited.port) as client:
        client.send(client.request(headers=("Origin: http://localhost",)))
        assert b" 101 " in client.read_until(b"\r\n\r\n")
