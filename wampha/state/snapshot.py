"""The tables in pieces and back, one by one, while the log goes on. Each piece: a version byte, then MessagePack.

The first piece has everything but the rows; rows follow in their order, named owners by position in its list. A piece
has a bounded number of rows, so making or reading one stops nobody for long, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec

from wampha.state.codec import UnreadableError, UnsupportedError
from wampha.state.commands import Owner
from wampha.state.tables import Node, Registration, Route, Tables

VERSION: Final = 2
_HEAD: Final = bytes([VERSION])
_ROWS_MAX: Final = 400  # of one piece: less than 2 ms to make, 3 ms to read; with the longest topics below 2 MB


class _Member(msgspec.Struct, frozen=True, array_like=True):
    owner: Owner
    index: int
    number: int
    node: Node


class _RouteRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    match: str
    topic: str
    id: int
    owners: list[tuple[int, int]]  # (position in members, index)


class _RegistrationRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    match: str
    procedure: str
    policy: str
    id: int
    member: int  # position in members
    session: int
    index: int


class _Facts(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first piece."""

    term: int
    leader: str
    previous_leader: str
    newest: int
    dead: list[int]
    members: list[_Member]
    routes: int  # how many follow
    registrations: int


class _Routes(msgspec.Struct, frozen=True, array_like=True, tag=1):
    rows: list[_RouteRow]


class _Registrations(msgspec.Struct, frozen=True, array_like=True, tag=2):
    rows: list[_RegistrationRow]


_Row = TypeVar("_Row")

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[_Facts | _Routes | _Registrations]] = msgspec.msgpack.Decoder(
    _Facts | _Routes | _Registrations
)


class Encoder:
    """A snapshot of the tables as they are now, made piece by piece while they change.

    Whoever changes a route says so `before`. Registrations are never changed, only replaced, so to hold them is enough.
    """

    def __init__(self, tables: Tables) -> None:
        self._position: Final = {owner: place for place, owner in enumerate(tables.up)}
        self._former: Final[dict[Route, list[tuple[int, int]]]] = {}  # changed since the start -> owners at the start
        routes = [(realm, list(rows)) for realm, rows in tables.routes.items()]
        offers = [(realm, list(rows)) for realm, rows in tables.registrations.items()]
        facts = _Facts(
            tables.term,
            tables.leader,
            tables.previous_leader,
            tables.newest,
            list(tables.dead),
            [_Member(owner, index, tables.number[owner], tables.nodes[owner]) for owner, index in tables.up.items()],
            sum(len(rows) for _, rows in routes),
            sum(len(rows) for _, rows in offers),
        )
        self._pieces: Iterator[bytes] = self._make(facts, routes, offers)
        self._over = False

    def before(self, route: Route) -> None:
        """The owners of the route are about to change."""
        if not self._over and route not in self._former:
            self._former[route] = self._owners(route)

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

    def _make(
        self, facts: _Facts, routes: list[tuple[str, list[Route]]], offers: list[tuple[str, list[Registration]]]
    ) -> Iterator[bytes]:
        yield _HEAD + _ENCODER.encode(facts)
        # Rows as tuples in the order of `_RouteRow` and `_RegistrationRow`: there are many.
        for rows in _parts((realm, row) for realm, some in routes for row in some):
            yield self._piece(
                1, [(realm, row.match, row.topic, row.id, self._owners_at_start(row)) for realm, row in rows]
            )
        position = self._position
        for parts in _parts((realm, row) for realm, some in offers for row in some):
            yield self._piece(
                2,
                [
                    (realm, row.match, row.procedure, row.policy, row.id, position[row.owner], row.session, row.index)
                    for realm, row in parts
                ],
            )

    @staticmethod
    def _piece(tag: int, rows: list[tuple[object, ...]]) -> bytes:
        return _HEAD + _ENCODER.encode((tag, rows))

    def _owners_at_start(self, route: Route) -> list[tuple[int, int]]:
        former = self._former.get(route)
        return self._owners(route) if former is None else former

    def _owners(self, route: Route) -> list[tuple[int, int]]:
        position = self._position
        # An owner that came up since stands only in routes that are new or have been written: in no piece to come.
        return [(position[owner], index) for owner, index in route.owners.items() if owner in position]


class Decoder:
    """New tables from the pieces of a snapshot."""

    def __init__(self, reads: int) -> None:
        """`reads`: the newest version of commands that this node can read."""
        self._reads: Final = reads
        self._tables: Final = Tables()
        self._owners: list[Owner] | None = None  # by position
        self._missing = [0, 0]  # routes, registrations

    def add(self, piece: bytes) -> None:
        """Take the next piece; raises UnsupportedError for a version that is not known, else UnreadableError."""
        if piece[:1] != _HEAD:
            raise UnsupportedError(f"A snapshot of version {piece[:1].hex() or 'none'}; this release reads {VERSION}.")
        try:
            read = _DECODER.decode(memoryview(piece)[1:])
            if isinstance(read, _Facts):
                self._take_facts(read)
            elif isinstance(read, _Routes):
                self._take_routes(read.rows)
            else:
                self._take_registrations(read.rows)
        except (msgspec.MsgspecError, RecursionError, LookupError, AssertionError) as error:
            raise UnreadableError(f"The snapshot cannot be read: {error}") from None

    def tables(self) -> Tables:
        """What the pieces made; raises UnreadableError if some are missing."""
        if self._owners is None or self._missing != [0, 0]:
            raise UnreadableError(f"The snapshot is not complete: {self._missing} rows are missing.")
        return self._tables

    def _take_facts(self, facts: _Facts) -> None:
        assert self._owners is None, "there is one first piece"
        if facts.newest > self._reads:
            raise UnsupportedError(f"Commands of version {facts.newest} made it; this release reads {self._reads}.")
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
        self._missing = [facts.routes, facts.registrations]

    def _take_routes(self, rows: list[_RouteRow]) -> None:
        assert self._owners is not None, "the first piece comes first"
        owners, tables = self._owners, self._tables
        for row in rows:
            route = Route(row.id, row.match, row.topic)
            for position, index in row.owners:
                route.owners[owners[position]] = index
            tables.routes_in(row.realm).add(row.match, row.topic, route)
        self._missing[0] -= len(rows)

    def _take_registrations(self, rows: list[_RegistrationRow]) -> None:
        assert self._owners is not None, "the first piece comes first"
        owners, tables = self._owners, self._tables
        for row in rows:
            registration = Registration(
                row.id, row.match, row.procedure, row.policy, owners[row.member], row.session, row.index
            )
            tables.registrations_in(row.realm).add(row.match, row.procedure, registration)
        self._missing[1] -= len(rows)


def encode(tables: Tables) -> list[bytes]:
    """All pieces at once, for checks; equal for tables that came from the same log."""
    encoder = Encoder(tables)
    return list(iter(encoder.piece, None))


def _parts(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    while part := list(islice(rows, _ROWS_MAX)):
        yield part
