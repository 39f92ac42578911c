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

from wampha.auth.steps import BrowserCookie, Certificate
from wampha.errors import WamphaError
from wampha.routing.slow import ON_EVENTS_DROPPED, ON_SLOW, SlowPolicy
from wampha.transport.backlog import BACKLOGS, Backlog
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

    def certificate(self) -> Certificate | None: ...

    def channel_id(self, binding: str) -> bytes: ...

    def cookie(self) -> BrowserCookie | None: ...

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
        "kind",
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
        self.kind = ("", "")  # transport and serializer, once both are known
        self.queue: list[bytes] | Backlog = []  # while the client does not read: its backlog, which takes only events
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

    def certificate(self) -> Certificate | None:
        """What the client has shown in its TLS handshake."""
        return self._connection.certificate()

    def channel_id(self, binding: str) -> bytes:
        """What only the two ends of the TLS channel know; raises SessionRefused."""
        return self._connection.channel_id(binding)

    def cookie(self) -> BrowserCookie | None:
        """The cookie of a browser, where the listener gives cookies to browsers."""
        return self._connection.cookie()

    def describe(self) -> str:
        """Like `tcp4:192.0.2.1:50000 websocket json`."""
        return self._connection.describe()

    # ---- bytes

    def write(self, data: bytes) -> None:
        """Queue bytes that are framed already, in the order of the calls."""
        if self._backlog is not None:
            if self._open:
                self._backlog.owe(data)
            return
        if not self.queue:
            self._flusher.mark(self)
        self.queue.append(data)

    def flush(self) -> None:
        """Write this turn's frames."""
        queue = self.queue
        if not queue:
            return
        if self._backlog is not None:  # what is in it waits for `resumeProducing`
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
        return self.unsent() + (self._backlog.frame_bytes if self._backlog is not None else 0)

    def unsent(self) -> int:
        """Bytes that the transport has; with TLS that is not known."""
        if not self._direct:
            return 0
        transport = self._transport
        unsent: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return unsent

    # ---- a client that does not read (`slow.SlowClient`, `backlog.Waiting`)

    @property
    def slow(self) -> bool:
        """Whether more waits for this client than its transport takes."""
        return self._backlog is not None

    @property
    def held_bytes(self) -> int:
        """The memory that waits."""
        return 0 if self._backlog is None else self._backlog.all_bytes

    def passed(self, waiting: int) -> None:
        """So much waits, more than may: hold nothing any more, and cut the client."""
        _log.warn(
            "cut {client}: it does not read, and {waiting} bytes wait for it", client=self.describe(), waiting=waiting
        )
        self._give_up("clients_cut_slow", waiting, "client_queue_bytes_max")

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
        return self.unsent() + (unacknowledged(self._transport.socket) if self._direct else 0)

    def relieve(self) -> None:
        """Hold much less, for the node's sake: half of the events go if the policy allows it, else the client."""
        backlog = self._backlog
        if backlog is None:
            return
        events_bytes = backlog.held_bytes - backlog.owed_held_bytes
        if backlog.COUNTER and events_bytes:
            backlog.drop(events_bytes // 2 + 1)
            backlog.settle()
            return
        self._give_up("clients_cut_crowded", backlog.held_bytes + self.unsent(), "clients_queue_bytes_max")

    def _give_up(self, counter: str, waiting: int, limit: str) -> None:
        """The client loses all that waits, and its connection in a later turn: the core may be busy with an event."""
        self._slow.counters.add(counter)
        tell = self._connection.slow_teller()
        if tell is not None:
            self._slow.later(partial(tell, ON_SLOW, {"waiting": waiting, "limit": limit}))
        self.drop()
        self._slow.later(self._connection.cut)

    def tell_dropped(self, count: int) -> None:
        """Announce so many dropped events."""
        tell = self._connection.slow_teller()
        if tell is not None:
            tell(ON_EVENTS_DROPPED, {"count": count})

    def _caught_up(self) -> None:
        """Nothing waits, or nothing is to be written any more."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self.queue = []
            self._slow.leave(self)
            backlog.leave()

    # ---- the end

    def failed(self) -> None:
        """An exception of ours while writing: what the client has got is no longer known."""
        _log.failure("bytes for {client} could not be written", client=self.describe())
        self._connection.cut()

    def close(self) -> None:
        """End the stream behind what is queued; the peer's end follows, or the connection's deadline."""
        self.group = None
        self.flush()
        if self._backlog is not None and not self._backlog.empty:
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
        self._caught_up()
        self.queue.clear()

    # ---- IPushProducer: the transport says when it is full

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport holds more than 64 KiB: hold the rest here."""
        self._paused = True
        if not self._open:
            return
        backlog = self._backlog
        if backlog is None:
            queued = b"".join(self.queue)  # events and others, perhaps
            backlog = BACKLOGS[self._connection.slow_policy()](self, self._slow, queued)
            self._backlog = self.queue = backlog
            self._slow.enter(self)
        backlog.untaken = self._untaken()
        backlog.in_transport(self.unsent())

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is empty: give it what was held, until it is full again."""
        self._paused = False
        backlog = self._backlog
        if backlog is None:
            return
        self._connection.moved()
        while not self._paused and not backlog.empty:
            self._transport.write(backlog.take())
        if self._paused:
            return
        self._caught_up()
        if self._shut_when_empty:
            self._shut()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        self.drop()
