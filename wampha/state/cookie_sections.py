"""What a snapshot holds of cookies; see `sections.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from wampha.state.commands import Identity, Owner
from wampha.state.cookies import Cookie
from wampha.state.tables import Tables

if TYPE_CHECKING:
    from wampha.state.sections import Beginning

_NOBODY: Final = Identity("", "", "", b"")


class CookiesPiece(msgspec.Struct, frozen=True, array_like=True, tag=10):
    rows: list[Cookie]


class CookieSection:
    """The cookies; before them a row without digest, that ends with the present period."""

    piece = CookiesPiece
    rows_max = 400
    weigh = None

    def rows(self, tables: Tables) -> list[tuple[str, list[Cookie]]]:
        cookies = tables.cookies
        return [("", [Cookie(b"", _NOBODY, cookies.period), *cookies] if cookies.period or len(cookies) else [])]

    def pack(self, realm: str, row: Cookie, beginning: Beginning) -> tuple[object, ...]:
        return (row.digest, row.identity, row.ends, row.void)

    def take(self, rows: Sequence[Cookie], tables: Tables, owners: Sequence[Owner]) -> None:
        for row in rows:
            if row.digest:
                tables.cookies.put(row)
            else:
                tables.cookies.period = row.ends
