"""How long the way to a peer and back takes, as the system measures it on each connection anyway."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from wampha.cluster.encryption import EncryptedTransport
from wampha.distributions import ROUND_TRIP_S, Distribution

# tcp_info of Linux: tcpi_rtt, smoothed, and tcpi_min_rtt, the shortest of the last five minutes; in microseconds
_RTT: Final = struct.Struct("=68xI76xI")
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)


class RoundTrips(Distribution):
    """Those of one link, seen at its ticks."""

    __slots__ = ("shortest_s",)

    def __init__(self) -> None:
        super().__init__(ROUND_TRIP_S)
        self.shortest_s = 0.0

    def saw(self, smoothed_s: float, shortest_s: float) -> None:
        """What the system says now."""
        self.add(smoothed_s)
        self.shortest_s = shortest_s


def round_trip_s(transport: Any) -> tuple[float, float] | None:
    """The round trip of a connection, smoothed and the shortest; None where the system does not tell it.

    The smoothed one can be 40 ms longer than the way where little is said: acknowledgements wait for something to say.
    """
    if isinstance(transport, EncryptedTransport):
        transport = transport.transport
    try:
        connection = transport.getHandle()
    except AttributeError:  # it is none of the system's, or Twisted has taken its socket away: it is closed
        return None
    if _TCP_INFO is None or not isinstance(connection, socket.socket):
        return None
    try:
        smoothed, shortest = _RTT.unpack(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RTT.size))
    except (OSError, struct.error):  # it is closed, or no TCP
        return None
    return smoothed / 1e6, shortest / 1e6
