"""apply(index, command) -> outcome: protocol rules 12, 25, 26, 28, 30, 34."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from wampha.counters import Counters
from wampha.state import codec
from wampha.state.changes import (
    LeaderChanged,
    NodeGone,
    NodeUp,
    RegistrationAdded,
    RegistrationRemoved,
    RouteAdded,
    RouteRemoved,
)
from wampha.state.codec import UnreadableError, UnsupportedError, decode, encode
from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Command,
    Down,
    Lead,
    Leave,
    Outcome,
    Owner,
    RemoveRegistration,
    RemoveRoute,
    Up,
)
from wampha.state.machine import Machine, Restoring
from wampha.state.registrations import MOVED
from wampha.state.snapshot import VERSION
from wampha.state.tables import Callee

A = Owner("a", 1)
B = Owner("b", 2)
C = Owner("c", 3)
REALM = "realm1"
HEAD = bytes([VERSION])  # of a piece of a snapshot


class Log:
    """A machine that is given commands one behind the other."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.machine = Machine(self.counters)
        self.index = 0

    def __call__(self, command: Command) -> Outcome:
        return self.raw(encode(command))

    def raw(self, data: bytes) -> Outcome:
        self.index += 1
        return self.machine.apply(self.index, data)


def up(owner: Owner, *succeeds: int) -> Up:
    return Up(owner, succeeds, f"{owner.name}:1", "1")


def route(owner: Owner, number: int, topic: str = "t", match: str = "exact") -> AddRoute:
    return AddRoute(owner, number, REALM, match, topic)


def unroute(owner: Owner, number: int, topic: str = "t", match: str = "exact") -> RemoveRoute:
    return RemoveRoute(owner, number, REALM, match, topic)


def offer(owner: Owner, number: int, session: int, procedure: str = "p") -> AddRegistration:
    return AddRegistration(owner, number, REALM, "exact", procedure, "single", session)


def unoffer(owner: Owner, number: int, session: int = 11, procedure: str = "p") -> RemoveRegistration:
    return RemoveRegistration(owner, number, REALM, "exact", procedure, session)


@pytest.fixture
def log() -> Log:
    log = Log()
    log(up(A))
    log(up(B))
    log.machine.take_changes()
    return log


# ---- leaders


def test_a_leader_s_first_command_names_it_and_its_predecessor() -> None:
    log = Log()
    assert log(Lead(3, "a")) is Outcome.OK
    assert log(Lead(5, "b")) is Outcome.OK
    tables = log.machine.tables
    assert (tables.term, tables.leader, tables.previous_leader) == (5, "b", "a")
    assert log.machine.take_changes() == [LeaderChanged(3, "a"), LeaderChanged(5, "b")]


def test_a_deposed_leader_s_late_command_changes_nothing() -> None:
    log = Log()
    log(Lead(5, "b"))
    assert log(Lead(3, "a")) is Outcome.REFUSED
    assert log(Lead(5, "a")) is Outcome.REFUSED
    assert log.machine.tables.leader == "b"


def test_a_repeated_lead_keeps_the_predecessor() -> None:
    log = Log()
    log(Lead(1, "a"))
    log(Lead(2, "b"))
    assert log(Lead(2, "b")) is Outcome.OK
    assert log.machine.tables.previous_leader == "a"


# ---- rule 25: up


def test_rule_25_up_tells_address_and_version(log: Log) -> None:
    assert log.machine.tables.up == {A: 1, B: 2}
    assert log.machine.tables.nodes[A].address == "a:1"


def test_rule_25_up_repeated_keeps_its_index(log: Log) -> None:
    assert log(up(A)) is Outcome.OK
    assert log.machine.tables.up[A] == 1
    assert log.machine.take_changes() == []


