"""Random faults and load, from the world's seed."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.world import Host, World, registration, route
from wampha.routing.rowkinds import RowKey

MEMORY_S = 5.0  # calm after which everybody serves, if a majority of the voters has memory
FOUNDING_S = 12.0  # else: the grace, a founding, and the end of leases of before
REST_S = 2.5  # then every wish is fulfilled: outcomes that were unknown are known again
KEYS = (*(route(f"t.{number}") for number in range(6)), *(registration(f"p.{number}") for number in range(3)))


class Chaos:
    """`faults` per second among `kinds`; `load` operations per second on random nodes."""

    def __init__(self, world: World, *, kinds: tuple[str, ...], faults: float = 0.7, load: float = 40.0) -> None:
        self.world, self.kinds, self._faults, self._load = world, kinds, faults, load
        self._chance = world.chance
        self._active = False
        self.settled: list[tuple[bool, float]] = []  # (whether a majority had memory, seconds of calm until all served)

    def run(self, seconds: float, rounds: int = 2) -> None:
        """Let it rage, then heal and check that all is well; `rounds` times."""
        for _ in range(rounds):
            self._rage(seconds / rounds)
            self._settle()

    def _rage(self, seconds: float) -> None:
        self._active = True
        for host in self.world.alive:
            host.on_wake = self._operate
        self._every(self._faults, self._fault)
        self._every(self._load, self._operation)
        self.world.run(seconds)
        self._active = False

    def _every(self, rate: float, call: Callable[[], None]) -> None:
        def again() -> None:
            if self._active:
                call()
                self.world.clock.call_later(self._chance.expovariate(rate), again)

        self.world.clock.call_later(self._chance.expovariate(rate), again)

    def _settle(self) -> None:
        """Calm: within 5 s everybody serves and acknowledges, or soon after the founding of another cluster."""
        world = self.world
        world.network.heal()
        world.network.slow.clear()
        for name, host in list(world.hosts.items()):
            if host.alive and host.ledger._affiliation.leaving:
                host.ledger.stop()
                world.kill(name)
            if not host.alive:
                world.start(name)
            elif host.stopped:
                host.wake()
        world.run(0.0)
        memory = world.has_memory()
        began = world.clock.time
        limit = MEMORY_S if memory else FOUNDING_S
        assert world.run(limit, lambda: all(host.ledger.serving() for host in world.alive)), [
            host.ledger.status() for host in world.alive
        ]
        probes = [route(f"calm.{host.name}.{began}") for host in world.alive]
        for host, probe in zip(world.alive, probes, strict=True):
            host.want(probe)
        assert world.run(max(0.5, began + limit - world.clock.time), lambda: self._stand(probes)), [
            (host.ledger.status(), sorted(host.wants)) for host in world.alive
        ]
        self.settled.append((memory, world.clock.time - began))
        world.run(REST_S)
        world.check_equal_tables()
        world.check_rest()

    def _stand(self, probes: list[RowKey]) -> bool:
        stand = {key for host in self.world.alive for key, want in host.wants.items() if want.acknowledged}
        return stand.issuperset(probes)

    # ---- load

    def _operation(self) -> None:
        if self.world.alive:
            self._operate(self._chance.choice(self.world.alive))

    def _operate(self, host: Host) -> None:
        """What a client does; while the node is suspended nothing is read from it (rule 2)."""
        if not self._active or host.stopped or not host.ledger.serving():
            return
        key = KEYS[min(self._chance.randrange(len(KEYS)), self._chance.randrange(len(KEYS)))]
        deed = self._chance.random()
        if deed < 0.4:
            host.publish()
        elif deed < 0.5:
            host.join(key)
        elif key not in host.wants:
            host.want(key)
        elif deed < 0.9:
            host.withdraw(key)
        else:
            host.withdraw(key)
            host.want(key)

    # ---- faults

    def _fault(self) -> None:
        kind = self._chance.choice(self.kinds)
        if len(self.world.alive) > 1:
            getattr(self, "_" + kind)()

    def _later(self, least: float, most: float, call: Callable[[], None]) -> None:
        self.world.clock.call_later(self._chance.uniform(least, most), call)

    def _names(self) -> list[str]:
        return sorted(host.name for host in self.world.alive)

    def _mend(self, cuts: set[tuple[str, str]], least: float, most: float) -> None:
        """Cut these, and mend them later; what they held arrives then."""
        self.world.network.cuts |= cuts

        def mend() -> None:
            self.world.network.cuts -= cuts

        self._later(least, most, mend)

    def _reset(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self.world.network.reset(one, two)

    def _partition(self) -> None:
        names = self._names()
        self._chance.shuffle(names)
        place = self._chance.randint(1, len(names) - 1)
        self._mend(_between(names[:place], names[place:]), 0.3, 8.0)

    def _bridge(self) -> None:
        """Two groups that only one node of each reaches."""
        names = self._names()
        self._chance.shuffle(names)
        place = len(names) // 2
        self._mend(_between(names[:place], names[place + 1 :]), 0.3, 6.0)

    def _one_way(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self._mend({(one, two)}, 0.3, 4.0)

    def _deaf(self) -> None:
        """A node that sends and hears nothing, or the other way round."""
        one = self._chance.choice(self._names())
        ways = {(other, one) for other in self._names() if other != one}
        self._mend(ways if self._chance.random() < 0.5 else {(two, other) for other, two in ways}, 0.3, 4.0)

    def _flap(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        for number in range(self._chance.randint(3, 8)):
            cut = {(one, two), (two, one)}
            self.world.clock.call_later(0.4 * number, self._mend, cut, 0.1, 0.3)

    def _slow(self) -> None:
        one, two = self._chance.sample(self._names(), 2)
        self.world.network.slow[one, two] = (0.0, self._chance.choice([0.05, 0.2, 0.8]))
        self._later(0.5, 5.0, lambda: self.world.network.slow.pop((one, two), None) and None)

    def _slow_node(self) -> None:
        """Everything to it takes long."""
        one = self._chance.choice(self._names())
        delay = self._chance.choice([0.1, 0.3, 0.8])
        ways = [(other, one) for other in self._names() if other != one]
        self.world.network.slow.update(dict.fromkeys(ways, (0.5 * delay, delay)))

        def mend() -> None:
            for way in ways:
                self.world.network.slow.pop(way, None)

        self._later(0.5, 5.0, mend)

    def _stop(self) -> None:
        host = self._chance.choice(self.world.alive)
        if not host.stopped:
            host.stopped = True
            self._later(0.2, self._chance.choice([1.0, 3.0, 8.0]), lambda: host.stopped and host.wake())

    def _stop_leader(self) -> None:
        leaders = [host for host in self.world.alive if host.leads and not host.stopped]
        if leaders:
            host = self._chance.choice(leaders)
            host.stopped = True
            self._later(0.2, 3.0, lambda: host.stopped and host.wake())

    def _hand_over(self) -> None:
        for host in self.world.alive:
            if host.leads and not host.stopped:
                host.ledger.hand_over(lambda: None)

    def _leave(self) -> None:
        """A clean stop, and the next process of that name."""
        host = self._chance.choice(self.world.alive)
        if not host.stopped and not host.ledger._affiliation.leaving:
            host.ledger.hand_over(lambda: self._go(host))

    def _go(self, host: Host) -> None:
        if self._active:
            host.ledger.leave(lambda: self._left(host))

    def _left(self, host: Host) -> None:
        if self._active and host.alive:
            host.ledger.stop()
            self.world.kill(host.name)
            self._later(0.05, 3.3, lambda: self._return(host.name))

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
            self._later(0.05, 3.3, lambda: self._return(name))

    def _return(self, name: str) -> None:
        if self._active and not self.world.hosts[name].alive:
            self.world.start(name).on_wake = self._operate


def _between(some: list[str], others: list[str]) -> set[tuple[str, str]]:
    return {way for one in some for two in others for way in ((one, two), (two, one))}
