"""What WebSocket and RawSocket connections have in common: gate, conversation, deadlines, the end."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import Logger

from wampha.auth.doorway import Doorway
from wampha.auth.steps import BrowserCookie, Certificate
from wampha.counters import Counters
from wampha.errors import InvalidArgument, Later, PayloadSizeExceeded, ProtocolViolation, WamphaError
from wampha.limits import Limits
from wampha.messages.model import Error, Event, Invocation, Result
from wampha.messages.payload import NOTHING, Payload
from wampha.routing.ports import Audit, no_audit
from wampha.routing.slow import SlowPolicy
from wampha.transport.certificates import FailedHandshakes, client_certificate
from wampha.transport.channels import channel_id
from wampha.transport.cookies import BrowserCookies
from wampha.transport.deadlines import Deadlines
from wampha.transport.flusher import Flusher
from wampha.transport.frames import FrameGroups, Serializer, TooLarge
from wampha.transport.gate import Gate, Reactor
from wampha.transport.origins import Origins
from wampha.transport.outbox import ClientOutbox
from wampha.transport.pressure import Pressure
from wampha.transport.slow import SlowClients

_CALL: Final = 48  # WAMP message codes, for ERROR.Type
_INVOCATION: Final = 68


class Conversation(Protocol):
    """The core's side of a connection (`routing`)."""

    def receive(self, message: Any) -> None:
        """Raises Later, and nothing else, if the message is to be handed in again when `Pressure` says so."""

    def violated(self, violation: ProtocolViolation) -> None: ...

    def undelivered(self, error: Any) -> None: ...

    def lost(self) -> None: ...

    def slow_policy(self) -> SlowPolicy: ...

    def slow_teller(self) -> Callable[[str, Mapping[str, Any]], None] | None: ...


class Ended(Protocol):
    """A connection that is gone."""

    transport: Any
    refusal: str | None


class Router(Protocol):
    """What connections ask the core for."""

    def connected(self, client: Any, doorway: Doorway) -> Conversation: ...


class Service:
    """What all connections of one listener share."""

    def __init__(
        self,
        *,
        router: Router,
        doorway: Doorway,
        gate: Gate,
        flusher: Flusher,
        pressure: Pressure,
        slow: SlowClients,
        limits: Limits,
        counters: Counters,
        reactor: Reactor,
        cookies: BrowserCookies | None = None,
        origins: Origins | None = None,
        audit: Audit = no_audit,
    ) -> None:
        """`cookies`: what browsers are given, if they are given any.

        `origins`: which web pages may connect; without it those of the same host.
        """
        self.origins: Final = origins or Origins()
        self.audit: Final = audit
        self.router: Final = router
        self.doorway: Final = doorway
        self.gate: Final = gate
        self.flusher: Final = flusher
        self.pressure: Final = pressure
        self.slow: Final = slow
        self.limits: Final = limits
        self.counters: Final = counters
        self.reactor: Final = reactor
        self.cookies: Final = cookies
        self.groups: Final = FrameGroups()
        self.deadlines: Final = Deadlines(reactor=reactor, limits=limits, gate=gate)
        self.failed_handshakes: Final = FailedHandshakes(counters=counters, seconds=cast(Any, reactor).seconds)
        self.gone: Callable[[Ended], None] = lambda _: None  # called after each connection that ended


class Phase(enum.Enum):
    """Of a connection's life; it only ever moves down this list."""

    OPENING = 0  # the opening handshake is not complete
    OPEN = 1
    CLOSING = 2  # nothing more is routed; the closing handshake or the peer's end is awaited
    GONE = 3


# For each chunk: to look a member up in its enum costs ten times as much as a name of the module.
OPENING: Final = Phase.OPENING
OPEN: Final = Phase.OPEN
CLOSING: Final = Phase.CLOSING


