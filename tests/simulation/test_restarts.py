"""Voters that lose their memory: rules 40-44, in directed runs."""

from __future__ import annotations

import pytest

from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import Host, World
from wampha.ledger.constants import Timing
from wampha.ledger.engine import REPAIRS

TIMING = Timing.of()
F, P = TIMING.lease_s, TIMING.ping_s


def is_open(host: Host) -> bool:
    """Whether the voter votes."""
    return not host.ledger.status()["recovering"]


def until_open(world: World, *names: str, seconds: float = 10.0) -> float:
    """Run until these voters vote; returns how long it took."""
    began = world.clock.time
    assert world.run(seconds, lambda: all(is_open(world.hosts[name]) for name in names)), [
        world.hosts[name].ledger.status() for name in names
    ]
    return world.clock.time - began


class TestOpening:
    """Rules 40-44."""

    def test_a_restarted_voter_serves_soon_and_votes_after_the_embargo(self) -> None:
        world = a_cluster()
        old = world.kill(world.followers[0].name)
        world.run(0.5)
        new = world.start(old.name)
        assert world.until_serving([new.name]) < TIMING.embargo_s
        assert not is_open(new)
        until_open(world, new.name)
        assert TIMING.embargo_s < world.clock.time - new.born < TIMING.embargo_s + 3 * P + 0.1
        world.run(8.0)
        assert old.ledger.owner not in new.ledger.tables.up
        world.check_equal_tables()
        assert acknowledge(world, new, "a.topic") < 0.1

    @pytest.mark.parametrize("voters", [3, 5])
    def test_a_cluster_survives_the_restart_of_every_voter_one_after_another(self, voters: int) -> None:
        world = a_cluster(voters=voters)
        cluster = world.leader.cluster
        for name in world.voters:
            world.kill(name)
            world.run(0.3)
            world.start(name)
            until_open(world, name)
        world.until_serving()
        assert {host.cluster for host in world.alive} == {cluster}
        assert not any(host.fences for host in world.alive)
        world.kill(world.leader.name)
        assert acknowledge(world, world.alive[0], "a.topic") < 2.0

    def test_what_was_acknowledged_before_outlives_them_all(self) -> None:
        world = a_cluster(observers=1)
        acknowledge(world, world.hosts["w0"], "a.topic")
        for name in world.voters:
            world.kill(name)
            world.start(name)
            until_open(world, name)
        assert all(host.ledger.tables.route("realm1", "exact", "a.topic") for host in world.alive)
        assert not world.hosts["w0"].fences

    def test_once_open_it_counts_for_a_majority(self) -> None:
        world = a_cluster()
        one, two = (host.name for host in world.followers)
        world.kill(one)
        world.start(one)
        until_open(world, one)
        world.kill(two)
        world.run(6.0)
        assert world.leader.ledger.serving()
        assert acknowledge(world, world.hosts[one], "a.topic") < 0.1

    def test_before_it_counts_for_none(self) -> None:
        world = a_cluster()
        leader = world.leader
        one, two = (host.name for host in world.followers)
        world.kill(one)
        world.run(0.5)
        new = world.start(one)
        world.until_serving([one])
        world.kill(two)
        assert not is_open(new)
        world.run(F + 0.2)
        assert not leader.leads
        assert not any(host.ledger.serving() for host in world.alive)
        world.run(5.0)
        assert not any(host.leads for host in world.alive)
        assert not is_open(new)

    def test_rule_43_it_is_not_opened_while_the_leader_has_no_majority_without_it(self) -> None:
        world = a_cluster()
        one, two = (host.name for host in world.followers)
        world.kill(one)
        new = world.start(one)
        world.run(TIMING.embargo_s - 0.2)
        world.kill(two)
        world.run(3.0)
        assert not is_open(new)
        world.start(two)

    @pytest.mark.parametrize("rule_41", [True, pytest.param(False, marks=pytest.mark.logs_errors)])
    def test_h1_an_old_leader_fed_by_it_commits_nothing(self, rule_41: bool) -> None:
        """The old leader is isolated, the others elect a new one; the third of them restarts empty and hears only the
        old leader. If its answers counted, two leaders would commit different commands at the same index."""
        world = a_cluster(repairs=REPAIRS if rule_41 else REPAIRS - {"recovering"})
        old = world.leader
        one, two = world.followers
        world.network.partition([old.name], [one.name, two.name])
        assert world.clock.run(1.4, lambda: one.leads or two.leads)
        new, third = (one, two) if one.leads else (two, one)
        new.add_route("of.the.new.leader")
        world.clock.run(0.02)
        world.kill(third.name)
        world.network.cuts -= {(old.name, third.name), (third.name, old.name)}
        world.network.partition([new.name], [old.name, third.name])
        world.start(third.name)
        for _ in range(10):
            old.add_route("of.the.old.leader")
            world.clock.run(0.1)
        world.network.heal()
        world.clock.run(5.0)
        assert bool(world.violations) is not rule_41, world.violations
