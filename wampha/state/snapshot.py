"""The tables as bytes and back: one version byte, then MessagePack. Rows name their owners by position in a list."""

from __future__ import annotations

from typing import Final

import msgspec

from wampha.state.codec import UnreadableError
from wampha.state.commands import Owner
from wampha.state.tables import Node, Registration, Route, Tables

VERSION: Final = 1
_HEAD: Final = bytes([VERSION])


class _Member(msgspec.Struct, frozen=True, array_like=True):
    owner: Owner
    index: int
    number: int
    node: Node


class _RouteRow(msgspec.Struct, frozen=True, array_like=True):
    realm: str
    match: str
    topic: str
    id: int
    owners: list[tuple[int, int]]  # (position in members, index)


class _RegistrationRow(msgspec.Struct, frozen=True, array_like=True):
    realm: str
    match: str
    procedure: str
    policy: str
    id: int
    member: int  # position in members
    session: int
    index: int


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    term: int
    leader: str
    previous_leader: str
    dead: list[int]
    members: list[_Member]
    routes: list[_RouteRow]
    registrations: list[_RegistrationRow]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Snapshot)


def encode(tables: Tables) -> bytes:
    """All tables as bytes; equal for tables that came from the same log."""
    position = {owner: number for number, owner in enumerate(tables.up)}
    # Rows as tuples in the order of `_RouteRow` and `_RegistrationRow`: there are many, and this stops the reactor.
    snapshot = (
        tables.term,
        tables.leader,
        tables.previous_leader,
        list(tables.dead),
        [_Member(owner, index, tables.number[owner], tables.nodes[owner]) for owner, index in tables.up.items()],
        [
            (realm, row.match, row.topic, row.id, [(position[owner], at) for owner, at in row.owners.items()])
            for realm, rows in tables.routes.items()
            for row in rows
        ],
        [
            (realm, row.match, row.procedure, row.policy, row.id, position[row.owner], row.session, row.index)
            for realm, rows in tables.registrations.items()
            for row in rows
        ],
    )
    return _HEAD + _ENCODER.encode(snapshot)


def decode(data: bytes) -> Tables:
    """New tables from `encode`'s bytes; raises UnreadableError and nothing else."""
    if data[:1] != _HEAD:
        raise UnreadableError(f"A snapshot of version {data[:1].hex() or 'none'}; this release reads {VERSION}.")
    try:
        return _tables(_DECODER.decode(memoryview(data)[1:]))
    except (msgspec.MsgspecError, LookupError, AssertionError) as error:
        raise UnreadableError(f"The snapshot cannot be read: {error}") from None


def _tables(snapshot: _Snapshot) -> Tables:
    tables = Tables()
    tables.term = snapshot.term
    tables.leader = snapshot.leader
    tables.previous_leader = snapshot.previous_leader
    tables.dead = dict.fromkeys(snapshot.dead)
    for member in snapshot.members:
        tables.up[member.owner] = member.index
        tables.number[member.owner] = member.number
        tables.nodes[member.owner] = member.node
    owners = [member.owner for member in snapshot.members]
    for row in snapshot.routes:
        route = Route(row.id, row.match, row.topic)
        for position, index in row.owners:
            route.owners[owners[position]] = index
        tables.routes_in(row.realm).add(row.match, row.topic, route)
    for offer in snapshot.registrations:
        registration = Registration(
            offer.id, offer.match, offer.procedure, offer.policy, owners[offer.member], offer.session, offer.index
        )
        tables.registrations_in(offer.realm).add(offer.match, offer.procedure, registration)
    return tables