def test_rule_25_up_kills_the_predecessors_in_the_same_entry(log: Log) -> None:
    log(route(A, 1))
    log.machine.take_changes()
    younger = Owner("a", 10)
    assert log(up(younger, 1)) is Outcome.OK
    assert A not in log.machine.tables.up
    assert log.machine.take_changes() == [
        RouteRemoved(A, REALM, "exact", "t", 3, 0, True, 3),
        NodeGone(A, "succeeded"),
        NodeUp(younger),
    ]


def test_rule_25_a_dead_incarnation_does_not_come_back(log: Log) -> None:
    log(Leave(A))
    assert log(up(A)) is Outcome.DEAD
    assert A not in log.machine.tables.up
    assert log.counters["commands_dead"] == 1


def test_rule_25_a_predecessor_that_never_was_up_is_dead_too(log: Log) -> None:
    log(up(Owner("a", 10), 9))
    assert log(up(Owner("a", 9))) is Outcome.DEAD


def test_rule_25_a_predecessor_named_twice_dies_once(log: Log) -> None:
    younger = Owner("a", 10)
    assert log(up(younger, 1, 1)) is Outcome.OK
    assert log.machine.take_changes() == [NodeGone(A, "succeeded"), NodeUp(younger)]


def test_rule_25_no_node_buries_or_takes_the_incarnation_of_another(log: Log) -> None:
    assert log(up(Owner("c", 3), B.incarnation)) is Outcome.REFUSED
    assert log(up(Owner("c", B.incarnation))) is Outcome.REFUSED
    assert list(log.machine.tables.up) == [A, B]
    assert not log.machine.tables.dead


def test_two_incarnations_of_a_name_stand_side_by_side_without_proof_of_death(log: Log) -> None:
    younger = Owner("a", 10)
    log(up(younger))
    assert list(log.machine.tables.up) == [A, B, younger]


# ---- rule 26: down


def test_rule_26_down_of_another_term_is_refused(log: Log) -> None:
    log(Lead(7, "b"))
    assert log(Down(A, 6)) is Outcome.REFUSED
    assert log(Down(A, 8)) is Outcome.REFUSED
    assert A in log.machine.tables.up
    assert log(Down(A, 7)) is Outcome.OK
    assert A not in log.machine.tables.up


def test_rule_26_down_of_what_is_not_up_changes_nothing(log: Log) -> None:
    assert log(Down(Owner("c", 3), 0)) is Outcome.DEAD
    assert log.machine.take_changes() == []


# ---- rule 28: the end of an incarnation


def test_rule_28_all_rows_of_an_incarnation_go_in_one_entry(log: Log) -> None:
    log(route(A, 1, "t1"))
    log(route(B, 1, "t1"))
    log(route(A, 2, "t2", "prefix"))
    log(offer(A, 3, 11))
    log.machine.take_changes()
    assert log(Leave(A)) is Outcome.OK
    assert log.machine.take_changes() == [
        RouteRemoved(A, REALM, "exact", "t1", 3, 0, False, 3),
        RouteRemoved(A, REALM, "prefix", "t2", 5, 0, True, 5),
        RegistrationRemoved(A, REALM, "exact", "p", 6, 11, True, 6),
        NodeGone(A, "left"),
    ]
    tables = log.machine.tables
    assert tables.route(REALM, "exact", "t1").owners == {B: 4}
    assert tables.route(REALM, "prefix", "t2") is None
    assert tables.registrations == {}
    assert tables.number == {B: 1}


def test_rule_28_it_happens_once(log: Log) -> None:
    log(Leave(A))
    log.machine.take_changes()
    assert log(Leave(A)) is Outcome.DEAD
    assert log.machine.take_changes() == []


def test_only_the_last_200_dead_incarnations_are_remembered(log: Log) -> None:
    for incarnation in range(100, 400):
        log(up(Owner("c", incarnation)))
        log(Leave(Owner("c", incarnation)))
    assert list(log.machine.tables.dead) == list(range(200, 400))


# ---- rule 30: numbers


