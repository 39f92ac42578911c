"""Voters that lose their memory: rules 40-44 and 50-57, in directed runs."""

from __future__ import annotations

import pytest

from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import Host, World
from wampha.ledger.constants import Timing
from wampha.ledger.frames import Found, Go, Reply, decode
from wampha.ledger.options import REPAIRS

TIMING = Timing.of()
F, P, G = TIMING.lease_s, TIMING.ping_s, TIMING.grace_s


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


def restart(world: World, *names: str, fin: bool = True, after: float = 0.3) -> None:
    """Kill these at once and start them again."""
    for name in names:
        world.kill(name, fin)
    world.run(after)
    for name in names:
        world.start(name)


def until_founded_again(world: World, old: int | None, seconds: float = 20.0) -> float:
    """Run until all live in one other cluster, vote and serve; returns how long it took."""
    began = world.clock.time

    def done() -> bool:
        clusters = {host.cluster for host in world.alive}
        well = all(host.ledger.serving() and is_open(host) for host in world.alive if host.name in world.voters)
        return len(clusters) == 1 and not clusters & {old, None} and well

    assert world.run(seconds, done), [host.ledger.status() for host in world.hosts.values()]
    return world.clock.time - began


class TestCertificate:
    """Rule 27."""

    @pytest.mark.parametrize("certified", [True, False])
    def test_nobody_waits_for_a_predecessor_that_is_proven_dead(self, certified: bool) -> None:
        world = a_cluster(certified=certified)
        old = world.kill(world.followers[0].name)
        world.run(0.2)
        world.start(old.name)
        seconds = acknowledge(world, world.leader, "a.topic")
        assert (seconds < 0.5) is certified
        assert (old.ledger.owner.incarnation in world.leader.ledger.tables.dead) is certified

    def test_it_names_every_incarnation_of_the_process(self) -> None:
        world = a_cluster(certified=True)
        host = world.followers[0]
        host.stopped = True
        world.run(12.0)
        host.wake()
        world.until_serving()
        world.kill(host.name)
        world.start(host.name)
        world.until_serving()
        assert set(world.incarnations[host.name][:-1]) <= set(world.leader.ledger.tables.dead)


