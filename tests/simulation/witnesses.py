"""Runs in which exactly one rule keeps the promise: what random seeds hit too seldom (docs/mutants.md).

Each raises AssertionError if the rule is missing, and nothing otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import REALM, Host, World, route
from wampha.ledger.certificate import DeathCertificate
from wampha.ledger.constants import RHO, K, Timing
from wampha.ledger.frames import Answer as RaftAnswer
from wampha.ledger.frames import Append, Found, Frame, Piece, Ping, Raft, Reply, RequestVote, Vote, decode, encode
from wampha.ledger.raft import RaftLedger
from wampha.state.commands import AddRoute, Down, Outcome, RemoveRoute, Up

TIMING = Timing.of()
F, LS, D = TIMING.lease_s, TIMING.leader_lease_s, TIMING.silence_s


def _well(world: World) -> None:
    assert not world.violations, "\n".join(world.violations)


def _apart(world: World, *names: str) -> None:
    """Nothing gets from these to the others or back."""
    world.network.partition(list(names), [host.name for host in world.alive if host.name not in names])


def _lose(world: World, lost: Callable[[str, str, Frame], bool]) -> None:
    world.network.filter = lambda sender, receiver, data: not lost(sender, receiver, decode(data))


def _has_entries(frame: Frame) -> bool:
    return isinstance(frame, Raft) and isinstance(frame.body, Append) and bool(frame.body.entries)


def _other(world: World, *known: Host) -> Host:
    return next(host for host in world.alive if host not in known and host.name in world.voters)


def a_client_comes_first_on_waking() -> None:
    """Rule 1, H2."""
    world = a_cluster()
    host = world.followers[0]
    host.stopped = True
    world.run(F + 0.5)
    acknowledge(world, world.leader, "a.topic")
    host.stopped = False
    host.publish()
    _well(world)


def every_echo_takes_long() -> None:
    """Rule 11, H14: what arrives now was true long ago."""
    world = a_cluster()
    for host in world.followers:
        world.network.slow[host.name, world.leader.name] = (1.2, 1.25)
    world.run(2.0)


def a_new_leader_is_cut_off_at_once() -> None:
    """Rule 12: the lease it had as a follower is longer than a leader's may be."""
    world = a_cluster()
    former = world.kill(world.leader.name)
    assert world.run(1.0, lambda: any(host.leads for host in world.alive))
    assert former is not world.leader
    _apart(world, world.leader.name)
    world.run(2.0)


def _asleep_meanwhile() -> tuple[World, Host]:
    """An observer stands still until its lease is over and something is acknowledged; it gets no entries any more."""
    world = a_cluster(observers=1)
    late = world.hosts["w0"]
    _lose(world, lambda sender, receiver, frame: receiver == "w0" and _has_entries(frame))
    late.stopped = True
    world.run(F + 0.3)
    acknowledge(world, world.leader, "a.topic")
    return world, late


def a_new_leader_cannot_commit_yet() -> None:
    """Rule 12: before its first command is applied it does not know what was claimed before."""
    world, late = _asleep_meanwhile()
    world.kill(world.leader.name)
    _lose(world, lambda sender, receiver, frame: _has_entries(frame))
    late.wake()
    world.run(2.0)


def who_returns_hears_no_entries() -> None:
    """Rule 13, H4."""
    world, late = _asleep_meanwhile()
    late.wake()
    world.run(1.0)


def the_answer_to_a_ping_takes_long() -> None:
    """Rule 15: a lease is reckoned from the ping, not from its answer."""
    world = a_cluster(observers=1)
    world.network.slow[world.leader.name, "w0"] = (1.2, 1.25)
    world.run(2.0)
    _apart(world, "w0")
    world.run(3.0)


