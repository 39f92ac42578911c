"""TCP as Twisted shows it to a process: transports, ports and connectors, over the simulated network.

    write() -> Twisted's buffer, without limit -> [window: bytes in flight, and bytes that the peer's process has not
    read] -> dataReceived(), in pieces of any size

A transport pauses its producer while more than 64 KiB are in the buffer, as Twisted does; a peer that does not read, or
that is stopped, fills the window, and then the buffer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IConnector, IHalfCloseableProtocol, IListeningPort, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.nodes.network import Network
from tests.simulation.nodes.timeline import Process

BUFFER_BYTES = 64 * 1024  # Twisted's mark, and its largest read
_DONE, _LOST, _ABORTED = error.ConnectionDone, error.ConnectionLost, error.ConnectionAborted


@implementer(ITCPTransport)
class Socket:
    """One end of a connection: what the kernel has of it, and Twisted's transport."""

    def __init__(self, network: Network, process: Process, dirty: list[Socket], here: tuple[str, int]) -> None:
        self.network, self.process = network, process
        self.here, self.port = here
        self.peer: Socket = self  # set by `pair`
        self.open = True  # in the kernel
        self.closed: Callable[[], None] = _nothing  # called when it is so no longer
        self.last_arrival = 0.0  # of what this end has sent
        self.used = 0  # bytes of the window towards the peer
        self.connected, self.disconnecting, self.disconnected = True, False, False
        self.protocol: Any = None
        self.connector: Connector | None = None
        self._dirty = dirty  # of the process: what it flushes at the end of its turn
        self._is_dirty = False
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._in: deque[bytes] = deque()
        self._in_fin = self._in_rst = False
        self._reading = True
        self._read_due = False
        self._producer: Any = None
        self._streaming = self._producer_paused = False
        self._write_closing = self._fin_sent = False

    def pair(self, peer: Socket) -> None:
        self.peer, peer.peer = peer, self

    @property
    def there(self) -> str:
        return self.peer.here

    # ---- the kernel

    def arrived(self, kind: str, data: Any) -> None:
        """A segment of the peer."""
        if self._in_rst:
            return
        if kind == "data":
            self._in.append(data)
        elif kind == "fin":
            self._in_fin = True
        elif kind == "rst":
            self.refused()
            return
        else:  # the peer's process has read: the window is open again
            self.used -= data
            self.process.enter(self._writable)
            return
        self._wake_reader()

    def refused(self) -> None:
        """RST came. What was read by nobody is lost or not, as the kernel and the poller please."""
        if not self.open:
            return
        self._in_rst = True
        if self.network.chance.random() < 0.5:
            self._in.clear()
        self.network.drop_held(self)
        self._wake_reader()

    def vanish(self) -> None:
        """The machine lost its power."""
        self.open = False
        self.closed()
        self.network.sockets.pop(self, None)
        self.network.drop_held(self)

    def orphaned(self) -> None:
        """The process was killed; the kernel sends what it has, and closes."""
        self._kernel_close(reset=bool(self._in))

    def _kernel_close(self, reset: bool) -> None:
        if not self.open:
            return
        self.open = False
        self.closed()
        self.network.sockets.pop(self, None)
        if self._in_rst:
            return
        if reset:
            self.network.drop_held(self)
            self.network.reset(self)
        elif not self._fin_sent:
            self._fin_sent = True
            self.network.segment(self, "fin")

    def _push(self) -> None:
        """Twisted's buffer to the kernel, as far as the window is open."""
        out, room = self._out, self.network.window_bytes - self.used
        while out and room > 0:
            piece = out.popleft()
            if len(piece) > room:
                out.appendleft(piece[room:])
                piece = piece[:room]
            room -= len(piece)
            self.used += len(piece)
            self._out_bytes -= len(piece)
            self.network.segment(self, "data", piece)

    def _wake_reader(self) -> None:
        if not self._read_due and self._reading and self.connected:
            self._read_due = True
            self.process.enter(self._readable)

    # ---- what the reactor does

    def _readable(self) -> None:
        self._read_due = False
        if not self._reading or not self.connected:
            return
        if self._in:
            self._deliver()
        elif self._in_rst:
            self.lose(_LOST())
        elif self._in_fin:
            self._in_fin = False
            half = IHalfCloseableProtocol(self.protocol, None)
            if half is None:
                self.lose(_DONE())
            else:
                self._reading = False
                half.readConnectionLost()
            return
        if self._in or self._in_rst or self._in_fin:
            self._wake_reader()

    def _deliver(self) -> None:
        data = b"".join(self._in) if len(self._in) > 1 else self._in[0]
        self._in.clear()
        take = min(len(data), BUFFER_BYTES)
        if self.network.chance.random() < self.network.split:
            take = self.network.chance.randint(1, take)
        if take < len(data):
            self._in.append(data[take:])
            data = data[:take]
        self._acknowledge(take)
        self.protocol.dataReceived(data)

    def _acknowledge(self, count: int) -> None:
        peer = self.peer
        if peer._out and peer.open:
            self.network.segment(self, "ack", count)
        else:
            peer.used -= count

    def _writable(self) -> None:
        if not self.connected:
            return
        if self._in_rst and (self._out or not self._reading):
            self.lose(_LOST())
            return
        self._push()
        if self._out:
            return
        if self._producer is not None and (not self._streaming or self._producer_paused):
            self._producer_paused = False
            self._producer.resumeProducing()
        elif self.disconnecting:
            self.lose(_DONE())
        elif self._write_closing and not self._fin_sent:
            self._fin_sent = True
            self.network.segment(self, "fin")

    def flush(self) -> None:
        """At the end of the process's turn: what it has written goes out."""
        self._is_dirty = False
        self._writable()

    def _mark(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)
            if self.network.timeline.current is not self.process:  # a test's own call, outside of any turn
                self.network.timeline.after(0.0, self.process.enter, _nothing)

    def lose(self, reason: Exception) -> None:
        """The connection is over for the process."""
        if self.disconnected:
            return
        self.disconnected = True
        self.connected = False
        aborted = isinstance(reason, _ABORTED)
        self._kernel_close(reset=aborted or bool(self._in))
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        failure = Failure(reason)
        protocol.connectionLost(failure)
        if self.connector is not None:
            self.connector.lost(failure)

    # ---- ITCPTransport

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        if not self.connected or self._write_closing or not data:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        self._mark()
        if self._producer is not None and self._streaming and self._out_bytes > BUFFER_BYTES:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:  # noqa: N802 - Twisted's name
        self.write(b"".join(data))

    def loseConnection(self, _reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        if self.connected and not self.disconnecting:
            self._reading = False
            self.disconnecting = True
            if self._write_closing and self._fin_sent:
                self.network.timeline.after(0.0, self.process.enter, self.lose, _DONE())
            else:
                self._mark()

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        self._write_closing = True
        self._mark()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        if self.disconnected or not self.connected:
            return
        self.connected = False
        self._reading = False
        self._out.clear()
        self.network.timeline.after(0.0, self.process.enter, self.lose, _ABORTED())

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.disconnected or not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        self._producer = None
        if self.connected and (self.disconnecting or self._write_closing):
            self._mark()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._reading = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if self.connected and not self.disconnecting:
            self._reading = True
            if self._in or self._in_fin or self._in_rst:
                self._wake_reader()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.loseConnection()

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.network.addresses[self.peer.here], self.peer.port)

    def getHost(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.network.addresses[self.here], self.port)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """There is no delay here."""

    def getTcpNoDelay(self) -> bool:  # noqa: N802 - Twisted's name
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """Nor keep-alives of the kernel's."""

    def getTcpKeepAlive(self) -> bool:  # noqa: N802 - Twisted's name
        return False


