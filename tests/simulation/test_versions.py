"""Nodes of two releases in one cluster, and invariants that do not hold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation import world as world_module
from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import REALM, Host, World
from wampha.state import codec
from wampha.state.commands import AddRegistration, Outcome

EITHER = ("w0", "v2")


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Registrations came with version 2 of commands; the hosts in the set do not know it."""
    names: set[str] = set()
    machine: Any = world_module.WatchedMachine

    class Release(machine):  # type: ignore[misc]
        def __init__(self, host: Host) -> None:
            super().__init__(host)
            self.reads = 1 if host.name in names else 2

    monkeypatch.setattr(world_module, "WatchedMachine", Release)
    monkeypatch.setattr(codec, "VERSION", 2)
    monkeypatch.setattr(codec, "SINCE", {AddRegistration: 2})
    return names


def register(world: World, host: Host) -> Outcome:
    """Propose a registration, which nobody wants for long."""
    outcomes: list[Outcome] = []
    host.rows._number += 1
    command = AddRegistration(host.ledger.owner, host.rows._number, REALM, "exact", "a.procedure", "single", 7)
    host.ledger.propose(command, outcomes.append)
    assert world.run(2.0, lambda: bool(outcomes))
    return outcomes[0]


def well(world: World, hosts: list[Host]) -> None:
    for host in hosts:
        assert acknowledge(world, host, f"of.{host.name}.{world.clock.time}") < 1.0
    assert sum(host.counters["ledger_failures"] for host in world.alive) == 0


@pytest.mark.parametrize("name", EITHER)
def test_nothing_newer_is_proposed_than_every_node_that_is_up_can_read(old: set[str], name: str) -> None:
    old.add(name)
    world = a_cluster(observers=1)
    assert register(world, world.leader) is Outcome.REFUSED
    assert {data[0] for data in world.commands()} == {1}
    assert not world.leader.ledger.tables.registrations
    world.kill(name)
    old.clear()
    world.start(name)
    world.run(8.0)
    assert register(world, world.leader) is Outcome.OK
    world.run(0.5)
    world.check_equal_tables()


def test_what_was_proposed_before_an_older_node_came_up_is_refused_on_every_node(old: set[str]) -> None:
    world = a_cluster()
    old.add("w0")
    late = world.start("w0")
    world.until_serving()
    data = codec.encode(AddRegistration(world.leader.ledger.owner, 9, REALM, "exact", "a.procedure", "single", 7))
    world.leader.engine.propose(data, lambda result, code: None)
    world.run(1.0)
    assert all(host.counters["apply_failures"] == 1 for host in world.alive)
    assert late.ledger.serving()
    world.check_equal_tables()


@pytest.mark.logs_errors
@pytest.mark.parametrize("by", ["log", "snapshot"])
@pytest.mark.parametrize("name", EITHER)
def test_a_node_that_is_too_old_for_the_log_serves_nobody_and_disturbs_nobody(
    old: set[str], name: str, by: str
) -> None:
    options = {"log_entries_max": 20} if by == "snapshot" else {}
    world = a_cluster(observers=1, **options)
    world.kill(name)
    world.run(8.0)
    for _ in range(60 if options else 1):
        assert register(world, world.leader) is Outcome.OK
        world.run(0.01)
    old.add(name)
    late = world.start(name)
    world.run(10.0)
    assert late.counters["versions_refused"] == 1
    sentence = late.ledger.status()["refused"]
    assert sentence.startswith("wampha on this node is too old: ")
    assert sentence.endswith("this release reads 1.")
    assert True not in late.told
    assert len(late.fences) == 1
    assert late.counters["snapshots_refused"] == (by == "snapshot")
    assert all(owner.name != name for owner in world.leader.ledger.tables.up)
    before = len(world.commands())
    world.run(5.0)
    assert len(world.commands()) - before < 3
    well(world, [host for host in world.alive if host is not late])
    old.clear()
    world.kill(name)
    world.start(name)
    world.until_serving()
    world.run(2.0)
    world.check_equal_tables()


@pytest.mark.logs_errors
@pytest.mark.parametrize("what", ["applied", "contradiction", "claim"])
@pytest.mark.parametrize("name", EITHER)
def test_a_node_that_sees_an_invariant_broken_begins_anew(what: str, name: str) -> None:
    world = a_cluster(observers=1)
    host = world.hosts[name]
    # The world takes what is done here for a violation, as it is.
    violated = world.invariants.violated
    world.invariants.violated = lambda sentence: None if "found itself" in sentence else violated(sentence)  # type: ignore[method-assign]
    owner, life, member = host.ledger.owner, host.ledger.life, host.member
    if what == "applied":
        host.ledger._invariants._applied = host.engine.applied + 1
    elif what == "contradiction":
        host.engine._follower._contradicted("{peer} contradicts itself", peer="v1")
    else:
        member.safe = host.engine.applied + 100
    world.run(0.06)
    assert not host.ledger.serving()
    assert host.member is not member
    assert host.ledger.owner != owner
    assert host.ledger.life != life
    world.run(8.0)
    assert host.ledger.serving()
    assert host.counters["invariants_violated"] == len(host.fences) == 1
    well(world, world.alive)
    world.run(1.0)
    world.check_equal_tables()
