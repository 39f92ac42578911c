"""Cookies of WebSocket requests: which are taken for what they are, and what browsers are given."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.transports import Bench, websocket_request
from wampha.config.authentication import CookieAuth
from wampha.transport.cookies import BrowserCookies

KNOWN = "k" * 24


def cookies(encrypted: bool = False, **settings: Any) -> BrowserCookies:
    return BrowserCookies(
        CookieAuth(**settings), encrypted=encrypted, knows=KNOWN.__eq__, draw=lambda length: b"\xff" * length
    )


@pytest.mark.parametrize("header", [f"cbtid={KNOWN}", f"a=b; cbtid={KNOWN};c", f"  cbtid={KNOWN}  ;cbtid=other"])
def test_a_cookie_that_is_known_is_kept(header: str) -> None:
    cookie, given = cookies().of({"cookie": header})
    assert (cookie.value, cookie.lifetime_s, given) == (KNOWN, 86400.0, {})


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "cbtid", "cbtid=", f"other={KNOWN}", f"cbtid={KNOWN[1:]}", f"cbtid={'u' * 24}", f'cbtid="{KNOWN}"'),
        *(f"cbtid={KNOWN}\x00", "cbtid=" + "x" * 5000, f"CBTID={KNOWN}", f"cbtid=x; cbtid={KNOWN}"),
    ],
)
def test_any_other_one_is_replaced_so_that_nobody_can_plant_his_own(header: str | None) -> None:
    cookie, given = cookies().of({} if header is None else {"cookie": header})
    assert cookie.value == "_" * 24
    assert given == {"Set-Cookie": f"cbtid={cookie.value}; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict"}


@pytest.mark.parametrize(
    ("encrypted", "settings", "end"),
    [
        (True, {}, "SameSite=Strict; Secure"),
        (False, {"secure": True, "same_site": "none"}, "SameSite=None; Secure"),
        (False, {"same_site": "lax", "max_age": 7}, "Max-Age=7; HttpOnly; SameSite=Lax"),
    ],
)
def test_browsers_are_told_where_to_send_it(encrypted: bool, settings: dict[str, Any], end: str) -> None:
    _, given = cookies(encrypted, **settings).of({})
    assert given["Set-Cookie"].endswith(end)


def test_it_has_the_name_and_the_length_that_were_asked_for() -> None:
    cookie, given = cookies(True, name="__Host-id", length=64).of({})
    assert len(cookie.value) == 64
    assert given["Set-Cookie"].startswith(f"__Host-id={cookie.value}; ")


def test_the_handshake_gives_a_cookie_and_takes_one() -> None:
    bench = Bench(cookies=cookies())
    fresh = bench.connect(bench.websocket)
    fresh.protocol.dataReceived(websocket_request())
    assert re.search(rb"\r\nSet-Cookie: cbtid=_{24}; Path=/; [^\r]*HttpOnly", fresh.taken())
    known = bench.connect(bench.websocket)
    known.protocol.dataReceived(websocket_request().replace(b"\r\n\r\n", f"\r\nCookie: cbtid={KNOWN}\r\n\r\n".encode()))
    assert b"Set-Cookie" not in known.taken()
    shown = [each.client.cookie() for each in bench.router.conversations]
    assert [cookie.value for cookie in shown if cookie] == ["_" * 24, KNOWN]


def test_without_it_nobody_is_given_one_and_rawsocket_never_is() -> None:
    plain = Bench()
    transport = plain.connect(plain.websocket)
    transport.protocol.dataReceived(websocket_request())
    assert b"Set-Cookie" not in transport.taken()
    tracking = Bench(cookies=cookies())
    tracking.connect(tracking.rawsocket).protocol.dataReceived(b"\x7f\xf1\x00\x00")
    for bench in (plain, tracking):
        assert [each.client.cookie() for each in bench.router.conversations] == [None]
