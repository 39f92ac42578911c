"""pysyncobj's public Transport, over whatever carries our control frames.

The library's messages are dictionaries; here, and nowhere else, they become typed frames and back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from wampha.ledger.frames import Answer, Append, Forwarded, Piece, Placed, RaftBody, RequestVote, Vote

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

    def __init__(self, me: Peer | None, voters: Iterable[Peer], outgoing: Callable[[Peer, RaftBody], bool]) -> None:
        super().__init__(None, me, list(voters))
        self._voters: Final = frozenset(voters)
        self._outgoing: Final = outgoing
        self._connected: Final[dict[str, Peer]] = {}

    def send(self, node: Peer, message: Message) -> bool:
        """Called by the library; False if the peer is not connected."""
        return node.name in self._connected and self._outgoing(node, _WRITERS[message["type"]](message))

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

    def receive(self, peer: Peer, body: RaftBody) -> None:
        """Hand a message to the library."""
        self._onMessageReceived(peer, _READERS[type(body)](body))


# ---- from the library


def _write_append(message: Message) -> RaftBody:
    if "serialized" in message:  # never with data: the library has no snapshots, see transfer.py
        return Piece(message["term"], message["commit_index"], 0, 0, b"", None)
    assert "transmission" not in message, "an entry never fills a message: Engine.propose sees to it"
    previous = message["prevLogIdx"], message["prevLogTerm"]
    return Append(message["term"], message["commit_index"], *previous, tuple(message["entries"]))


def _write_answer(message: Message) -> Answer:
    # The library does not say which term it answers; the engine does.
    return Answer(0, message["next_node_idx"], message["reset"], message["success"])


def _write_request_vote(message: Message) -> RequestVote:
    return RequestVote(message["term"], message["last_log_index"], message["last_log_term"])


def _write_placed(message: Message) -> Placed:
    place = message.get("log_idx", 0), message.get("log_term", 0)
    return Placed(message["request_id"], message.get("error"), *place)


_WRITERS: Final[dict[str, Callable[[Message], RaftBody]]] = {
    "append_entries": _write_append,
    "next_node_idx": _write_answer,
    "request_vote": _write_request_vote,
    "response_vote": lambda message: Vote(message["term"]),
    "apply_command": lambda message: Forwarded(message["command"], message.get("request_id")),
    "apply_command_response": _write_placed,
}

# ---- to the library


def _read_append(append: Append) -> Message:
    return {
        "type": "append_entries",
        "term": append.term,
        "commit_index": append.commit,
        "entries": append.entries,
        "prevLogIdx": append.previous_index,
        "prevLogTerm": append.previous_term,
    }


def _read_piece(piece: Piece) -> Message:
    return {
        "type": "append_entries",
        "term": piece.term,
        "commit_index": piece.commit,
        "serialized": None,
    }


def _read_answer(answer: Answer) -> Message:
    return {
        "type": "next_node_idx",
        "next_node_idx": answer.next_index,
        "reset": answer.reset,
        "success": answer.success,
    }


def _read_request_vote(request: RequestVote) -> Message:
    return {
        "type": "request_vote",
        "term": request.term,
        "last_log_index": request.last_index,
        "last_log_term": request.last_term,
    }


def _read_vote(vote: Vote) -> Message:
    return {"type": "response_vote", "term": vote.term}


def _read_forwarded(forwarded: Forwarded) -> Message:
    message: Message = {"type": "apply_command", "command": forwarded.command}
    if forwarded.request is not None:
        message["request_id"] = forwarded.request
    return message


def _read_placed(placed: Placed) -> Message:
    message: Message = {"type": "apply_command_response", "request_id": placed.request}
    if placed.error is not None:
        return message | {"error": placed.error}
    return message | {"log_idx": placed.index, "log_term": placed.term}


_READERS: Final[dict[type[RaftBody], Callable[[Any], Message]]] = {
    Append: _read_append,
    Piece: _read_piece,
    Answer: _read_answer,
    RequestVote: _read_request_vote,
    Vote: _read_vote,
    Forwarded: _read_forwarded,
    Placed: _read_placed,
}
