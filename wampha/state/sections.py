"""What a snapshot holds of each table of rows: how its rows become part of a piece, and rows of a table again.

A new table needs a section here and a place in `SECTIONS`; the order is that of the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from wampha.state.commands import Owner
from wampha.state.cookie_sections import CookieSection, CookiesPiece
from wampha.state.kept_sections import (
    HandledPiece,
    HandledSection,
    HistoriesPiece,
    HistorySection,
    RetainedPiece,
    RetainedSection,
)
from wampha.state.roll_sections import (
    HomeSection,
    HomesPiece,
    LockSection,
    LocksPiece,
    SessionSection,
    SessionsPiece,
    TestamentSection,
    TestamentsPiece,
)
from wampha.state.tables import Callee, Registration, Route, Tables


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

    @property
    def rows_max(self) -> int:
        """The most rows of a piece: less than 2 ms to make, 3 ms to read, and below 2 MB."""

    @property
    def weigh(self) -> Callable[[Any], int] | None:
        """How many of `rows_max` one of `rows` takes up; None if each takes one."""

    def rows(self, tables: Tables) -> list[tuple[str, list[Any]]]:
        """(realm, its rows in order): lists of their own, since the tables change. It takes one turn, so no more."""

    def pack(self, realm: str, row: Any, beginning: Beginning) -> tuple[object, ...]:
        """One of `rows`, as a tuple in the order of the piece's struct: there are many."""

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
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[Route]]]:
        return [(realm, list(routes)) for realm, routes in tables.routes.items()]

    def pack(self, realm: str, route: Route, beginning: Beginning) -> tuple[object, ...]:
        return (realm, route.match, route.topic, route.id, beginning.owners_of(route), route.created)

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
    callees: list[tuple[int, int, int, int, bool]]  # (position in members, and the rest of the struct)
    created: int


class RegistrationsPiece(msgspec.Struct, frozen=True, array_like=True, tag=2):
    rows: list[_RegistrationRow]


class _RegistrationSection:
    piece = RegistrationsPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[Registration]]]:
        return [(realm, list(rows)) for realm, rows in tables.registrations.items()]

    def pack(self, realm: str, row: Registration, beginning: Beginning) -> tuple[object, ...]:
        position = beginning.position
        callees = [
            (position[callee.owner], callee.session, callee.index, callee.concurrency, callee.repeatable)
            for callee in row.callees
        ]
        return (realm, row.match, row.procedure, row.policy, row.id, callees, row.created)

    def take(self, rows: Sequence[_RegistrationRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            callees = tuple(
                Callee(owners[position], session, index, concurrency, repeatable)
                for position, session, index, concurrency, repeatable in row.callees
            )
            registration = Registration(row.id, row.match, row.procedure, row.policy, callees, row.created)
            tables.add_registration(row.realm, registration)


Piece = (
    RoutesPiece
    | RegistrationsPiece
    | SessionsPiece
    | TestamentsPiece
    | HomesPiece
    | LocksPiece
    | RetainedPiece
    | HistoriesPiece
    | HandledPiece
    | CookiesPiece
)
SECTIONS: Final[tuple[Section, ...]] = (
    _RouteSection(),
    _RegistrationSection(),
    SessionSection(),
    TestamentSection(),
    HomeSection(),
    LockSection(),
    RetainedSection(),
    HistorySection(),
    HandledSection(),
    CookieSection(),
)
ALWAYS: Final = (
    9  # of them every release knows; the others have rows only where commands of a later version took effect
)
