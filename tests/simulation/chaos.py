"""Random faults and load, from the world's seed."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.world import World

CALM_S = 25.0  # longer than D + F, and than two foundings in a row: everything must be well again


class Chaos:
    """`faults` per second among `kinds`; `load` operations per second on random nodes."""

    def __init__(self, world: World, *, kinds: tuple[str, ...], faults: float = 0.7, load: float = 40.0) -> None:
        self.world, self.kinds = world, kinds
        self._chance = world.chance
        self._active = True
        self._topics = 0
        self._every(faults, self._fault)
        self._every(load, self._operation)

    def _every(self, rate: float, call: Callable[[], None]) -> None:
        def again() -> None:
            if self._active:
                call()
                self.world.clock.call_later(self._chance.expovariate(rate), again)

        self.world.clock.call_later(self._chance.expovariate(rate), again)

    def run(self, seconds: float) -> None:
        """Let it rage, then heal, and check that all is well."""
        world = self.world
        world.run(seconds)
        self._active = False
        world.network.heal()
        world.network.slow.clear()
        for host in world.alive:
            if host.stopped:
                host.wake()
        world.run(CALM_S)
        for host in world.alive:
            assert host.ledger.serving(), host.ledger.status()
        before = world.acknowledgements
        for host in world.alive:
            host.add_route(f"last.{host.name}")
        world.run(2.0)
        assert world.acknowledgements - before == len(world.alive), "no acknowledgement in a healed cluster"
        world.check_equal_tables()

    # ---- load

    def _operation(self) -> None:
        alive = self.world.alive
        if not alive:
            return
        host = self._chance.choice(alive)
        if host.stopped or not host.ledger.serving():
            return
        if self._topics and self._chance.random() < 0.3:
            host.remove_route(f"t.{self._chance.randrange(self._topics)}")
        else:
            self._topics += 1
            host.add_route(f"t.{self._topics}")

    # ---- faults

    def _fault(self) -> None:
        kind = self._chance.choice(self.kinds)
        if len(self.world.alive) > 1:
            getattr(self, "_" + kind)()

    def _later(self, least: float, most: float, call: Callable[[], None]) -> None:
        self.world.clock.call_later(self._chance.uniform(least, most), call)

    def _names(self) -> list[str]:
        return sorted(host.name for host in self.world.alive)

    def _reset(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self.world.network.reset(one, two)

    def _partition(self) -> None:
        names = self._names()
        self._chance.shuffle(names)
        place = self._chance.randint(1, len(names) - 1)
        self.world.network.partition(names[:place], names[place:])
        self._later(0.3, 8.0, self.world.network.heal)

    def _one_way(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self.world.network.cut(one, two)
        self._later(0.3, 4.0, self.world.network.heal)

    def _slow(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self.world.network.slow[one, two] = (0.0, self._chance.choice([0.05, 0.2, 0.8]))
        self._later(0.5, 5.0, lambda: self.world.network.slow.pop((one, two), None) and None)

    def _stop(self) -> None:
        host = self._chance.choice(self.world.alive)
        if not host.stopped:
            host.stopped = True
            self._later(0.2, 7.0, lambda: host.stopped and host.wake())

    def _restart_one(self) -> None:
        self._restart(1)

    def _restart_majority(self) -> None:
        self._restart(len(self.world.voters) // 2 + 1)

    def _restart_all(self) -> None:
        self._restart(len(self.world.voters))

    def _restart_in_turn(self) -> None:
        for place, name in enumerate(self.world.voters):
            self.world.clock.call_later(place * self._chance.uniform(0.5, 4.0), self._kill, name)

    def _restart(self, count: int) -> None:
        for name in self._chance.sample(self.world.voters, count):
            self._kill(name)

    def _restart_observer(self) -> None:
        observers = [name for name in self._names() if name not in self.world.voters]
        if observers:
            self._kill(self._chance.choice(observers))

    def _kill(self, name: str) -> None:
        """The process ends, by a signal or with its machine, and begins again without memory."""
        if self._active and self.world.hosts[name].alive:
            self.world.kill(name, fin=self._chance.random() < 0.5)
            self._later(0.05, 3.3, lambda: self.world.start(name) and None)
