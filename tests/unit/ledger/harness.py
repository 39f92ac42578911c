"""One engine by itself, for the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from wampha.counters import Counters
from wampha.ledger.constants import Timing
from wampha.ledger.engine import COMMAND, Engine
from wampha.ledger.frames import Append, Piece, RaftBody, Vote
from wampha.ledger.options import REPAIRS, Options

VOTERS = ("a", "b", "c")


class Pieces:
    """A table of two pieces, to be read; what is written shows in `restored`."""

    def __init__(self, restored: list[bytes]) -> None:
        self._left = [b"ta", b"ble"]
        self._got: list[bytes] = []
        self._restored = restored

    def piece(self) -> bytes | None:
        return self._left.pop(0) if self._left else None

    def stop(self) -> None:
        self._left.clear()

    def add(self, piece: bytes) -> None:
        if piece == b"garbage":
            raise ValueError(piece)
        self._got.append(piece)

    def install(self) -> None:
        self._restored.append(b"".join(self._got))


class Bench:
    """One engine, with everything it sends and applies, and a clock that a test moves."""

    def __init__(
        self,
        *,
        name: str = "a",
        repairs: frozenset[str] = REPAIRS,
        recovering: bool = False,
        apply: Callable[[int, bytes], Any] | None = None,
        creep: float = 1e-6,
        **options: Any,
    ) -> None:
        self.time, self._creep = 100.0, creep
        self.sent: list[tuple[str, RaftBody]] = []
        self.applied: list[tuple[int, bytes]] = []
        self.restored: list[bytes] = []
        self.counters = Counters()
        self.engine = Engine(
            name=name,
            voters=VOTERS,
            timing=Timing.of(),
            now=self._now,
            chance=random.Random(1),
            send=self._send,
            apply=apply or (lambda index, command: self.applied.append((index, command)) or "applied"),
            snapshot=lambda: Pieces(self.restored),
            restore=lambda: Pieces(self.restored),
            counters=self.counters,
            recovering=recovering,
            options=Options(repairs=repairs, **options),
        )
        for peer in VOTERS:
            if peer != name:
                self.engine.peer_up(peer)

    def _now(self) -> float:
        self.time += self._creep
        return self.time

    def _send(self, peer: str, body: RaftBody) -> bool:
        self.sent.append((peer, body))
        return True

    def taken(self, kind: type) -> list[Any]:
        """Messages of a kind sent since the last call."""
        taken = [body for _, body in self.sent if isinstance(body, kind)]
        self.sent.clear()
        return taken

    def log(self) -> list[tuple[int, int]]:
        return [(index, term) for _, index, term in self.engine.entries()]

    def append(self, term: int, previous: tuple[int, int], *entries: tuple[int, int], commit: int = 1) -> None:
        """The leader b sends entries, each given as (index, term) like `previous`."""
        commands = tuple(
            (COMMAND + f"{index}.{entry_term}".encode(), index, entry_term) for index, entry_term in entries
        )
        self.engine.received("b", Append(term, commit, *previous, commands), False)
        self.engine.tick()

    def snapshot(self, term: int, up_to: int, *pieces: bytes, entry_term: int = 1) -> None:
        """The leader b sends a snapshot that ends at `up_to`."""
        ends = ((COMMAND, up_to - 1, entry_term), (COMMAND, up_to, entry_term))
        for number, piece in enumerate(pieces):
            self.engine.received("b", Piece(term, 40, up_to, number, piece, None), False)
        self.engine.received("b", Piece(term, 40, up_to, len(pieces), b"", ends), False)

    def elect(self) -> None:
        """Make it the leader of term 1."""
        self.engine.campaign(0)
        self.engine.received("b", Vote(1), False)
        assert self.engine.is_leader
