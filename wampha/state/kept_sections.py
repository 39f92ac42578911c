"""What a snapshot holds of kept events; see `sections.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from wampha.state.commands import Owner
from wampha.state.kept import Handled, Kept, weight
from wampha.state.tables import Tables

if TYPE_CHECKING:
    from wampha.state.sections import Beginning

_USUAL_BYTES: Final = 4096  # so much of kept events counts as one more row


class _RetainedRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    realm: str
    kept: Kept


class RetainedPiece(msgspec.Struct, frozen=True, array_like=True, tag=6):
    rows: list[_RetainedRow]


class RetainedSection:
    """The retained events of each topic."""

    piece = RetainedPiece
    rows_max = 400

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


class HistoriesPiece(msgspec.Struct, frozen=True, array_like=True, tag=7):
    rows: list[_HistoryRow]


class HistorySection:
    """An event that is retained as well, or stands in several histories, is written as often."""

    piece = HistoriesPiece
    rows_max = 400

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


class HandledPiece(msgspec.Struct, frozen=True, array_like=True, tag=8):
    rows: list[_HandledRow]


class HandledSection:
    """How far each node's statements have taken effect."""

    piece = HandledPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[tuple[Owner, Handled]]]]:
        return [("", list(tables.kept.handled.items()))]

    def pack(self, realm: str, row: tuple[Owner, Handled], beginning: Beginning) -> tuple[object, ...]:
        owner, handled = row
        return (beginning.position[owner], handled)

    def take(self, rows: Sequence[_HandledRow], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            tables.kept.handled[owners[row.member]] = row.handled