class ClientConnection:
    """Mixed into the two protocol classes, before Autobahn's class.

    They provide `consume`, `ping`, `close_politely`, `transport` and `TRANSPORT`.
    """

    TRANSPORT: ClassVar[str]
    transport: Any
    service: Service
    refusal: str | None = None  # what its opening handshake is to be answered, since it is one too many
    spoke = 0
    phase = Phase.OPENING
    _age = 0  # ticks: OPEN: since something was heard; else since the phase began
    flowing = False  # whether the next message may be handled now
    patient = False  # a node that it feeds is behind: `pressure.py` lets it go on
    _held: tuple[bytes, ...] = ()  # what waits to be handled: chunks that came while the gate was closed, and the like
    _kept: Any = None  # a message that the core did not take yet; it comes before all that is held
    _conversation: Conversation | None = None
    _serializer: Serializer | None = None
    _log = Logger(namespace="wampha.transport")
    outbox: ClientOutbox

    # ---- from the two protocols

    def consume(self, data: bytes) -> None:
        """Handle received bytes; in CLOSING only what the closing handshake needs."""
        raise NotImplementedError

    def ping(self) -> None:
        """Queue a ping."""
        raise NotImplementedError

    def close_politely(self) -> None:
        """Begin to close, behind what is queued."""
        raise NotImplementedError

    # ---- beginning

    @property
    def opening(self) -> bool:
        """Whether the opening handshake is not complete."""
        return self.phase is Phase.OPENING

    def begin(self, service: Service, age: int) -> None:
        """Take over a connected transport; `age`: ticks since it was accepted."""
        self.service = service
        self._age = age
        self.outbox = ClientOutbox(
            connection=self,
            transport=self.transport,
            flusher=service.flusher,
            slow=service.slow,
        )
        service.deadlines.add(self)

    def opened(self, serializer: Serializer, framing: Callable[[bytes], bytes], bytes_max: int) -> None:
        """The opening handshake is complete: from here on the core decides."""
        service = self.service
        self.phase = Phase.OPEN
        self.flowing = True
        self._age = 0
        self._serializer = serializer
        self.outbox.group = service.groups.group(serializer, framing, bytes_max)
        self.outbox.kind = (self.TRANSPORT, serializer.SERIALIZER_ID)
        self._conversation = service.router.connected(self.outbox, service.doorway)

    # ---- input

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """A chunk has arrived. Whether this node may serve is asked now, behind the read (protocol rule 1)."""
        if self._held or (self.phase is not CLOSING and not self.service.gate.open()):
            self._hold(data)
        else:
            self._handle(data)

    def _handle(self, data: bytes) -> None:
        flusher = self.service.flusher
        flusher.begin(self)
        if self.phase is OPEN:
            self._age = 0
        try:
            if self._kept is None or self._hand_in_again():
                self.consume(data)
            else:
                self.put_off(data)
        except Exception:
            self.failed()
        finally:
            flusher.flush()

    def failed(self) -> None:
        """An exception of ours while handling input: where the next message begins is no longer known."""
        self._log.failure("input of {client} could not be handled", client=self.describe())
        self.cut()

    def _hold(self, data: bytes) -> None:
        self._held += (data,)
        self.service.gate.hold(self)
        self.transport.pauseProducing()

    def resume(self) -> int:
        """Nothing is in the way, or the connection closes: handle what was held, in order, then read on.

        Returns how many bytes that were.
        """
        if self.patient and self.phase is Phase.OPEN:
            return 0
        held, self._held = self._held, ()
        if self.phase is Phase.GONE:
            return 0
        self.flowing = self.phase is Phase.OPEN
        self.transport.resumeProducing()
        for data in held:
            self.dataReceived(data)
        return sum(map(len, held))

    def stop_flow(self) -> None:
        """Enough for this turn: `consume` comes to `put_off` behind the message in hand, and `resume` will follow."""
        self.flowing = False

    def put_off(self, rest: bytes) -> None:
        """Keep what begins with the next message, if the flow was stopped; read no more until `resume`."""
        if self.phase is Phase.OPEN:
            self._held = (rest, *self._held)
            self.transport.pauseProducing()

    def route(self, body: bytes) -> None:
        """Hand one message to the core."""
        assert self._conversation is not None and self._serializer is not None
        try:
            message = self._serializer.parse(body)
        except ProtocolViolation as violation:
            self._conversation.violated(violation)
        else:
            try:
                self._conversation.receive(message)
            except Later as later:
                self._keep_message(message, later)

    def _keep_message(self, message: Any, later: Later) -> None:
        self._kept = message
        self.service.pressure.wait(self, later.awaited)

    def _hand_in_again(self) -> bool:
        """Try what was kept; whether what stands behind it may be handled now."""
        message, self._kept = self._kept, None
        if self.phase is Phase.OPEN:
            assert self._conversation is not None
            try:
                self._conversation.receive(message)
            except Later as later:
                self._keep_message(message, later)
            else:
                self.service.pressure.leave(self)
        return self.flowing or self.phase is not Phase.OPEN

    def violated(self, sentence: str) -> None:
        """The client broke the protocol below WAMP's messages, in a way that can still be answered by ABORT."""
        if self._conversation is not None:
            self._conversation.violated(ProtocolViolation(sentence))

    # ---- output

    def unsendable(self, message: Any, problem: WamphaError) -> None:
        """A message that this client cannot be sent: the session goes on where WAMP has an answer for it.

        EVENT: left out. RESULT: the caller gets an ERROR instead; the dealer is told if it was not the last one.
        INVOCATION: the dealer is told as if the callee had answered with an ERROR. ERROR: sent without its payload.
        Anything else is owed: the connection is closed.
        """
        counters = self.service.counters
        if isinstance(message, Event):
            counters.add("events_undeliverable")
            return
        counters.add("messages_unsendable")
        if isinstance(message, Result) and "progress" in message.details:
            self._undelivered(_refusal(_CALL, message.request, problem))
        elif isinstance(message, Result):
            self.outbox.send(_refusal(_CALL, message.request, problem))
        elif isinstance(message, Invocation):
            # In a later turn: the dealer is in the middle of this call.
            self.service.reactor.callLater(0, self._undelivered, _refusal(_INVOCATION, message.request, problem))
        elif isinstance(message, Error) and message.payload.count:
            self.outbox.send(Error(message.request_type, message.request, {}, message.error, NOTHING))
        else:
            self._log.warn("closed {client}: {problem}", client=self.describe(), problem=str(problem))
            self.finish()

    def _undelivered(self, refusal: Error) -> None:
        if self._conversation is not None and self.phase is Phase.OPEN:
            self._conversation.undelivered(refusal)

    # ---- a client that does not read

    def slow_policy(self) -> SlowPolicy:
        """That of the session's realm; who has no session is owed all that waits."""
        return SlowPolicy.DISCONNECT if self._conversation is None else self._conversation.slow_policy()

    def slow_teller(self) -> Callable[[str, Mapping[str, Any]], None] | None:
        """Announces something about the session, if there is one."""
        return None if self._conversation is None else self._conversation.slow_teller()

    def moved(self) -> None:
        """The client has read much: that counts as being heard."""
        if self.phase is Phase.OPEN:
            self._age = 0

    # ---- deadlines

    def tick(self, frozen: bool) -> None:
        """Count the age of this phase, and act when it is too old. Time does not count while nothing is read."""
        if (frozen or self._held) and self.phase is not Phase.CLOSING:
            return
        self._age += 1
        deadlines = self.service.deadlines
        if self.phase is Phase.OPEN:
            if self._age == deadlines.ping:
                self.ping()
            elif self._age > deadlines.silent and deadlines.may_cut():
                if self.outbox.moved():  # it reads, if slowly: our ping may lie behind megabytes
                    self._age = deadlines.ping
                else:
                    self._cut_for("clients_cut_silent", "it did not answer a ping")
        elif self.phase is Phase.OPENING and self._age > deadlines.opening and deadlines.may_cut():
            self._cut_for("opening_timeouts", None)
        elif self.phase is Phase.CLOSING and self._age == deadlines.closing + 1:
            self._cut_for("close_timeouts", None)

    def _cut_for(self, counter: str, reason: str | None) -> None:
        self.service.counters.add(counter)
        if reason:
            self._log.info("cut {client}: {reason}", client=self.describe(), reason=reason)
        self.cut()

    # ---- the end

    def finish(self) -> None:
        """Close behind what is queued. Idempotent; bounded by goodbye_timeout_s."""
        if self.phase.value < Phase.CLOSING.value:
            self.closing()
            self.close_politely()

    def closing(self) -> None:
        """Nothing more is routed, and no message is sent any more."""
        if self.phase.value >= Phase.CLOSING.value:
            return
        self.phase = Phase.CLOSING
        self.flowing = False
        self._age = 0
        self.outbox.group = None
        if self._held:
            self.service.gate.forget(self)
            self.service.reactor.callLater(0, self.resume)

    def cut(self) -> None:
        """Drop the connection at once, whatever waits."""
        self.outbox.drop()
        self.closing()
        self.transport.abortConnection()

    def ended(self) -> None:
        """The core may forget the session: nothing can be exchanged with this client any more."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            try:
                conversation.lost()
            except Exception:
                self._log.failure("the end of {client} could not be handled", client=self.describe())

    def gone(self) -> None:
        """The transport is gone; called once."""
        self.phase = Phase.GONE
        self.flowing = False
        self._held = ()
        self._kept = None
        service = self.service
        service.gate.forget(self)
        service.pressure.leave(self)
        service.deadlines.discard(self)
        self.outbox.drop()
        service.flusher.begin()
        self.ended()
        service.flusher.flush()
        service.gone(self)

    def certificate(self) -> Certificate | None:
        """What the client has shown in its TLS handshake."""
        return client_certificate(self.transport)

    def channel_id(self, binding: str) -> bytes:
        """What only the two ends of the TLS channel know; raises SessionRefused."""
        return channel_id(self.transport, binding)

    def cookie(self) -> BrowserCookie | None:
        """None: only WebSocket requests have cookies."""
        return None

    def describe(self) -> str:
        """Like `tcp4:192.0.2.1:50000 websocket json`."""
        serializer = self._serializer.SERIALIZER_ID if self._serializer else "opening"
        return f"{address_of(self.transport)} {self.TRANSPORT} {serializer}"


def _refusal(request_type: int, request: int, problem: WamphaError) -> Error:
    uri = PayloadSizeExceeded.uri if isinstance(problem, TooLarge) else InvalidArgument.uri
    return Error(request_type, request, {}, uri, Payload.of([str(problem)]))


def address_of(transport: Any) -> str:
    """Like `tcp4:192.0.2.1:50000`."""
    peer = transport.getPeer()
    if isinstance(peer, IPv4Address):
        return f"tcp4:{peer.host}:{peer.port}"
    if isinstance(peer, IPv6Address):
        return f"tcp6:[{peer.host}]:{peer.port}"
    return "unix" if isinstance(peer, UNIXAddress) else "unknown"
