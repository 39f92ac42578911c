"""What a snapshot holds of each table of rows: how its rows become part of a piece, and rows of a table again.

A new table needs a section here and a place in `SECTIONS`; the order is that of the pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from wampha.state.commands import Owner
from wampha.state.kept import Handled, Kept, weight
from wampha.state.tables import Registration, Route, Tables

_USUAL_BYTES: Final = 4096  # so much of kept events counts as one more row


class Beginning(Protocol):
    """The tables as they were when the snapshot began."""

    @property
    def position(self) -> dict[Owner, int]:
        """Of those that were up, in the first piece."""

    def owners_of(self, route: Route) -> list[tuple[int, int]]:
        """(position of an owner, index of its row), in order."""


class Section(Protocol):
    """One table in a snapshot."""

    @property
    def piece(self) -> type[Any]:
        """The struct of a piece: tagged, with one list of structs, `rows`."""

    def rows(self, tables: Tables) -> list[tuple[str, list[Any]]]:
        """(realm, its rows in order): lists of their own, since the tables change. It takes one turn, so no more."""

    def pack(self, realm: str, row: Any, beginning: Beginning) -> tuple[object, ...]:
        """One of `rows`, as a tuple in the order of the piece's struct: there are many."""

    def weigh(self, row: Any) -> int:
        """One of `rows`, in rows of usual size: a piece takes a bounded number of those."""

    def take(self, rows: Sequence[Any], tables: Tables, owners: Sequence[Owner]) -> None:
        """Add the rows of a piece to new tables; LookupError or AssertionError if they do not fit."""


class _RouteRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    match: str
    topic: str
    id: int
    owners: list[tuple[int, int]]  # (position in members, index)
    created: int


class RoutesPiece(msgspec.Struct, frozen=True, array_like=True, tag=1):
    rows: list[_RouteRow]


class _RouteSection:
    piece = RoutesPiece

    def rows(self, tables: Tables) -> list[tuple[str, list[Route]]]:
        return [(realm, list(routes)) for realm, routes in tables.routes.items()]

    def pack(self, realm: str, route: Route, beginning: Beginning) -> tuple[object, ...]:
        return (realm, route.match, route.topic, route.id, beginning.owners_of(route), route.created)

    def weigh(self, row: Route) -> int:
        return 1

    def take(self, rows: Sequence[_RouteRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            route = Route(row.id, row.match, row.topic, row.created)
            for position, index in row.owners:
                route.owners[owners[position]] = index
            tables.add_route(row.realm, route)


class _RegistrationRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    match: str
    procedure: str
    policy: str
    id: int
    member: int  # position in members
    session: int
    index: int
    created: int


class RegistrationsPiece(msgspec.Struct, frozen=True, array_like=True, tag=2):
    rows: list[_RegistrationRow]


class _RegistrationSection:
    piece = RegistrationsPiece

    def rows(self, tables: Tables) -> list[tuple[str, list[Registration]]]:
        return [(realm, list(rows)) for realm, rows in tables.registrations.items()]

    def pack(self, realm: str, row: Registration, beginning: Beginning) -> tuple[object, ...]:
        member = beginning.position[row.owner]
        return (realm, row.match, row.procedure, row.policy, row.id, member, row.session, row.index, row.created)

    def weigh(self, row: Registration) -> int:
        return 1

    def take(self, rows: Sequence[_RegistrationRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            registration = Registration(
                row.id, row.match, row.procedure, row.policy, owners[row.member], row.session, row.index, row.created
            )
            tables.add_registration(row.realm, registration)


class _RetainedRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    kept: Kept


class RetainedPiece(msgspec.Struct, frozen=True, array_like=True, tag=3):
    rows: list[_RetainedRow]


class _RetainedSection:
    piece = RetainedPiece

    def rows(self, tables: Tables) -> list[tuple[str, list[Kept]]]:
        return [
            (realm, [kept for events in archive.retained.values() for kept in events])
            for realm, archive in tables.kept.archives.items()
        ]

    def pack(self, realm: str, kept: Kept, beginning: Beginning) -> tuple[object, ...]:
        return (realm, kept)

    def weigh(self, row: Kept) -> int:
        return 1 + weight(row.event) // _USUAL_BYTES

    def take(self, rows: Sequence[_RetainedRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.kept.in_realm(row.realm).restore(row.kept)


class _HistoryRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    match: str
    topic: str
    kept: Kept


class HistoriesPiece(msgspec.Struct, frozen=True, array_like=True, tag=4):
    rows: list[_HistoryRow]


class _HistorySection:
    """An event that is retained as well, or stands in several histories, is written as often."""

    piece = HistoriesPiece

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[str, str, Kept]]]]:
        return [
            (realm, [(*pattern, kept) for pattern, history in archive.histories.items() for kept in history.events])
            for realm, archive in tables.kept.archives.items()
        ]

    def pack(self, realm: str, row: tuple[str, str, Kept], beginning: Beginning) -> tuple[object, ...]:
        return (realm, *row)

    def weigh(self, row: tuple[str, str, Kept]) -> int:
        return 1 + weight(row[2].event) // _USUAL_BYTES

    def take(self, rows: Sequence[_HistoryRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.kept.in_realm(row.realm).history(row.match, row.topic).restore(row.kept)


class _HandledRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    member: int  # position in members
    handled: Handled


class HandledPiece(msgspec.Struct, frozen=True, array_like=True, tag=5):
    rows: list[_HandledRow]


class _HandledSection:
    """These rows belong to no realm."""

    piece = HandledPiece

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[Owner, Handled]]]]:
        return [("", list(tables.kept.handled.items()))]

    def pack(self, realm: str, row: tuple[Owner, Handled], beginning: Beginning) -> tuple[object, ...]:
        owner, handled = row
        return (beginning.position[owner], handled)

    def weigh(self, row: tuple[Owner, Handled]) -> int:
        return 1

    def take(self, rows: Sequence[_HandledRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.kept.handled[owners[row.member]] = row.handled


Piece = RoutesPiece | RegistrationsPiece | RetainedPiece | HistoriesPiece | HandledPiece
SECTIONS: Final[tuple[Section, ...]] = (
    _RouteSection(),
    _RegistrationSection(),
    _RetainedSection(),
    _HistorySection(),
    _HandledSection(),
)