def test_rule_30_a_command_of_an_incarnation_that_is_not_up_is_dead(log: Log) -> None:
    assert log(route(Owner("c", 3), 1)) is Outcome.DEAD
    log(Leave(A))
    assert log(route(A, 1)) is Outcome.DEAD
    assert log.machine.tables.routes == {}


def test_rule_30_a_remove_that_surfaces_after_a_later_add_is_stale(log: Log) -> None:
    log(route(A, 1))
    assert log(route(A, 3)) is Outcome.OK
    assert log(unroute(A, 2)) is Outcome.STALE
    assert A in log.machine.tables.route(REALM, "exact", "t").owners
    assert log.counters["commands_stale"] == 1


def test_rule_30_the_same_number_twice_is_stale(log: Log) -> None:
    log(route(A, 1))
    assert log(unroute(A, 1)) is Outcome.STALE


def test_rule_30_numbers_are_per_incarnation(log: Log) -> None:
    log(route(A, 9))
    assert log(route(B, 1)) is Outcome.OK


def test_rule_30_a_refused_registration_uses_its_number_too(log: Log) -> None:
    log(offer(A, 1, 11))
    assert log(offer(B, 5, 22)) is Outcome.TAKEN
    assert log(unoffer(B, 4)) is Outcome.STALE


# ---- routes


def test_a_subscription_id_is_the_index_that_created_the_route_for_all_owners(log: Log) -> None:
    log(route(A, 1))
    log(route(B, 1))
    found = log.machine.tables.route(REALM, "exact", "t")
    assert (found.id, found.owners) == (3, {A: 3, B: 4})
    assert log.machine.take_changes() == [
        RouteAdded(A, REALM, "exact", "t", 3, 0, 0),
        RouteAdded(B, REALM, "exact", "t", 3, 0, None),
    ]


def test_changes_of_routes_name_the_session_and_the_first_says_when(log: Log) -> None:
    log(AddRoute(A, 1, REALM, "exact", "t", 11, 1_000))
    log(AddRoute(B, 1, REALM, "exact", "t", 22, 2_000))
    log(RemoveRoute(A, 2, REALM, "exact", "t", 12))
    assert log.machine.tables.route(REALM, "exact", "t").created == 1_000
    log(RemoveRoute(B, 2, REALM, "exact", "t", 23))
    assert log.machine.take_changes() == [
        RouteAdded(A, REALM, "exact", "t", 3, 11, 1_000),
        RouteAdded(B, REALM, "exact", "t", 3, 22, None),
        RouteRemoved(A, REALM, "exact", "t", 3, 12, False, 3),
        RouteRemoved(B, REALM, "exact", "t", 3, 23, True, 4),
    ]


def test_rows_are_found_by_their_id_while_they_stand_and_no_longer(log: Log) -> None:
    log(route(A, 1))
    log(offer(A, 2, 11))
    log(route(A, 3, "u", "prefix"))
    other = Machine(Counters())
    other.restore(log.machine.snapshot())
    for tables in (log.machine.tables, other.tables):
        assert tables.subscription(REALM, 3) is tables.route(REALM, "exact", "t")
        assert tables.subscription(REALM, 5) is tables.route(REALM, "prefix", "u")
        assert tables.registered(REALM, 4) is tables.registration(REALM, "exact", "p")
        for unknown in (tables.subscription(REALM, 4), tables.subscription("other", 3), tables.registered(REALM, 3)):
            assert unknown is None
    log(unroute(A, 4))
    assert log.machine.tables.subscription(REALM, 3) is None
    log(Leave(A))
    assert log.machine.tables.registered(REALM, 4) is None
    assert log.machine.tables._places == {}, "nothing is left of rows that are gone"


def test_the_age_of_rows_is_in_a_snapshot(log: Log) -> None:
    log(AddRoute(A, 1, REALM, "exact", "t", 11, 1_000))
    log(AddRegistration(A, 2, REALM, "exact", "p", "single", 11, 2_000))
    other = Machine(Counters())
    other.restore(log.machine.snapshot())
    assert other.tables.route(REALM, "exact", "t").created == 1_000
    assert other.tables.registration(REALM, "exact", "p").created == 2_000


