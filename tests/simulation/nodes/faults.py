"""What is done to nodes, links and clients, at random moments, from the world's seed; each is written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from tests.checkers import history as h
from tests.simulation.nodes.load import Load
from tests.simulation.nodes.world import World

LINKS = ("reset", "partition", "partition", "one_way", "bridge", "flap", "slow_link")
PROCESSES = ("pause", "pause", "slow_node", "freeze")
RESTARTS = ("restart_one", "restart_one", "restart_observer", "restart_clean", "restart_in_turn")
DISASTERS = ("restart_majority", "restart_all", "restart_moved")
CLIENTS = ("client_vanishes", "client_stops", "client_unread", "client_cut")
EVERYTHING = LINKS * 2 + PROCESSES * 2 + RESTARTS * 2 + DISASTERS + CLIENTS
PAUSE_S = (0.2, 30.0)


class Faults:
    """`rate` faults per second among `kinds`, until `stop`."""

    def __init__(self, world: World, load: Load, *, kinds: tuple[str, ...] = EVERYTHING, rate: float = 0.7) -> None:
        self.world, self.load, self.kinds, self.rate = world, load, kinds, rate
        self._chance = world.chance
        self._active = True
        self._open: dict[str, tuple[h.Fault, Callable[[], None]]] = {}  # name -> what lasts, and how it ends
        self._count = 0
        self._next()

    def _next(self) -> None:
        if self._active:
            self.world.timeline.after(self._chance.expovariate(self.rate), self._strike)

    def _strike(self) -> None:
        if self._active:
            getattr(self, f"_{self._chance.choice(self.kinds)}")()
            self._next()

    def heal(self) -> None:
        """No new fault, and the end of all that last."""
        self._active = False
        for name in list(self._open):
            self._end(name)

    # ---- the record

    def _begin(
        self,
        kind: str,
        seconds: float,
        end: Callable[[], None] = lambda: None,
        *,
        nodes: Iterable[str] = (),
        links: Iterable[tuple[str, str]] = (),
        clients: Iterable[str] = (),
    ) -> str:
        """Note a fault that ends by itself after so long, or by `heal`."""
        self._count += 1
        name = f"{kind} {self._count}"
        now = self.world.timeline.time
        fault = h.Fault(kind, now, math.inf, tuple(nodes), tuple(links), tuple(clients))
        self.world.history.add(fault)
        self.world.note(f"{name}: {' '.join((*fault.nodes, *fault.clients, *map('>'.join, fault.links)))}")
        self._open[name] = (fault, end)
        self.world.timeline.after(seconds, self._end, name)
        return name

    def _end(self, name: str) -> None:
        if name not in self._open:
            return
        fault, end = self._open.pop(name)
        fault.end = self.world.timeline.time
        self.world.note(f"{name} ends")
        end()

    def _between(self, least: float, most: float) -> float:
        """Small ones as often as large ones."""
        return least * (most / least) ** self._chance.random()

    # ---- links

    def _pair(self) -> tuple[str, str]:
        one, two = self._chance.sample(self.world.names, 2)
        return one, two

    def _cut(self, kind: str, seconds: float, links: list[tuple[str, str]], nodes: Iterable[str] = ()) -> None:
        name = self._begin(kind, seconds, lambda: self.world.network.heal(name), nodes=nodes, links=links)
        self.world.network.cut(name, links)

    def _reset(self) -> None:
        one, two = self._pair()
        self._begin("reset", 0.0, links=[(one, two)])
        self.world.network.reset_between(one, two)

    def _partition(self) -> None:
        names = list(self.world.names)
        self._chance.shuffle(names)
        place = self._chance.randint(1, len(names) - 1)
        groups = names[:place], names[place:]
        links = [(one, two) for one in groups[0] for two in groups[1]]
        links += [(two, one) for one, two in links]
        voters = [sum(name in self.world.voters for name in group) for group in groups]
        minority = groups[voters.index(min(voters))]
        self._cut("isolate", self._between(0.3, 10.0), links, sorted(minority))

    def _one_way(self) -> None:
        self._cut("cut", self._between(0.3, 6.0), [self._pair()])

    def _bridge(self) -> None:
        one, two = self._pair()
        self._cut("cut", self._between(0.3, 10.0), [(one, two), (two, one)])

    def _flap(self) -> None:
        one, two = self._pair()
        at = 0.0
        for _ in range(self._chance.randint(2, 6)):
            seconds = self._between(0.1, 2.0)
            self.world.timeline.after(at, self._flap_once, seconds, [(one, two), (two, one)])
            at += seconds + self._between(0.1, 2.0)

    def _flap_once(self, seconds: float, links: list[tuple[str, str]]) -> None:
        if self._active:
            self._cut("cut", seconds, links)

    def _slow_link(self) -> None:
        one, two = self._pair()
        paths = [self.world.network.path(one, two), self.world.network.path(two, one)]
        delays = [path.delay_s for path in paths]
        worst = self._chance.choice([0.02, 0.1, 0.4])
        for path in paths:
            path.delay_s = (0.0, worst)

        def restore() -> None:
            for path, delay in zip(paths, delays, strict=True):
                path.delay_s = delay

        self._begin("slow", self._between(0.5, 6.0), restore, links=[(one, two), (two, one)])

    # ---- processes

    def _runs(self) -> list[str]:
        return [host.name for host in self.world.running if not host.process.stopped]

    def _pause(self) -> None:
        if self._runs():
            name = self._chance.choice(self._runs())
            self.world.pause(name)
            self._begin("stop", self._between(*PAUSE_S), lambda: self.world.wake(name), nodes=[name])

    def _freeze(self) -> None:
        """The whole machine stands still: nothing arrives at its kernel either."""
        if not self._runs():
            return
        name = self._chance.choice(self._runs())
        others = [*(each for each in self.world.names if each != name), *self.world.clients]
        links = [(name, other) for other in others] + [(other, name) for other in others]
        self.world.pause(name)

        def thaw() -> None:
            self.world.network.heal(why)
            self.world.wake(name)

        why = self._begin("stop", self._between(*PAUSE_S), thaw, nodes=[name])
        self.world.network.cut(why, links)

    def _slow_node(self) -> None:
        if not self._runs():
            return
        host = self.world.hosts[self._chance.choice(self._runs())]
        host.process.cost_s = self._between(0.0005, 0.01)

        def restore() -> None:
            host.process.cost_s = 0.0

        self._begin("slow", self._between(0.5, 5.0), restore, nodes=[host.name])

    def _restart(self, name: str, *, moved: bool = False) -> None:
        """The process ends, by a signal or with its machine, and begins again without memory."""
        if not self.world.hosts[name].process.alive or not self._active:
            return
        power = self._chance.random() < 0.4
        certified = self._chance.random() < 0.5
        self.world.kill(name, power=power)

        def start() -> None:
            self.world.start(name, certified=certified, new_address=moved)

        self._begin("power" if power else "kill", self._chance.uniform(0.05, 3.3), start, nodes=[name])

    def _restart_one(self) -> None:
        self._restart(self._chance.choice(self.world.voters))

    def _restart_moved(self) -> None:
        self._restart(self._chance.choice(self.world.names), moved=True)

    def _restart_observer(self) -> None:
        observers = self.world.names[len(self.world.voters) :]
        if observers:
            self._restart(self._chance.choice(observers))

    def _restart_majority(self) -> None:
        for name in self._chance.sample(self.world.voters, len(self.world.voters) // 2 + 1):
            self._restart(name)

    def _restart_all(self) -> None:
        for name in self.world.names:
            self._restart(name)

    def _restart_in_turn(self) -> None:
        at = 0.0
        for name in self.world.voters:
            self.world.timeline.after(at, self._restart, name)
            at += self._chance.uniform(0.5, 4.0)

    def _restart_clean(self) -> None:
        """SIGTERM, and a new process once the old one has ended."""
        names = [name for name in self._runs() if name not in self._stopping()]
        if not names:
            return
        name = self._chance.choice(names)
        host = self.world.hosts[name]
        certified = self._chance.random() < 0.5

        def start() -> None:
            if host.gone:
                self.world.start(name, certified=certified)
            elif host.process.alive:  # it takes its time; if it was killed meanwhile, whoever did that starts it
                self._begin("leave", 0.5, start, nodes=[name])

        host.stop()
        self._begin("leave", self._chance.uniform(0.05, 4.0), start, nodes=[name])

    def _stopping(self) -> list[str]:
        return [host.name for host in self.world.hosts.values() if host.leaving]

    # ---- clients

    def _client_vanishes(self) -> None:
        client = self._chance.choice(self.load.clients)
        client.vanish(power=self._chance.random() < 0.5)
        self._begin("kill", 0.0, clients=[client.name])
        self.load.newcomer()

    def _client_stops(self) -> None:
        client = self._chance.choice(self.load.clients)
        client.process.stop()
        self._begin("stop", self._between(0.2, 10.0), client.process.wake, clients=[client.name])

    def _client_unread(self) -> None:
        """It never reads again; another one comes."""
        client = self._chance.choice(self.load.clients)
        client.reconnects = False
        client.stop_reading()
        self._begin("unread", 0.0, clients=[client.name])
        self.load.newcomer()

    def _client_cut(self) -> None:
        client = self._chance.choice(self.load.clients)
        links = [(client.name, name) for name in self.world.names] + [(name, client.name) for name in self.world.names]
        name = self._begin(
            "cut", self._between(0.3, 10.0), lambda: self.world.network.heal(name), clients=[client.name]
        )
        self.world.network.cut(name, links)
