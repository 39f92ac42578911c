"""One seeded run with random faults and load; everything about it is drawn from its seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from unittest.mock import patch

from tests.simulation.chaos import Chaos
from tests.simulation.world import World
from wampha.ledger.constants import RHO
from wampha.state import snapshot

LINKS = ("reset", "partition", "bridge", "one_way", "deaf", "flap", "slow", "slow_node", "stop", "stop_leader")
NODES = ("restart_one", "restart_observer", "leave", "hand_over", "restart_in_turn", "restart_majority", "restart_all")
SNAPSHOTS = {"log_entries_max": 60, "batch_bytes_max": 2000}


def run(
    seed: int,
    voters: int = 3,
    observers: int = 1,
    seconds: float = 16.0,
    made: Callable[[World], object] = id,
) -> World:
    """Faults for so many seconds, with a calm after each half of them. Raises AssertionError if anything is wrong.

    An odd seed has small snapshots and messages; a seed of which the third part is odd has death certificates. The
    world is given to `made` before it begins.
    """
    with patch.object(snapshot, "_ROWS_MAX", 4):  # rows in a piece
        return _run(seed, voters, observers, seconds, made)


def _run(seed: int, voters: int, observers: int, seconds: float, made: Callable[[World], object]) -> World:
    options = SNAPSHOTS if seed % 2 else {}
    world = World(seed, voters, observers, certified=bool(seed // 3 % 2), drift=RHO, **options)
    made(world)
    world.network.half_open = 0.3
    world.until_serving()
    # Few kinds in each run: else those that end everything leave the others no time.
    kinds = tuple(world.chance.sample(LINKS + NODES, world.chance.randint(2, 6)))
    chaos = Chaos(world, kinds=kinds, faults=world.chance.choice([0.5, 1.0, 2.0]), load=world.chance.choice([40, 120]))
    chaos.run(seconds)
    world.settled = chaos.settled
    failures = sum(host.counters["ledger_failures"] for host in world.hosts.values())
    assert failures == 0, f"{failures} failures of ours"
    conflicts = sum(host.counters["log_conflicts"] for host in world.hosts.values())
    assert conflicts == 0, f"{conflicts} times a node heard what contradicts its log"
    return world


def repeat(seed: int, voters: int = 3, observers: int = 1) -> World:
    """`run`; whatever goes wrong says how to see it again."""
    try:
        return run(seed, voters, observers)
    except Exception as error:
        again = f"python -m tests.simulation --first {seed} --voters {voters} --observers {observers}"
        raise AssertionError(f"{again}\n{error}") from error


def trace_of(seed: int) -> str:
    """A digest of everything that happened."""
    world = run(seed)
    commands = b"".join(world.commands())
    return hashlib.sha256("\n".join(world.trace).encode() + commands).hexdigest()
