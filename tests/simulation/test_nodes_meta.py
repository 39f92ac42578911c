"""The meta API of whole nodes: random histories with deaths of nodes, compared with what clients know."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.checkers import history as h
from tests.simulation.nodes.load import Load
from tests.simulation.nodes.meta import Told, Watcher, answers, check_lives, expected
from tests.simulation.nodes.run import run
from tests.simulation.nodes.world import World

DEATHS = 3
CALM_S = 12.0


def watchers_on(world: World) -> dict[str, Watcher]:
    watchers = {name: world.client(f"meta-{name}", node=name, kind=Watcher) for name in world.names}
    for watcher in watchers.values():
        watcher.connect(watcher.nodes[0])
    assert world.run(5.0, lambda: all(watcher.watching() for watcher in watchers.values()))
    world.run(1.0)
    for watcher in watchers.values():
        watcher.heard.clear()
    return watchers


def rage(world: World, load: Load) -> dict[str, Any]:
    """Nodes die and come back, one at a time, but for two that live on; returns those that died."""
    mortal = world.chance.sample(world.names, 2)
    died: dict[str, Any] = {}
    for _ in range(DEATHS):
        world.run(world.chance.uniform(1.0, 3.0))
        name = world.chance.choice(mortal)
        world.kill(name, power=world.chance.random() < 0.5)
        died[name] = None
        for client in world.clients.values():  # without FIN they would not know for long
            if client.node == name and client.session:
                client.process.enter(client.drop)
        world.run(world.chance.uniform(0.5, 7.0))
        world.start(name)
        world.until_serving()
    world.run(2.0)
    load.stop()
    world.run(CALM_S)
    return died


def told_of_sessions(told: list[Told]) -> tuple[Counter[int], Counter[int]]:
    joined = Counter(args[0]["session"] for topic, args in told if topic == "session.on_join")
    return joined, Counter(args[0] for topic, args in told if topic == "session.on_leave")


class Watched(Load):
    """Two watch the meta API while everything breaks."""

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(world, **options)
        for name in world.names[:2]:
            watcher = world.client(f"meta-{name}", node=name, kind=Watcher)
            watcher.reconnects = True
            watcher.connect(watcher.nodes[0])


@pytest.mark.parametrize("seed", [1003, 1028, 1046, 1050])
def test_whatever_breaks_lives_are_told_in_order_and_a_gap_is_said(seed: int) -> None:
    """In 1028 a watcher's node is given the tables."""
    world = run(seed, load=Watched)
    heard = [client.heard for client in world.clients.values() if isinstance(client, Watcher)]
    assert any(heard)
    for told in heard:
        check_lives(told)


@pytest.mark.parametrize("seed", range(8))
def test_answers_are_equal_at_rest_and_each_event_comes_once_on_every_node(seed: int) -> None:
    options = {"log_entries_max": 60, "batch_bytes_max": 4000} if seed % 3 == 0 else {}
    with World(seed, **options) as world:
        world.start_all(certified=seed % 2 == 0)
        world.until_serving()
        watchers = watchers_on(world)
        before = {client.session for client in world.clients.values()}
        load = Load(world, clients=8, rate=30.0)
        died = rage(world, load)
        for name in died:
            watchers[name] = world.client(f"again-{name}", node=name, kind=Watcher)
            watchers[name].joined = lambda _: None
            watchers[name].connect(name)
        assert world.run(5.0, lambda: all(watcher.session for watcher in watchers.values()))
        world.run(1.0)

        seen = {name: answers(world, watcher) for name, watcher in watchers.items()}
        truth = expected(world)
        for name, each in seen.items():
            assert each == seen[world.names[0]], name
            assert each["sessions"] == truth["sessions"], name
            for kind in ("subscription", "registration"):
                assert {row: told["members"] for row, told in each[kind].items()} == truth[kind], (name, kind)
                assert all(told["count"] == len(told["members"]) for told in each[kind].values())

        first, *others = [watcher.heard for name, watcher in watchers.items() if name not in died]
        assert len(first) > 100
        assert all(told == first for told in others), "in the order of the log"
        check_lives(first)
        joined, left = told_of_sessions(first)
        known = {operation.session for operation in world.history.of("join") if operation.outcome == h.OK}
        over = {ending.session for ending in world.history.endings}
        assert set(joined.values()) | set(left.values()) == {1}
        # A node may die before it has reported the sessions of its last moments.
        assert set(joined) <= known - before
        assert len(known - before - set(joined)) <= 5 * DEATHS
        assert set(left) == over & (set(joined) | before)
        for client in world.clients.values():
            client.finish()
        world.run(1.0)
        world.check()
