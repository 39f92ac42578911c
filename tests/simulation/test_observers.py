"""Nodes beyond the voters follow, serve and propose; they come and go without anybody's configuration."""

from __future__ import annotations

from tests.checkers import history as h
from tests.simulation.nodes.client import Client
from tests.simulation.nodes.world import World


def clients_on(world: World, *names: str) -> list[Client]:
    clients = [world.client(node=name) for name in names]
    for client in clients:
        client.connect()
    assert world.run(2.0, lambda: all(client.session and client.node in names for client in clients))
    return clients


def reach_one_another(world: World, *names: str) -> None:
    """Clients on each of these nodes get each other's events, and answer each other's calls."""
    clients = clients_on(world, *names)
    before = len(world.history.events)
    for client in clients:
        client.subscribe("com.topic")
        client.register(f"com.procedure.{client.name}")
    world.run(0.5)
    calls = [
        caller.call(f"com.procedure.{callee.name}") for caller in clients for callee in clients if caller is not callee
    ]
    for client in clients:
        client.publish("com.topic", acknowledge=True)
    world.run(0.5)
    assert {call.outcome for call in calls} == {h.OK}
    assert len(world.history.events) - before == len(names) * (len(names) - 1)
    for client in clients:
        client.finish()
    world.run(0.5)


def test_observers_come_serve_one_another_and_go_and_nobody_else_is_configured() -> None:
    with World(1, voters=3, observers=2) as world:
        world.start_all()
        world.until_serving()
        configured = {name: world.settings(name, False).cluster for name in world.voters}
        reach_one_another(world, "w0", "w1")
        world.names.append("w2")  # known to clients only
        world.start("w2")
        assert world.run(5.0, world.hosts["w2"].serves)
        reach_one_another(world, "w2", "w0", "v1")
        for name in ("w0", "w1", "w2"):
            world.hosts[name].stop()
            world.run(4.0)
            assert world.hosts[name].gone
        reach_one_another(world, *world.voters)
        leader = next(host for host in world.hosts.values() if host.running)
        assert {owner.name for owner in leader.node.ledger.tables.up} == set(world.voters)
        assert configured == {name: world.settings(name, False).cluster for name in world.voters}
        assert all(host.node.counters["leases_lost"] == 0 for host in world.hosts.values() if host.running)
        world.check()


def test_observers_alone_reach_one_another_while_the_voters_elect() -> None:
    with World(2, voters=3, observers=2) as world:
        world.start_all()
        world.until_serving()
        subscriber, publisher = clients_on(world, "w0", "w1")
        subscriber.subscribe("com.topic")
        world.run(0.5)
        leader = next(host.name for host in world.hosts.values() if host.node.ledger.status()["leading"])
        world.kill(leader)
        for _ in range(20):
            publisher.publish("com.topic")
            world.run(0.02)
        world.run(0.2)
        assert [event.number for event in world.history.events] == list(range(1, 21))
        for client in (subscriber, publisher):
            client.finish()
        world.run(0.5)
