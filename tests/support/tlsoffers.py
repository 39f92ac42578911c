"""What a TLS server offers, asked by ClientHellos of our own: a modern OpenSSL would not even say what is asked here.

RFC 5246 and RFC 8446. No handshake is completed: the server's first answer says which version and cipher it has chosen,
or, as an alert, that it has found nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
HANDSHAKE_FAILURE: Final = 40
PROTOCOL_VERSION: Final = 70
_ALERT, _HANDSHAKE, _SERVER_HELLO = 21, 22, 2
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES = 0, 10, 11, 13
_MASTER_SECRET, _VERSIONS, _KEY_SHARE = 23, 43, 51
_X25519, _P256, _P384 = 0x001D, 0x0017, 0x0018
_ALGORITHMS: Final = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)

# Cipher suites that have ever been given out, but for those of TLS 1.3: 0x00xx, 0xC0xx and 0xCCxx.
OLD_SUITES: Final = (*range(0x0001, 0x00C8), *range(0xC001, 0xC0B0), *range(0xCCA8, 0xCCAF))
NEW_SUITES: Final = tuple(range(0x1301, 0x1306))
# Ephemeral keys, and authenticated encryption: ECDHE and DHE with AES-GCM, AES-CCM or ChaCha20-Poly1305.
FORWARD_SECRET_AEAD: Final = frozenset(
    (0x009E, 0x009F, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0xC09E, 0xC09F, 0xC0AC, 0xC0AD, 0xCCA8, 0xCCA9, 0xCCAA)
)


class Answer(NamedTuple):
    """What the server has chosen, or the number of its alert (-1: it just closed)."""

    version: int = 0
    suite: int = 0
    alert: int | None = None


def client_hello(version: int, suites: Iterable[int], compressions: bytes = b"\0") -> bytes:
    """A record with a ClientHello that speaks `version` and nothing newer."""
    offered = list(suites)
    modern = version == TLS13
    body = struct.pack(">H", min(version, TLS12)) + os.urandom(32)
    body += _short(os.urandom(32) if modern else b"")
    body += _long(struct.pack(f">{len(offered)}H", *offered)) + _short(compressions)
    body += _long(b"".join(_extensions(modern))) if version > SSL3 else b""
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", _HANDSHAKE, min(version, TLS10), len(message)) + message


def _extensions(modern: bool) -> Iterable[bytes]:
    groups = struct.pack(">3H", _X25519, _P256, _P384)
    yield _extension(_SERVER_NAME, _long(b"\0" + _long(b"localhost")))
    yield _extension(_GROUPS, _long(groups))
    yield _extension(_POINT_FORMATS, _short(b"\0"))
    yield _extension(_SIGNATURES, _long(struct.pack(f">{len(_ALGORITHMS)}H", *_ALGORITHMS)))
    yield _extension(_MASTER_SECRET, b"")
    if modern:
        yield _extension(_VERSIONS, _short(struct.pack(">H", TLS13)))
        yield _extension(_KEY_SHARE, _long(struct.pack(">H", _X25519) + _long(os.urandom(32))))


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">H", kind) + _long(body)


def _short(body: bytes) -> bytes:
    return bytes((len(body),)) + body


def _long(body: bytes) -> bytes:
    return struct.pack(">H", len(body)) + body


def ask(connect: Callable[[], socket.socket], hello: bytes) -> Answer:
    """The server's answer to this ClientHello."""
    with connect() as plain:
        plain.sendall(hello)
        try:
            kind, _, length = struct.unpack(">BHH", _take(plain, 5))
            body = _take(plain, length)
        except (ConnectionError, EOFError):
            return Answer(alert=-1)
    if kind == _ALERT:
        return Answer(alert=body[1])
    assert (kind, body[0]) == (_HANDSHAKE, _SERVER_HELLO), (kind, body[:4])
    return _chosen(body[4:])


def _chosen(hello: bytes) -> Answer:
    version = int.from_bytes(hello[:2], "big")
    at = 35 + hello[34]
    suite, compression = struct.unpack(">HB", hello[at : at + 3])
    assert compression == 0, "compression tells of what is encrypted"
    at += 5
    while at + 4 <= len(hello):
        extension, length = struct.unpack(">HH", hello[at : at + 4])
        if extension == _VERSIONS:
            version = int.from_bytes(hello[at + 4 : at + 6], "big")
        at += 4 + length
    return Answer(version, suite)


def _take(plain: socket.socket, count: int) -> bytes:
    taken = b""
    while len(taken) < count:
        piece = plain.recv(count - len(taken))
        if not piece:
            raise EOFError
        taken += piece
    return taken


def suites_of(connect: Callable[[], socket.socket], version: int) -> list[int]:
    """All suites that the server takes in this version, in its order: what it has chosen is not offered again."""
    left = list(NEW_SUITES if version == TLS13 else OLD_SUITES)
    chosen = []
    while left:
        answer = ask(connect, client_hello(version, left))
        if answer.alert is not None:
            return chosen
        assert answer.version == version, "the server speaks the version that was offered"
        left.remove(answer.suite)
        chosen.append(answer.suite)
    return chosen
