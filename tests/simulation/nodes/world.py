"""Whole nodes and clients in one process, on one virtual clock, over one seeded network; and what must never happen.

The production class `Node` runs unchanged: it is given a reactor, the source of its identifiers, a machine that is
watched, and small thresholds. One seed gives one run, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import gc
import hashlib
import random
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from tests.checkers import history as h
from tests.simulation.nodes.client import REALM, Client
from tests.simulation.nodes.network import Network
from tests.simulation.nodes.reactor import SimReactor
from tests.simulation.nodes.timeline import Process, Timeline
from tests.simulation.nodes.watch import Watch, WatchedMachine
from tests.simulation.nodes.wire import SPEECHES
from wampha.config.schema import Settings
from wampha.ledger.constants import RHO
from wampha.ledger.options import Options
from wampha.node import Node

_Kind = TypeVar("_Kind", bound=Client)

_ALL_RIGHTS = {
    "name": "anonymous",
    "permissions": [
        {
            "uri": "",
            "match": "prefix",
            "allow": {"call": True, "register": True, "publish": True, "subscribe": True},
        },
        {"uri": "wamp.", "match": "prefix", "allow": {"call": True, "subscribe": True}},  # also to kill
    ],
}
LAST_TURNS_S = 0.25  # timers of a stopped node that find nothing to do any more have run out by then
LOOK_S = 0.05  # how often the invariants over all nodes are checked


class Host:
    """One process that is a node."""

    def __init__(self, world: World, name: str, certified: bool) -> None:
        self.world, self.name = world, name
        self.process = Process(world.timeline, world.chance, name)
        self.process.failed = self._failed
        self.born = world.timeline.time
        rate = 1.0 + world.chance.uniform(-RHO, RHO)
        self.reactor = SimReactor(world.network, self.process, rate, origin=world.chance.uniform(10.0, 1e6))
        self.leaving = False
        self.gone = False  # stopped, with everything closed
        settings = world.settings(name, certified)
        self.node = Node(
            settings=settings,
            reactor=self.reactor,
            chance=random.Random(world.chance.getrandbits(64)),
            machine=lambda counters: WatchedMachine(counters, world.watch, self),
            options=world.options,
            wall_ms=lambda: int(world.timeline.time * 1000),
        )

    @property
    def running(self) -> bool:
        return self.process.alive and not self.process.stopped and not self.leaving

    def serves(self) -> bool:
        return self.running and self.node.ledger.serving()

    def _failed(self, exception: Exception) -> None:
        lines = "".join(traceback.format_exception(exception))
        self.world.violated("log", f"{self.name} raised in a reactor turn:\n{lines}")

    def stop(self) -> Deferred[None]:
        """A clean stop; the process ends when all is closed."""
        self.leaving = True
        done: Deferred[None] = Deferred()
        self.process.enter(self._stop, done)
        return done

    def _stop(self, done: Deferred[None]) -> None:
        self.node.stop().addCallback(self._stopped).chainDeferred(done)

    def _stopped(self, _: object) -> None:
        self.reactor.callLater(LAST_TURNS_S, self._end)

    def _end(self) -> None:
        self.world.watch.check_nothing_left(self)
        self.gone = True
        self.world.network.kill(self.process)


class World:
    """The nodes, their clients and the network."""

    def __init__(self, seed: int, voters: int = 3, observers: int = 1, **options: Any) -> None:
        self.chance = random.Random(seed)
        self.timeline = Timeline()
        self.network = Network(self.timeline, self.chance)
        self.history = h.History()
        self.options = Options(**options)
        self.voters = [f"v{number}" for number in range(voters)]
        self.names = [*self.voters, *(f"w{number}" for number in range(observers))]
        self.limits: dict[str, Any] = {"ping_interval_s": 3.0, "ping_timeout_s": 5.0}  # vanished clients are found soon
        self.hosts: dict[str, Host] = {}
        self.clients: dict[str, Client] = {}
        self.violations: list[h.Violation] = []
        self.trace: list[str] = []
        self.watch = Watch(self)
        self._folder = tempfile.TemporaryDirectory(prefix="wampha-simulation-")
        self._looking = True
        globalLogPublisher.addObserver(self._logged)
        for name in self.names:
            self.network.boot(name)
        self.timeline.after(LOOK_S, self._look)

    def close(self) -> None:
        """Give back what the process shares: the log and the folder."""
        self._looking = False
        gc.collect()  # a Deferred that failed unheard says so when it is collected
        globalLogPublisher.removeObserver(self._logged)
        for host in self.hosts.values():
            self._unlock(host)
        self._folder.cleanup()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settings(self, name: str, certified: bool) -> Settings:
        """What an operator would write for this node."""
        return Settings.model_validate(
            {
                "node": {"name": name, **({"run_dir": self._folder.name} if certified else {})},
                "cluster": {
                    "name": "simulated",
                    "listen": "tcp:8071",
                    "advertise": f"{name}:8071",
                    "secret": "a secret of the simulation",
                    "voters": [{"name": voter, "address": f"{voter}:8071"} for voter in self.voters],
                },
                "realms": [{"name": REALM, "roles": [_ALL_RIGHTS]}],
                "listeners": [{"endpoint": "tcp:8080", "auth": {"anonymous": {"role": "anonymous"}}}],
                "monitoring": None,
                "limits": self.limits,
            }
        )

    # ---- processes

    def start(self, name: str, *, certified: bool = False, new_address: bool = False) -> Host:
        """A new process on that machine, without any memory but its death certificate, if it is `certified`."""
        former = self.hosts.get(name)
        assert former is None or not former.process.alive, f"{name} runs already"
        self.network.boot(name, new_address)
        if not certified:
            Path(self._folder.name, f"{name}.incarnations").unlink(missing_ok=True)
        host = self.hosts[name] = Host(self, name, certified)
        self.note(f"{name} starts")
        self.watch.born(host)
        host.process.enter(host.node.start)
        return host

    def start_all(self, certified: bool = False) -> None:
        for name in self.names:
            self.start(name, certified=certified)

    def kill(self, name: str, power: bool = False) -> None:
        """SIGKILL, or power loss."""
        host = self.hosts[name]
        self.note(f"{name} is killed" + " without FIN" * power)
        if power:
            self.network.power_off(host.process)
        else:
            self.network.kill(host.process)
        self._unlock(host)

    def pause(self, name: str) -> None:
        self.note(f"{name} is stopped")
        self.hosts[name].process.stop()

    def wake(self, name: str) -> None:
        if self.hosts[name].process.stopped:
            self.note(f"{name} goes on")
            self.hosts[name].process.wake()

    def _unlock(self, host: Host) -> None:
        """What the kernel does with the locks of a dead process."""
        certificate = host.node._certificate
        if certificate is not None:
            certificate.close()

    def client(
        self, name: str = "", node: str = "", speech: Any = None, kind: type[_Kind] = Client, **changes: Any
    ) -> _Kind:
        """A new client, not connected yet; it prefers `node`."""
        order = list(self.names)
        if node:
            place = order.index(node)
            order = order[place:] + order[:place]
        client = kind(
            network=self.network,
            chance=self.chance,
            history=self.history,
            name=name or f"c{len(self.clients)}",
            nodes=order,
            speech=speech or self.chance.choice(SPEECHES),
        )
        if node:
            client._at = 0
        client.process.failed = lambda exception: self.violated(
            "client", f"{client.name}: {''.join(traceback.format_exception(exception))}"
        )
        for key, value in changes.items():
            setattr(client, key, value)
        self.clients[client.name] = client
        return client

    # ---- time

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; fails as soon as anything was violated."""
        met = self.timeline.run(seconds, until)
        self.check()
        return met

    def check(self) -> None:
        assert not self.violations, "\n".join(map(str, self.violations[:20]))

    def until_serving(self, names: Iterable[str] | None = None, seconds: float = 15.0) -> float:
        """Run until these nodes (default: all that run) serve and listen; returns how long it took."""
        began = self.timeline.time
        wanted = list(names or self.names)

        def serve() -> bool:
            return all(self.hosts[name].serves() and (name, 8080) in self.network.ports for name in wanted)

        assert self.run(seconds, serve), "\n".join(str(self.hosts[name].node.ledger.status()) for name in wanted)
        return self.timeline.time - began

    def _look(self) -> None:
        if self._looking:
            self.watch.look()
            self.timeline.after(LOOK_S, self._look)

    # ---- what is known

    @property
    def running(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.process.alive and not host.leaving]

    @property
    def leader(self) -> Host:
        """The leader of the highest term."""
        return max((host for host in self.running if self.watch.leads(host)), key=self.watch.term)

    @property
    def followers(self) -> list[str]:
        leader = self.leader.name
        return [name for name in self.voters if name != leader]

    def note(self, line: str) -> None:
        """Into the trace, by which runs of one seed are compared."""
        self.trace.append(f"{self.timeline.time:.6f} {line}")

    def violated(self, rule: str, sentence: str) -> None:
        self.violations.append(h.Violation(self.timeline.time, rule, sentence))
        self.note(f"VIOLATED {rule}: {sentence}")

    def digest(self) -> str:
        """Of everything that happened."""
        lines = [*self.trace, *self.history.lines(), str(self.timeline.steps)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _logged(self, event: dict[str, Any]) -> None:
        """All nodes write into one log; each line names its node, or is traced as it is."""
        failure, level = event.get("log_failure"), event.get("log_level")
        if failure is not None:
            self.violated("log", f"{formatEvent(event)}\n{failure.getTraceback()}")
        elif level in (LogLevel.critical, LogLevel.error):
            self.violated("log", formatEvent(event))
        elif str(event.get("log_namespace", "")).startswith("wampha"):
            self.note(f"log {formatEvent(event)}")
            self.watch.logged(event)