def test_a_route_that_stands_keeps_id_and_index_when_added_again(log: Log) -> None:
    log(route(A, 1))
    log.machine.take_changes()
    assert log(route(A, 2)) is Outcome.OK
    assert log.machine.tables.route(REALM, "exact", "t").owners == {A: 3}
    assert log.machine.take_changes() == []


def test_a_route_lives_until_its_last_owner_removes_it(log: Log) -> None:
    log(route(A, 1))
    log(route(B, 1))
    log(unroute(A, 2))
    assert log.machine.tables.route(REALM, "exact", "t").owners == {B: 4}
    log(unroute(B, 2))
    assert log.machine.tables.routes == {}
    log(route(A, 3))
    assert log.machine.tables.route(REALM, "exact", "t").id == 7


def test_removing_what_is_not_there_is_ok_and_changes_nothing(log: Log) -> None:
    assert log(unroute(A, 1)) is Outcome.OK
    assert log(unoffer(A, 2)) is Outcome.OK
    assert log.machine.take_changes() == []


def test_the_same_topic_in_another_realm_or_policy_is_another_route(log: Log) -> None:
    log(route(A, 1))
    log(route(A, 2, "t", "prefix"))
    log(AddRoute(A, 3, "realm2", "exact", "t"))
    assert [row.id for _, row in log.machine.tables.routes_of(A)] == [3, 4, 5]


# ---- rule 34: registrations


def test_rule_34_a_procedure_has_one_owner(log: Log) -> None:
    assert log(offer(A, 1, 11)) is Outcome.OK
    assert log(offer(B, 1, 22)) is Outcome.TAKEN
    assert log(offer(A, 2, 12)) is Outcome.TAKEN, "another session of the same node"
    row = log.machine.tables.registration(REALM, "exact", "p")
    assert (row.id, row.callees) == (3, (Callee(A, 11, 3),))


def taken_over(owner: Owner, number: int, session: int, former: Owner) -> AddRegistration:
    return msgspec.structs.replace(offer(owner, number, session), takes=former)


def test_a_session_that_moves_takes_its_registration_along_in_one_entry_under_the_same_id(log: Log) -> None:
    log(offer(A, 1, 11))
    registration = log.index
    log.machine.take_changes()
    assert log(taken_over(B, 1, 11, A)) is Outcome.OK
    row = log.machine.tables.registration(REALM, "exact", "p")
    assert row is not None
    assert (row.id, row.callees) == (registration, (Callee(B, 11, log.index),))
    assert log.machine.take_changes() == [
        RegistrationRemoved(A, REALM, "exact", "p", registration, 11, False, registration, MOVED),
        RegistrationAdded(B, REALM, "exact", "p", registration, 11, "single", None, log.index, moved=True),
    ]
    index = log.index
    assert log(taken_over(B, 2, 11, A)) is Outcome.OK  # proposed again, since nobody knew of its outcome
    assert row is log.machine.tables.registration(REALM, "exact", "p")
    assert (row.callees[0].index, log.machine.take_changes()) == (index, [])
    assert log(unoffer(A, 2, 11)) is Outcome.OK
    assert log.machine.tables.registration(REALM, "exact", "p") is row


def test_nobody_takes_a_registration_along_that_is_another_session_s_or_gone(log: Log) -> None:
    assert log(taken_over(B, 1, 11, A)) is Outcome.TAKEN
    log(offer(A, 1, 12))
    assert log(taken_over(B, 2, 11, A)) is Outcome.TAKEN
    assert log(taken_over(B, 3, 12, C)) is Outcome.TAKEN
    row = log.machine.tables.registration(REALM, "exact", "p")
    assert row is not None
    assert [(callee.owner, callee.session) for callee in row.callees] == [(A, 12)]


