"""What the ledger takes and keeps is bounded."""

from __future__ import annotations

from tests.simulation.world import World
from tests.unit.ledger.harness import Bench
from wampha.ledger.affiliation import PREDECESSORS_MAX
from wampha.ledger.engine import COMMAND, COMMAND_BYTES_MAX
from wampha.ledger.frames import Forwarded
from wampha.ledger.library import QUEUED_MAX
from wampha.ledger.proposals import Proposals
from wampha.state.codec import decode
from wampha.state.commands import Outcome, Up


def test_commands_that_wait_for_a_leader_are_bounded_and_the_outcome_of_more_is_unknown() -> None:
    bench, told = Bench(), []
    proposals = Proposals(deadline_s=10.0, counters=bench.counters)
    for _ in range(QUEUED_MAX + 3):
        bench.engine.propose(b"x", proposals.add(told.append, bench.time))
    proposals.tell()
    assert told == [Outcome.UNKNOWN] * 3
    assert bench.counters["proposals_unknown"] == 3


def test_a_command_of_a_peer_that_is_too_long_is_refused_and_counted() -> None:
    bench = Bench()
    bench.elect()
    for size in (COMMAND_BYTES_MAX, COMMAND_BYTES_MAX + 1):
        bench.engine.received("b", Forwarded(COMMAND.ljust(size, b"x"), size), False)
    bench.engine.tick()
    assert bench.counters["control_frames_refused"] == 1
    assert max(len(command) for command, _, _ in bench.engine.entries()) == COMMAND_BYTES_MAX


def test_an_incarnation_names_a_bounded_number_of_predecessors_and_the_last_ones() -> None:
    world = World(3, 1, 0)
    world.until_serving()
    host = world.alive[0]
    former = []
    for _ in range(PREDECESSORS_MAX + 5):
        former.append(host.ledger.owner.incarnation)
        host.ledger._affiliation.fence("the test says so")
    world.until_serving()
    ups = [command for command in map(decode, world.commands()) if isinstance(command, Up)]
    assert ups[-1].owner == host.ledger.owner
    assert list(ups[-1].succeeds) == former[-PREDECESSORS_MAX:]
    assert host.counters["fences"] == len(former)
