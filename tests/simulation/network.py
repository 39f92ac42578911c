"""Connections between the nodes of a simulation: in order; what is under way is lost with the connection."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.clock import VirtualClock

if TYPE_CHECKING:
    from tests.simulation.world import Host

KEEP_S = 0.1  # how often connections are looked after

Message = tuple[bytes, Any]  # (frame, what the sender knew when it sent it)


@dataclass
class Connection:
    """Between two hosts. `up`: the sides that know of it; one may learn of its begin or end long before the other."""

    ends: tuple[Host, Host]
    up: set[str] = field(default_factory=set)
    open: bool = True
    ready: dict[str, float] = field(default_factory=dict)  # receiver -> when the last message arrives
    held: dict[str, deque[Message]] = field(default_factory=dict)  # receiver -> what waits for a cut to heal
    silent: dict[str, float] = field(default_factory=dict)  # receiver -> since when nothing can reach it

    def other(self, name: str) -> Host:
        first, second = self.ends
        return second if first.name == name else first


class Network:
    """All connections; `delay` draws the time that one message takes."""

    def __init__(
        self, clock: VirtualClock, chance: random.Random, delays: tuple[float, float] = (0.0002, 0.002)
    ) -> None:
        self.clock, self.chance, self.delays = clock, chance, delays
        self.timeout_s = 2.0  # silence after which a side gives a connection up
        self.half_open = 0.0  # how often one side of a new connection hears of it late
        self._running = True
        self._in_flight = 0
        self.hosts: dict[str, Host] = {}
        self.cuts: set[tuple[str, str]] = set()  # (sender, receiver): nothing gets through
        self.slow: dict[tuple[str, str], tuple[float, float]] = {}
        self.filter: Any = None  # (sender, receiver, data) -> False to lose the message
        self.connections: dict[frozenset[str], Connection] = {}  # those that neither side has ended
        self._known: dict[tuple[str, str], Connection] = {}  # (host, peer) -> the one that the host was told of last
        self.clock.call_later(KEEP_S, self._keep)

    # ---- faults

    def cut(self, sender: str, receiver: str) -> None:
        self.cuts.add((sender, receiver))

    def partition(self, *groups: list[str]) -> None:
        """Nothing gets from one group to another."""
        for group in groups:
            for other in groups:
                if group is not other:
                    self.cuts.update((one, two) for one in group for two in other)

    def heal(self) -> None:
        """All cuts end; what was held arrives, unless the connection timed out."""
        self.cuts.clear()
        for connection in self.connections.values():
            connection.silent.clear()
        self._release()

    def reset(self, one: str, two: str) -> None:
        connection = self.connections.get(frozenset((one, two)))
        if connection:
            self.close(connection)

    # ---- connections

    def stop(self) -> None:
        """Look after nothing any more."""
        self._running = False

    def in_flight(self) -> int:
        """Messages under way, and the network's own timer: all that a clock may still hold when every node stopped."""
        return self._in_flight + 1

    def add(self, host: Host) -> None:
        self.hosts[host.name] = host
        self._keep_now()

    def remove(self, host: Host, fin: bool) -> None:
        """The process is gone; without `fin` (power loss) the others notice by silence."""
        for connection in self._of(host):
            connection.up.discard(host.name)
            if fin:
                self.close(connection, host)
            else:
                connection.silent.setdefault(connection.other(host.name).name, self.clock.time)

    def close(self, connection: Connection, by: Host | None = None) -> None:
        """End it; a side that the end cannot reach goes on until it misses the other, or has a newer one."""
        if not connection.open:
            return
        connection.open = False
        del self.connections[frozenset(host.name for host in connection.ends)]
        for host in connection.ends:
            if by is None or host is by or (by.name, host.name) not in self.cuts:
                self.clock.call_later(self._delay("", host.name), host.run, self._down, (connection, host))
            else:
                connection.silent.setdefault(host.name, self.clock.time)

    def drop_all_of(self, host: Host) -> None:
        for connection in self._of(host):
            self.close(connection, host)

    def send(self, sender: Host, receiver: str, data: bytes) -> bool:
        connection = self._known.get((sender.name, receiver))
        if connection is None or sender.name not in connection.up or sender not in connection.ends:
            return False
        if not connection.open or (self.filter and not self.filter(sender.name, receiver, data)):
            return True
        held = connection.held.setdefault(receiver, deque())
        message = data, sender.knows()
        if held or (sender.name, receiver) in self.cuts:
            held.append(message)
        else:
            self._pass(connection, receiver, message)
        return True

    def _of(self, host: Host) -> list[Connection]:
        pairs = sorted(self.connections.items(), key=lambda item: sorted(item[0]))
        return [connection for pair, connection in pairs if host.name in pair]

    def _release(self) -> None:
        """Pass on what cuts held that are over."""
        for connection in self.connections.values():
            for receiver, held in sorted(connection.held.items()):
                while held and (connection.other(receiver).name, receiver) not in self.cuts:
                    self._pass(connection, receiver, held.popleft())

    def _pass(self, connection: Connection, receiver: str, message: Message) -> None:
        sender = connection.other(receiver).name
        arrival = max(self.clock.time + self._delay(sender, receiver), connection.ready[receiver])
        connection.ready[receiver] = arrival
        host = connection.other(sender)
        self._in_flight += 1
        self.clock.call_later(arrival - self.clock.time, self._land, host, (connection, host, message))

    def _land(self, host: Host, arguments: tuple[Any, ...]) -> None:
        self._in_flight -= 1
        host.run(self._arrive, arguments)

    def _arrive(self, connection: Connection, host: Host, message: Message) -> None:
        if host.name in connection.up:
            data, knowledge = message
            host.learn(knowledge)
            host.ledger.received(connection.other(host.name).name, data)

    def _up(self, connection: Connection, host: Host, life: int, incarnation: int) -> None:
        if not connection.open:
            return
        peer = connection.other(host.name)
        former = self._known.get((host.name, peer.name))
        if former and host in former.ends:
            self._down(former, host)  # as links do: the older connection ends before the newer one is told
        connection.up.add(host.name)
        self._known[host.name, peer.name] = connection
        host.ledger.peer_up(peer.name, life, incarnation)

    def _down(self, connection: Connection, host: Host) -> None:
        if host.name in connection.up:
            connection.up.discard(host.name)
            host.ledger.peer_down(connection.other(host.name).name)

    def _delay(self, sender: str, receiver: str) -> float:
        return self.chance.uniform(*self.slow.get((sender, receiver), self.delays))

    def _keep(self) -> None:
        if self._running:
            self._keep_now()
            self.clock.call_later(KEEP_S, self._keep)

    def _keep_now(self) -> None:
        self._release()
        names = sorted(self.hosts)
        for place, one in enumerate(names):
            for two in names[place + 1 :]:
                self._keep_pair(self.hosts[one], self.hosts[two])

    def _keep_pair(self, one: Host, two: Host) -> None:
        for host, peer in ((one, two), (two, one)):
            known = self._known.get((host.name, peer.name))
            if known and not known.open and host.name in known.up and self._is_missed(known, host):
                host.run(self._down, (known, host))
        connection = self.connections.get(frozenset((one.name, two.name)))
        if connection and {id(one), id(two)} != {id(host) for host in connection.ends}:
            del self.connections[frozenset((one.name, two.name))]  # a new process takes the place of the former one
            connection.open, connection = False, None
        if connection is None:
            self._connect(one, two)
            return
        for host in connection.ends:
            if connection.open and self._is_missed(connection, host):
                self.close(connection, host)

    def _is_missed(self, connection: Connection, host: Host) -> bool:
        """Whether this side has heard nothing for too long."""
        peer = connection.other(host.name)
        if connection.open and peer.alive and not peer.stopped and (peer.name, host.name) not in self.cuts:
            connection.silent.pop(host.name, None)
            return False
        return self.clock.time - connection.silent.setdefault(host.name, self.clock.time) > self.timeout_s

    def _connect(self, one: Host, two: Host) -> None:
        reachable = not {(one.name, two.name), (two.name, one.name)} & self.cuts
        if not reachable or not all(host.alive and not host.stopped for host in (one, two)):
            return
        connection = Connection((one, two))
        self.connections[frozenset((one.name, two.name))] = connection
        for host, peer in ((one, two), (two, one)):
            late = self.chance.uniform(0.0, 0.6) if self.half_open and self.chance.random() < self.half_open else 0.0
            arrival = self.clock.time + self._delay(peer.name, host.name) + late
            connection.ready[host.name] = arrival
            ledger = peer.ledger
            arguments = (connection, host, ledger.life, ledger.owner.incarnation)
            self.clock.call_later(arrival - self.clock.time, host.run, self._up, arguments)
