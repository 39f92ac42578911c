"""What leaves for clients: gathered during a reactor turn, written once, bounded in bytes.

send(message), Autobahn's own frames, events by `delivery.py`
    -> ClientOutbox.queue      this turn's frames of one client, in order
    -> Flusher.flush()         at the end of the chunk that caused them
    -> one write per client    to the socket if nothing is waiting, else to Twisted's transport,
                               else (the transport is full) to the client's Backlog, which is bounded (`slow.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from wampha.errors import WamphaError
from wampha.routing.slow import ON_EVENTS_DROPPED, ON_SLOW, SlowPolicy
from wampha.transport.backlog import FRAME_OVERHEAD_BYTES, Backlog
from wampha.transport.flusher import Flusher
from wampha.transport.frames import FrameGroup
from wampha.transport.slow import SlowClients
from wampha.transport.sockets import is_direct, over_tls, unacknowledged

_JOIN: Final = b"".join

_log = Logger(namespace="wampha.transport")


class Connection(Protocol):
    """The protocol instance below a `ClientOutbox`."""

    def finish(self) -> None:
        """Close in the transport's way: with a close frame, or at the end of the stream."""

    def describe(self) -> str: ...

    def unsendable(self, message: Any, problem: WamphaError) -> None:
        """The message cannot be sent to this client: do what is due for its kind."""

    def cut(self) -> None:
        """Drop the connection at once."""

    def moved(self) -> None:
        """The client has read much, though it may not have come to our ping yet."""

    def slow_policy(self) -> SlowPolicy:
        """What the client's realm does about clients that do not read."""

    def slow_teller(self) -> Callable[[str, Mapping[str, Any]], None] | None:
        """Announces something about the client's session; None if it has none. Lasts longer than the session."""


