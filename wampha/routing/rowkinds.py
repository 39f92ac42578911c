"""The kinds of rows that a node has in the replicated tables: how each is named, read and written (`rows.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wampha.state.changes import RegistrationAdded, RegistrationRemoved, RouteAdded, RouteRemoved
from wampha.state.commands import AddRegistration, AddRoute, Command, Owner, RemoveRegistration, RemoveRoute
from wampha.state.registrations import SINGLE
from wampha.state.tables import Registration, Tables

ROUTES: Final = "routes"
REGISTRATIONS: Final = "registrations"
NOTHING: Final = 0  # wanted or standing: no row
SUBSCRIBERS: Final = 1  # the only thing a route can want


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a session offers a procedure."""

    policy: str = SINGLE
    concurrency: int = 0
    repeatable: bool = False
    force: bool = field(default=False, compare=False)  # how it is taken, once; not how it is held
    takes: Owner | None = field(default=None, compare=False)  # likewise: the session's former home, which has the row


Want = int | Terms  # NOTHING, SUBSCRIBERS, or the terms of a registration


class Standing(NamedTuple):
    """A row of this node as the table shows it."""

    value: Want
    id: int  # the subscription's or registration's
    added: int  # index of the entry that added it


class RowKey(NamedTuple):
    """Where a row is: `table` is one of the keys of `TABLES`."""

    table: str
    realm: str
    match: str
    uri: str
    session: int = 0  # of a registration: a node may have several callees of one procedure


class Making(NamedTuple):
    """What a row that is to be added is made of, besides its key."""

    want: Want
    told: int  # of a registration: the id under which it stood before
    session: int  # of a route: who asked for it
    created: int  # milliseconds since 1970


class _Routes:
    """How rows of routes are read and written."""

    @staticmethod
    def have(tables: Tables, owner: Owner, key: RowKey) -> Standing | None:
        route = tables.route(key.realm, key.match, key.uri)
        if route is None or owner not in route.owners:
            return None
        return Standing(SUBSCRIBERS, route.id, route.owners[owner])

    @staticmethod
    def add(owner: Owner, number: int, key: RowKey, made: Making) -> Command:
        return AddRoute(owner, number, key.realm, key.match, key.uri, made.session, made.created)

    @staticmethod
    def remove(owner: Owner, number: int, key: RowKey, session: int) -> Command:
        return RemoveRoute(owner, number, key.realm, key.match, key.uri, session)


class _Registrations:
    """How rows of registrations are read and written."""

    @staticmethod
    def have(tables: Tables, owner: Owner, key: RowKey) -> Standing | None:
        registration = tables.registration(key.realm, key.match, key.uri)
        callee = None if registration is None else registration.callee(owner, key.session)
        if registration is None or callee is None:
            return None
        terms = Terms(registration.policy, callee.concurrency, callee.repeatable)
        return Standing(terms, registration.id, callee.index)

    @staticmethod
    def add(owner: Owner, number: int, key: RowKey, made: Making) -> Command:
        want, told = made.want, made.told
        assert isinstance(want, Terms), "a registration has terms"
        return AddRegistration(
            owner,
            number,
            key.realm,
            key.match,
            key.uri,
            want.policy,
            key.session,
            made.created,
            want.concurrency,
            want.repeatable,
            want.force and not told,
            told,
            None if told else want.takes,
        )

    @staticmethod
    def remove(owner: Owner, number: int, key: RowKey, _: int) -> Command:
        return RemoveRegistration(owner, number, key.realm, key.match, key.uri, key.session)


TABLES: Final[Mapping[str, type[_Routes] | type[_Registrations]]] = {
    ROUTES: _Routes,
    REGISTRATIONS: _Registrations,
}
OWN_CHANGES: Final[dict[type, Callable[[Any], RowKey]]] = {
    RouteAdded: lambda change: RowKey(ROUTES, change.realm, change.match, change.topic),
    RouteRemoved: lambda change: RowKey(ROUTES, change.realm, change.match, change.topic),
    RegistrationAdded: lambda change: offer_key(change.realm, change, change.session),
    RegistrationRemoved: lambda change: offer_key(change.realm, change, change.session),
}


def offer_key(realm: str, row: Registration | RegistrationAdded | RegistrationRemoved, session: int) -> RowKey:
    """The key of a session's row among the registrations."""
    return RowKey(REGISTRATIONS, realm, row.match, row.procedure, session)