def _nothing() -> None:
    """Nothing happens, but for the flush at the end of the turn."""


@implementer(IListeningPort)
class Port:
    """Listens; a stopped process's kernel goes on accepting."""

    def __init__(self, network: Network, process: Process, number: int, factory: Any, dirty: list[Socket]) -> None:
        self.network, self.process, self.number, self.factory, self.dirty = network, process, number, factory, dirty

    def startListening(self) -> None:  # noqa: N802 - Twisted's name
        key = (self.process.name, self.number)
        if key in self.network.ports:
            raise error.CannotListenError("", self.number, OSError("Address already in use"))
        self.network.ports[key] = self
        self.factory.doStart()

    def stopListening(self) -> None:  # noqa: N802 - Twisted's name
        if self.network.ports.pop((self.process.name, self.number), None) is self:
            self.factory.doStop()

    def getHost(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.network.addresses[self.process.name], self.number)

    def accept(self, socket: Socket) -> None:
        """The process learns of a connection that the kernel made."""
        if not socket.open:
            return
        if self.network.ports.get((self.process.name, self.number)) is not self:
            socket.orphaned()  # what waits to be accepted is reset when the port closes
            return
        protocol = self.factory.buildProtocol(socket.getPeer())
        if protocol is None:
            socket.orphaned()
            return
        socket.protocol = protocol
        protocol.makeConnection(socket)
        socket.resumeProducing()


@implementer(IConnector)
class Connector:
    """One attempt to connect, and the connection that it made."""

    def __init__(self, reactor: Any, host: str, port: int, factory: Any, timeout: float) -> None:
        self.network: Network = reactor.network
        self.host, self.port, self.factory = host, port, factory
        self.process: Process = reactor.process
        self.dialling, self.answered = True, False
        self._reactor = reactor
        self._socket: Socket | None = None
        self._timer = reactor.callLater(timeout, self._fail, error.TimeoutError) if timeout else None

    def connect(self) -> None:
        self.factory.doStart()
        self.factory.startedConnecting(self)
        self.network.dial(self)

    def stopConnecting(self) -> None:  # noqa: N802 - Twisted's name
        if not self.dialling:
            raise error.NotConnectingError("we're not trying to connect")
        self._fail(error.UserError)

    def disconnect(self) -> None:
        if self.dialling:
            self.stopConnecting()
        elif self._socket is not None:
            self._socket.loseConnection()

    def getDestination(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", self.host, self.port)

    def refused(self) -> None:
        self._fail(error.ConnectionRefusedError)

    def _fail(self, kind: type[Exception]) -> None:
        if self.dialling:
            self._settle()
            self.factory.clientConnectionFailed(self, Failure(kind()))
            self.factory.doStop()

    def _settle(self) -> None:
        self.dialling = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def open_sockets(self, port: Port) -> tuple[Socket, Socket]:
        near = Socket(self.network, self.process, self._reactor.dirty, (self.process.name, self.network.free_port()))
        far = Socket(self.network, port.process, port.dirty, (port.process.name, port.number))
        near.pair(far)
        for socket in (near, far):
            socket._reading = False  # until its process knows of it
        near.connector = self
        return near, far

    def connected(self, socket: Socket) -> None:
        if not self.dialling:  # given up while its process was stopped
            socket.orphaned()
            return
        self._settle()
        self._socket = socket
        protocol = self.factory.buildProtocol(socket.getPeer())
        if protocol is None:
            socket.protocol = Protocol()
            socket.protocol.makeConnection(socket)
            socket.loseConnection()
            return
        socket.protocol = protocol
        protocol.makeConnection(socket)
        socket.resumeProducing()

    def lost(self, reason: Failure) -> None:
        self.factory.clientConnectionLost(self, reason)
        self.factory.doStop()
