"""Late joiners get the table in pieces while the log goes on; the log is bounded."""

from __future__ import annotations

import pytest

from tests.simulation.chaos import Chaos
from tests.simulation.runs import LINKS, NODES
from tests.simulation.scenes import a_cluster, acknowledge
from tests.simulation.world import Host, World
from wampha.ledger import transfer
from wampha.ledger.frames import Piece, Raft, decode
from wampha.ledger.snapshots import LOG_TIMES_MAX
from wampha.state import snapshot

LOG = 50


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_ROWS_MAX", 4)
    monkeypatch.setattr(transfer, "UNDER_WAY_MAX", 2)


def a_full_cluster(seed: int = 1, rows: int = 200, voters: int = 3, observers: int = 0) -> World:
    world = a_cluster(seed, voters, observers, log_entries_max=LOG)
    load(world, world.leader, rows)
    return world


def load(world: World, host: Host, rows: int, seconds: float = 0.0) -> None:
    for number in range(rows):
        host.add_route(f"{host.name}.{world.clock.time:.3f}.{number}")
        world.run(0.002 + seconds / rows)


def pieces_to(world: World, name: str) -> list[Piece]:
    """The pieces that are sent to the host from now on."""
    pieces: list[Piece] = []

    def look(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if receiver == name and isinstance(frame, Raft) and isinstance(frame.body, Piece) and frame.body.snapshot:
            pieces.append(frame.body)
        return True

    world.network.filter = look
    return pieces


def healthy(world: World) -> None:
    world.network.filter = None
    world.run(3.0)
    world.until_serving()
    for host in world.alive:
        acknowledge(world, host, f"last.{host.name}")
    world.run(0.5)
    world.check_equal_tables()
    assert all(len(host.engine.entries()) <= LOG_TIMES_MAX * LOG for host in world.alive)


def test_one_who_joins_late_follows_within_a_second_and_holds_nobody_up() -> None:
    world = a_full_cluster()
    pieces = pieces_to(world, "w0")
    late = world.start("w0")
    began = world.clock.time
    worst = 0.0
    while late.installs < 2:
        worst = max(worst, acknowledge(world, world.leader, f"meanwhile.{world.clock.time}"))
    assert world.clock.time - began < 1.0
    assert worst < 0.05
    assert len(pieces) > 50
    assert late.installs == 2  # the cluster, and the snapshot
    healthy(world)


def test_several_join_at_once_and_one_in_their_middle() -> None:
    world = a_full_cluster(observers=1)
    leader = world.leader
    for name in ("w1", "w2"):
        world.network.slow[leader.name, name] = (0.02, 0.03)
        world.start(name)
    assert world.run(2.0, lambda: leader.engine._snapshots._sending.needed() is not None)
    made = leader.engine._snapshots._sending._snapshot
    load(world, world.hosts["w0"], 10)
    world.start("w3")
    assert world.run(2.0, lambda: "w3" in leader.engine._snapshots._sending._to)
    assert leader.engine._snapshots._sending._to["w3"].snapshot is made
    load(world, world.hosts["w0"], 150)
    healthy(world)


@pytest.mark.parametrize("seed", range(4))
def test_a_new_leader_in_the_middle_sends_its_own(seed: int) -> None:
    world = a_full_cluster(seed)
    pieces = pieces_to(world, "w0")
    late = world.start("w0")
    assert world.run(2.0, lambda: len(pieces) > 10)
    former = world.leader
    world.kill(former.name)
    load(world, world.alive[0], 30)
    assert world.run(5.0, lambda: late.installs > 1)
    assert len({(piece.term, piece.snapshot) for piece in pieces}) > 1
    world.start(former.name)
    world.run(3.0)
    healthy(world)


@pytest.mark.parametrize("seed", range(4))
def test_a_deposed_leader_sends_no_more(seed: int) -> None:
    world = a_full_cluster(seed)
    pieces = pieces_to(world, "w0")
    late = world.start("w0")
    assert world.run(2.0, lambda: len(pieces) > 10)
    former = world.leader
    former.ledger.hand_over(lambda: None)
    assert world.run(1.0, lambda: not former.leads)
    world.run(0.1)
    assert former.engine._snapshots._sending.needed() is None
    assert world.run(5.0, lambda: late.installs > 1)
    healthy(world)


def test_a_slow_receiver_keeps_the_log_within_its_bound_and_arrives() -> None:
    world = a_full_cluster()
    late = world.start("w0")
    for host in world.followers:
        world.network.slow[host.name, "w0"] = world.network.slow["w0", host.name] = (0.05, 0.05)
    leader = world.leader
    world.network.slow[leader.name, "w0"] = world.network.slow["w0", leader.name] = (0.05, 0.05)
    longest = 0
    for _ in range(20):
        load(world, leader, 30)
        longest = max(longest, len(leader.engine.entries()))
    assert leader.counters["log_cuts_forced"]
    assert longest <= LOG_TIMES_MAX * LOG + 10
    world.network.slow.clear()
    assert world.run(5.0, lambda: late.installs > 1)
    healthy(world)


def test_a_follower_that_was_away_for_long_gets_one_and_no_lease_before_it_is_complete() -> None:
    world = a_full_cluster()
    away = world.followers[0]
    others = [host.name for host in world.alive if host is not away]
    world.network.partition([away.name], others)
    world.run(2.5)
    load(world, world.leader, 150)
    for other in others:
        world.network.slow[other, away.name] = (0.02, 0.02)
    world.network.heal()
    before = away.installs
    assert world.run(5.0, lambda: away.installs > before or away.ledger.serving())
    assert away.installs == before + 1
    healthy(world)


def test_a_piece_that_gets_lost_is_sent_again() -> None:
    world = a_full_cluster()
    lost: list[int] = []

    def lose(sender: str, receiver: str, data: bytes) -> bool:
        frame = decode(data)
        if isinstance(frame, Raft) and isinstance(frame.body, Piece) and frame.body.number == 7 and not lost:
            lost.append(frame.body.number)
            return False
        return True

    world.network.filter = lose
    late = world.start("w0")
    assert world.run(4.0, lambda: late.installs > 1)
    assert lost
    healthy(world)


@pytest.mark.parametrize("seed", range(3))
def test_under_random_faults(seed: int) -> None:
    world = World(300 + seed, 3, 2, log_entries_max=40, batch_bytes_max=2000)
    world.until_serving()
    Chaos(world, kinds=2 * LINKS + NODES).run(16.0)
    assert sum(host.counters["snapshots_refused"] + host.counters["ledger_failures"] for host in world.alive) == 0
    assert sum(host.installs for host in world.alive) > len(world.alive)
