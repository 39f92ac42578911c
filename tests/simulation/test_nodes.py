"""Whole nodes on a virtual clock: they start, serve clients of every kind, and stop with nothing left over."""

from __future__ import annotations

import pytest

from tests.checkers import history as h
from tests.simulation.nodes.wire import SPEECHES, Speech
from tests.simulation.nodes.world import World


def serve_and_stop(seed: int, speeches: list[Speech]) -> World:
    with World(seed) as world:
        world.start_all()
        world.until_serving()
        clients = [world.client(node=world.names[place % 4], speech=speech) for place, speech in enumerate(speeches)]
        for client in clients:
            client.connect()
        assert world.run(1.0, lambda: all(client.session for client in clients))
        clients[0].subscribe("com.topic")
        clients[1].register("com.procedure")
        world.run(0.5)
        for client in clients[1:]:
            client.publish("com.topic", acknowledge=True)
            client.call("com.procedure")
        world.run(0.5)
        for client in clients:
            client.finish()
        world.run(1.0)
        world.watch.check_equal_tables()
        world.watch.check_empty_tables()
        for name in world.names:
            world.hosts[name].stop()
            world.run(3.0)
        assert all(host.gone for host in world.hosts.values())
        world.check()
        return world


def test_clients_of_every_kind_reach_one_another_on_four_nodes_and_nothing_is_left_at_the_end() -> None:
    speeches = sorted(set(SPEECHES), key=str)
    world = serve_and_stop(1, speeches)
    calls = list(world.history.of("call"))
    assert len(calls) == len(world.history.events) == len(speeches) - 1
    assert {(call.outcome, call.answers) for call in calls} == {(h.OK, 1)}
    assert all(operation.outcome == h.OK for operation in world.history.operations if operation.op != "leave")


@pytest.mark.parametrize("seed", [2, 3])
def test_a_seed_is_a_run(seed: int) -> None:
    speeches = list(SPEECHES[:4])
    assert serve_and_stop(seed, speeches).digest() == serve_and_stop(seed, speeches).digest()
