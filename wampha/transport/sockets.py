"""What is known of the sockets below Twisted's transports, so that most writes need not take its detour."""

from __future__ import annotations

from fcntl import ioctl
from socket import socket
from sys import byteorder
from termios import TIOCOUTQ
from typing import Any, Final, cast

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.protocols.tls import TLSMemoryBIOProtocol


def twisted_buffers_as_expected() -> bool:
    """Whether Twisted's socket transports keep unsent bytes where `ClientOutbox` looks for them.

    They are private attributes: if a version of Twisted names them otherwise, every write takes the public way.
    """
    probe = FileDescriptor(reactor=cast(Any, object()))
    return (
        getattr(probe, "dataBuffer", None) == b""
        and getattr(probe, "offset", None) == 0
        and getattr(probe, "_tempDataBuffer", None) == []
        and getattr(probe, "_tempDataLen", None) == 0
    )


_DIRECT: Final = (tcp.Server, unix.Server) if twisted_buffers_as_expected() else ()


def is_direct(transport: Any) -> bool:
    """Whether bytes may be given to the socket itself: a plain stream socket, no TLS above it."""
    return isinstance(transport, _DIRECT) and not transport.TLS


def unacknowledged(connection: socket) -> int:
    """Bytes in the system's queue that the other side's system has not confirmed; 0 where that cannot be told."""
    try:
        return int.from_bytes(ioctl(connection.fileno(), TIOCOUTQ, bytes(4)), byteorder)
    except OSError:
        return 0


def over_tls(transport: Any) -> bool:
    """Whether the transport is Twisted's TLS layer, which keeps its protocol elsewhere and closes only as a whole."""
    return isinstance(transport, TLSMemoryBIOProtocol)
