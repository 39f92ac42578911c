"""Ledgers of whole clusters: the rules of docs/protocol.md, each in a directed run."""

from __future__ import annotations

import pytest

from tests.simulation.scenes import a_cluster, acknowledge, logged
from tests.simulation.world import REALM, World
from wampha.ledger.constants import RHO, K, Timing
from wampha.ledger.options import REPAIRS
from wampha.state.commands import Down, Outcome, Owner, Up

TIMING = Timing.of()
F, LS, S, D, P = TIMING.lease_s, TIMING.leader_lease_s, TIMING.suspended_s, TIMING.silence_s, TIMING.ping_s


class TestFirstStart:
    @pytest.mark.parametrize(("voters", "observers"), [(1, 0), (3, 0), (3, 2), (5, 0)])
    def test_all_nodes_serve_and_nobody_is_fenced(self, voters: int, observers: int) -> None:
        world = World(3, voters, observers)
        assert world.until_serving() < K * F + 1.0
        world.run(1.0)
        world.check_equal_tables()
        assert all(not host.fences and host.ledger.status()["recovering"] is False for host in world.hosts.values())
        assert len(logged(world, Up)) == voters + observers

    def test_rule_54_nobody_serves_while_a_lease_of_an_older_cluster_might_run(self) -> None:
        assert World(3).until_serving() > K * F

    def test_rule_51_without_one_of_the_voters_nothing_is_founded_yet(self) -> None:
        world = World(3)
        late = world.kill("v2")
        world.run(4.0)
        assert all(host.cluster is None for host in world.alive)
        assert not late.ledger.serving()
        world.start("v2")
        world.until_serving()

    def test_rule_52_a_pledge_without_go_ends_the_life(self) -> None:
        world = World(3)
        first = world.hosts["v1"].ledger.life
        world.run(0.5, lambda: world.hosts["v1"].ledger._founding.pledge is not None)
        world.kill("v0")
        assert world.hosts["v1"].cluster is None
        world.run(TIMING.pledge_s + 0.2)
        assert world.hosts["v1"].ledger.life != first
        assert world.hosts["v1"].ledger._founding.pledge is None


