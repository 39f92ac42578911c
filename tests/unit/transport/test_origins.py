"""Which web pages may connect, and how the headers may look that say where a page is from."""

from __future__ import annotations

import pytest

from tests.support.transports import Bench, websocket_request
from wampha.transport.origins import Origins, check_pattern

HOST = "router.example.org:8080"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("", HOST, True),  # no browser
        ("http://router.example.org", HOST, True),
        ("https://router.example.org", HOST, True),  # TLS may end before us
        ("http://router.example.org:3000", HOST, True),
        ("HTTP://Router.Example.ORG", HOST, True),
        ("http://router.example.org", "ROUTER.example.org", True),
        ("http://[2001:db8::1]:80", "[2001:db8::1]:8080", True),
        ("http://localhost", "localhost:8080", True),
        ("http://localhost", "127.0.0.1:8080", False),
        ("http://evil.example", HOST, False),
        ("http://router.example.org.evil.example", HOST, False),
        ("http://evil.example/router.example.org", HOST, False),
        ("http://router.example.org@evil.example", HOST, False),
        ("http://evil.example#router.example.org", HOST, False),
        ("http://evil.example", "", False),
        ("http://", "", False),
        ("http://evil.example", "evil.example, router.example.org", False),
        ("null", HOST, False),
        ("null", "null", False),
        ("file://", HOST, False),
        ("file:///home/me/page.html", HOST, False),
        ("nonsense", HOST, False),
        ("http://router.example.org:99999999", HOST, False),
    ],
)
def test_pages_of_the_same_host_and_clients_that_are_no_browsers_may_connect(
    origin: str, host: str, allowed: bool
) -> None:
    assert Origins().allow(origin, host) is allowed


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        (
            "https://app.example.com",
            ["https://app.example.com", "https://app.example.com:443"],
            ["http://app.example.com"],
        ),
        ("https://app.example.com:443", ["https://app.example.com"], ["https://app.example.com:8443"]),
        (
            "https://*.example.com",
            ["https://a.example.com", "https://a.b.EXAMPLE.com"],
            [
                "https://example.com",
                "https://aXexample.com",
                "https://a.example.com.evil",
                "https://a.example.com:8443",
            ],
        ),
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:3000"],
            ["https://localhost", "http://localhost.evil:1"],
        ),
        ("*://a.example", ["http://a.example", "https://a.example", "capacitor://a.example"], ["http://b.example"]),
        ("capacitor://localhost", ["capacitor://localhost"], ["http://localhost", "null"]),
        ("null", ["null", "file://", "file:///a.html"], ["http://null"]),
        ("*", ["null", "http://a.example", "file://", "whatever"], []),
        ("http://[2001:db8::*]", ["http://[2001:db8::1]"], ["http://[2001:db9::1]"]),
    ],
)
def test_listed_origins_may_connect_and_stars_stand_for_anything(
    pattern: str, allowed: list[str], refused: list[str]
) -> None:
    assert check_pattern(pattern) == pattern
    origins = Origins([pattern])
    assert [each for each in allowed if not origins.allow(each, HOST)] == []
    assert [each for each in refused if origins.allow(each, HOST)] == []


def test_what_is_listed_replaces_the_same_host_unless_that_is_listed_too() -> None:
    page = "http://router.example.org"
    assert not Origins(["https://a.example"]).allow(page, HOST)
    assert Origins(["https://a.example", "same-host"]).allow(page, HOST)
    assert not Origins([]).allow(page, HOST) and Origins([]).allow("", HOST)


@pytest.mark.parametrize(
    "text", ["example.com", "https://", "https://a.example/path", "http://a b", "*.example.com", ""]
)
def test_what_is_no_origin_cannot_be_listed(text: str) -> None:
    with pytest.raises(ValueError, match="should be same-host, null"):
        check_pattern(text)


def asked(bench: Bench, *headers: str) -> bytes:
    """The answer to an opening request with these headers."""
    transport = bench.connect(bench.websocket)
    transport.protocol.dataReceived(websocket_request("wamp.2.json", "/ws", *headers))
    bench.clock.advance(0)
    return transport.taken()


def test_a_foreign_page_is_refused_with_a_sentence_counted_and_told_to_the_audit_log() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    bench = Bench()
    bench.service.audit = lambda kind, fields: told.append((kind, dict(fields)))  # type: ignore[misc]
    assert asked(bench, "Origin: http://localhost").startswith(b"HTTP/1.1 101 ")
    answer = asked(bench, "Origin: http://evil.example")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Pages of http://evil.example may not connect here; `origins` of the listener says which may." in answer
    assert asked(bench, "Origin: null").startswith(b"HTTP/1.1 403 ")
    assert asked(bench, "Origin: http://" + "e" * 500).count(b"e" * 201) == 0
    assert bench.counted["origins_refused"] == 3
    assert len(bench.router.conversations) == 1
    kind, fields = told[0]
    assert kind == "origin_refused"
    assert fields["origin"] == "http://evil.example" and fields["host"] == "localhost:8080"
    assert str(fields["peer"]).startswith("tcp4:192.168.1.1:")


def test_other_origins_hold_at_once() -> None:
    bench = Bench()
    bench.service.origins.become(["https://*.example.com"])
    assert asked(bench, "Origin: https://app.example.com").startswith(b"HTTP/1.1 101 ")
    assert asked(bench, "Origin: http://localhost").startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("headers", [("Origin: http://localhost", "Origin: http://evil.example"), ("Origin: http://",)])
def test_an_origin_that_cannot_be_read_is_no_origin_of_ours(headers: tuple[str, ...]) -> None:
    assert asked(Bench(), *headers).startswith(b"HTTP/1.1 400 ")


def test_an_old_handshake_cannot_hide_where_its_page_is_from() -> None:
    bench = Bench()
    transport = bench.connect(bench.websocket)
    request = websocket_request("wamp.2.json", "/ws", "Origin: http://evil.example").replace(
        b"Version: 13", b"Version: 8"
    )
    transport.protocol.dataReceived(request)
    bench.clock.advance(0)
    assert transport.taken().startswith(b"HTTP/1.1 403 ")
