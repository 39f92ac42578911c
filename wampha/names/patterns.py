"""PatternIndex: which patterns match a URI (advanced profile, "Pattern-based Subscription")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from wampha.names.uri import EXACT, PREFIX, WILDCARD

T = TypeVar("T")

_REMEMBERED_MAX: Final = 10_000  # URIs whose matches are remembered; more empty the memory


def matcher(match: str, pattern: str) -> Callable[[str], bool]:
    """Whether a concrete URI matches the pattern."""
    if match == PREFIX:
        return lambda uri: uri.startswith(pattern)
    if match == EXACT:
        return lambda uri: uri == pattern
    wanted = pattern.split(".")

    def matches(uri: str) -> bool:
        components = uri.split(".")
        return len(components) == len(wanted) and all(a in ("", b) for a, b in zip(wanted, components, strict=True))

    return matches


def overlap(match: str, uri: str, other_match: str, other: str) -> bool:
    """Whether some URI may match both; of two patterns, neither need be concrete."""
    if PREFIX not in (match, other_match):
        mine, theirs = uri.split("."), other.split(".")
        return len(mine) == len(theirs) and all(_meet(a, b) for a, b in zip(mine, theirs, strict=True))
    if match == other_match:
        return uri.startswith(other) or other.startswith(uri)
    prefix, pattern = (uri, other) if match == PREFIX else (other, uri)
    *whole, begun = prefix.split(".")
    components = pattern.split(".")
    return (
        len(whole) < len(components)
        and all(_meet(a, b) for a, b in zip(whole, components, strict=False))
        and (components[len(whole)] == "" or components[len(whole)].startswith(begun))
    )


def _meet(component: str, other: str) -> bool:
    return component == other or "" in (component, other)


class _Fork(Generic[T]):
    """One level of the wildcard tree: what may follow, by component (an empty one stands for any)."""

    __slots__ = ("next", "value")

    def __init__(self) -> None:
        self.next: dict[str, _Fork[T]] = {}
        self.value: T | None = None


class PatternIndex(Generic[T]):
    """Values by (match, pattern), found by the URIs that the patterns match.

    Matches come in a fixed order: the exact one, then prefixes from the longest to the shortest, then wildcards, the
    one with the longer literal beginning first. A lookup costs at most one probe per length of a prefix that is
    present and one per fork of the wildcard tree that fits; it is remembered until a change that could alter it.
    """

    __slots__ = ("_lengths", "_remembered", "_tables", "_tree")

    def __init__(self) -> None:
        self._tables: Final[dict[str, dict[str, T]]] = {EXACT: {}, PREFIX: {}, WILDCARD: {}}
        self._lengths: dict[int, int] = {}  # length of a prefix -> how many have it; longest first
        self._tree: _Fork[T] = _Fork()
        self._remembered: Final[dict[str, tuple[T, ...]]] = {}

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def __bool__(self) -> bool:
        return any(self._tables.values())

    def __iter__(self) -> Iterator[T]:
        """All values, by policy and then in the order in which they were added."""
        for table in self._tables.values():
            yield from table.values()

    def get(self, match: str, uri: str) -> T | None:
        """The value of exactly this pattern, if there is one."""
        return self._tables[match].get(uri)

    def add(self, match: str, uri: str, value: T) -> None:
        """Put a value under a pattern that has none yet."""
        table = self._tables[match]
        assert uri not in table, "a pattern has one value"
        table[uri] = value
        self._forget(match, uri)
        if match == PREFIX:
            self._count_length(len(uri), 1)
        elif match == WILDCARD:
            self._fork(uri).value = value

    def replace(self, match: str, uri: str, value: T) -> None:
        """Put another value in the place of a pattern's; a KeyError if it has none."""
        table = self._tables[match]
        if uri not in table:
            raise KeyError(uri)
        table[uri] = value
        self._forget(match, uri)
        if match == WILDCARD:
            self._fork(uri).value = value

    def remove(self, match: str, uri: str) -> None:
        """Take the value of a pattern away; a KeyError if it has none."""
        del self._tables[match][uri]
        self._forget(match, uri)
        if match == PREFIX:
            self._count_length(len(uri), -1)
        elif match == WILDCARD:
            self._prune(uri)

    def remove_all(self, patterns: Iterable[tuple[str, str]]) -> None:
        """Take the values of many (match, pattern) away, faster than one by one; a KeyError if one has none."""
        exact = self._tables[EXACT]
        for match, uri in patterns:
            if match == EXACT:
                del exact[uri]
            else:
                self.remove(match, uri)
        self._remembered.clear()

    def match(self, uri: str) -> tuple[T, ...]:
        """The values of all patterns that match a concrete URI, in the fixed order."""
        matches = self._remembered.get(uri)
        if matches is None:
            matches = tuple(self._search(uri))
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[uri] = matches
        return matches

    def matching(self, uri: str) -> tuple[T, ...]:
        """`match(uri)`; not remembered, for URIs that are asked for once."""
        return tuple(self._search(uri))

    def first(self, uri: str) -> T | None:
        """The first of `match(uri)`; not remembered, for those who remember what they make of it."""
        return next(self._search(uri), None)

    def _search(self, uri: str) -> Iterator[T]:
        exact = self._tables[EXACT].get(uri)
        if exact is not None:
            yield exact
        prefixes = self._tables[PREFIX]
        for length in self._lengths:
            if length <= len(uri) and (value := prefixes.get(uri[:length])) is not None:
                yield value
        if self._tables[WILDCARD]:
            yield from self._search_tree(uri.split("."))

    def _search_tree(self, components: list[str]) -> Iterator[T]:
        stack = [(self._tree, 0)]
        while stack:
            fork, depth = stack.pop()
            if depth == len(components):
                if fork.value is not None:
                    yield fork.value
                continue
            # The stack is served from its end: the literal component goes last, so that it comes first.
            for component in ("", components[depth]):
                if (deeper := fork.next.get(component)) is not None:
                    stack.append((deeper, depth + 1))

    def _forget(self, match: str, uri: str) -> None:
        if match == EXACT:
            self._remembered.pop(uri, None)
        else:
            self._remembered.clear()

    def _count_length(self, length: int, change: int) -> None:
        count = self._lengths.get(length, 0) + change
        if count == 0:
            del self._lengths[length]
        elif length in self._lengths:
            self._lengths[length] = count
        else:
            self._lengths[length] = count
            self._lengths = dict(sorted(self._lengths.items(), reverse=True))

    def _fork(self, uri: str) -> _Fork[T]:
        fork = self._tree
        for component in uri.split("."):
            fork = fork.next.setdefault(component, _Fork())
        return fork

    def _prune(self, uri: str) -> None:
        path = [self._tree]
        components = uri.split(".")
        for component in components:
            path.append(path[-1].next[component])
        path[-1].value = None
        for fork, component in zip(reversed(path[:-1]), reversed(components), strict=True):
            deeper = fork.next[component]
            if deeper.next or deeper.value is not None:
                return
            del fork.next[component]
