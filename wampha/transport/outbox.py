"""What leaves for clients: gathered during a reactor turn, written once, bounded in bytes.

send(message), deliver(receivers, event), Autobahn's own frames
    -> ClientOutbox.queue      this turn's frames of one client, in order
    -> Flusher.flush()         at the end of the chunk that caused them
    -> one write per client    to the socket if nothing is waiting, else to Twisted's transport,
                               else (the transport is full) to ClientOutbox's held bytes, which are bounded
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from wampha.counters import Counters
from wampha.errors import WamphaError
from wampha.messages.relayed import Relayed
from wampha.state.commands import Owner
from wampha.transport.frames import FrameGroup
from wampha.transport.gate import Reactor

if TYPE_CHECKING:
    from wampha.routing.session import Session

_log = Logger(namespace="wampha.transport")


def twisted_buffers_as_expected() -> bool:
    """Whether Twisted's socket transports keep unsent bytes where `ClientOutbox` looks for them.

    They are private attributes: if a version of Twisted names them otherwise, every write takes the public way.
    """
    probe = FileDescriptor(reactor=cast(Any, object()))
    return (
        getattr(probe, "dataBuffer", None) == b""
        and getattr(probe, "offset", None) == 0
        and getattr(probe, "_tempDataBuffer", None) == []
        and getattr(probe, "_tempDataLen", None) == 0
    )


_DIRECT: Final = (tcp.Server, unix.Server) if twisted_buffers_as_expected() else ()


def _is_direct(transport: Any) -> bool:
    """Whether bytes may be given to the socket itself: a plain stream socket, no TLS above it."""
    return isinstance(transport, _DIRECT) and not transport.TLS


def over_tls(transport: Any) -> bool:
    """Whether the transport is Twisted's TLS layer, which keeps its protocol elsewhere and closes only as a whole."""
    return isinstance(transport, TLSMemoryBIOProtocol)


class Flusher:
    """Writes what was queued for clients, and for other nodes, during a turn."""

    def __init__(self, reactor: Reactor, flush_links: Callable[[], None]) -> None:
        self._reactor: Final = reactor
        self._flush_links: Final = flush_links
        self._dirty: list[ClientOutbox] = []
        self._call: Any = None
        self._chunk_in_hand = False

    def begin(self) -> None:
        """A chunk is being handled, and `flush()` will be called behind it: no timer is needed."""
        self._chunk_in_hand = True

    def mark(self, client: ClientOutbox) -> None:
        """The client's queue is no longer empty."""
        self._dirty.append(client)
        if not self._chunk_in_hand and self._call is None:
            self._call = self._reactor.callLater(0, self._late)

    def flush(self) -> None:
        """Write what waits for every client, once each. Call it behind every received chunk, of clients and links."""
        self._chunk_in_hand = False
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for client in dirty:
                try:
                    client.flush()
                except Exception:  # one client must not keep the others from their messages
                    client.failed()
        self._flush_links()

    def _late(self) -> None:
        self._call = None
        self.flush()


class Connection(Protocol):
    """The protocol instance below a `ClientOutbox`."""

    def finish(self) -> None:
        """Close in the transport's way: with a close frame, or at the end of the stream."""

    def describe(self) -> str: ...

    def unsendable(self, message: Any, problem: WamphaError) -> None:
        """The message cannot be sent to this client: do what is due for its kind."""

    def cut(self) -> None:
        """Drop the connection at once."""


