"""How long the way to a peer and back takes, as the system measures it on each connection anyway."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from wampha.cluster.encryption import EncryptedTransport
from wampha.distributions import ROUND_TRIP_S, Distribution

_RTT: Final = struct.Struct("=68xI")  # tcp_info of Linux: tcpi_rtt, smoothed, in microseconds
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)


class RoundTrips(Distribution):
    """Those of one link, seen at its ticks."""

    __slots__ = ("last_s",)

    def __init__(self) -> None:
        super().__init__(ROUND_TRIP_S)
        self.last_s: float | None = None

    def add(self, value: float) -> None:
        super().add(value)
        self.last_s = value


def round_trip_s(transport: Any) -> float | None:
    """The smoothed round trip of a connection; None where the system does not tell it."""
    if isinstance(transport, EncryptedTransport):
        transport = transport.transport
    handle = getattr(transport, "getHandle", None)
    connection = handle() if handle is not None else None
    if _TCP_INFO is None or not isinstance(connection, socket.socket):
        return None
    try:
        (microseconds,) = _RTT.unpack(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RTT.size))
    except (OSError, struct.error):  # it is closed, or no TCP
        return None
    return int(microseconds) / 1e6
