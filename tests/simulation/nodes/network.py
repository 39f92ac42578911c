"""The network between machines: for each direction of each pair its own delay, cuts and retransmissions.

Nothing that TCP carries is lost by a cut: the kernel sends it again when the cut has ended, unless the connection has
been given up meanwhile. What is lost for good is lost with a machine or with a connection.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.nodes.timeline import Process, Timeline

if TYPE_CHECKING:
    from tests.simulation.nodes.sockets import Connector, Port, Socket

LAN_S = (0.0001, 0.001)
RETRANSMISSION_S = (0.01, 0.4)
SYN_RETRIES_S = (1.0, 2.0)  # pauses before the second attempt and the third


@dataclass
class Path:
    """One direction between two machines."""

    delay_s: tuple[float, float] = LAN_S
    cuts: dict[str, float] = field(default_factory=dict)  # why it is cut -> since when
    held: list[tuple[Any, ...]] = field(default_factory=list)  # segments that wait for its end, in order


class Network:
    """All machines by name and address, and the paths between them."""

    def __init__(self, timeline: Timeline, chance: random.Random) -> None:
        self.timeline, self.chance = timeline, chance
        self.window_bytes = 128 * 1024  # of each direction of a connection: kernel buffers at both ends
        self.split = 0.1  # how often a read gets only a part of what is there
        self.off_machines: dict[str, None] = {}
        self.addresses: dict[str, str] = {}  # machine -> address
        self.ports: dict[tuple[str, int], Port] = {}  # (machine, port) -> who listens
        self.sockets: dict[Socket, None] = {}  # open ends, oldest first
        self._paths: dict[tuple[str, str], Path] = {}
        self._unanswered: dict[str, dict[Socket, None]] = {}  # machine that is off -> ends whose bytes it did not take
        self._last_port = 40000
        self._last_address = 0

    # ---- machines

    def boot(self, name: str, new_address: bool = False) -> None:
        """The machine is on; connections of its former life are refused when somebody sends on them."""
        self.off_machines.pop(name, None)
        if new_address or name not in self.addresses:
            self._last_address += 1
            self.addresses[name] = f"10.0.{self._last_address // 250}.{self._last_address % 250 + 1}"
        for socket in self._unanswered.pop(name, {}):
            self.timeline.after(self.chance.uniform(*RETRANSMISSION_S), socket.refused)

    def power_off(self, process: Process) -> None:
        """Power loss: no FIN, no RST, and what was under way is gone."""
        process.end()
        self.off_machines[process.name] = None
        self._close_ports(process.name)
        for socket in [each for each in self.sockets if each.process is process]:
            socket.vanish()
            peer = socket.peer
            if peer.open and peer.used:
                self._unanswered.setdefault(process.name, {})[peer] = None

    def kill(self, process: Process) -> None:
        """SIGKILL: the kernel closes the process's sockets."""
        process.end()
        self._close_ports(process.name)
        for socket in [each for each in self.sockets if each.process is process]:
            socket.orphaned()

    def _close_ports(self, name: str) -> None:
        for key in [key for key in self.ports if key[0] == name]:
            del self.ports[key]

    def free_port(self) -> int:
        self._last_port += 1
        return self._last_port

    def machine_at(self, address: str) -> str:
        """Who has this address or name; empty if nobody."""
        for name, given in self.addresses.items():
            if address in (given, name):
                return name
        return ""

    # ---- paths

    def path(self, source: str, target: str) -> Path:
        found = self._paths.get((source, target))
        if found is None:
            found = self._paths[source, target] = Path()
        return found

    def cut(self, why: str, links: Iterable[tuple[str, str]]) -> None:
        """Nothing gets through from the one to the other; `why` names the cut, to heal it."""
        for source, target in links:
            self.path(source, target).cuts[why] = self.timeline.time

    def heal(self, why: str) -> None:
        """That cut ends; what waits is sent again, each connection in its order."""
        for path in self._paths.values():
            since = path.cuts.pop(why, None)
            if since is not None and not path.cuts:
                self._send_again(path, self.timeline.time - since)

    def heal_all(self) -> None:
        for why in dict.fromkeys(why for path in self._paths.values() for why in path.cuts):
            self.heal(why)

    def _send_again(self, path: Path, cut_s: float) -> None:
        """The kernel's pause between two attempts has grown with the length of the cut."""
        held, path.held = path.held, []
        delays: dict[Socket, float] = {}
        for socket, kind, data in held:
            if socket not in delays:
                delays[socket] = self.chance.uniform(0.0, min(max(cut_s, RETRANSMISSION_S[1]), 3.0))
            self._schedule(path, socket, kind, data, delays[socket])

    def reset_between(self, one: str, two: str) -> None:
        """Something on the way forgets all connections between two machines: RST to both ends."""
        for socket in list(self.sockets):
            if {socket.here, socket.there} == {one, two}:
                self.timeline.after(self.chance.uniform(*LAN_S), socket.refused)

    def drop_held(self, socket: Socket) -> None:
        """The connection is given up: its bytes are not sent again."""
        path = self.path(socket.here, socket.there)
        path.held = [held for held in path.held if held[0] is not socket]

    # ---- segments

    def segment(self, socket: Socket, kind: str, data: Any = None) -> None:
        """From this end of a connection to the other."""
        path = self.path(socket.here, socket.there)
        if path.cuts:
            path.held.append((socket, kind, data))
        else:
            self._schedule(path, socket, kind, data, 0.0)

    def reset(self, socket: Socket) -> None:
        """RST to the other end; like all that is sent once only, a cut swallows it."""
        path = self.path(socket.here, socket.there)
        if not path.cuts:
            self._schedule(path, socket, "rst", None, 0.0)

    def _schedule(self, path: Path, socket: Socket, kind: str, data: Any, extra_s: float) -> None:
        now = self.timeline.time
        arrival = max(now + extra_s + self.chance.uniform(*path.delay_s), socket.last_arrival)
        socket.last_arrival = arrival
        self.timeline.after(arrival - now, self._arrive, socket, kind, data)

    def _arrive(self, socket: Socket, kind: str, data: Any) -> None:
        peer = socket.peer
        if peer.here in self.off_machines:
            if socket.open and kind != "rst":
                self._unanswered.setdefault(peer.here, {})[socket] = None
        elif peer.open:
            peer.arrived(kind, data)
        elif kind not in ("rst", "ack"):
            self.reset(peer)

    # ---- connections

    def dial(self, connector: Connector, attempt: int = 0) -> None:
        """SYN, again and again while nothing answers."""
        if not connector.dialling or connector.answered:
            return
        if attempt < len(SYN_RETRIES_S):
            self.timeline.after(SYN_RETRIES_S[attempt], self.dial, connector, attempt + 1)
        there = self.machine_at(connector.host)
        path = self.path(connector.process.name, there)
        if there and not path.cuts:
            self.timeline.after(self.chance.uniform(*path.delay_s), self._syn, connector, there)

    def _syn(self, connector: Connector, there: str) -> None:
        back = self.path(there, connector.process.name)
        if there in self.off_machines or back.cuts or connector.answered:
            return
        connector.answered = True
        port = self.ports.get((there, connector.port))
        self.timeline.after(self.chance.uniform(*back.delay_s), self._answered, connector, port)

    def _answered(self, connector: Connector, port: Port | None) -> None:
        """SYN-ACK or RST is here: the client's kernel knows, and both processes will."""
        if not connector.dialling or not connector.process.alive:
            return
        if port is None or self.ports.get((port.process.name, port.number)) is not port:
            connector.process.enter(connector.refused)
            return
        near, far = connector.open_sockets(port)
        self.sockets[near] = self.sockets[far] = None
        delay = self.chance.uniform(*self.path(near.here, far.here).delay_s)
        near.last_arrival = self.timeline.time + delay
        self.timeline.after(delay, port.process.enter, port.accept, far)
        connector.process.enter(connector.connected, near)