@implementer(IPushProducer)
class ClientOutbox:
    """One client's way out; what the core knows as `routing.ports.Client`."""

    __slots__ = (
        "_bytes_max",
        "_connection",
        "_counters",
        "_direct",
        "_flusher",
        "_held",
        "_held_bytes",
        "_open",
        "_paused",
        "_shut_when_empty",
        "_transport",
        "group",
        "queue",
    )

    def __init__(
        self,
        *,
        connection: Connection,
        transport: Any,
        flusher: Flusher,
        counters: Counters,
        bytes_max: int,
    ) -> None:
        """`bytes_max`: when more than this waits and more comes, the client is cut."""
        self.group: FrameGroup | None = None  # None: no messages, either not yet or no more
        self.queue: Final[list[bytes]] = []
        self._connection: Final = connection
        self._transport: Final = transport
        self._flusher: Final = flusher
        self._counters: Final = counters
        self._bytes_max: Final = bytes_max
        self._direct: Final = _is_direct(transport)
        self._held: deque[bytes] | None = None
        self._held_bytes = 0
        self._open = True
        self._paused = False
        self._shut_when_empty = False
        transport.registerProducer(self, True)

    # ---- routing.ports.Client

    def send(self, message: Any) -> None:
        """Queue one message; nothing happens once the connection is closing."""
        if self.group is None:
            return
        try:
            frame = self.group.frame(message)
        except WamphaError as problem:
            self._connection.unsendable(message, problem)
        except Exception:  # the core relies on it that sending never raises
            _log.failure("a message to {client} could not be written", client=self.describe())
            self._connection.cut()
        else:
            self.write(frame)

    def finish(self) -> None:
        """Close the connection behind all that is queued, within goodbye_timeout_s at the latest."""
        self._connection.finish()

    def describe(self) -> str:
        """Like `tcp4:192.0.2.1:50000 websocket json`."""
        return self._connection.describe()

    # ---- bytes

    def write(self, data: bytes) -> None:
        """Queue bytes that are framed already, in the order of the calls."""
        if not self.queue:
            self._flusher.mark(self)
        self.queue.append(data)

    def flush(self) -> None:
        """Write this turn's frames."""
        queue = self.queue
        if not queue:
            return
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        queue.clear()
        if not self._open:
            return
        if self._paused:
            self._hold(data)
            return
        transport = self._transport
        # Most clients wait for nothing: then the socket takes the bytes at once, without the reactor's detour.
        if self._direct and not transport._tempDataLen and not transport.dataBuffer and transport.connected:
            try:
                sent = transport.socket.send(data)
            except OSError:  # full, or broken: Twisted will find out which
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def waiting(self) -> int:
        """Bytes that the operating system has not taken yet; with TLS those that the transport has not taken."""
        if not self._direct:
            return self._held_bytes
        transport = self._transport
        unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return self._held_bytes + unsent

    def _hold(self, data: bytes) -> None:
        if self.waiting() > self._bytes_max:
            self._counters.add("clients_cut_slow")
            _log.warn(
                "cut {client}: it does not read, and {waiting} bytes wait for it",
                client=self.describe(),
                waiting=self.waiting(),
            )
            self._connection.cut()
            return
        if self._held is None:
            self._held = deque()
        self._held.append(data)
        self._held_bytes += len(data)

    # ---- the end

    def failed(self) -> None:
        """An exception of ours while writing: what the client has got is no longer known."""
        _log.failure("bytes for {client} could not be written", client=self.describe())
        self._connection.cut()

    def close(self) -> None:
        """End the stream behind what is queued; the peer's end follows, or the connection's deadline."""
        self.group = None
        self.flush()
        if self._held:
            self._shut_when_empty = True
        else:
            self._shut()

    def _shut(self) -> None:
        if not self._open:
            return
        self._open = False
        self._transport.unregisterProducer()
        # Only our half: a full close with input unread resets the connection, and our last words would be lost.
        # TLS has no half of its own, and lends us TCP's, which would cut off its closing alert.
        if over_tls(self._transport):
            self._transport.loseConnection()
        else:
            self._transport.loseWriteConnection()

    def drop(self) -> None:
        """Forget everything; nothing is written any more."""
        self.group = None
        self._open = False
        self.queue.clear()
        self._held = None
        self._held_bytes = 0

    # ---- IPushProducer: the transport says when it is full

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport holds more than 64 KiB: hold the rest here."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is empty: give it what was held, until it is full again."""
        self._paused = False
        while self._held and not self._paused:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            self._transport.write(data)
        if self._shut_when_empty and not self._held:
            self._shut()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self.drop()


class Delivery:
    """`routing.ports.Outbox`: one EVENT to many clients of this node, and messages to other nodes."""

    def __init__(
        self,
        *,
        forward: Callable[[Owner, Relayed], bool],
        counters: Counters,
        reactor: Reactor,
        flush_links: Callable[[], None] = lambda: None,
    ) -> None:
        """`forward` hands a message to the data links, `flush_links` writes what they have queued."""
        self.flusher: Final = Flusher(reactor, flush_links)
        self.forward: Final = forward
        self._counters: Final = counters

    def deliver(self, receivers: Iterable[Session], event: Any) -> None:
        """Queue the event to each receiver: encoded and framed once per group, one look-up and append per receiver."""
        frames: dict[FrameGroup | None, bytes] = {None: b""}
        mark = self.flusher.mark
        left_out = 0
        for session in receivers:
            client: ClientOutbox = session.client  # type: ignore[assignment]  # a cast would cost a call per receiver
            group = client.group
            frame = frames.get(group)
            if frame is None:
                frame = frames[group] = self._frame(group, event)
            if frame:
                queue = client.queue
                if not queue:
                    mark(client)
                queue.append(frame)
            elif group is not None:
                left_out += 1
        if left_out:
            self._counters.add("events_undeliverable", left_out)

    def _frame(self, group: FrameGroup | None, event: Any) -> bytes:
        """The finished frame; empty if these clients cannot be sent this event."""
        assert group is not None
        try:
            return group.frame(event)
        except WamphaError:
            return b""
        except Exception:  # one kind of client must not keep the event from the others
            _log.failure("an event could not be written for serializer {id}", id=group.serializer.SERIALIZER_ID)
            return b""

    def flush(self) -> None:
        """Write what was queued; see `Flusher.flush`."""
        self.flusher.flush()