class TestFounding:
    """Rules 50-57, after a majority has lost its memory."""

    @pytest.mark.parametrize("survivor", ["the leader", "a follower"])
    @pytest.mark.parametrize("fin", [True, False], ids=["fin", "silent"])
    def test_two_of_three_restarted_at_once(self, survivor: str, fin: bool) -> None:
        """Silent: nobody is told that the leader is gone, and the engine goes on to name it (H9)."""
        world = a_cluster(observers=1)
        kept = world.leader if survivor == "the leader" else world.hosts["v0"]
        if survivor != "the leader" and kept.leads:
            kept = world.hosts["v1"]
        old, observer, life = kept.cluster, world.hosts["w0"], kept.ledger.life
        acknowledge(world, kept, "a.topic")
        began = world.clock.time
        restart(world, *(name for name in world.voters if name != kept.name), fin=fin)
        met = world.run(20.0, lambda: any(h.ledger.serving() and h.cluster != old for h in world.alive))
        assert met
        assert G < world.clock.time - began < G + 2 * F + 1.0
        until_founded_again(world, old)
        world.until_serving()
        assert kept.ledger.life != life
        assert kept.fences
        assert observer.fences
        world.run(1.0)
        world.check_equal_tables()
        world.kill(world.leader.name)
        assert acknowledge(world, world.alive[0], "another.topic") < 2.0

    def test_three_of_five_restarted_at_once(self) -> None:
        world = a_cluster(voters=5)
        old = world.leader.cluster
        restart(world, "v1", "v2", "v4")
        until_founded_again(world, old)

    def test_all_restarted_at_once_found_again_without_a_grace(self) -> None:
        world = a_cluster()
        old = world.leader.cluster
        restart(world, *world.voters)
        assert until_founded_again(world, old) < G

    def test_a_majority_with_memory_is_never_given_up(self) -> None:
        world = a_cluster()
        old = world.leader.cluster
        one, two = (host.name for host in world.followers)
        world.kill(one)
        world.start(one)
        world.network.partition([two], [name for name in world.voters if name != two])
        world.run(3 * G)
        assert not any(host.leads for host in world.alive)
        world.network.heal()
        world.until_serving()
        until_open(world, *world.voters)
        assert {host.cluster for host in world.alive} == {old}

    def test_rule_51_a_restarted_majority_waits_for_the_grace(self) -> None:
        world = a_cluster()
        restart(world, *(host.name for host in world.followers))
        world.run(G - 0.2)
        assert all(host.ledger._founding.pledge is None for host in world.alive if not is_open(host))

    def test_h8_the_founder_dies_before_its_go_is_heard(self) -> None:
        """It alone is a member of the new cluster; another remembers the old one, and the third has only pledged."""
        world = a_cluster()
        old = world.leader.cluster
        kept = "v2"
        restart(world, *(name for name in world.voters if name != kept))
        founder = next(world.hosts[name] for name in world.voters if name != kept)
        world.network.filter = lambda sender, receiver, data: not isinstance(decode(data), Go)
        assert world.run(3 * G, lambda: founder.cluster not in (old, None))
        world.kill(founder.name)
        world.network.filter = None
        world.run(1.0)
        world.start(founder.name)
        until_founded_again(world, old, 4 * G)

    def test_h8_the_founder_dies_after_one_go_was_heard(self) -> None:
        """A voter is a member of a cluster that nobody else knows: it has to give it up (rule 56)."""
        world = a_cluster()
        old = world.leader.cluster
        restart(world, "v0", "v1")
        assert world.run(3 * G, lambda: world.hosts["v1"].cluster not in (old, None) and is_open(world.hosts["v1"]))
        world.network.cuts |= {("v1", "v2"), ("v2", "v1")}
        restart(world, "v0")
        world.network.heal()
        until_founded_again(world, old, 4 * G)

    def test_h25_a_founder_keeps_nothing_of_the_cluster_that_it_followed(self) -> None:
        world = a_cluster(observers=1)
        old, kept = world.leader.cluster, world.leader
        for number in range(50):
            kept.add_route(f"t.{number}")
        world.run(0.5)
        restart(world, *(host.name for host in world.followers if host.name in world.voters))
        followed = [host for host in world.alive if host.name in world.voters and host is not kept]
        assert world.run(F, lambda: all(host.ledger.safe > 50 for host in followed))
        owners = {host.ledger.owner for host in followed}
        assert world.run(3 * G, lambda: any(host.cluster not in (old, None) for host in followed))
        for host in followed:
            if host.cluster != old:
                assert host.ledger.safe < 50
                assert host.ledger.owner not in owners
                assert not host.ledger.serving()
        until_founded_again(world, old)

    def test_rule_55_who_missed_the_founding_is_fenced_and_joins(self) -> None:
        world = a_cluster()
        away = world.followers[0]
        old, owner, life = away.cluster, away.ledger.owner, away.ledger.life
        rest = [name for name in world.voters if name != away.name]
        world.network.partition([away.name], rest)
        restart(world, *rest)
        assert world.run(3 * G, lambda: all(world.hosts[name].ledger.serving() for name in rest))
        assert away.cluster == old
        world.network.heal()
        until_founded_again(world, old, G)
        assert away.ledger.owner != owner
        assert away.ledger.life != life

    def test_rule_44_a_pledge_keeps_from_being_opened(self) -> None:
        """It is made while the answer that opens the voter is under way: what it promised elsewhere it cannot vote for
        here."""
        world = a_cluster()
        leader, one = world.leader.name, world.followers[0].name
        world.kill(one)
        new = world.start(one)
        life, founding = new.ledger.life, new.ledger._founding

        def pledge(sender: str, receiver: str, data: bytes) -> bool:
            frame = decode(data)
            if isinstance(frame, Reply) and frame.opens == life:
                founding.asked(leader, Found(7, life), new.cluster, world.clock.time)
            return True

        world.network.filter = pledge
        assert world.run(3.0, lambda: founding.pledge == 7)
        world.run(TIMING.pledge_s - 0.2)
        assert not is_open(new)
        until_open(world, one)
        assert new.ledger.life != life
