"""The replicated state: codec and snapshot round trips, and logs of anything."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from wampha.counters import Counters
from wampha.state import snapshot
from wampha.state.codec import VERSION, UnreadableError, decode, encode
from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Clear,
    Command,
    Down,
    EndPeriod,
    Entrusted,
    ForgetCookie,
    Identity,
    Keep,
    KeptEvent,
    Lead,
    Leave,
    Owner,
    RememberCookie,
    RemoveRegistration,
    RemoveRoute,
    Ring,
    Up,
)
from wampha.state.machine import Machine

number = st.integers(min_value=0, max_value=2**64 - 1)
few = st.integers(min_value=0, max_value=6)
text = st.text(max_size=8)


def commands(name: st.SearchStrategy[str], integer: st.SearchStrategy[int]) -> st.SearchStrategy[Command]:
    owner = st.builds(Owner, name, integer)
    clear = st.builds(Clear, name, st.sampled_from(["exact", "prefix", "wildcard", "other"]), name)
    key = (name, st.sampled_from(["exact", "prefix", "wildcard", "other"]), name)
    policy = st.sampled_from(["single", "random", "roundrobin", "other"])
    digest = st.binary(min_size=1, max_size=1)
    identity = st.builds(Identity, name, name, name, digest)
    return st.one_of(
        st.builds(Lead, integer, name),
        st.builds(Up, owner, st.lists(integer, max_size=2).map(tuple), name, name, st.sampled_from([1, VERSION])),
        st.builds(Down, owner, integer),
        st.builds(Leave, owner),
        st.builds(AddRoute, owner, integer, *key),
        st.builds(RemoveRoute, owner, integer, *key),
        st.builds(
            AddRegistration,
            owner,
            integer,
            *key,
            policy,
            integer,
            integer,
            integer,
            st.booleans(),
            st.booleans(),
            integer,
            st.none() | owner,
        ),
        st.builds(RemoveRegistration, owner, integer, *key, integer),
        st.builds(RememberCookie, owner, digest, identity, few, few),
        st.builds(ForgetCookie, owner, digest, identity, few, few),
        st.builds(EndPeriod, owner, few),
        st.builds(Keep, owner, integer, few, integer, st.lists(entrusted(name) | clear, max_size=3).map(tuple)),
    )


def entrusted(name: st.SearchStrategy[str]) -> st.SearchStrategy[Entrusted]:
    blob = st.binary(max_size=3)
    event = st.builds(KeptEvent, few, name, few, few, st.booleans(), blob, blob, few, few, blob)
    ring = st.builds(Ring, name, name, few, st.integers(min_value=0, max_value=2000))
    return st.builds(Entrusted, name, event, st.booleans(), st.lists(ring, max_size=2).map(tuple))


anything = commands(text, number)
plausible = commands(st.sampled_from(["a", "b"]), few)
entry = st.one_of(plausible.map(encode), anything.map(encode), st.binary(max_size=40))


@given(anything)
def test_every_command_survives_its_bytes(command: Command) -> None:
    assert decode(encode(command)) == command


@given(
    st.binary(max_size=60) | anything.flatmap(lambda each: st.binary(max_size=4).map(lambda end: encode(each) + end))
)
def test_decoding_ends_in_a_command_or_a_clean_refusal(data: bytes) -> None:
    try:
        assert isinstance(decode(data), Command)
    except UnreadableError as error:
        assert str(error)


@given(st.lists(entry, min_size=20, max_size=80), st.integers(min_value=0, max_value=80))
def test_apply_is_total_and_a_snapshot_anywhere_changes_nothing(entries: list[bytes], cut: int) -> None:
    straight, restored = Machine(Counters()), Machine(Counters())
    for index, data in enumerate(entries, 1):
        if index == cut:
            restored.restore(straight.snapshot())
        outcomes = straight.apply(index, data), restored.apply(index, data)
        assert outcomes[0] is outcomes[1]
        assert straight.take_changes() == restored.take_changes()
    assert straight.digest() == restored.digest()
    assert straight.snapshot() == restored.snapshot()


OWNERS = (Owner("a", 1), Owner("a", 2), Owner("b", 3))
effective = st.tuples(
    st.sampled_from(
        [
            *(AddRoute, AddRoute, AddRoute, RemoveRoute, AddRegistration, RemoveRegistration, Keep, Keep, Up, Leave),
            *(RememberCookie, RememberCookie, ForgetCookie, EndPeriod),
        ]
    ),
    st.sampled_from(OWNERS),
    st.sampled_from(["a", "b", "c", "d", "e", "f"]),
    st.integers(min_value=0, max_value=2),  # steps of the encoder after it
)


def numbered(machine: Machine, kind: type[Command], owner: Owner, index: int, uri: str) -> Command:
    """A command that is not refused for its number or an unknown owner."""
    if kind is Keep:
        event = KeptEvent(index, uri, 0, 0, False, uri.encode() if index % 3 else b"", b"", 0, 0, b"")
        rings = (Ring("exact", uri, 2, 1000), Ring("prefix", "", 3, 1000))
        number = machine.tables.kept.handled_of(owner).number + 1
        wish = Entrusted("r", event, index % 2 > 0, rings) if index % 5 else Clear("r", "exact", uri)
        return Keep(owner, number, 3, 1000, (wish,))
    if kind is EndPeriod:
        return EndPeriod(owner, machine.tables.cookies.period)
    if kind in (RememberCookie, ForgetCookie):
        return kind(owner, uri.encode(), Identity("r", uri, "ticket", b"proof"), 2, 3)
    if kind in (Up, Leave):
        return Up(owner, (), "", "") if kind is Up else Leave(owner)
    session = 7 + index % 2
    more = {AddRegistration: ("random", session), RemoveRegistration: (session,)}.get(kind, ())
    return kind(owner, index, "r" + uri, "exact", uri, *more)


@given(st.lists(effective, min_size=10, max_size=60), st.integers(min_value=1, max_value=3), st.data())
def test_a_snapshot_made_while_the_log_goes_on_holds_what_was_applied_when_it_began(
    steps: list[tuple[type[Command], Owner, str, int]], rows: int, data: st.DataObject
) -> None:
    machine, then = Machine(Counters()), Machine(Counters())
    for index, owner in enumerate(OWNERS, 1):
        machine.execute(index, Up(owner, (), "", ""))
    cut = data.draw(st.integers(min_value=0, max_value=len(steps) - 1))
    encoder, pieces = None, []
    with patch.object(snapshot, "_ROWS_MAX", rows):
        for place, (kind, owner, uri, count) in enumerate(steps):
            if place == cut:
                encoder = machine.begin_snapshot()
                then.restore(machine.snapshot())
            machine.execute(place + 4, numbered(machine, kind, owner, place + 4, uri))
            pieces += [piece for _ in range(count) if encoder and (piece := encoder.piece())]
        assert encoder
        pieces += iter(encoder.piece, None)
        restored = Machine(Counters())
        restored.restore(pieces)
        assert restored.snapshot() == then.snapshot() == pieces


@given(st.lists(plausible, min_size=20, max_size=80))
def test_the_tables_keep_their_promises(log: list[Command]) -> None:
    machine = Machine(Counters())
    ids: dict[tuple[str, int], tuple[str, ...]] = {}
    for index, command in enumerate(log, 1):
        machine.apply(index, encode(command))
        tables = machine.tables
        assert list(tables.up) == list(tables.nodes) == list(tables.number)
        assert not [owner for owner in tables.up if owner.incarnation in tables.dead]
        for realm, routes in tables.routes.items():
            assert len(routes)
            for route in routes:
                assert route.owners.keys() <= tables.up.keys()
                assert route.owners
                key = (realm, route.match, route.topic)
                assert ids.setdefault(("route", route.id), key) == key, "an id is used once"
        assert tables.kept.handled.keys() <= tables.up.keys()
        for registrations in tables.registrations.values():
            for registration in registrations:
                callees = registration.callees
                assert callees
                assert all(callee.owner in tables.up for callee in callees)
                assert [each.index for each in callees] == sorted({each.index for each in callees})
                assert len({(each.owner, each.session) for each in callees}) == len(callees)
                assert len(callees) == 1 or registration.policy != "single"
                key = (registration.match, registration.procedure, registration.policy)
                assert ids.setdefault(("registration", registration.id), key) == key, "an id is used once"


@given(st.binary(max_size=80))
def test_restoring_ends_in_tables_or_a_clean_refusal(data: bytes) -> None:
    machine = Machine(Counters())
    try:
        machine.restore([bytes([snapshot.VERSION]) + data])
    except UnreadableError:
        assert machine.digest() == Machine(Counters()).digest()
