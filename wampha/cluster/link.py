"""One connection to another node, for one channel: from the handshake to the close."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from wampha.cluster.carriers import Carrier
from wampha.cluster.encryption import EncryptedTransport
from wampha.cluster.frames import FrameError, FrameReader
from wampha.cluster.handshake import (
    HANDSHAKE_FRAME_BYTES_MAX,
    Channel,
    Handshake,
    HandshakeRefused,
    Refusal,
    Stage,
    refusal,
)
from wampha.cluster.outgoing import Outgoing
from wampha.counters import Counters
from wampha.errors import LinkRefused
from wampha.limits import Limits
from wampha.state.commands import Owner

# protocol.md, section 2: keep-alive 0.5 s, time-out 2 s. Silence is counted in ticks of our own, not in seconds: when
# this process was stopped, its peers' bytes lie in the socket, and the first tick must not condemn them.
TICK_S: Final = 0.5
_SILENT_TICKS_MAX: Final = 4
_CLOSING_TICKS_MAX: Final = 2  # for a peer to read our last words


class State(enum.Enum):
    """The life of a link; it only ever goes downwards."""

    SHAKING = 0
    OPEN = 1
    CLOSED = 2


_TLS_HANDSHAKE: Final = 0x16  # the first byte of a connection that begins with TLS (RFC 8446, section 5.1)
_IS_OPEN: Final = State.OPEN  # asked for each chunk and flush
_IS_CLOSED: Final = State.CLOSED


class LinkEvents(typing.Protocol):
    """What a link tells. None of it is told from inside `flush`, except `broken`."""

    def proven(self, link: Link) -> None:
        """The peer is a member: the link is open, and must be told now what to `carry`."""

    def refused(self, link: Link, error: LinkRefused) -> None:
        """The handshake failed, on either side; the link is closing."""

    def broken(self, link: Link, sentence: str) -> None:
        """A proven peer did something impossible, or nothing for too long; the link is closing."""

    def ended(self, link: Link) -> None:
        """The connection is gone. The last event of each link."""

    def eased(self, link: Link) -> None:
        """The transport has taken everything that waited, and got more."""


@implementer(IHandshakeListener)
class Link(Protocol):
    """Shakes hands, then carries frames both ways in order until either side closes; a closed link delivers nothing."""

    transport: Any  # Twisted's interfaces say nothing to a type checker
    _log = Logger()

    def __init__(
        self,
        *,
        handshake: Handshake,
        events: LinkEvents,
        limits: Limits,
        counters: Counters,
    ) -> None:
        self.state = State.SHAKING
        self.handshake: Final = handshake
        self.age_ticks = 0
        self.address = "?"
        self.peer = Owner("", 0)  # who it is, once proven
        self.life = 0  # the peer's, once proven
        self._events: Final = events
        self._limits: Final = limits
        self._counters: Final = counters
        self._reader: Final = FrameReader(HANDSHAKE_FRAME_BYTES_MAX)
        self._receive: Callable[[bytes], None] = self._shake
        self._speaks = False  # what is written goes out: with TLS, once that has shaken hands
        self._flowing = True
        self._kept: Iterator[bytes] | None = None  # frames that have come, but are for a later turn
        self._behind_kept: Final = bytearray()  # what came behind them, though reading is paused
        self._carrier: Carrier | None = None  # once open
        self._outgoing: Outgoing | None = None
        self._silent_ticks = 0
        self._closing_ticks = 0

    @property
    def channel(self) -> Channel:
        """The channel; only once it is known."""
        channel = self.handshake.channel
        assert channel is not None, "no hello was accepted yet"
        return channel

    # ---- from Twisted

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Begin the handshake, unless TLS comes first."""
        transport = self.transport
        set_no_delay = getattr(transport, "setTcpNoDelay", None)  # TLS hides which interfaces the one below provides
        if set_no_delay is not None:
            set_no_delay(True)
        self.address = _describe(transport.getPeer())
        if not isinstance(transport, EncryptedTransport):
            self._begin()

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        """TLS is there, and the peer's certificate: begin, unless it is that of another node than was dialled."""
        if self.state is State.CLOSED:
            return
        self._speaks = True
        try:
            self.handshake.certify(self.transport.peer_names())
        except LinkRefused as error:
            self._refuse(error)
        else:
            self._begin()

    def _begin(self) -> None:
        self._speaks = True
        hello = self.handshake.begin()
        if hello:
            self.transport.write(hello)

    def spoken_to_plainly(self) -> bytes:
        """The peer does not speak TLS; what is returned tells it so, in plain."""
        self._events.refused(self, HandshakeRefused(Refusal.ENCRYPTION))
        self._shut()
        return refusal(Refusal.ENCRYPTION)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Handle every frame that `data` completes, unless `stop_flow` puts the rest off."""
        self._silent_ticks = 0
        if self._kept is not None:
            self._behind_kept.extend(data)
        elif self.state is not _IS_CLOSED:
            self._handle(self._reader.frames(data))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # noqa: N802 - Twisted's name and default
        """Tell that the link has ended, and if TLS has ended it, why."""
        error = None
        if self.state is State.SHAKING and isinstance(self.transport, EncryptedTransport):
            error = self.transport.refusal(reason)
        self._shut()
        if error is not None:
            self._events.refused(self, error)
        self._events.ended(self)

    # ---- receiving

    def _handle(self, frames: Iterator[bytes]) -> None:
        self._flowing = True
        try:
            for body in frames:
                self._receive(body)
                if not self._flowing:
                    self._keep(frames)
                    break
        except LinkRefused as error:
            self._refuse(error)
        except FrameError as error:
            self._cannot_read(error)
        finally:
            if self._carrier is not None and self._carrier.chunk_ended():
                self.flush()

    def stop_flow(self) -> None:
        """Enough for this turn: the frames behind the one in hand wait for `resume`, and nothing more is read.

        They have not been received, as far as the peer is told; if the link ends meanwhile they come again.
        """
        self._flowing = False

    def _keep(self, frames: Iterator[bytes]) -> None:
        if self.state is State.OPEN:
            self._kept = frames
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Go on where `stop_flow` has stopped; nothing happens if the link has ended. Raises nothing."""
        try:
            self._go_on()
        except Exception:  # as Twisted does with an error in `dataReceived`
            self._log.failure("frames of {name} could not be handled", name=self.peer.name)
            self.abort()

    def _go_on(self) -> None:
        frames, self._kept = self._kept, None
        if frames is None:
            return
        self._handle(frames)
        while self._behind_kept and self._kept is None:
            data = bytes(self._behind_kept)
            self._behind_kept.clear()
            self._handle(self._reader.frames(data))
        if self._kept is None and self.state is State.OPEN:
            self.transport.resumeProducing()

    def _shake(self, body: bytes) -> None:
        answer = self.handshake.receive(body)
        if answer:
            self.transport.write(answer)
        if self.handshake.stage is Stage.DONE:
            self._open()

    def _open(self) -> None:
        self.state = State.OPEN
        self._reader.bytes_max = self._limits.link_frame_bytes_max
        hello = self.handshake.peer
        assert hello is not None, "the handshake is done"
        self.peer, self.life = Owner(hello.name, hello.incarnation), hello.life
        self._events.proven(self)

    def carry(self, carrier: Carrier) -> None:
        """Say what this open link is for; once."""
        self._carrier = carrier
        self._outgoing = Outgoing(self.transport, carrier, lambda: self._events.eased(self))
        self._receive = carrier.receive
        self._outgoing.flush()

    def _cannot_read(self, error: FrameError) -> None:
        if self.state is State.SHAKING:
            encrypted = error.length >> 24 == _TLS_HANDSHAKE
            reason = Refusal.ENCRYPTION if encrypted else Refusal.GARBAGE
            self._refuse(HandshakeRefused(reason, "" if encrypted else str(error)))
            return
        self._counters.add("link_frames_refused")
        self.break_off(str(error))

    # ---- sending

    def flush(self) -> None:
        """Hand what the carrier has to the transport, as one write."""
        if self.state is _IS_OPEN and self._outgoing is not None:
            self._outgoing.flush()

    # ---- time and the end

    def tick(self) -> None:
        """To be called every `TICK_S` seconds: keep-alive, and the time limits."""
        self.age_ticks += 1
        if self._kept is None:  # else we do not listen
            self._silent_ticks += 1
        if self.state is State.CLOSED:
            self._closing_ticks += 1
            if self._closing_ticks > _CLOSING_TICKS_MAX:
                self.transport.abortConnection()
        elif self.state is State.SHAKING:
            if self.age_ticks * TICK_S > self._limits.link_handshake_timeout_s:
                self._refuse(HandshakeRefused(Refusal.TIMEOUT))
        elif self._silent_ticks > _SILENT_TICKS_MAX:
            self.break_off(f"nothing came from it for {_SILENT_TICKS_MAX * TICK_S:g} s")
        elif self._carrier is not None:
            self._carrier.beat()
            self.flush()

    def close(self) -> None:
        """Send what is queued, then close; a peer that does not read is cut off by the ticks."""
        if self.state is State.CLOSED:
            return
        outgoing = self._outgoing
        self._shut()
        if outgoing is None:
            self.transport.loseConnection()
        else:
            outgoing.finish()

    def abort(self) -> None:
        """Close at once; what is queued is lost."""
        self._shut()
        self.transport.abortConnection()

    def break_off(self, sentence: str) -> None:
        """Close at once because of what the peer did; nothing happens if it is closed already."""
        if self.state is State.CLOSED:
            return
        self._events.broken(self, sentence)
        self.abort()

    def refuse(self, reason: Refusal) -> None:
        """End a handshake for a reason that the peer is told."""
        self._refuse(HandshakeRefused(reason))

    def _refuse(self, error: LinkRefused) -> None:
        self._shut()
        if self._speaks and isinstance(error, HandshakeRefused):
            self.transport.write(refusal(error.reason))
        self._events.refused(self, error)
        if self._speaks:
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def _shut(self) -> None:
        self.state = State.CLOSED
        self._receive = _ignore
        self._behind_kept.clear()
        if self._kept is not None:
            self._kept = None
            self.transport.resumeProducing()  # what is not read would reset the connection, and cut off our last words


def _ignore(body: bytes) -> None:
    """Frames of a closed link are dropped, those of the same chunk included."""


def _describe(address: object) -> str:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return f"{host}:{port}" if host is not None else str(address)
