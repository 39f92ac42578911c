"""The HTTP server below the monitoring port: what it answers, and what bounds it."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from wampha.counters import Counters
from wampha.observe import page
from wampha.observe.web import BODY_BYTES_MAX, CONNECTIONS_MAX, IDLE_S, Asked, Reply, Server, Tell, json, text


class Transport(StringTransportWithDisconnection):
    """One end of a connection that can be aborted."""

    aborted = False

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True
        super().loseConnection()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = True
        self.loseConnection()


class Served:
    """A server with some paths."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.later: list[Tell] = []
        self.asked: list[Asked] = []
        self.server = Server(
            {
                "/hello": {"GET": self._hello},
                "/later": {"GET": lambda asked, tell: self.later.append(tell)},
                "/do": {"POST": lambda asked, tell: tell(json({"done": True}, 202))},
                "/wrong": {"GET": self._fail},
                **page.routes(),
            },
            self.counters,
            self.clock,
        )

    def _hello(self, asked: Asked, tell: Tell) -> None:
        self.asked.append(asked)
        tell(text("hello"))

    def _fail(self, asked: Asked, tell: Tell) -> None:
        raise ValueError("a mistake of ours")

    def connect(self) -> Transport:
        transport = Transport(peerAddress=IPv4Address("TCP", "192.0.2.1", 50000))
        channel = self.server.buildProtocol(None)
        transport.protocol = channel
        channel.makeConnection(transport)
        return transport

    def ask(self, request: str, transport: Transport | None = None) -> tuple[int, dict[str, str], bytes]:
        transport = transport or self.connect()
        transport.clear()
        transport.protocol.dataReceived(request.replace("\n", "\r\n").encode())
        return parsed(transport.value())


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


GET = "GET {} HTTP/1.1\nHost: node\n\n"


def test_a_request_gets_its_answer_with_headers_that_keep_others_out() -> None:
    served = Served()
    status, headers, body = served.ask(GET.format("/hello?verbose&a=1&a=2"))
    assert (status, body) == (200, b"hello\n")
    assert served.asked == [Asked({"verbose": "", "a": "1"}, "")]
    assert headers["Content-Length"] == "6" and headers["Content-Type"].startswith("text/plain")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Twisted" not in headers["Server"]
    assert served.counters["monitoring_requests"] == 1


def test_head_has_no_body() -> None:
    status, headers, body = Served().ask("HEAD /hello HTTP/1.1\nHost: node\n\n")
    assert (status, headers["Content-Length"], body) == (200, "6", b"")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /elsewhere", 404),
        ("GET /../etc/passwd", 404),
        ("GET /page/../index.html", 404),
        ("GET /%2e%2e/x", 404),
        ("GET /\xff", 400),
        ("POST /hello", 405),
        ("DELETE /hello", 405),
        ("GET /do", 405),
        ("POST /do", 202),
    ],
)
def test_other_paths_and_methods_are_refused(request_line: str, status: int) -> None:
    found, headers, _ = Served().ask(f"{request_line} HTTP/1.1\nHost: node\nContent-Length: 0\n\n")
    assert found == status
    assert (headers.get("Allow") is not None) == (status == 405)


def test_a_connection_can_be_used_again_and_answers_may_come_later() -> None:
    served = Served()
    transport = served.connect()
    transport.protocol.dataReceived(GET.format("/later").replace("\n", "\r\n").encode())
    assert transport.value() == b""
    served.later[0](text("now"))
    served.later[0](text("twice"))
    assert transport.value().endswith(b"now\n")
    assert served.ask(GET.format("/hello"), transport)[2] == b"hello\n"


def test_who_has_gone_is_told_nothing() -> None:
    served = Served()
    transport = served.connect()
    transport.protocol.dataReceived(GET.format("/later").replace("\n", "\r\n").encode())
    transport.loseConnection()
    served.later[0](text("now"))
    assert transport.value() == b""


@pytest.mark.logs_errors
def test_a_mistake_of_ours_is_an_answer_and_a_line_in_the_log() -> None:
    served = Served()
    status, _, body = served.ask(GET.format("/wrong"))
    assert status == 500 and b"mistake" not in body
    assert served.ask(GET.format("/hello"))[0] == 200


def test_one_connection_too_many_displaces_the_oldest() -> None:
    served = Served()
    transports = [served.connect() for _ in range(CONNECTIONS_MAX)]
    assert not any(transport.aborted for transport in transports)
    newest = served.connect()
    assert [transport.aborted for transport in transports] == [True] + [False] * (CONNECTIONS_MAX - 1)
    assert served.counters["monitoring_connections_displaced"] == 1
    assert served.ask(GET.format("/hello"), newest)[0] == 200
    transports[5].loseConnection()
    served.connect()
    assert served.counters["monitoring_connections_displaced"] == 1


@pytest.mark.parametrize(
    "body",
    [
        f"Content-Length: {BODY_BYTES_MAX + 1}\n\n",
        f"Content-Length: {1 << 40}\n\n",
        f"Transfer-Encoding: chunked\n\n{BODY_BYTES_MAX + 1:x}\n" + "x" * (BODY_BYTES_MAX + 1),
    ],
)
def test_a_body_beyond_the_bound_ends_the_connection(body: str) -> None:
    served = Served()
    transport = served.connect()
    request = f"POST /do HTTP/1.1\nHost: node\n{body}".replace("\n", "\r\n").encode()
    transport.protocol.dataReceived(request)
    assert transport.value().startswith(b"HTTP/1.1 413 ")
    assert not transport.connected
    assert served.counters["monitoring_requests_refused"] == 1


def test_a_head_beyond_the_bound_ends_the_connection() -> None:
    transport = Served().connect()
    for _ in range(20):
        if transport.connected:
            transport.protocol.dataReceived(b"GET /hello HTTP/1.1\r\n" if not transport.value() else b"")
            transport.protocol.dataReceived(b"X-Filler: " + b"x" * 4000 + b"\r\n")
    assert not transport.connected


def test_a_silent_connection_ends() -> None:
    served = Served()
    transport = served.connect()
    transport.protocol.dataReceived(b"GET /hel")
    served.clock.advance(IDLE_S + 1)
    assert transport.aborted
    assert not served.clock.getDelayedCalls()


def test_the_page_and_its_parts_are_served_and_name_nothing_outside() -> None:
    served = Served()
    for path in page.routes():
        status, headers, body = served.ask(GET.format(path))
        assert status == 200 and body, path
        assert headers["Content-Type"].partition(";")[0] in (
            "text/html",
            "text/css",
            "text/javascript",
            "image/svg+xml",
            "text/plain",
        )
    _, _, index = served.ask(GET.format("/"))
    assert b"://" not in index and b"<style" not in index and b"style=" not in index and b" onclick" not in index
    for name in ("app.js", "style.css"):
        _, _, body = served.ask(GET.format(f"/{name}"))
        assert b"://" not in body and b"innerHTML" not in body and b"eval(" not in body, name


def test_replies_are_values() -> None:
    assert text("a") == Reply(b"a\n", "text/plain; charset=utf-8", 200)
    assert json({"a": 1}).body == b'{"a":1}\n'
