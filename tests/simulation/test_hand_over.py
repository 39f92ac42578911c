"""A leader that is to stop makes another voter lead first; what that costs the survivors."""

from __future__ import annotations

import pytest

from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import Host, World
from wampha.ledger.constants import Timing
from wampha.ledger.frames import Raft, TimeoutNow, decode

TIMING = Timing.of()


def hand_over(world: World, host: Host, seconds: float = 3.0) -> float:
    """Seconds until the leader says that it is done."""
    done: list[float] = []
    began = world.clock.time
    host.ledger.hand_over(lambda: done.append(world.clock.time))
    assert not done, "told in the same turn"
    assert world.run(seconds, lambda: bool(done))
    world.run(0.05)
    assert len(done) == 1
    return done[0] - began


def told_to_campaign(world: World, lost: int = 0) -> list[str]:
    """From now on, who is; the first `lost` messages that say so get lost."""
    told: list[str] = []

    def look(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if isinstance(frame, Raft) and isinstance(frame.body, TimeoutNow):
            told.append(receiver)
            return len(told) > lost
        return True

    world.network.filter = look
    return told


@pytest.mark.parametrize("voters", [3, 5])
@pytest.mark.parametrize("delay_s", [0.001, 0.02])
def test_the_leader_leaves_and_nobody_waits_for_it(voters: int, delay_s: float) -> None:
    for seed in range(5):
        world = a_cluster(seed, voters, observers=1)
        world.network.delays = (delay_s / 2, delay_s)
        former = world.leader
        assert hand_over(world, former) < 6 * delay_s
        assert not former.leads
        left: list[float] = []
        former.ledger.leave(lambda world=world, left=left: left.append(world.clock.time))
        survivor = world.hosts["w0"]
        # A new leader, its first command, one report of everybody, then the row.
        assert acknowledge(world, survivor, "a.topic") < 0.06 + 10 * delay_s
        assert world.run(0.2, lambda left=left: bool(left))
        former.ledger.stop()
        world.kill(former.name)
        assert acknowledge(world, survivor, "another.topic") < 0.06 + 4 * delay_s
        assert all(not host.fences for host in world.alive)
        assert world.leader.counters["elections_won"] == 1
        world.run(0.2)
        world.check_equal_tables()


def test_commands_that_come_meanwhile_wait_and_are_applied() -> None:
    world = a_cluster(voters=5, observers=1)
    world.network.delays = (0.01, 0.02)
    former, done = world.leader, []
    for number in range(400):
        for host in world.alive:
            host.add_route(f"{host.name}.{number}")
        if number == 150:
            former.ledger.hand_over(lambda: done.append(world.clock.time))
            began = world.clock.time
        world.run(0.001)
    assert done
    assert done[0] - began < 0.1
    world.run(1.0)
    assert not former.leads
    # What is under way to a deposed leader may be lost; its proposer is told so.
    assert all(not host.waiting for host in world.alive)
    assert world.acknowledgements > 0.75 * 400 * len(world.alive)
    world.check_equal_tables()


def test_a_voter_that_does_not_campaign_is_followed_by_another() -> None:
    world = a_cluster(voters=5)
    told = told_to_campaign(world, lost=1)
    assert hand_over(world, world.leader) < TIMING.hand_over_step_s + 0.1
    assert len(told) == len(set(told)) == 2


def test_a_voter_that_dies_when_it_is_told_is_replaced_by_another() -> None:
    for voters in (3, 5):
        world = a_cluster(voters=voters)
        former, told = world.leader, told_to_campaign(world)
        former.ledger.hand_over(lambda: None)
        world.run(0.5, lambda told=told: bool(told))
        world.kill(told[0], fin=False)
        assert world.run(1.0, lambda former=former: not former.leads)
        assert len(set(told)) == 2
        assert acknowledge(world, former, "a.topic", 3.0) < TIMING.stretched_lease_s + 0.1


def test_a_voter_that_does_not_answer_is_not_asked_first() -> None:
    for seed in range(5):
        world = a_cluster(seed)
        former = world.leader
        mute = world.followers[0]
        mute.stopped = True
        world.run(0.4)
        told = told_to_campaign(world)
        assert hand_over(world, former) < 0.1
        assert mute.name not in told


def test_a_voter_that_lags_behind_is_not_asked() -> None:
    world = a_cluster()
    former, slow = world.leader, world.followers[0]
    world.network.slow[former.name, slow.name] = (0.3, 0.3)
    told = told_to_campaign(world)
    former.add_route("a.topic")
    world.run(0.02)
    assert hand_over(world, former) < 0.1
    assert told == [world.leader.name] != [slow.name]


def test_without_anybody_who_could_lead_it_goes_on_leading() -> None:
    world = a_cluster(observers=1)
    former = world.leader
    for host in world.followers:
        if host.name in world.voters:
            host.stopped = True
    former.add_route("waits")  # nobody has it
    assert hand_over(world, former) == pytest.approx(TIMING.hand_over_s, abs=0.1)
    assert former.leads
    for host in world.alive:
        if host.stopped:
            host.wake()
    world.run(2.0)
    assert acknowledge(world, world.leader, "a.topic") < 0.1
    assert not former.waiting


def test_a_voter_without_memory_is_never_told() -> None:
    world = a_cluster()
    former = world.leader
    one, two = world.followers
    world.kill(one.name)
    world.kill(two.name)
    world.start(one.name)
    told = told_to_campaign(world)
    world.run(0.3)
    hand_over(world, former)
    assert not told


def test_who_does_not_lead_is_done_in_a_later_turn() -> None:
    world = a_cluster(observers=1)
    for host in world.followers:
        assert hand_over(world, host) < 0.01
    alone = a_cluster(voters=1)
    assert hand_over(alone, alone.leader) < 0.01
    assert alone.leader.leads


def test_only_the_leader_of_this_term_can_tell_a_voter_to_campaign() -> None:
    world = a_cluster()
    host, other = world.followers
    for sender, term in ((other.name, host.engine.term), (world.leader.name, host.engine.term - 1)):
        host.member.received(sender, TimeoutNow(term), False)
        world.run(0.2)
        assert not host.leads
    host.member.received(world.leader.name, TimeoutNow(host.engine.term), False)
    world.run(0.1)
    assert host.leads
