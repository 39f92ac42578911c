"""A listener on real sockets: both transports on one port, what is refused, who is cut, and how all of it ends."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.fakerouter import DOORWAY, FakeConversation, FakeRouter, JsonStandIn, MsgpackStandIn
from tests.support.rawclients import (
    CLOSE,
    PONG,
    RAW_PING,
    RAW_PONG,
    RawClient,
    RawSocketClient,
    WebSocketClient,
    raw_frame,
    ws_frame,
)
from tests.support.reactors import in_reactor, reactor
from wampha.counters import Counters
from wampha.errors import StartError
from wampha.limits import Limits
from wampha.messages.model import Event
from wampha.messages.payload import Family, Payload
from wampha.transport.delivery import Delivery
from wampha.transport.gate import Gate
from wampha.transport.headcount import Headcount
from wampha.transport.listeners import RAWSOCKET, WEBSOCKET, Listener
from wampha.transport.origins import Origins
from wampha.transport.room import Room
from wampha.transport.slow import SlowClients

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


class Subscriber:
    def __init__(self, client: Any) -> None:
        self.client = client


class Server:
    """A listener whose router echoes every message, unless the test decides otherwise."""

    def __init__(
        self, endpoint: str, protocols: tuple[str, ...], limits: dict[str, Any], descriptors: int = 1000
    ) -> None:
        self.router = FakeRouter(lambda conversation, message: conversation.client.send(message))
        self.counters = Counters()
        self.audit: list[tuple[str, dict[str, Any]]] = []
        self.serving = True
        self.gate = Gate(serving=lambda: self.serving, reactor=reactor)  # type: ignore[arg-type]
        self.delivery = Delivery(
            forward=lambda owner, relayed: False,
            counters=self.counters,
            reactor=reactor,  # type: ignore[arg-type]
        )
        self.listener = Listener(
            endpoint_string=endpoint,
            protocols=protocols,
            doorway=DOORWAY,
            router=self.router,
            gate=self.gate,
            delivery=self.delivery,
            room=Room(descriptors=descriptors, limits=Limits(**limits), counters=self.counters),
            headcount=Headcount(limits=Limits(**limits), counters=self.counters, audit=self._note),
            origins=Origins(),
            audit=self._note,
            slow=SlowClients(limits=Limits(**limits), counters=self.counters, reactor=reactor),  # type: ignore[arg-type]
            limits=Limits(**limits),
            counters=self.counters,
            serializers=[JsonStandIn(), MsgpackStandIn()],
            reactor=reactor,
        )

    def _note(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.audit.append((kind, dict(fields)))

    @property
    def port(self) -> int:
        return int(self.listener.address.port)  # type: ignore[attr-defined]

    def conversation(self, number: int = 0) -> FakeConversation:
        wait_for(lambda: len(self.router.conversations) > number)
        return self.router.conversations[number]

    def publish(self, data: bytes, publication: int = 1) -> None:
        """An event to every client, as from a handler."""

        def deliver() -> None:
            receivers: list[Any] = [Subscriber(each.client) for each in self.router.conversations if not each.losses]
            self.delivery.deliver(receivers, Event(1, publication, {}, Payload(Family.JSON, 1, data)))

        in_reactor(deliver)


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until the other thread has got so far."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts listeners; at the end they are stopped and their clients closed."""
    servers: list[Server] = []

    def start(
        endpoint: str = "tcp:0:interface=127.0.0.1",
        protocols: tuple[str, ...] = (WEBSOCKET, RAWSOCKET),
        descriptors: int = 1000,
        **limits: Any,
    ) -> Server:
        server = Server(endpoint, protocols, {"goodbye_timeout_s": 1.0} | limits, descriptors)
        in_reactor(server.listener.listen)
        servers.append(server)
        return server

    yield start
    for server in servers:
        in_reactor(server.listener.stop)
        in_reactor(server.listener.drain)


