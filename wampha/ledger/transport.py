"""pysyncobj's public Transport, over whatever carries our control frames."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from pysyncobj.node import Node
from pysyncobj.transport import Transport

Message = dict[str, Any]  # as pysyncobj builds and reads them


class Peer(Node):  # type: ignore[misc]  # pysyncobj has no types
    """A node by its name. Its hash is the same in every process, so that a seeded run can be repeated."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._hash = zlib.crc32(name.encode())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peer) and self.name == other.name

    @property
    def name(self) -> str:
        return str(self.id)


class LinkTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Hands messages of the library to `outgoing`, and tells it who is connected.

    It opens no socket: links are made elsewhere, and `outgoing` never calls back synchronously.
    """

    def __init__(self, me: Peer | None, voters: Iterable[Peer], outgoing: Callable[[Peer, Message], bool]) -> None:
        super().__init__(None, me, list(voters))
        self._voters: Final = frozenset(voters)
        self._outgoing: Final = outgoing
        self._connected: Final[dict[str, Peer]] = {}

    def send(self, node: Peer, message: Message) -> bool:
        """Called by the library; False if the peer is not connected."""
        return node.name in self._connected and self._outgoing(node, message)

    def is_connected(self, peer: Peer) -> bool:
        return peer.name in self._connected

    def connected(self, peer: Peer) -> None:
        """A link to the peer is up. Voters get the log and vote; all others are observers and get the log."""
        if peer.name in self._connected:
            return
        self._connected[peer.name] = peer
        (self._onNodeConnected if peer in self._voters else self._onReadonlyNodeConnected)(peer)

    def disconnected(self, peer: Peer) -> None:
        if self._connected.pop(peer.name, None):
            (self._onNodeDisconnected if peer in self._voters else self._onReadonlyNodeDisconnected)(peer)

    def receive(self, peer: Peer, message: Message) -> None:
        """Hand a message to the library."""
        self._onMessageReceived(peer, message)