class TestProposals:
    @pytest.mark.parametrize("voters", [3, 5])
    def test_a_command_of_a_follower_is_applied_everywhere_and_acknowledged(self, voters: int) -> None:
        world = a_cluster(voters=voters)
        assert acknowledge(world, world.followers[0], "a.topic") < 0.02
        for host in world.alive:
            assert host.ledger.tables.route(REALM, "exact", "a.topic")

    def test_without_a_quorum_the_outcome_is_unknown_at_the_deadline(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        world.network.partition([host.name], [other.name for other in world.alive if other is not host])
        began, outcomes = world.clock.time, []
        host.ledger.propose(Up(Owner("x", 1), (), "", ""), lambda outcome: outcomes.append((outcome, world.clock.time)))
        world.run(1.5)
        assert [outcome for outcome, _ in outcomes] == [Outcome.UNKNOWN]
        assert outcomes[0][1] - began < TIMING.proposal_s + 2 * TIMING.tick_s

    def test_d7_what_was_forwarded_to_a_leader_that_is_gone_is_settled_at_once(self) -> None:
        world = a_cluster()
        host, leader = world.followers[0], world.leader
        world.network.cut(host.name, leader.name)
        outcomes: list[Outcome] = []
        host.ledger.propose(Up(Owner("x", 1), (), "", ""), outcomes.append)
        world.run(0.1)
        assert not outcomes
        world.network.reset(host.name, leader.name)
        world.run(0.1)
        assert outcomes == [Outcome.UNKNOWN]

    @pytest.mark.logs_errors
    def test_failing_callbacks_stop_nothing(self) -> None:
        world = a_cluster()
        host = world.followers[0]

        def fails(*arguments: object) -> None:
            raise RuntimeError("a bug of the core")

        host.applied = fails  # type: ignore[method-assign]  # the core is broken here
        host.ticked = fails  # type: ignore[method-assign]
        host.ledger.propose(Up(Owner("x", 1), (), "", ""), fails)
        assert acknowledge(world, host, "a.topic") < 0.1
        world.run(0.5)
        assert host.counters["ledger_failures"] > 3


class TestFailover:
    def test_the_death_of_the_leader_is_over_within_a_second(self) -> None:
        for seed in range(4):
            world = a_cluster(seed)
            dead, host = world.kill(world.leader.name), world.alive[0]
            assert world.run(0.5, lambda world=world: any(each.leads for each in world.alive))
            assert acknowledge(world, host, "a.topic") < 1.0
            assert all(not each.fences for each in world.alive if each is not dead)
            assert world.leader.counters["elections_won"] == 1

    def test_a_silent_death_of_the_leader_is_over_within_three_seconds(self) -> None:
        world = a_cluster()
        world.kill(world.leader.name, fin=False)
        assert acknowledge(world, world.alive[0], "a.topic") < 2.0

    def test_the_death_of_a_follower_holds_acknowledgements_up_until_its_lease_is_over(self) -> None:
        world = a_cluster()
        world.kill(world.followers[0].name)
        assert F - P - 0.1 < acknowledge(world, world.leader, "a.topic") < K * F + 0.1

    def test_the_table_is_rid_of_the_dead_once_and_only_after_its_lease(self) -> None:
        world = a_cluster()
        dead = world.kill(world.followers[0].name)
        survivor = world.leader
        world.run(D - P - 0.05)
        assert dead.ledger.owner in survivor.ledger.tables.up
        world.run(0.5)
        assert all(dead.ledger.owner not in host.ledger.tables.up for host in world.alive)
        world.run(5.0)
        assert [command.owner for command in logged(world, Down)] == [dead.ledger.owner]

    def test_two_dead_of_five_are_survived(self) -> None:
        world = a_cluster(voters=5)
        world.kill(world.leader.name)
        world.run(3.0)
        world.kill(world.leader.name)
        assert acknowledge(world, world.alive[0], "a.topic") < 2.0
        world.run(8.0)
        world.check_equal_tables()

    def test_plain_elections_fence_nobody_and_suspend_only_leaders(self) -> None:
        world = a_cluster(settled=1.0)
        for _ in range(4):
            told = {host.name: len(host.told) for host in world.alive}
            former = world.leader
            for host in world.followers:
                world.network.reset(former.name, host.name)
            world.run(3.0)
            assert all(host.ledger.serving() and not host.fences for host in world.alive)
            others = [
                host for host in world.alive if host not in (former, world.leader)
            ]  # rule 12 suspends the new one
            assert all(len(host.told) == told[host.name] for host in others)


class TestMinority:
    """Invariant 8."""

    def test_a_cut_off_follower_serves_no_longer_than_its_lease(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        world.network.partition([host.name], [other.name for other in world.alive if other is not host])
        began = world.clock.time
        assert world.run(3.0, lambda: not host.ledger.serving())
        assert F - 2 * P < world.clock.time - began <= F / (1 - RHO)

    def test_an_isolated_leader_serves_no_longer_than_its_own_short_lease_and_steps_down(self) -> None:
        world = a_cluster()
        former = world.leader
        world.network.partition([former.name], [host.name for host in world.followers])
        began = world.clock.time
        assert world.run(3.0, lambda: not former.ledger.serving())
        assert world.clock.time - began <= LS / (1 - RHO) + P
        assert world.run(3.0, lambda: not former.leads)  # rule 17
        assert world.clock.time - began <= F + 2 * TIMING.tick_s

    def test_a_deposed_leader_follows_after_healing_and_nothing_acknowledged_is_lost(self) -> None:
        world = a_cluster()
        former = world.leader
        rest = world.followers
        world.network.partition([former.name], [host.name for host in rest])
        former.add_route("of.the.minority")
        acknowledge(world, rest[0], "of.the.majority", 4.0)
        world.network.heal()
        world.run(3.0)
        assert not former.leads
        assert former.ledger.serving()
        world.check_equal_tables()
        assert former.ledger.tables.route(REALM, "exact", "of.the.majority")

    def test_d19_a_deposed_leader_with_many_commands_of_its_own_catches_up_at_once(self) -> None:
        world = a_cluster()
        former = world.leader
        world.network.partition([former.name], [host.name for host in world.followers])
        for number in range(300):
            former.add_route(f"lost.{number}")
        world.run(1.4)
        for number in range(300):
            world.leader.add_route(f"kept.{number}")
        world.run(0.3)
        world.network.heal()
        world.run(0.3)
        assert former.engine.applied == world.leader.engine.applied
        assert former.ledger.tables.route(REALM, "exact", "kept.299")

    def test_a_short_suspension_costs_no_session(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        owner = host.ledger.owner
        host.stopped = True
        world.run(3.0)
        host.wake()
        assert not host.ledger.serving()  # before anything else: rule 1 reads the clock
        world.until_serving()
        assert (host.counters["leases_lost"], host.counters["fences"]) == (1, 0)
        assert (host.ledger.owner, host.fences) == (owner, [])

    @pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
    def test_rule_4_standing_still_for_less_than_d_costs_no_session(self, leads: bool) -> None:
        world = a_cluster()
        host = world.leader if leads else world.followers[0]
        owner = host.ledger.owner
        host.stopped = True
        world.run(D - 2 * P)
        host.wake()
        world.until_serving()
        assert (host.ledger.owner, host.fences) == (owner, [])

    def test_rule_4_a_leader_that_is_cut_off_keeps_its_sessions_as_long_as_a_follower(self) -> None:
        world = a_cluster()
        host = world.leader
        world.network.partition([host.name], [other.name for other in world.alive if other is not host])
        world.run(F + S - 0.3)
        assert not host.fences
        world.run(0.6)
        assert host.fences

    def test_rule_4_a_long_one_ends_the_incarnation_and_the_next_one_joins(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        owner, life = host.ledger.owner, host.ledger.life
        world.network.partition([host.name], [other.name for other in world.alive if other is not host])
        world.run(F + S - 0.3)
        assert not host.fences
        world.run(0.6)
        assert len(host.fences) == host.counters["fences"] == host.counters["leases_lost"] == 1
        assert host.ledger.owner != owner
        assert host.ledger.life == life
        world.network.heal()
        world.until_serving()
        assert all(owner not in each.ledger.tables.up for each in world.alive)
        assert sum(owner in each.gone() for each in world.alive) == 3
        world.run(2.0)
        world.check_equal_tables()

    def test_rule_25_an_incarnation_that_was_declared_dead_never_serves_again(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        owner = host.ledger.owner
        host.stopped = True
        world.run(D + 2.0)
        assert owner not in world.leader.ledger.tables.up
        host.wake()
        world.run(0.3)
        assert host.ledger.owner != owner
        world.until_serving()
        outcomes: list[Outcome] = []
        world.leader.ledger.propose(Up(owner, (), "", ""), outcomes.append)
        world.run(0.5)
        assert outcomes == [Outcome.DEAD]


class TestPreVote:
    def test_d14_a_node_that_sends_but_does_not_hear_deposes_nobody(self) -> None:
        assert self._terms(World(1)) == 0

    def test_it_does_without_pre_vote(self) -> None:
        assert self._terms(World(1, repairs=REPAIRS - {"elections"})) > 2

    def _terms(self, world: World) -> int:
        """Terms that pass in ten seconds in which a follower hears nothing."""
        world.until_serving()
        world.run(4.0)
        deaf = world.followers[0]
        before = world.leader.engine.term
        world.network.timeout_s = 1e9  # the links stay
        for host in world.alive:
            if host is not deaf:
                world.network.cut(host.name, deaf.name)
        world.run(10.0)
        return int(max(host.engine.term for host in world.alive) - before)


class TestLeaving:
    def test_rule_5_a_clean_stop_hands_the_lease_back(self) -> None:
        for role in ("follower", "leader"):
            world = a_cluster()
            host = world.leader if role == "leader" else world.followers[0]
            done: list[float] = []
            began = world.clock.time
            host.ledger.leave(lambda world=world, done=done: done.append(world.clock.time))
            assert not host.ledger.serving()
            world.run(0.5, lambda done=done: bool(done))
            assert done[0] - began < 0.1
            host.ledger.stop()
            world.kill(host.name)
            assert acknowledge(world, world.alive[0], "a.topic") < 1.0
            assert all(host.ledger.owner not in other.ledger.tables.up for other in world.alive)
            assert not logged(world, Down)

    def test_without_a_quorum_it_ends_after_two_seconds(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        world.network.partition([host.name], [other.name for other in world.alive if other is not host])
        done: list[float] = []
        began = world.clock.time
        host.ledger.leave(lambda: done.append(world.clock.time))
        world.run(3.0)
        assert len(done) == 1
        assert done[0] - began == pytest.approx(TIMING.leave_s, abs=0.01)

    def test_it_never_joins_again(self) -> None:
        world = a_cluster()
        host = world.followers[0]
        host.ledger.leave(lambda: None)
        world.run(3.0)
        assert not host.ledger.serving()
        assert host.ledger.owner not in world.leader.ledger.tables.up
        assert not host.fences

    def test_stop_ends_every_timer(self) -> None:
        world = a_cluster()
        for host in world.alive:
            host.ledger.leave(lambda: None)
            host.ledger.stop()
            host.alive = False
        world.network.stop()
        assert world.clock.pending() == world.network.in_flight()


class TestObservers:
    def test_an_observer_proposes_serves_and_is_missed_like_any_other(self) -> None:
        world = a_cluster(observers=2)
        observer = world.hosts["w0"]
        assert acknowledge(world, observer, "a.topic") < 0.05
        world.kill("w0")
        assert F - P - 0.1 < acknowledge(world, world.leader, "another.topic") < K * F + 0.1
        world.run(6.0)
        assert observer.ledger.owner not in world.leader.ledger.tables.up
        world.start("w0")
        world.until_serving()
        world.run(1.0)
        world.check_equal_tables()

    def test_its_death_never_costs_the_majority(self) -> None:
        world = a_cluster(voters=3, observers=3)
        for name in ("w0", "w1", "w2"):
            world.kill(name)
        assert acknowledge(world, world.leader, "a.topic") < K * F + 0.1

    def test_a_late_one_gets_the_table_by_snapshot(self) -> None:
        world = a_cluster(log_entries_max=20, batch_bytes_max=500)
        host = world.leader
        for number in range(100):
            host.add_route(f"t.{number}")
            world.run(0.01)
        world.run(0.5)
        late = world.start("w0")
        world.until_serving(["w0"])
        assert late.installs > 1  # once for the cluster, once for the snapshot
        world.run(0.5)
        world.check_equal_tables()


class TestSuperseded:
    """Rules 54, 55, 57: all voters restart at once; an observer of the old cluster lives on."""

    def test_nobody_serves_in_the_new_cluster_while_the_old_one_may_still_be_served(self) -> None:
        world = a_cluster(observers=1)
        old = world.leader.cluster
        both: list[float] = []
        for name in world.voters:
            world.kill(name)
        for name in world.voters:
            world.start(name)

        def new_one_serves() -> bool:
            serving = {host.cluster for host in world.alive if host.ledger.serving()}
            if len(serving) > 1:
                both.append(world.clock.time)
            return bool(serving - {old})

        assert world.run(10.0, new_one_serves)
        assert not both
        assert not world.hosts["w0"].ledger.serving()

    def test_the_observer_is_fenced_and_keeps_nothing_of_the_old_cluster(self) -> None:
        world = a_cluster(observers=1)
        observer = world.hosts["w0"]
        acknowledge(world, observer, "a.topic")
        old, owner, safe = observer.cluster, observer.ledger.owner, observer.ledger.safe
        for name in world.voters:
            world.kill(name)
        for name in world.voters:
            world.start(name)
        assert world.run(10.0, lambda: observer.cluster not in (old, None))
        assert observer.ledger.safe < safe
        assert not observer.ledger.tables.routes
        world.until_serving()
        assert observer.ledger.owner != owner
        assert len(observer.fences) == 1
        world.run(1.0)
        world.check_equal_tables()


class TestHostileFrames:
    def test_garbage_from_a_peer_is_counted_and_dropped(self) -> None:
        world = a_cluster()
        host = world.leader
        for data in (b"", b"\xff" * 50, b"\x91" * 5000, bytes(range(256))):
            host.ledger.received(world.followers[0].name, data)
        host.ledger.received("a stranger", b"\x00")
        assert host.counters["control_frames_refused"] == 5
        assert acknowledge(world, world.followers[0], "a.topic") < 0.05

    def test_no_pickle_is_made_or_read_by_a_cluster_at_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import pickle

        def poison(*arguments: object) -> None:
            raise AssertionError("pickle was used")

        for name in ("loads", "dumps", "load", "dump", "_loads", "_load", "Pickler", "Unpickler"):
            monkeypatch.setattr(pickle, name, poison)
        world = a_cluster(log_entries_max=20, observers=1)
        for number in range(60):
            world.followers[0].add_route(f"t.{number}")
            world.run(0.01)
        world.kill("w0")
        world.start("w0")
        world.until_serving(["w0"])
        world.kill(world.leader.name)
        acknowledge(world, world.alive[0], "a.topic")
        world.run(1.0)
        world.check_equal_tables()


def test_three_restarts_in_a_row_of_an_observer_leave_one_row() -> None:
    world = a_cluster(observers=1)
    for _ in range(3):
        world.kill("w0")
        world.start("w0")
        world.until_serving(["w0"])
    world.run(3.0)
    assert [owner.name for owner in world.leader.ledger.tables.up].count("w0") == 1