def test_rule_34_the_same_session_again_is_ok_and_keeps_the_id(log: Log) -> None:
    log(offer(A, 1, 11))
    log.machine.take_changes()
    assert log(offer(A, 2, 11)) is Outcome.OK
    assert log.machine.tables.registration(REALM, "exact", "p").id == 3
    assert log.machine.take_changes() == []


def test_a_removed_registration_is_free_for_others_under_a_new_id(log: Log) -> None:
    log(offer(A, 1, 11))
    assert log(unoffer(B, 1)) is Outcome.OK, "not the owner: nothing to remove"
    assert log.machine.tables.registration(REALM, "exact", "p").callees[0].owner == A
    log(unoffer(A, 2))
    assert log(offer(B, 2, 22)) is Outcome.OK
    assert log.machine.tables.registration(REALM, "exact", "p").id == 6
    assert log.machine.take_changes() == [
        RegistrationAdded(A, REALM, "exact", "p", 3, 11, "single", 0, 3),
        RegistrationRemoved(A, REALM, "exact", "p", 3, 11, True, 3),
        RegistrationAdded(B, REALM, "exact", "p", 6, 22, "single", 0, 6),
    ]


# ---- total and deterministic


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff" * 40, b"\x01\xc0"])
def test_what_cannot_be_read_is_counted_and_skipped(log: Log, data: bytes) -> None:
    before = log.machine.digest()
    assert log.raw(data) is Outcome.REFUSED
    assert log.machine.digest() == before
    assert log.counters["apply_failures"] == 1


@pytest.mark.parametrize(
    "command",
    [
        AddRoute(A, 1, REALM, "regex", "t"),
        RemoveRoute(A, 1, REALM, "", "t"),
        AddRegistration(A, 1, REALM, "x", "p", "single", 1),
        AddRegistration(A, 1, REALM, "exact", "p", "whoever", 1),
        RemoveRegistration(A, 1, REALM, "x", "p", 1),
        Up(Owner("c", 3), (3,), "", ""),
    ],
)
def test_values_that_this_release_does_not_know_are_refused(log: Log, command: Command) -> None:
    assert log(command) is Outcome.REFUSED
    assert log.machine.take_changes() == []


_TABLES_OF_A_LOG = """
from wampha.counters import Counters
from wampha.state.codec import encode
from wampha.state.commands import *
from wampha.state.machine import Machine
machine = Machine(Counters())
nodes = [Owner(f"node{n}", n) for n in range(5)]
index = 0
def apply(command):
    global index
    index += 1
    machine.apply(index, encode(command))
for node in nodes:
    apply(Up(node, (), "", ""))
for number in range(1, 40):
    for node in nodes:
        apply(AddRoute(node, number, f"r{number % 3}", ("exact", "prefix", "wildcard")[number % 3], f"t{number}."))
        apply(AddRegistration(node, number, "r", "exact", f"p{number}", "single", 1))
apply(Leave(nodes[2]))
print(machine.digest().hex(), len(machine.take_changes()))
"""


def test_the_same_log_gives_the_same_tables_whatever_the_hash_seed(request: pytest.FixtureRequest) -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _TABLES_OF_A_LOG],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(request.config.rootpath)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    ]
    assert outputs[0] == outputs[1] == outputs[2]


# ---- snapshots


def test_a_snapshot_holds_everything(log: Log) -> None:
    log(Lead(4, "b"))
    log(route(A, 1, "t."))
    log(route(B, 1, "t."))
    log(route(B, 2, "t.", "prefix"))
    log(route(A, 2, "t.", "wildcard"))
    log(offer(B, 3, 22))
    log(up(Owner("c", 3)))
    log(Leave(Owner("c", 3)))
    copy = Machine(Counters())
    copy.restore(log.machine.snapshot())
    assert copy.digest() == log.machine.digest()
    assert copy.snapshot() == log.machine.snapshot()
    for command in (unroute(A, 3, "t."), offer(A, 4, 1), unroute(B, 2), Leave(B), up(Owner("c", 3))):
        index = log.index
        assert log(command) is copy.apply(index + 1, encode(command))
    assert copy.digest() == log.machine.digest()


