"""What directed runs begin with and do."""

from __future__ import annotations

from tests.simulation.world import Host, World
from wampha.state.codec import decode


def a_cluster(seed: int = 1, voters: int = 3, observers: int = 0, settled: float = 4.0, **options: object) -> World:
    """A cluster that serves, and whose leader is old enough to have no one of before to wait for."""
    world = World(seed, voters, observers, **options)
    world.until_serving()
    world.run(settled)
    return world


def acknowledge(world: World, host: Host, topic: str, seconds: float = 5.0) -> float:
    """Seconds until a new route of the host is acknowledged; a client that asks for another topic every 50 ms."""
    began, before = world.clock.time, world.acknowledgements

    def again(number: int) -> None:
        if world.acknowledgements == before:
            host.add_route(f"{topic}.{number}" if number else topic)
            if world.clock.time - began < seconds:
                world.clock.call_later(0.05, again, number + 1)

    again(0)
    assert world.run(seconds, lambda: world.acknowledgements > before), host.ledger.status()
    return world.clock.time - began


def logged(world: World, kind: type) -> list[object]:
    commands = [decode(data) for data in world.commands()]
    return [command for command in commands if isinstance(command, kind)]
