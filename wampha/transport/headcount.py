"""The clients of a node: how many there are, how many come from one address, and how many may.

Who is one too many is told so in words that its transport has for it, and closed. To say it takes a connection for a
moment, so only a few wait to hear it; any further ones are closed without a word, as when no descriptor is left
(`room.py`).
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger

from wampha.auth.throttle import household
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.routing.ports import Audit, no_audit

_ROOMY: Final = 0.9  # so full or less, it may be said again that there is no room
_TURNED_AWAY_MAX: Final = 1000  # who wait to hear that they are too many

FULL: Final = "This node has as many clients as it may have; connect to another one, or try again later."
CROWDED: Final = "This node has as many connections from your address as it may have; close some, or try again later."


class Headcount:
    """What all client ports of a node share; counted are connections, whatever has become of their handshake."""

    _log = Logger(namespace="wampha.transport")

    def __init__(self, *, limits: Limits, counters: Counters, audit: Audit = no_audit) -> None:
        self._limits: Final = limits  # read whenever they are needed
        self._counters: Final = counters
        self._audit: Final = audit
        self._there = 0
        self._by_address: Final[dict[str, int]] = {}  # household -> connections, at least one
        self._turned_away = 0
        self._told = False

    def __len__(self) -> int:
        return self._there

    def enter(self, peer: Any) -> str | None:
        """One more connection from that address, as Twisted has it.

        Returns None if it may stay, the sentence for it if not; an empty one if there is no time to say anything. To
        each call belongs one of `leave`.
        """
        refusal = self._refusal(address_of(peer))
        if refusal is None:
            self._count(address_of(peer), 1)
            return None
        self._turned_away += 1
        return refusal if self._turned_away <= _TURNED_AWAY_MAX else ""

    def leave(self, peer: Any, *, refused: bool) -> None:
        """The connection is gone; `refused`: `enter` had a sentence for it."""
        if refused:
            self._turned_away -= 1
        else:
            self._count(address_of(peer), -1)

    def _count(self, address: str, change: int) -> None:
        self._there += change
        there = self._by_address.get(address, 0) + change
        if there:
            self._by_address[address] = there
        else:
            del self._by_address[address]

    def _refusal(self, address: str) -> str | None:
        limits = self._limits
        if self._there >= limits.connections_max:
            self._counters.add("connections_refused_max")
            self._tell_full()
            return FULL
        if self._told and self._there < limits.connections_max * _ROOMY:
            self._told = False
            self._log.info("there is room for clients again")
        most = limits.address_connections_max
        if most and address and self._by_address.get(address, 0) >= most:
            self._counters.add("connections_refused_address")
            self._audit("connection_refused", {"address": address, "limit": "address_connections_max"})
            return CROWDED
        return None

    def _tell_full(self) -> None:
        if not self._told:
            self._told = True
            self._log.warn(
                "new clients are refused: there are {there}, and limits.connections_max allows no more",
                there=self._there,
            )


def address_of(peer: Any) -> str:
    """What stands for the address of a client; empty if it has none, as over a unix socket."""
    return household(peer.host) or peer.host if isinstance(peer, IPv4Address | IPv6Address) else ""
