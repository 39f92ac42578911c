"""Frames have the headers that the specifications prescribe, and groups make them once."""

from __future__ import annotations

import pytest

from tests.support.fakerouter import JsonStandIn
from wampha.transport.frames import FrameGroups, TooLarge, rawsocket_frame, rawsocket_message, websocket_text


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65535, "817effff"),
        (65536, "817f0000000000010000"),
    ],
)
def test_websocket_lengths_use_the_shortest_form(length: int, header: str) -> None:
    body = b"x" * length
    assert websocket_text(body) == bytes.fromhex(header) + body


def test_rawsocket_prefix_is_the_kind_and_24_bits_of_length() -> None:
    assert rawsocket_frame(2, b"abc") == b"\x02\x00\x00\x03abc"
    assert rawsocket_message(b"x" * 0x10203)[:4] == b"\x00\x01\x02\x03"


def test_connections_of_one_kind_share_a_group_and_others_do_not() -> None:
    groups, serializer = FrameGroups(), JsonStandIn()
    group = groups.group(serializer, rawsocket_message, 1024)
    assert groups.group(serializer, rawsocket_message, 1024) is group
    assert groups.group(serializer, rawsocket_message, 2048) is not group
    assert groups.group(serializer, websocket_text, 1024) is not group
    assert groups.group(JsonStandIn(), rawsocket_message, 1024) is not group


def test_a_group_refuses_what_its_clients_do_not_accept() -> None:
    group = FrameGroups().group(JsonStandIn(), rawsocket_message, 10)
    assert group.frame(["1234"]) == b"\x00\x00\x00\x08" + b'["1234"]'
    with pytest.raises(TooLarge, match="at most 10"):
        group.frame(["12345678"])