def an_old_answer_reaches_a_new_incarnation() -> None:
    """Rule 15: the lease was booked for another one."""
    world = a_cluster()
    host, leader = world.followers[0], world.leader
    kept: list[bytes] = []

    def keep(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if (sender, receiver) == (leader.name, host.name) and isinstance(frame, Reply) and frame.left > 1.0:
            kept.append(data)
        return True

    world.network.filter = keep
    world.run(0.3)
    world.network.filter = None
    host.ledger._affiliation.fence("a test says so")
    assert world.run(1.0, lambda: host.ledger.owner in host.ledger.tables.up)
    host.member.lease_end = 0.0
    host.ledger.received(leader.name, kept[-1])
    assert not host.ledger.serving(), "a lease of another incarnation"


def the_old_leader_is_cut_off_and_replaced_at_once() -> None:
    """Rules 16, 20 (c): its own lease is short, and waited for."""
    world = a_cluster()
    former = world.leader
    for host in world.followers:
        world.network.reset(former.name, host.name)
    world.run(0.003)
    _apart(world, former.name)
    assert world.run(1.0, lambda: any(host.leads for host in world.alive if host is not former))
    acknowledge(world, world.leader, "a.topic")


def a_holder_and_the_leader_vanish_together() -> None:
    """Rule 20 (b), H3: the new leader knows nothing of a lease that the former one granted."""
    world = a_cluster(observers=1)
    _apart(world, "w0")
    world.kill(world.leader.name)
    acknowledge(world, world.hosts["v0"] if world.hosts["v0"].alive else world.hosts["v1"], "a.topic")


def the_former_leader_returns_without_what_was_claimed() -> None:
    """Rule 21: it was not waited for (20 c); that it is there again lowers no claim."""
    world = a_cluster()
    former = world.leader
    muted, deaf = {former.name}, set[str]()
    _lose(
        world,
        lambda sender, receiver, frame: (
            (isinstance(frame, Ping) and sender in muted) or (receiver in deaf and _has_entries(frame))
        ),
    )
    former.engine.step_down()
    former.engine.postpone(5.0, 5.0)
    assert world.run(2.0, lambda: any(host.leads and host is not former for host in world.alive))
    leader = world.leader
    assert world.run(0.5, lambda: former.engine.applied >= (leader.member.book.start or 1 << 60))
    deaf.add(former.name)
    acknowledge(world, leader, "a.topic")
    muted.clear()
    world.run(0.5)


def an_up_of_a_dead_incarnation_surfaces() -> None:
    """Rule 25, H19."""
    world = a_cluster(observers=1)
    dead = world.kill("w0")
    world.run(D + 1.0)
    world.leader.ledger.propose(Up(dead.ledger.owner, (), "w0:9000", "1"), lambda outcome: None)
    world.run(0.5)


def declared_dead_by_a_former_leader() -> None:
    """Rule 26, H15: its command reaches the log through its successor."""
    world = a_cluster()
    host, term = world.followers[0], world.leader.engine.term
    world.leader.engine.step_down()
    assert world.run(3.0, lambda: any(each.leads and each.engine.term > term for each in world.alive))
    world.until_serving()
    host = world.followers[0]
    outcomes: list[Outcome] = []
    world.leader.ledger.propose(Down(host.ledger.owner, term), outcomes.append)
    world.run(0.3)
    assert outcomes == [Outcome.REFUSED]


def it_wakes_while_its_death_is_being_decided() -> None:
    """Rule 26, H16: `down` is proposed and cannot be committed yet; the pings of the condemned arrive.

    With the standard times it would have fenced itself before (D >= F + S); safety does not rest on that.
    """
    with patch.object(RaftLedger, "_fence_if_suspended_for_long", lambda ledger, now: None):
        _wakes_while_condemned(a_cluster(observers=1))


def _wakes_while_condemned(world: World) -> None:
    late, leader = world.hosts["w0"], world.leader
    late.stopped = True
    world.run(D - 0.3)
    _lose(
        world,
        lambda sender, receiver, frame: (
            receiver == leader.name
            and isinstance(frame, Raft)
            and isinstance(frame.body, RaftAnswer)
            and sender != "w0"
        ),
    )
    assert world.run(2.0, lambda: late.ledger.owner in leader.member.book.dying)
    late.wake()
    world.run(0.4)
    world.network.filter = None
    world.run(1.0)


def _ghost(world: World, name: str) -> Host:
    """The process is cut off and runs on; another one of its name is about to begin."""
    ghost = world.hosts.pop(name)
    world.network.drop_all_of(ghost)
    world.ghosts.append(ghost)
    return ghost


def a_former_process_runs_on() -> None:
    """Rule 27, H21: it holds a lease, and its lock."""
    with tempfile.TemporaryDirectory() as folder:
        world = a_cluster(observers=1)
        ghost = world.hosts["w0"]
        held = DeathCertificate(Path(folder), "w0")
        held.add(ghost.ledger.owner.incarnation)
        _ghost(world, "w0")
        successor = DeathCertificate(Path(folder), "w0")
        world.incarnations["w0"] = list(successor.predecessors)
        held.close()
        successor.close()
    world.certified = True
    world.start("w0")
    world.run(2 * D)


def a_new_leader_finds_two_of_one_name() -> None:
    """Rule 26: the younger one is no proof while the lease of the elder may run."""
    world = a_cluster(observers=1)
    _ghost(world, "w0")
    younger = world.start("w0")
    assert world.run(1.0, lambda: younger.ledger.owner in world.leader.ledger.tables.up)
    world.kill(world.leader.name)
    world.run(3.0)


def an_old_removal_surfaces() -> None:
    """Rule 30, H17: it lay in some queue while the row was wanted again and acknowledged."""
    world = a_cluster()
    host = world.followers[0]
    world.network.cut(host.name, world.leader.name)
    host.want(route("t"))
    world.run(0.01)
    number = host.rows._number
    world.network.heal()
    world.run(0.5)
    host.withdraw(route("t"))
    world.run(0.1)
    host.want(route("t"))
    world.run(0.1)
    assert host.wants[route("t")].acknowledged
    key = route("t")
    world.leader.ledger.propose(
        RemoveRoute(host.ledger.owner, number + 1, key.realm, key.match, key.uri), lambda outcome: None
    )
    world.run(0.1)
    world.invariants.check_rows()
    _well(world)


def a_command_of_the_dead_surfaces() -> None:
    """Rule 30: a row of nobody."""
    world = a_cluster(observers=1)
    dead = world.hosts["w0"]
    dead.want(route("t"))
    world.run(0.1)
    world.kill("w0")
    world.run(D + 1.0)
    world.leader.ledger.propose(AddRoute(dead.ledger.owner, 99, REALM, "exact", "u"), lambda outcome: None)
    world.run(0.2)
    world.check_rest()


def opened_with_an_empty_log() -> None:
    """Rule 43: it has to hold what the leader's log held."""
    world = a_cluster(observers=1)
    for number in range(30):
        world.leader.add_route(f"t.{number}")
    world.run(0.3)
    name = world.followers[0].name if world.followers[0].name != "w0" else world.followers[1].name
    world.kill(name)
    _lose(world, lambda sender, receiver, frame: receiver == name and _has_entries(frame))
    new = world.start(name)
    world.run(4.0)
    assert new.engine is None or new.engine.recovering, f"votes, and has applied {new.engine.applied}"


def asked_for_another_vote_in_the_term_of_its_leader() -> None:
    """Rule 44: to be opened is to have voted for that leader."""
    world = a_cluster()
    name = world.followers[0].name
    world.kill(name)
    new = world.start(name)
    assert world.run(5.0, lambda: new.engine is not None and not new.engine.recovering)
    other = _other(world, new, world.leader)
    votes: list[Vote] = []

    def see(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if sender == name and isinstance(frame, Raft) and isinstance(frame.body, Vote):
            votes.append(frame.body)
        return True

    world.network.filter = see
    last_term, last_index = other.engine.log_end
    request = RequestVote(new.engine.term, last_index, last_term)
    new.ledger.received(other.name, encode(Raft(new.cluster or 0, other.ledger.life, False, request)))
    world.run(0.1)
    assert not votes, "two votes in one term"


def _opening(world: World, **changes: Any) -> Host:
    """A voter without memory gets an answer that opens somebody, with these changes."""
    name = world.followers[0].name
    world.kill(name)
    new = world.start(name)
    assert world.run(5.0, lambda: new.engine is not None and new.ledger.serving())
    fields = {
        "cluster": new.cluster,
        "term": new.engine.term,
        "incarnation": new.ledger.owner.incarnation,
        "sent": 0.0,
        "left": 0.0,
        "stamp": 0.0,
        "claim": 0,
        "dead": False,
        "opens": new.ledger.life,
        "quorate": True,
    } | changes
    new.ledger.received(world.leader.name, encode(Reply(**fields)))
    return new


def a_former_life_is_opened() -> None:
    """Rule 44."""
    assert _opening(a_cluster(), opens=12345).engine.recovering


def opened_by_the_leader_of_another_term() -> None:
    """Rule 44, H20: in the present term a former life may have voted for somebody else."""
    world = a_cluster()
    assert _opening(world, term=world.leader.engine.term + 1).engine.recovering


def a_vote_arrives_late() -> None:
    """Rule 45: by then the voter's next life may vote again."""
    world = a_cluster()
    names = [host.name for host in world.followers]
    world.kill(world.leader.name)
    late = TIMING.election_max_s + 0.1
    held: list[tuple[str, str, bytes]] = []

    def hold(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if sender in names and isinstance(frame, Raft) and isinstance(frame.body, Vote):
            held.append((sender, receiver, data))
            return False
        return not held  # and nothing else gets through meanwhile

    world.network.filter = hold
    assert world.run(3.0, lambda: bool(held))
    sender, receiver, data = held[0]
    candidate = world.hosts[receiver]
    term = candidate.engine.term
    candidate.engine.postpone(5.0, 5.0)
    world.run(late)
    candidate.ledger.received(sender, data)
    assert not (candidate.leads and candidate.engine.term == term), "elected by a vote of long ago"


def clocks_that_differ_by_all_that_they_may() -> None:
    """k: a lease on a slow clock is longer than the leader's fast one says."""
    world = a_cluster(observers=1)
    world.clocks[world.leader.name].run_at(1 + RHO)
    world.clocks["w0"].run_at(1 - RHO)
    world.run(1.0)
    _apart(world, "w0")
    acknowledge(world, world.leader, "a.topic")


def a_node_that_applies_nothing() -> None:
    """Rule 24: it answers, and would hold up every acknowledgement for ever."""
    world = a_cluster(observers=1)
    _lose(world, lambda sender, receiver, frame: receiver == "w0" and _has_entries(frame))
    assert acknowledge(world, world.leader, "a.topic") < 2 * K * F + 0.2


def somebody_needs_a_snapshot() -> None:
    """Repair "compaction", D16: the leader does not spin, sending pieces of nothing."""
    with patch("tests.simulation.clock.CREEP_S", 1e-4):
        world = a_cluster(log_entries_max=20)
        for number in range(60):
            world.leader.add_route(f"t.{number}")
            world.run(0.01)
        empty = [0]

        def see(sender: str, receiver: str, data: bytes) -> bool:
            frame = decode(data)
            if isinstance(frame, Raft) and isinstance(frame.body, Piece) and not frame.body.snapshot:
                empty[0] += 1
            return True

        world.network.filter = see
        world.start("w0")
        world.run(1.0)
        assert empty[0] < 50, f"{empty[0]} pieces of nothing"


def a_deposed_leader_gets_a_snapshot() -> None:
    """Repair "tail", D20: its own commands were never committed."""
    world = a_cluster(log_entries_max=20, batch_bytes_max=500)
    former = world.leader
    _apart(world, former.name)
    for number in range(60):
        former.add_route(f"lost.{number}")
    world.run(F - 0.1)
    leader = next(host for host in world.alive if host.leads and host is not former)
    for number in range(150):
        leader.add_route(f"kept.{number}")
        world.run(0.002)
    world.network.drop_all_of(former)
    world.network.heal()
    world.run(3.0)
    world.check_equal_tables()


def entries_are_sent_once() -> None:
    """Repair "next", D1: an answer to earlier entries is no reason to send the later ones again."""
    world = a_cluster()
    world.network.delays = (0.01, 0.02)
    sent = [0]

    def see(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if isinstance(frame, Raft) and isinstance(frame.body, Append):
            sent[0] += len(frame.body.entries)
        return True

    world.network.filter = see
    before = world.leader.engine.applied
    for number in range(200):
        world.leader.add_route(f"t.{number}")
        world.run(0.002)
    world.run(0.5)
    needed = 2 * (world.leader.engine.applied - before)
    assert sent[0] < 1.2 * needed, f"{sent[0]} entries were sent instead of {needed}"


def an_answer_to_a_former_term() -> None:
    """Repair "answer-term", D3: it says nothing of what the follower has now."""
    world = a_cluster()
    term = world.leader.engine.term
    world.leader.engine.step_down()
    assert world.run(3.0, lambda: any(host.leads and host.engine.term > term for host in world.alive))
    world.run(0.5)
    leader, follower = world.leader, world.followers[0]
    _lose(world, lambda sender, receiver, frame: receiver == leader.name)
    before = leader.engine.committed
    leader.add_route("a.topic")
    world.run(0.05)
    answer = RaftAnswer(term, leader.engine.log_end[1] + 1, False, True)
    leader.ledger.received(follower.name, encode(Raft(leader.cluster or 0, follower.ledger.life, False, answer)))
    world.run(0.05)
    assert leader.engine.committed == before, "committed without a majority"


def a_deposed_leader_with_a_long_log_of_its_own() -> None:
    """Repair "steps", D19."""
    world = a_cluster()
    former = world.leader
    _apart(world, former.name)
    for number in range(300):
        former.add_route(f"lost.{number}")
    world.run(F - 0.1)
    leader = next(host for host in world.alive if host.leads and host is not former)
    for number in range(300):
        leader.add_route(f"kept.{number}")
    world.run(0.1)
    reached = leader.engine.applied
    world.network.drop_all_of(former)
    world.network.heal()
    world.run(0.4)
    assert former.engine.applied >= reached, "it is still looking for what both have"


def declared_dead_and_never_suspended_for_long() -> None:
    """Rule 4: who is dead ends, even if it has not noticed anything."""
    world = a_cluster(observers=1)
    host = world.hosts["w0"]
    owner = host.ledger.owner
    term = world.leader.engine.term
    world.leader.ledger.propose(Down(owner, term), lambda outcome: None)
    world.clock.run(0.5)
    assert host.ledger.owner != owner
    assert world.clock.run(3.0, host.ledger.serving)


def rows_of_the_dead() -> None:
    """Rule 28: they go in the same entry."""
    world = a_cluster(observers=1)
    acknowledge(world, world.hosts["w0"], "a.topic")
    world.kill("w0")
    world.run(D + 1.0)
    world.check_rest()


def a_majority_restarts() -> None:
    """Rule 51: it waits for a leader that it may not have heard of yet, and for leases of before."""
    world = a_cluster()
    names, old = [host.name for host in world.followers], world.leader.cluster
    for name in names:
        world.kill(name)
    for name in names:
        world.start(name)
    world.run(TIMING.grace_s - 0.2)
    assert {host.cluster for host in world.alive} <= {old, None}, "founded at once"


def nobody_pledges() -> None:
    """Rule 53: a cluster of one voter is none."""
    world = World(3)
    _lose(world, lambda sender, receiver, frame: isinstance(frame, Found))
    world.run(2.0)
    assert all(host.cluster is None for host in world.alive)


def the_log_is_sent_again() -> None:
    """Repair "known", D1, D2: messages that repeat the beginning of a follower's log cut nothing off."""
    world = a_cluster(batch_bytes_max=400)
    leader, follower = world.leader, world.followers[0]
    shortest = [0]
    for number in range(60):
        leader.add_route(f"t.{number}")
        world.run(0.004)
        if number % 10 == 9:
            _repeat(leader, follower)
        end = follower.engine.log_end[1]
        assert end >= shortest[0], f"the log fell from {shortest[0]} to {end}, and what is gone was acknowledged"
        shortest[0] = end


def _repeat(leader: Host, follower: Host) -> None:
    """The leader's message of before arrives once more, as after a connection broke with answers under way."""
    log = follower.engine.entries()
    first, second = log[2], log[3]
    append = Append(leader.engine.term, leader.engine.committed, first[1], first[2], (second,))
    follower.ledger.received(leader.name, encode(Raft(leader.cluster or 0, leader.ledger.life, False, append)))
