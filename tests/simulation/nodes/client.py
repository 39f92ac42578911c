"""A WAMP client of the simulation: it does one thing when told, and writes down all that it does and sees."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ClientFactory

from tests.checkers import history as h
from tests.checkers.presence import LAST_WORDS, ON_JOIN, ON_LEAVE
from tests.simulation.nodes.network import Network
from tests.simulation.nodes.reactor import SimReactor
from tests.simulation.nodes.timeline import Process
from tests.simulation.nodes.wire import ClientProtocol, Speech

REALM = "realm1"
NOTICES = (ON_JOIN, LAST_WORDS, ON_LEAVE)
CONNECT_S = 2.0
JOIN_S = 5.0  # a client that gets no WELCOME tries the next node
WELCOME, ABORT, GOODBYE, ERROR, EVENT, RESULT, INVOCATION = 2, 3, 6, 8, 36, 50, 68
_REPLIES = {17: 16, 33: 32, 35: 34, 65: 64, 67: 66, 50: 48}  # reply -> request
_ROLES = {role: {} for role in ("publisher", "subscriber", "caller", "callee")}


class Client:
    """On a machine of its own; knows the addresses of all nodes, and reconnects to the next one, unless told not to."""

    def __init__(
        self,
        *,
        network: Network,
        chance: random.Random,
        history: h.History,
        name: str,
        nodes: list[str],
        speech: Speech,
    ) -> None:
        self.name, self.history, self.speech = name, history, speech
        self.process = Process(network.timeline, chance, name)
        self.nodes = nodes
        self.reconnects = True
        self.answers: Callable[[Client, h.Invocation], None] = Client.answer
        self.joined: Callable[[Client], None] = lambda client: None
        self.session = 0
        self.node = ""
        self.number = 0  # of the last PUBLISH or CALL
        self.subscriptions: dict[tuple[str, str], int] = {}  # (match, topic) -> id
        self.registrations: dict[str, int] = {}  # procedure -> id
        self.unanswered: list[h.Invocation] = []
        self._meta: dict[int, str] = {}  # subscription id -> topic of the router, or of testaments
        self._network, self._chance, self._timeline = network, chance, network.timeline
        self._reactor = SimReactor(network, self.process)
        self._at = chance.randrange(len(nodes))
        self._protocol: ClientProtocol | None = None
        self._join: h.Operation | None = None
        self._request = 0
        self._pending: dict[tuple[int, int], h.Operation] = {}  # (code, request) -> operation
        self._numbers: dict[str, int] = {}
        network.boot(name)

    # ---- connection and session

    def connect(self, node: str = "") -> None:
        """Join at this node, or at the next one."""
        if self._protocol is not None or self._join is not None or not self.process.alive:
            return
        if node:
            self._at = self.nodes.index(node)
        self.node = self.nodes[self._at]
        self._at = (self._at + 1) % len(self.nodes)
        self._join = self._invoke("join")
        self._reactor.connectTCP(self.node, 8080, _Opener(self), timeout=CONNECT_S)

    def opener(self) -> ClientProtocol:
        self._protocol = ClientProtocol(self.speech, self._opened, self._received, self._lost)
        return self._protocol

    def _opened(self, protocol: ClientProtocol) -> None:
        protocol.send([1, REALM, {"roles": _ROLES}])
        self._reactor.callLater(JOIN_S, self._too_late, self._join)

    def _too_late(self, join: h.Operation) -> None:
        if join is self._join and self._protocol is not None:
            self._protocol.transport.abortConnection()

    def failed_to_connect(self) -> None:
        self._close_session(h.LOST)

    def _lost(self, protocol: ClientProtocol) -> None:
        if protocol is self._protocol:
            self._close_session(h.LOST)

    def _close_session(self, cause: str, reason: str = "") -> None:
        """What did not come until now never comes."""
        self._protocol = None
        self._join = None
        self._pending.clear()
        self.subscriptions.clear()
        self.registrations.clear()
        self.unanswered.clear()
        self._meta.clear()
        if self.session:
            self.history.add(h.Ending(self.name, self.session, self.node, self._timeline.time, cause, reason))
            self.session = 0
        if self.reconnects and self.process.alive:
            self._reactor.callLater(self._chance.uniform(0.02, 0.5), self.connect)

    def leave(self) -> None:
        """GOODBYE; the end of the session is now, whatever comes."""
        if self.session and self._protocol is not None:
            self._protocol.send([6, {}, "wamp.close.normal"])
            self._invoke("leave")
            self._end_session(h.LEFT)
            self._protocol.close()

    def _end_session(self, cause: str, reason: str = "") -> h.Ending:
        ending = h.Ending(self.name, self.session, self.node, self._timeline.time, cause, reason)
        self.history.add(ending)
        self.session = 0
        self.subscriptions.clear()
        self.registrations.clear()
        self.unanswered.clear()
        self._pending.clear()
        return ending

    def drop(self) -> None:
        """Close without a word."""
        if self._protocol is not None:
            if self.session:
                self._end_session(h.VANISHED)
            self._protocol.transport.abortConnection()

    def vanish(self, power: bool) -> None:
        """The client's process or machine is gone for good."""
        if self.session:
            self._end_session(h.VANISHED)
        if power:
            self._network.power_off(self.process)
        else:
            self._network.kill(self.process)

    def stop_reading(self) -> None:
        """From now on nothing is read, and the socket stays open."""
        if self._protocol is not None:
            if self.session:
                ending = self._end_session(h.VANISHED)
                self._protocol.transport.peer.closed = lambda: self._given_up(ending)
            self._protocol.transport.pauseProducing()

    def _given_up(self, ending: h.Ending) -> None:
        ending.held_until = self._timeline.time

    def finish(self) -> None:
        """The test is over: the session ends, and there is no other."""
        self.reconnects = False
        self.process.enter(self._finish)

    def _finish(self) -> None:
        protocol = self._protocol
        if self.session and protocol is not None:
            self._end_session(h.ENDED)
            protocol.send([6, {}, "wamp.close.normal"])
        if protocol is not None:
            protocol.transport.resumeProducing()
            protocol.close()

    # ---- operations

    def subscribe(self, topic: str, match: str = "exact", retained: bool = False) -> h.Operation:
        operation = self._request_of(32, "subscribe", uri=topic, match=match, retained=retained)
        options: dict[str, Any] = {} if match == "exact" else {"match": match}
        self._send([32, self._request, {**options, "get_retained": True} if retained else options, topic])
        return operation

    def unsubscribe(self, topic: str, match: str = "exact") -> h.Operation:
        id_ = self.subscriptions.pop((match, topic))
        operation = self._request_of(34, "unsubscribe", uri=topic, match=match, id=id_)
        self._send([34, self._request, id_])
        return operation

    def register(self, procedure: str, policy: str = h.SINGLE) -> h.Operation:
        operation = self._request_of(64, "register", uri=procedure, policy=policy)
        self._send([64, self._request, {} if policy == h.SINGLE else {"invoke": policy}, procedure])
        return operation

    def unregister(self, procedure: str) -> h.Operation:
        id_ = self.registrations.pop(procedure)
        operation = self._request_of(66, "unregister", uri=procedure, id=id_)
        self._send([66, self._request, id_])
        return operation

    def publish(self, topic: str, acknowledge: bool = False, filler: str = "", retain: bool = False) -> h.Operation:
        number = self._next_number("publish")
        operation = self._request_of(16, "publish", uri=topic, number=number, acknowledge=acknowledge, retained=retain)
        if not acknowledge:
            del self._pending[16, self._request]
            operation.returned, operation.outcome = operation.invoke, h.OK
        args = [self.session, number, topic, filler] if filler else [self.session, number, topic]
        options = {"acknowledge": True} if acknowledge else {}
        self._send([16, self._request, {**options, "retain": True} if retain else options, topic, args])
        return operation

    def call(self, procedure: str) -> h.Operation:
        number = self._next_number("call")
        operation = self._request_of(48, "call", uri=procedure, number=number)
        self._send([48, self._request, {}, procedure, [self.session, number, procedure]])
        return operation

    def bequeath(self) -> h.Operation:
        """Leave a testament."""
        number = self._next_number("bequeath")
        operation = self._request_of(48, "bequeath", number=number)
        scope = "detached" if number == 1 else "destroyed"  # so that their order is that of their numbers
        args = [LAST_WORDS, [self.session, number], {}]
        self._send([48, self._request, {}, "wamp.session.add_testament", args, {"scope": scope}])
        return operation

    def kill(self, session: int) -> h.Operation:
        """End another session."""
        operation = self._request_of(48, "kill", id=session)
        self._send([48, self._request, {}, "wamp.session.kill", [session], {"reason": h.KILLED}])
        return operation

    def answer(self, invocation: h.Invocation, error: bool = False) -> None:
        """YIELD, or ERROR."""
        if invocation.session != self.session or invocation.answered is not None:
            return
        invocation.answered = self._timeline.time
        args = [invocation.caller, invocation.number, self.session]
        if error:
            self._send([8, 68, invocation.invocation, {}, "com.example.failed", args])
        else:
            self._send([70, invocation.invocation, {}, args])

    def _next_number(self, series: str) -> int:
        self._numbers[series] = number = self._numbers.get(series, 0) + 1
        return number

    def _request_of(self, code: int, op: str, **fields: Any) -> h.Operation:
        self._request += 1
        operation = self._pending[code, self._request] = self._invoke(op, **fields)
        return operation

    def _invoke(self, op: str, **fields: Any) -> h.Operation:
        operation = h.Operation(self.name, self.session, self.node, op, self._timeline.time, **fields)
        self.history.add(operation)
        return operation

    def _send(self, message: list[Any]) -> None:
        assert self._protocol is not None, "no session"
        self._protocol.send(message)

    # ---- what comes

    def _received(self, protocol: ClientProtocol, message: list[Any]) -> None:
        if protocol is not self._protocol:
            return
        code = message[0]
        if code == WELCOME:
            self._welcome(message[1])
        elif not self.session:
            if code == ABORT and self._join is not None:
                self._return(self._join, h.ERROR, error=message[2])
        elif code == EVENT:
            self._event(message)
        elif code == INVOCATION:
            self._invocation(message)
        elif code == GOODBYE:
            self._end_session(h.GOODBYE, message[2])
        elif code == ERROR:
            self._ended(message[1], message[2], h.ERROR, error=message[4], args=message[5] if len(message) > 5 else [])
        else:
            self._ended(_REPLIES[code], message[1], h.OK, message=message)

    def _welcome(self, session: int) -> None:
        assert self._join is not None
        self.session = self._join.session = session
        self._request = 0
        self._numbers.clear()
        self._return(self._join, h.OK)
        self._join = None
        self.joined(self)

    def _ended(
        self, code: int, request: int, outcome: str, *, message: list[Any] = (), error: str = "", args: list[Any] = ()
    ) -> None:
        operation = self._pending.get((code, request))
        assert operation is not None, f"an answer to request {request} of kind {code}, which was not made"
        if code == 48:
            operation.answers += 1
            if operation.answers > 1:
                return
            given = args or (message[3] if len(message) > 3 else [])
            if len(given) == 3 and given[:2] == [self.session, operation.number]:
                operation.callee = given[2]
        else:
            del self._pending[code, request]
        if outcome == h.OK and code in (16, 32, 64):
            operation.id = message[2]
        self._return(operation, outcome, error)
        if outcome == h.OK and code == 32:
            self.subscriptions[operation.match, operation.uri] = operation.id
            if operation.uri in NOTICES:
                self._meta[operation.id] = operation.uri
        elif outcome == h.OK and code == 64:
            self.registrations[operation.uri] = operation.id

    def _return(self, operation: h.Operation, outcome: str, error: str = "") -> None:
        operation.returned, operation.outcome, operation.error = self._timeline.time, outcome, error

    def _event(self, message: list[Any]) -> None:
        args = message[4]
        topic = self._meta.get(message[1])
        if topic is not None:
            self._notice(topic, message[2], args)
            return
        event = h.Event(
            client=self.name, session=self.session, node=self.node, time=self._timeline.time, subscription=message[1],
            publication=message[2], publisher=args[0], number=args[1], topic=args[2],
            retained=message[3].get("retained", False),
        )  # fmt: skip
        self.history.add(event)

    def _notice(self, topic: str, publication: int, args: list[Any]) -> None:
        about = args[0]["session"] if topic == ON_JOIN else args[0]
        number = args[1] if topic == LAST_WORDS else 0
        notice = h.Notice(self.name, self.session, self.node, self._timeline.time, publication, topic, about, number)
        self.history.add(notice)

    def _invocation(self, message: list[Any]) -> None:
        args = message[4]
        invocation = h.Invocation(
            client=self.name, session=self.session, node=self.node, time=self._timeline.time, registration=message[2],
            invocation=message[1], caller=args[0], number=args[1], procedure=args[2],
        )  # fmt: skip
        self.history.add(invocation)
        self.answers(self, invocation)

    def asked(self, op: str, uri: str, match: str = "exact") -> bool:
        """Whether such an operation waits for its answer."""
        waiting = (each for each in self._pending.values() if each.returned is None)
        return any((each.op, each.uri, each.match) == (op, uri, match) for each in waiting)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """In a later turn of this client."""
        self._reactor.callLater(delay_s, call)

    def busy(self) -> int:
        """Operations that wait for their answer."""
        return sum(1 for operation in self._pending.values() if operation.returned is None)


class _Opener(ClientFactory):
    noisy = False

    def __init__(self, client: Client) -> None:
        self._client = client

    def buildProtocol(self, addr: Any) -> ClientProtocol:  # noqa: N802 - Twisted's name
        return self._client.opener()

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:  # noqa: N802 - Twisted's name
        self._client.failed_to_connect()