def test_both_transports_on_one_port(serve: Serve) -> None:
    server = serve()
    with WebSocketClient(server.port) as web, RawSocketClient(server.port) as raw:
        assert web.shake_hands().startswith(b"HTTP/1.1 101 ")
        assert raw.shake_hands() == b"\x7f\xf1\x00\x00"
        web.send_json(1, "web")
        raw.send_json(1, "raw")
        assert web.read_json() == [1, "web"]
        assert raw.read_json() == [1, "raw"]
        assert server.conversation(0).client.describe().startswith("tcp4:127.0.0.1:")
        assert {each.client.describe().split(" ", 1)[1] for each in server.router.conversations} == {
            "websocket json",
            "rawsocket json",
        }


def test_octet_by_octet(serve: Serve) -> None:
    server = serve()
    with WebSocketClient(server.port) as web, RawSocketClient(server.port) as raw:
        web.dribble(web.request() + ws_frame(b'["web"]'))
        raw.dribble(b"\x7f\xf1\x00\x00" + raw_frame(b'["raw"]'))
        web.read_until(b"\r\n\r\n")
        assert web.read_json() == ["web"]
        assert raw.read(4) == b"\x7f\xf1\x00\x00"
        assert raw.read_json() == ["raw"]


def test_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "clients"
    serve(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"\x7f\xf1\x00\x00" + raw_frame(b"[1]"))
        received = b""
        while len(received) < 11:
            received += client.recv(100)
        assert received == b"\x7f\xf1\x00\x00" + raw_frame(b"[1]")


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")  # Twisted does
def test_tls_by_the_endpoint_string(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Twisted's TLS gathers small writes by the global reactor's clock, and that reactor is not the one that runs here.
    monkeypatch.setattr("twisted.protocols.tls._get_default_clock", lambda: reactor)
    pem = tmp_path / "server.pem"
    pem.write_bytes(self_signed())
    server = serve(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    text = "x" * MIB
    for make in (WebSocketClient, RawSocketClient):
        with make(server.port) as client:
            client.socket = context.wrap_socket(client.socket)
            client.shake_hands()
            client.send_json(text)
            assert client.read_json() == [text]
            in_reactor(server.router.conversations[-1].client.finish)
            if isinstance(client, WebSocketClient):
                assert client.read_close() == (1000, "")
                client.send(ws_frame(b"\x03\xe8", CLOSE))
            assert client.at_end()


def self_signed() -> bytes:
    """A private key and a certificate for it, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def test_every_connection_has_tcp_nodelay(serve: Serve) -> None:
    server = serve()
    with WebSocketClient(server.port) as web, RawSocketClient(server.port) as raw:
        web.shake_hands()
        raw.shake_hands()
        connections = in_reactor(lambda: list(server.listener._service.deadlines))
        assert [bool(in_reactor(each.transport.getTcpNoDelay)) for each in connections] == [True, True]


def test_a_large_message_comes_back_whole(serve: Serve) -> None:
    server = serve()
    text = "x" * (4 * MIB)
    for make in (WebSocketClient, RawSocketClient):
        with make(server.port) as client:
            client.shake_hands()
            client.send_json(text)
            assert client.read_json() == [text]


# ---- refusals


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\x10\x10", b"\x00", b" GET"])
def test_what_is_neither_transport_is_closed_at_once(serve: Serve, first: bytes) -> None:
    server = serve()
    with RawClient(server.port) as client:
        client.send(first)
        assert client.at_end()
    assert server.counters["undecided_refused"] == 1


@pytest.mark.parametrize(
    ("protocols", "first"), [((WEBSOCKET,), b"\x7f\xf1\x00\x00"), ((RAWSOCKET,), b"GET / HTTP/1.1\r\n")]
)
def test_a_transport_that_is_not_enabled_is_refused(serve: Serve, protocols: tuple[str, ...], first: bytes) -> None:
    server = serve(protocols=protocols)
    with RawClient(server.port) as client:
        client.send(first)
        assert client.at_end()
    assert server.counters["undecided_refused"] == 1


def test_a_browser_gets_a_short_text_and_is_sent_nowhere(serve: Serve) -> None:
    server = serve()
    with RawClient(server.port) as client:
        client.dribble(b"GET /?redirect=http%3A%2F%2Fevil.example HTTP/1.1\r\nHost: here\r\n\r\n", 7)
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 426 ")
        assert b"evil" not in head
        assert b"This is a WAMP router" in client.read_until(b"\n")
        assert client.at_end()


def test_a_connection_that_says_nothing_ends(serve: Serve) -> None:
    server = serve(opening_timeout_s=0.2)
    with RawClient(server.port) as silent, RawClient(server.port) as half, RawClient(server.port) as other:
        half.send(b"GET /ws HTT")
        other.send(b"\x7f\xf1")
        assert silent.at_end() and half.at_end() and other.at_end()
    assert server.counters["opening_timeouts"] == 3


def test_new_connections_are_refused_while_the_node_does_not_serve(serve: Serve) -> None:
    server = serve()
    with RawSocketClient(server.port) as before:
        before.shake_hands()
        server.conversation()
        server.serving = False
        with RawClient(server.port) as client:
            assert client.at_end()
        before.send_json(1)
        server.serving = True
        assert before.read_json() == [1]
    assert server.counters["connections_refused_suspended"] == 1


def test_who_finds_no_room_is_refused_at_once_and_let_in_when_there_is_some(serve: Serve) -> None:
    server = serve(descriptors=60, descriptors_reserved=58)  # but half are for clients in any case
    clients = [RawClient(server.port) for _ in range(30)]
    wait_for(lambda: in_reactor(lambda: len(server.listener._service.deadlines)) == 30)
    with RawClient(server.port) as late:
        assert late.at_end()
    clients.pop().close()
    wait_for(lambda: in_reactor(lambda: len(server.listener._service.deadlines)) == 29)
    with RawSocketClient(server.port) as later:
        later.shake_hands()
        later.send_json(1)
        assert later.read_json() == [1]
    for client in clients:
        client.close()
    assert server.counters["connections_refused_full"] == 1


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL")  # Twisted does
def test_who_is_refused_at_once_over_tls_leaves_no_error_behind(serve: Serve, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(self_signed())
    server = serve(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
    server.serving = False
    with contextlib.suppress(ConnectionError), RawClient(server.port) as client:  # it may be closed that fast
        client.send(b"\x16\x03\x01")
        assert client.at_end()
    wait_for(lambda: server.counters["connections_refused_suspended"] == 1)


def test_who_is_one_too_many_is_told_so_in_the_words_of_its_transport(serve: Serve) -> None:
    server = serve(connections_max=3, address_connections_max=2)
    first, second = RawSocketClient(server.port), RawClient(server.port)
    first.shake_hands()
    for _ in range(2):  # who was refused takes no place
        with RawSocketClient(server.port) as raw, WebSocketClient(server.port) as web:
            assert raw.shake_hands() == b"\x7f\x40\0\0" and raw.at_end()
            assert web.shake_hands().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"from your address" in web.read_until(b"\n") and web.at_end()
    assert server.counters["connections_refused_address"] == 4
    assert {fields["address"] for kind, fields in server.audit if kind == "connection_refused"} == {"127.0.0.1"}
    first.send_json("still here")
    assert first.read_json() == ["still here"]
    second.close()
    wait_for(lambda: in_reactor(lambda: len(server.listener._headcount)) == 1)
    with WebSocketClient(server.port) as web:
        assert web.shake_hands().startswith(b"HTTP/1.1 101 ")
    first.close()
    wait_for(lambda: in_reactor(lambda: len(server.listener._headcount)) == 0)


def test_a_refused_client_that_says_nothing_is_cut_in_time(serve: Serve) -> None:
    server = serve(connections_max=1, opening_timeout_s=0.3)
    with RawSocketClient(server.port) as first:
        first.shake_hands()
        with RawClient(server.port) as silent:
            assert silent.at_end()
        assert server.counters["connections_refused_max"] == 1
        first.send_json(1)
        assert first.read_json() == [1]


def test_who_has_only_begun_to_connect_is_sent_away_and_open_connections_stay(serve: Serve) -> None:
    server = serve()
    with (
        WebSocketClient(server.port) as web,
        RawSocketClient(server.port) as raw,
        RawClient(server.port) as silent,
        RawClient(server.port) as half,
    ):
        web.shake_hands()
        raw.shake_hands()
        half.send(b"GET /ws HTT")
        wait_for(lambda: in_reactor(lambda: len(server.listener._service.deadlines)) == 4)
        in_reactor(server.listener.refuse_newcomers)
        assert silent.at_end() and half.at_end()
        web.send_json(1)
        raw.send_json(2)
        assert (web.read_json(), raw.read_json()) == ([1], [2])
        in_reactor(server.listener.cut)
        assert web.at_end() and raw.at_end()
    assert server.counters["connections_refused_suspended"] == 2


def test_a_port_in_use_is_a_start_error_with_a_sentence(serve: Serve) -> None:
    server = serve()
    with pytest.raises(StartError, match=rf"cannot listen on `tcp:{server.port}:interface=127.0.0.1`.*in use"):
        serve(f"tcp:{server.port}:interface=127.0.0.1")


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp:many", "teleport:80"])
def test_an_endpoint_that_cannot_be_understood_is_a_start_error(serve: Serve, endpoint: str) -> None:
    with pytest.raises(StartError, match=f"`{endpoint}` cannot be understood"):
        serve(endpoint)


# ---- bounds


def test_a_message_of_17_mib_is_refused_by_its_header_and_the_node_goes_on(serve: Serve) -> None:
    server = serve()
    with WebSocketClient(server.port) as web, RawSocketClient(server.port) as bystander:
        bystander.shake_hands()
        web.shake_hands()
        try:
            web.send(ws_frame(b"x" * (17 * MIB)))
        except ConnectionError:
            pytest.fail("the client must be able to read why")
        assert web.read_close()[0] == 1009
        bystander.send_json(1)
        assert bystander.read_json() == [1]
    assert server.counters["messages_too_large"] == 1


def test_a_rawsocket_message_above_the_bound_ends_in_abort_and_the_end(serve: Serve) -> None:
    server = serve(message_bytes_max=MIB)
    with RawSocketClient(server.port) as raw:
        assert raw.shake_hands() == b"\x7f\xb1\x00\x00"
        raw.send(raw_frame(b"x" * (3 * MIB)))
        message = raw.read_json()
        assert (message[0], message[2]) == (3, "wamp.error.protocol_violation")
        assert raw.at_end()
    assert server.counters["messages_too_large"] == 1


@pytest.mark.parametrize("make", [WebSocketClient, RawSocketClient])
def test_a_client_that_never_reads_is_cut_and_the_others_get_everything(serve: Serve, make: Any) -> None:
    server = serve(client_queue_bytes_max=MIB)
    data = b'"' + b"x" * 65_000 + b'"'
    with make(server.port) as slow, RawSocketClient(server.port) as quick:
        slow.shake_hands()
        server.conversation(0)
        quick.shake_hands()
        server.conversation(1)
        for publication in range(300):
            server.publish(data, publication)
            assert quick.read_json()[2] == publication
        wait_for(lambda: server.router.conversations[0].losses)
        assert slow.at_end()
    assert server.counters["clients_cut_slow"] == 1
    assert server.router.conversations[0].losses == 1


def test_a_client_that_reads_late_gets_everything_in_order(serve: Serve) -> None:
    server = serve(client_queue_bytes_max=64 * MIB)
    data = b'"' + b"x" * 60_000 + b'"'
    with RawSocketClient(server.port) as late:
        late.shake_hands()
        conversation = server.conversation()
        for publication in range(300):
            server.publish(data, publication)
        assert in_reactor(conversation.client.waiting) > MIB
        assert [late.read_json()[2] for _ in range(300)] == list(range(300))
        wait_for(lambda: in_reactor(conversation.client.waiting) == 0)
    assert server.counters["clients_cut_slow"] == 0


def test_a_flood_of_pings_without_reading_is_cut(serve: Serve) -> None:
    server = serve(client_queue_bytes_max=64 * 1024)
    with RawSocketClient(server.port) as client:
        client.shake_hands()
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(2000):
                client.send(raw_frame(b"x" * 100_000, RAW_PING))
    assert server.counters["clients_cut_slow"] == 1


# ---- pings


def test_silent_clients_are_pinged_and_cut_and_answering_ones_stay(serve: Serve) -> None:
    server = serve(ping_interval_s=0.2, ping_timeout_s=0.4)
    with (
        WebSocketClient(server.port) as web,
        RawSocketClient(server.port) as raw,
        RawSocketClient(server.port) as silent,
    ):
        web.shake_hands()
        raw.shake_hands()
        silent.shake_hands()
        for _ in range(4):
            assert web.read_frame() == (9, b"")
            web.send(ws_frame(b"", PONG))
            assert raw.read_frame() == (RAW_PING, b"")
            raw.send(raw_frame(b"", RAW_PONG))
        assert silent.at_end()
        assert [each.losses for each in server.router.conversations].count(0) == 2
    assert server.counters["clients_cut_silent"] == 1


# ---- the end


@pytest.mark.parametrize("make", [WebSocketClient, RawSocketClient])
def test_abort_arrives_although_the_router_leaves_input_unread(serve: Serve, make: Any) -> None:
    server = serve()
    frame = ws_frame if make is WebSocketClient else raw_frame
    with make(server.port) as client:
        client.shake_hands()
        client.send(frame(b"[") + frame(b'["%b"]' % (b"x" * 500_000)) * 4)
        message = client.read_json()
        assert (message[0], message[2]) == (3, "wamp.error.protocol_violation")


def test_finish_ends_a_websocket_with_1000_and_a_client_that_does_not_answer_in_time(serve: Serve) -> None:
    server = serve(goodbye_timeout_s=0.3)
    with WebSocketClient(server.port) as polite, WebSocketClient(server.port) as deaf:
        polite.shake_hands()
        server.conversation(0)
        deaf.shake_hands()
        server.conversation(1)
        for conversation in server.router.conversations:
            in_reactor(conversation.client.finish)
        assert polite.read_close() == (1000, "")
        polite.send(ws_frame(b"\x03\xe8", CLOSE))
        assert polite.at_end()
        assert deaf.at_end()
        wait_for(lambda: all(each.losses for each in server.router.conversations))


def test_stopping_frees_the_port_and_leaves_clients_until_they_are_drained(serve: Serve) -> None:
    server = serve(goodbye_timeout_s=0.3)
    port = server.port
    with WebSocketClient(port) as web, RawSocketClient(port) as raw, RawClient(port):
        web.shake_hands()
        raw.shake_hands()
        in_reactor(server.listener.stop)
        with pytest.raises(ConnectionRefusedError):
            RawClient(port)
        raw.send_json(1)
        assert raw.read_json() == [1]
        in_reactor(server.listener.drain)
        assert web.read_close()[0] == 1000
        assert web.at_end() and raw.at_end()
    assert all(each.losses == 1 for each in server.router.conversations)


def test_many_clients_come_and_go(serve: Serve) -> None:
    server = serve()
    for round_ in range(3):
        clients = [WebSocketClient(server.port) for _ in range(20)]
        for client in clients:
            client.shake_hands()
            client.send_json(round_)
        assert [client.read_json() for client in clients] == [[round_]] * 20
        for client in clients:
            client.close()
    wait_for(
        lambda: len(server.router.conversations) == 60 and all(each.losses for each in server.router.conversations)
    )
    assert in_reactor(lambda: len(server.listener._service.deadlines)) == 0