def test_restoring_replaces_everything_and_forgets_changes(log: Log) -> None:
    empty = Machine(Counters()).snapshot()
    log(route(A, 1))
    log.machine.restore(empty)
    assert log.machine.take_changes() == []
    assert log.machine.snapshot() == empty


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x01\xc1",
        HEAD,
        HEAD + b"\xc1",
        HEAD + b"\x97\x01\xa0\xa0\x90\x90\x90\x91\x98",
        HEAD + b"\x98\x00\x01\xa1\xff\xa0\x01\x90\x90\x90",  # a name that is not UTF-8
        HEAD + b"\x92\x01\x90",  # rows before the first piece
    ],
)
def test_a_snapshot_that_cannot_be_read_leaves_the_tables_as_they_are(log: Log, data: bytes) -> None:
    before = log.machine.digest()
    with pytest.raises(UnreadableError):
        log.machine.restore([data])
    assert log.machine.digest() == before


def test_a_snapshot_in_which_two_rows_have_one_id_cannot_be_read(log: Log) -> None:
    log(Up(A, (), "host:1", "0"))
    for number, topic in enumerate(("a.topic", "b.topic"), 1):
        log(AddRoute(A, number, REALM, "exact", topic))
    facts, routes = log.machine.snapshot()
    first, second = (log.machine.tables.route(REALM, "exact", topic) for topic in ("a.topic", "b.topic"))
    assert first is not None and second is not None and routes.count(bytes([second.id])) >= 2
    twice = routes.replace(bytes([second.id, 0x91]), bytes([first.id, 0x91]))
    assert twice != routes
    with pytest.raises(UnreadableError, match="an id is used once"):
        Machine(Counters()).restore([facts, twice])


def test_different_tables_have_different_digests(log: Log) -> None:
    before = log.machine.digest()
    log(route(A, 1))
    assert log.machine.digest() != before


# ---- commands of newer versions


def newer(command: Command) -> bytes:
    """As a release writes it that has version 2."""
    return b"\x02" + encode(command)[1:]


def test_a_command_that_a_node_which_is_up_cannot_read_changes_nothing_anywhere(log: Log) -> None:
    log(Up(Owner("new", 7), (), "", "2.0", 2))
    for reads in (1, 2):
        machine = Machine(Counters(), reads)
        machine.restore(log.machine.snapshot())
        assert machine.apply(9, newer(route(A, 1))) is Outcome.REFUSED
        assert machine.snapshot() == log.machine.snapshot()
        assert machine.unsupported is None


def test_one_that_only_this_node_cannot_read_ends_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "VERSION", 2)
    old, new = Machine(Counters(), 1), Machine(Counters(), 2)
    up = Up(Owner("new", 7), (), "", "2.0", 2)
    for machine in (old, new):
        machine.apply(1, encode(up))
        machine.apply(2, newer(route(up.owner, 1)))
        machine.apply(3, encode(route(up.owner, 2, "u")))
    assert new.unsupported is None
    assert len(new.tables.routes["realm1"]) == 2
    assert old.unsupported == "The log has a command of version 2; this release reads 1."
    assert not old.tables.routes, "nothing is applied behind what is not known"
    assert new.apply(4, encode(Up(Owner("old", 8), (), "", "1.0", 1))) is Outcome.REFUSED
    late = Machine(Counters(), 1)
    with pytest.raises(UnsupportedError, match=r"Commands of version 2 made it; this release reads 1\."):
        Restoring(late).add(new.snapshot()[0])
    assert late.unsupported


def test_who_came_up_before_versions_were_told_reads_the_first() -> None:
    before = b"\x01\x95\x02\x92\xa1a\x01\x90\xa3h:1\xa31.0"
    assert decode(before) == Up(Owner("a", 1), (), "h:1", "1.0", 1)
