"""The replicated facts, as every node holds them (protocol section 1, "Replicated table").

Only the rules behind `machine.py` write here; everybody else reads. Dictionaries are in the order of the log, so that
nodes that applied the same log hold equal tables in equal order, with or without a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from wampha.names.patterns import PatternIndex
from wampha.state.commands import Owner
from wampha.state.cookies import Cookies
from wampha.state.kept import KeptEvents
from wampha.state.roll import Roll

_Row = TypeVar("_Row")

DEAD_MAX: Final = 200  # dead incarnations remembered; a late `up` of an older one cannot be told from a new node


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an incarnation told of itself when it came up."""

    address: str  # host:port of its peer listener
    version: str
    reads: int = 1  # the newest version of commands that it can read


class Route:
    """Which nodes have subscribers for (realm, match, topic)."""

    __slots__ = ("created", "id", "match", "owners", "topic")

    def __init__(self, route_id: int, match: str, topic: str, created: int = 0) -> None:
        self.id: Final = route_id  # the subscription id: index of the entry that created the route
        self.match: Final = match
        self.topic: Final = topic
        self.created: Final = created  # milliseconds since 1970, as its proposer said
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
    created: int = 0  # milliseconds since 1970, as its proposer said

    def callee(self, owner: Owner, session: int) -> Callee | None:
        """The callee that is this session; it looks through all."""
        for callee in self.callees:
            if callee.session == session and callee.owner == owner:
                return callee
        return None


class Tables:
    """All replicated facts."""

    __slots__ = (
        "_places",
        "cookies",
        "dead",
        "kept",
        "leader",
        "newest",
        "nodes",
        "number",
        "previous_leader",
        "registrations",
        "roll",
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
        self.roll = Roll()  # of sessions
        self.routes: dict[str, PatternIndex[Route]] = {}  # by realm; a realm without routes has no entry
        self.registrations: dict[str, PatternIndex[Registration]] = {}  # by realm, likewise
        self.kept = KeptEvents()
        self.cookies = Cookies()
        self._places: dict[int, tuple[str, str, str]] = {}  # id of a route or registration -> (realm, match, URI)

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

    def subscription(self, realm: str, subscription: int) -> Route | None:
        """The route of the realm with this id."""
        place = self._places.get(subscription)
        route = self.route(*place) if place is not None and place[0] == realm else None
        return route if route is not None and route.id == subscription else None

    def registered(self, realm: str, registration: int) -> Registration | None:
        """The registration of the realm with this id."""
        place = self._places.get(registration)
        row = self.registration(*place) if place is not None and place[0] == realm else None
        return row if row is not None and row.id == registration else None

    def add_route(self, realm: str, route: Route) -> None:
        """Put a route where there is none."""
        assert route.id not in self._places, "an id is used once"
        self.routes_in(realm).add(route.match, route.topic, route)
        self._places[route.id] = (realm, route.match, route.topic)

    def add_registration(self, realm: str, row: Registration) -> None:
        """Put a registration where there is none."""
        assert row.id not in self._places, "an id is used once"
        self.registrations_in(realm).add(row.match, row.procedure, row)
        self._places[row.id] = (realm, row.match, row.procedure)

    def replace_registration(self, realm: str, row: Registration) -> None:
        """Put another row in the place of the one with the same id, which must be there."""
        self.registrations[realm].replace(row.match, row.procedure, row)

    def drop_routes(self, realm: str, routes: Iterable[Route]) -> None:
        """Take routes away, which must be there."""
        self._drop(self.routes, realm, ((route.id, route.match, route.topic) for route in routes))

    def drop_registrations(self, realm: str, rows: Iterable[Registration]) -> None:
        """Take registrations away, which must be there."""
        self._drop(self.registrations, realm, ((row.id, row.match, row.procedure) for row in rows))

    def _drop(self, by_realm: dict[str, PatternIndex[_Row]], realm: str, rows: Iterable[tuple[int, str, str]]) -> None:
        gone = list(rows)
        for row_id, _, _ in gone:
            del self._places[row_id]
        index = by_realm[realm]
        if len(gone) == 1:  # what is remembered of other URIs stays
            index.remove(*gone[0][1:])
        else:
            index.remove_all((match, uri) for _, match, uri in gone)
        if not index:
            del by_realm[realm]

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
