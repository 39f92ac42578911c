"""What the lists of subscriptions and of registrations have in common."""

from __future__ import annotations

from typing import Protocol, TypeVar

from wampha.errors import InvalidArgument, PayloadSizeExceeded
from wampha.names.patterns import PatternIndex
from wampha.names.uri import EXACT, MATCHES
from wampha.routing.meta.procedures import MetaCall


class _Row(Protocol):
    @property
    def id(self) -> int: ...

    @property
    def match(self) -> str: ...


_Kind = TypeVar("_Kind", bound=_Row)


def ids_by_match(rows: PatternIndex[_Kind] | None, ids_max: int) -> dict[str, list[int]]:
    """The ids of all rows by match policy; raises PayloadSizeExceeded if there are too many for one answer."""
    lists: dict[str, list[int]] = {match: [] for match in MATCHES}
    if rows is not None:
        if len(rows) > ids_max:
            raise PayloadSizeExceeded(f"There are {len(rows)}; a list may have {ids_max} (`limits.meta_list_max`).")
        for row in rows:
            lists[row.match].append(row.id)
    return lists


def match_of(call: MetaCall) -> str:
    """The match policy in the options that a lookup may have as its second argument."""
    options = call.optional(1, "options", dict, "a map") or {}
    match = options.get("match") or EXACT
    if match not in MATCHES:
        raise InvalidArgument(f"Option 'match' is {match!r}; it may be 'exact', 'prefix' or 'wildcard'.")
    return str(match)