@implementer(IPushProducer)
class ClientOutbox:
    """One client's way out; what the core knows as `routing.ports.Client`."""

    __slots__ = (
        "_backlog",
        "_connection",
        "_direct",
        "_flusher",
        "_open",
        "_paused",
        "_shut_when_empty",
        "_slow",
        "_transport",
        "group",
        "join",
        "queue",
    )

    def __init__(
        self,
        *,
        connection: Connection,
        transport: Any,
        flusher: Flusher,
        slow: SlowClients,
    ) -> None:
        """`slow` bounds what waits, for this client and for all."""
        self.group: FrameGroup | None = None  # None: no messages, either not yet or no more
        self.queue: Final[list[bytes]] = []
        self.join: Callable[[Sequence[bytes]], bytes] = _JOIN
        self._connection: Final = connection
        self._transport: Final = transport
        self._flusher: Final = flusher
        self._slow: Final = slow
        self._direct: Final = is_direct(transport)
        self._backlog: Backlog | None = None  # None: the client reads
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

    def pass_on(self, frames: list[bytes]) -> None:
        """Queue events that were framed for `group`; nothing happens once the connection is closing."""
        if self.group is None:
            return
        if not self.queue:
            self._flusher.mark(self)
        self.queue.extend(frames)

    def finish(self) -> None:
        """Close the connection behind all that is queued, within goodbye_timeout_s at the latest."""
        self._connection.finish()

    def describe(self) -> str:
        """Like `tcp4:192.0.2.1:50000 websocket json`."""
        return self._connection.describe()

    # ---- bytes

    def write(self, data: bytes) -> None:
        """Queue bytes that are framed already, in the order of the calls."""
        if self._backlog is not None:
            self._owe(data)
            return
        if not self.queue:
            self._flusher.mark(self)
        self.queue.append(data)

    def flush(self) -> None:
        """Write this turn's frames."""
        queue = self.queue
        if not queue:
            return
        if self._backlog is not None:
            self._hold(self._backlog)
            return
        data = queue[0] if len(queue) == 1 else self.join(queue)
        queue.clear()
        if not self._open:
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
        return self._unsent() + (self._backlog.frame_bytes if self._backlog is not None else 0)

    def _unsent(self) -> int:
        if not self._direct:
            return 0
        transport = self._transport
        unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return unsent

    # ---- a client that does not read (`slow.SlowClient`). Meanwhile the queue has events and nothing else.

    @property
    def slow(self) -> bool:
        """Whether more waits for this client than its transport takes."""
        return self._backlog is not None

    @property
    def held_bytes(self) -> int:
        """The memory that waits."""
        backlog = self._backlog
        return 0 if backlog is None else backlog.held_bytes + backlog.in_transport

    def _hold(self, backlog: Backlog) -> None:
        """Put this turn's events behind what waits, as far as the policy allows."""
        events, dropped = self.queue, 0
        room = self._slow.bytes_max - self._unsent() - backlog.held_bytes
        if backlog.policy is SlowPolicy.DISCONNECT:
            if room < 0:
                self._cut_slow(backlog)
                return
            backlog.add(events)
        elif backlog.policy is SlowPolicy.DROP_NEWEST:
            fitting = 0
            for frame in events:
                room -= len(frame) + FRAME_OVERHEAD_BYTES
                if room < 0:
                    break
                fitting += 1
            backlog.add(events[:fitting])
            dropped = len(events) - fitting
        else:
            backlog.add(events)
            dropped = backlog.drop(backlog.held_bytes + self._unsent() - self._slow.bytes_max)
        events.clear()
        self._held(backlog, dropped)

    def _owe(self, data: bytes) -> None:
        """Put what must not be dropped behind what waits; events make room for it, as far as the policy allows."""
        self.flush()
        backlog, bytes_max = self._backlog, self._slow.bytes_max
        if backlog is None or not self._open:
            return
        keeps_all = backlog.policy is SlowPolicy.DISCONNECT
        if (backlog.held_bytes if keeps_all else backlog.owed_held_bytes) + self._unsent() > bytes_max:
            self._cut_slow(backlog)
            return
        backlog.owe(data)
        excess = 0 if keeps_all else backlog.held_bytes + self._unsent() - bytes_max
        # By eighths: what is owed and stands behind dropped events is put in order each time.
        self._held(backlog, backlog.drop(max(excess, bytes_max // 8)) if excess > 0 else 0)

    def _held(self, backlog: Backlog, dropped: int = 0) -> None:
        """The backlog has changed."""
        if dropped:
            self._slow.dropped(self, backlog.policy, dropped)
        more = backlog.held_bytes + backlog.in_transport - backlog.accounted
        backlog.accounted += more
        self._slow.changed(more)

    def _cut_slow(self, backlog: Backlog) -> None:
        waiting = backlog.held_bytes + self._unsent()
        self._slow.counters.add("clients_cut_slow")
        _log.warn(
            "cut {client}: it does not read, and {waiting} bytes wait for it", client=self.describe(), waiting=waiting
        )
        self._tell_cut(waiting, "client_queue_bytes_max")
        self._connection.cut()

    def moved(self) -> bool:
        """Whether a slow client's system has taken bytes since this was last asked, or since the client became slow.

        Nothing is handed to the transport meanwhile, so what was not taken can only become less.
        """
        backlog = self._backlog
        if backlog is None:
            return False
        before, backlog.untaken = backlog.untaken, self._untaken()
        return backlog.untaken < before

    def _untaken(self) -> int:
        return self._unsent() + (unacknowledged(self._transport.socket) if self._direct else 0)

    def relieve(self) -> None:
        """Hold much less, for the node's sake: half of the events go if the policy allows it, else the client."""
        backlog = self._backlog
        if backlog is None:
            return
        events_bytes = backlog.held_bytes - backlog.owed_held_bytes
        if backlog.policy is not SlowPolicy.DISCONNECT and events_bytes:
            self._held(backlog, backlog.drop(events_bytes // 2 + 1))
            return
        self._slow.counters.add("clients_cut_crowded")
        self._tell_cut(backlog.held_bytes + self._unsent(), "clients_queue_bytes_max")
        self.drop()
        self._slow.later(self._connection.cut)

    def _tell_cut(self, waiting: int, limit: str) -> None:
        tell = self._connection.slow_teller()
        if tell is not None:
            # In a later turn: the core may be in the middle of something.
            self._slow.later(partial(tell, ON_SLOW, {"waiting": waiting, "limit": limit}))

    def tell_dropped(self, count: int) -> None:
        """Announce so many dropped events."""
        tell = self._connection.slow_teller()
        if tell is not None:
            tell(ON_EVENTS_DROPPED, {"count": count})

    def _caught_up(self) -> None:
        """Nothing waits, or nothing is to be written any more."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self._slow.leave(self)
            self._slow.changed(-backlog.accounted)

    # ---- the end

    def failed(self) -> None:
        """An exception of ours while writing: what the client has got is no longer known."""
        _log.failure("bytes for {client} could not be written", client=self.describe())
        self._connection.cut()

    def close(self) -> None:
        """End the stream behind what is queued; the peer's end follows, or the connection's deadline."""
        self.group = None
        self.flush()
        if self._backlog:
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
        self._caught_up()

    # ---- IPushProducer: the transport says when it is full

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport holds more than 64 KiB: hold the rest here."""
        self._paused = True
        if not self._open:
            return
        if self._backlog is None:
            self._backlog = Backlog(self._connection.slow_policy())
            self._slow.enter(self)
            if self.queue:  # of both kinds, perhaps
                self._backlog.owe(b"".join(self.queue))
                self.queue.clear()
        self._backlog.in_transport = self._unsent()
        self._backlog.untaken = self._untaken()
        self._held(self._backlog)

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is empty: give it what was held, until it is full again."""
        self._paused = False
        backlog = self._backlog
        if backlog is None:
            return
        self._connection.moved()
        while backlog and not self._paused:
            self._transport.write(backlog.take())
        if self._paused:
            return
        self._caught_up()
        if self._shut_when_empty:
            self._shut()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self.drop()
