"""What a snapshot holds of the roll of sessions; see `sections.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from wampha.state.commands import Owner
from wampha.state.facts import SCOPES, Testament, Transport
from wampha.state.locks import Lost
from wampha.state.roll import Member
from wampha.state.tables import Tables

if TYPE_CHECKING:
    from wampha.state.sections import Beginning


class _SessionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    id: int
    realm: str
    member: int  # position in members
    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    transport: Transport
    more: dict[str, Any]


class SessionsPiece(msgspec.Struct, frozen=True, array_like=True, tag=3):
    rows: list[_SessionRow]


class SessionSection:
    """The sessions."""

    piece = SessionsPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[Member]]]:
        return [("", list(tables.roll))]

    def pack(self, _: str, row: Member, beginning: Beginning) -> tuple[object, ...]:
        return (
            row.id,
            row.realm,
            beginning.position[row.owner],
            row.authid,
            row.authrole,
            row.authmethod,
            row.authprovider,
            row.transport,
            row.more,
        )

    def take(self, rows: Sequence[_SessionRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.roll.add(
                Member(
                    id=row.id,
                    realm=row.realm,
                    owner=owners[row.member],
                    authid=row.authid,
                    authrole=row.authrole,
                    authmethod=row.authmethod,
                    authprovider=row.authprovider,
                    transport=row.transport,
                    more=row.more,
                )
            )


class _TestamentRow(msgspec.Struct, frozen=True, array_like=True):
    realm: str
    session: int
    scope: str
    testament: Testament


class TestamentsPiece(msgspec.Struct, frozen=True, array_like=True, tag=4):
    rows: list[_TestamentRow]


class TestamentSection:
    """What sessions leave behind, one row for each testament."""

    piece = TestamentsPiece
    rows_max = 16  # each may have `testament_bytes_max`
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[str, int, str, Testament]]]]:
        roll = tables.roll
        return [
            (
                "",
                [
                    (roll.realm_of(session), session, scope, testament)
                    for session, testaments in roll.bequests().items()
                    for scope in SCOPES
                    for testament in testaments.of(scope)
                ],
            )
        ]

    def pack(self, _: str, row: tuple[str, int, str, Testament], beginning: Beginning) -> tuple[object, ...]:
        return row

    def take(self, rows: Sequence[_TestamentRow], tables: Tables, owners: Sequence[Owner]) -> None:
        roll = tables.roll
        for row in rows:
            assert roll.get(row.realm, row.session) is not None, "testaments are of sessions"
            roll.bequeath(row.realm, row.session, roll.testaments(row.session).and_also(row.scope, row.testament))


class _HomeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    member: int  # position in members
    number: int
    index: int
    killed: list[int]


class HomesPiece(msgspec.Struct, frozen=True, array_like=True, tag=5):
    rows: list[_HomeRow]


class HomeSection:
    """How far each node has reported of its sessions."""

    piece = HomesPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[Owner, int, int, list[int]]]]]:
        roll = tables.roll
        homes = [(owner, last.number, last.index, list(roll.killed(owner))) for owner, last in roll.reports().items()]
        return [("", homes)]

    def pack(self, _: str, row: tuple[Owner, int, int, list[int]], beginning: Beginning) -> tuple[object, ...]:
        return (beginning.position[row[0]], *row[1:])

    def take(self, rows: Sequence[_HomeRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.roll.report(owners[row.member], row.number, row.index)
            for session in row.killed:
                tables.roll.kill(owners[row.member], session)


class _LockRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    session: int
    digest: bytes
    lost: Lost | None


class LocksPiece(msgspec.Struct, frozen=True, array_like=True, tag=9):
    rows: list[_LockRow]


class LockSection:
    """Which sessions can be resumed after the death of their node, and those whose node is dead."""

    piece = LocksPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[int, bytes, Lost | None]]]]:
        locks = tables.roll.locks
        standing: list[tuple[int, bytes, Lost | None]] = [
            (session, digest, None) for session, digest in locks.standing().items()
        ]
        return [("", [*standing, *((lost.id, lost.digest, lost) for lost in locks)])]

    def pack(self, _: str, row: tuple[int, bytes, Lost | None], beginning: Beginning) -> tuple[object, ...]:
        return row

    def take(self, rows: Sequence[_LockRow], tables: Tables, owners: Sequence[Owner]) -> None:
        locks = tables.roll.locks
        for row in rows:
            if row.lost is None:
                locks.lock(row.session, row.digest)
            else:
                locks.lose(row.lost)
