"""The tables in pieces and back, one by one, while the log goes on. Each piece: a version byte, then MessagePack.

The first piece has everything but the rows; rows follow by section (`sections.py`) and in their order, owners named by
their position in its list. A piece has a bounded number of rows, so making or reading one stops nobody for long,
however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from wampha.state.codec import UnreadableError, UnsupportedError
from wampha.state.commands import Owner
from wampha.state.sections import ALWAYS, SECTIONS, Piece
from wampha.state.tables import Node, Route, Tables

VERSION: Final = 3
_HEAD: Final = bytes([VERSION])
_ROWS_MAX: Final = 400  # of one piece: less than 2 ms to make, 3 ms to read; with the longest topics below 2 MB


class _Member(msgspec.Struct, frozen=True, array_like=True):
    owner: Owner
    index: int
    number: int
    node: Node


class _Facts(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first piece."""

    term: int
    leader: str
    previous_leader: str
    newest: int
    dead: list[int]
    members: list[_Member]
    rows: list[int]  # how many follow, by section that every release knows
    more: list[int] = []  # and of the others


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[_Facts | Piece]] = msgspec.msgpack.Decoder(_Facts | Piece)
_PLACES: Final = {section.piece: place for place, section in enumerate(SECTIONS)}


class Encoder:
    """A snapshot of the tables as they are now, made piece by piece while they change.

    Whoever changes a route says so `before`. Other rows are never changed, only replaced, so to hold them is enough.
    """

    def __init__(self, tables: Tables) -> None:
        self.position: Final = {owner: place for place, owner in enumerate(tables.up)}
        self._former: Final[dict[Route, list[tuple[int, int]]]] = {}  # changed since the start -> owners at the start
        rows = [section.rows(tables) for section in SECTIONS]
        counts = [sum(len(some) for _, some in by_realm) for by_realm in rows]
        facts = _Facts(
            tables.term,
            tables.leader,
            tables.previous_leader,
            tables.newest,
            list(tables.dead),
            [_Member(owner, index, tables.number[owner], tables.nodes[owner]) for owner, index in tables.up.items()],
            counts[:ALWAYS],
            counts[ALWAYS:],
        )
        self._pieces: Iterator[bytes] = self._make(facts, rows)
        self._over = False

    def before(self, route: Route) -> None:
        """The owners of the route are about to change."""
        if not self._over and route not in self._former:
            self._former[route] = self._owners(route)

    def owners_of(self, route: Route) -> list[tuple[int, int]]:
        """(position of an owner, index of its row) as they were when the snapshot began."""
        former = self._former.get(route)
        return self._owners(route) if former is None else former

    def piece(self) -> bytes | None:
        """The next piece, or None after the last."""
        piece = next(self._pieces, None)
        if piece is None:
            self.stop()
        return piece

    def stop(self) -> None:
        """Make no more pieces, hold no row."""
        self._over = True
        self._pieces = iter(())
        self._former.clear()

    def _make(self, facts: _Facts, rows: list[list[tuple[str, list[Any]]]]) -> Iterator[bytes]:
        yield _HEAD + _ENCODER.encode(facts)
        for section, by_realm in zip(SECTIONS, rows, strict=True):
            tag = section.piece.__struct_config__.tag
            most = min(_ROWS_MAX, section.rows_max)
            for part in _parts(((realm, row) for realm, some in by_realm for row in some), most, section.weigh):
                yield _HEAD + _ENCODER.encode((tag, [section.pack(realm, row, self) for realm, row in part]))

    def _owners(self, route: Route) -> list[tuple[int, int]]:
        position = self.position
        # An owner that came up since stands only in routes that are new or have been written: in no piece to come.
        return [(position[owner], index) for owner, index in route.owners.items() if owner in position]


class Decoder:
    """New tables from the pieces of a snapshot."""

    def __init__(self, reads: int) -> None:
        """`reads`: the newest version of commands that this node can read."""
        self._reads: Final = reads
        self._tables: Final = Tables()
        self._owners: list[Owner] | None = None  # by position
        self._missing: list[int] = []  # rows by section

    def add(self, piece: bytes) -> None:
        """Take the next piece; raises UnsupportedError for a version that is not known, else UnreadableError."""
        if piece[:1] != _HEAD:
            raise UnsupportedError(f"A snapshot of version {piece[:1].hex() or 'none'}; this release reads {VERSION}.")
        try:
            read = _DECODER.decode(memoryview(piece)[1:])
            if isinstance(read, _Facts):
                self._take_facts(read)
            else:
                self._take_rows(read)
        except UnsupportedError:
            raise
        except (ValueError, RecursionError, LookupError, AssertionError) as error:  # msgspec's are ValueErrors
            raise UnreadableError(f"The snapshot cannot be read: {error}") from None

    def tables(self) -> Tables:
        """What the pieces made; raises UnreadableError if some are missing."""
        if self._owners is None or any(self._missing):
            raise UnreadableError(f"The snapshot is not complete: {self._missing} rows are missing.")
        return self._tables

    def _take_facts(self, facts: _Facts) -> None:
        assert self._owners is None, "there is one first piece"
        if facts.newest > self._reads:
            raise UnsupportedError(f"Commands of version {facts.newest} made it; this release reads {self._reads}.")
        assert len(facts.rows) == ALWAYS, "each section says how many rows it has"
        assert len(facts.more) <= len(SECTIONS) - ALWAYS, "what is not known comes with commands that are not known"
        tables = self._tables
        tables.term = facts.term
        tables.leader = facts.leader
        tables.previous_leader = facts.previous_leader
        tables.newest = facts.newest
        tables.dead = dict.fromkeys(facts.dead)
        for member in facts.members:
            tables.up[member.owner] = member.index
            tables.number[member.owner] = member.number
            tables.nodes[member.owner] = member.node
        self._owners = [member.owner for member in facts.members]
        self._missing = facts.rows + facts.more + [0] * (len(SECTIONS) - ALWAYS - len(facts.more))

    def _take_rows(self, piece: Piece) -> None:
        assert self._owners is not None, "the first piece comes first"
        place = _PLACES[type(piece)]
        SECTIONS[place].take(piece.rows, self._tables, self._owners)
        self._missing[place] -= len(piece.rows)


def encode(tables: Tables) -> list[bytes]:
    """All pieces at once, for checks; equal for tables that came from the same log."""
    encoder = Encoder(tables)
    return list(iter(encoder.piece, None))


def _parts(
    rows: Iterator[tuple[str, Any]], most: int, weigh: Callable[[Any], int] | None
) -> Iterator[list[tuple[str, Any]]]:
    if weigh is None:
        while part := list(islice(rows, most)):
            yield part
        return
    part, room = [], most
    for realm, row in rows:
        room -= weigh(row)
        if room < 0 and part:
            yield part
            part, room = [], most - weigh(row)
        part.append((realm, row))
    if part:
        yield part
