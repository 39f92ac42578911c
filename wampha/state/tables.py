"""The replicated facts, as every node holds them (protocol section 1, "Replicated table").

Only the rules behind `machine.py` write here; everybody else reads. Dictionaries are in the order of the log, so that
nodes that applied the same log hold equal tables in equal order, with or without a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from wampha.names.patterns import PatternIndex
from wampha.state.commands import Owner

_Row = TypeVar("_Row")

DEAD_MAX: Final = 200  # dead incarnations remembered; a late `up` of an older one cannot be told from a new node


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an incarnation told of itself when it came up."""

    address: str  # host:port of its peer listener
    version: str
    reads: int = 1  # the newest version of commands that it can read


class Route:
    """Which nodes have subscribers for (realm, match, topic)."""

    __slots__ = ("id", "match", "owners", "topic")

    def __init__(self, route_id: int, match: str, topic: str) -> None:
        self.id: Final = route_id  # the subscription id: index of the entry that created the route
        self.match: Final = match
        self.topic: Final = topic
        self.owners: Final[dict[Owner, int]] = {}  # -> index of the entry that added this owner's row


class Callee(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One session that offers a procedure, and on which terms."""

    owner: Owner
    session: int
    index: int  # of the entry that added it; no other callee has the same
    concurrency: int = 0  # calls that it works on at once; 0: any number
    repeatable: bool = False  # a call may be given to another callee if this one is lost


class Registration(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who offers (realm, match, procedure)."""

    id: int  # the registration id: index of the entry that created the row
    match: str
    procedure: str
    policy: str  # by which a callee is chosen for each call
    callees: tuple[Callee, ...]  # at least one, in the order of the log, so of their indices

    def callee(self, owner: Owner, session: int) -> Callee | None:
        """The callee that is this session; it looks through all."""
        for callee in self.callees:
            if callee.session == session and callee.owner == owner:
                return callee
        return None


class Tables:
    """All replicated facts."""

    __slots__ = (
        "dead",
        "leader",
        "newest",
        "nodes",
        "number",
        "previous_leader",
        "registrations",
        "routes",
        "term",
        "up",
    )

    def __init__(self) -> None:
        self.term = 0
        self.leader = ""
        self.previous_leader = ""
        self.newest = 1  # version of commands applied so far; who cannot read it cannot know these tables
        self.up: dict[Owner, int] = {}  # -> index of the entry that brought it up
        self.nodes: dict[Owner, Node] = {}  # one for each of `up`
        self.number: dict[Owner, int] = {}  # of `up` -> number of its last applied command (rule 30)
        self.dead: dict[int, None] = {}  # the last DEAD_MAX dead incarnations, oldest first
        self.routes: dict[str, PatternIndex[Route]] = {}  # by realm; a realm without routes has no entry
        self.registrations: dict[str, PatternIndex[Registration]] = {}  # by realm, likewise

    def readable(self) -> int:
        """The newest version of commands that every node can read which is up; nothing newer is proposed or applied."""
        return min((node.reads for node in self.nodes.values()), default=self.newest)

    def route(self, realm: str, match: str, topic: str) -> Route | None:
        """The route of exactly this (realm, match, topic)."""
        index = self.routes.get(realm)
        return None if index is None else index.get(match, topic)

    def registration(self, realm: str, match: str, procedure: str) -> Registration | None:
        """The registration of exactly this (realm, match, procedure)."""
        index = self.registrations.get(realm)
        return None if index is None else index.get(match, procedure)

    def routes_in(self, realm: str) -> PatternIndex[Route]:
        """The routes of a realm, to add to."""
        index = self.routes.get(realm)
        if index is None:
            index = self.routes[realm] = PatternIndex()
        return index

    def registrations_in(self, realm: str) -> PatternIndex[Registration]:
        """The registrations of a realm, to add to."""
        index = self.registrations.get(realm)
        if index is None:
            index = self.registrations[realm] = PatternIndex()
        return index

    def drop_route(self, realm: str, route: Route) -> None:
        """Take a route away, which must be there."""
        _remove(self.routes, realm, route.match, route.topic)

    def drop_registration(self, realm: str, registration: Registration) -> None:
        """Take a registration away, which must be there."""
        _remove(self.registrations, realm, registration.match, registration.procedure)

    def replace_registration(self, realm: str, registration: Registration) -> None:
        """Put another row in the place of the one with the same (match, procedure), which must be there."""
        self.registrations[realm].replace(registration.match, registration.procedure, registration)

    def routes_of(self, owner: Owner) -> Iterator[tuple[str, Route]]:
        """(realm, route) of every route that has a row of this owner; looks through all routes."""
        for realm, index in self.routes.items():
            for route in index:
                if owner in route.owners:
                    yield realm, route

    def registrations_of(self, owner: Owner) -> Iterator[tuple[str, Registration, Callee]]:
        """(realm, registration, callee) of every callee of this owner; looks through all registrations."""
        for realm, index in self.registrations.items():
            for registration in index:
                for callee in registration.callees:
                    if callee.owner == owner:
                        yield realm, registration, callee


def _remove(by_realm: dict[str, PatternIndex[_Row]], realm: str, match: str, uri: str) -> None:
    index = by_realm[realm]
    index.remove(match, uri)
    if not index:
        del by_realm[realm]
