"""Clients that do a bit of everything at random, answer their calls, and write down what they asked for and saw.

Each is a thread with one session at a time, on the host of its node. When the session ends it joins again, on its next
node.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.nodes import HostNode
from tests.checkers import history as h
from tests.support.wampclient import (
    CALL,
    ERROR,
    EVENT,
    GOODBYE,
    INVOCATION,
    PUBLISH,
    REGISTER,
    RESULT,
    SUBSCRIBE,
    UNREGISTER,
    UNSUBSCRIBE,
    YIELD,
    ConnectionEndedError,
    Session,
)

TICK_S: Final = 0.02  # longest wait for a message before the client looks at what else there is to do
AGAIN_S: Final = 0.1  # between attempts to join
ANSWER_S: Final = 30.0  # longest wait for an answer, at the end of a run: a call ends within seconds, whatever dies
LATE_S: Final = 1.5  # what was sent last may still arrive for so long
_REPLY: Final = {SUBSCRIBE: 33, UNSUBSCRIBE: 35, REGISTER: 65, UNREGISTER: 67, CALL: RESULT, PUBLISH: 17}
_NAMES: Final = {
    SUBSCRIBE: "subscribe",
    UNSUBSCRIBE: "unsubscribe",
    REGISTER: "register",
    UNREGISTER: "unregister",
    PUBLISH: "publish",
    CALL: "call",
}


@dataclass(frozen=True)
class Load:
    """What a client does, how often, and with what."""

    per_second: float = 20.0
    topics: Sequence[str] = tuple(f"test.topic{number}" for number in range(4))
    procedures: Sequence[str] = tuple(f"test.procedure{number}" for number in range(2))
    subscribe: float = 2  # the weights of what may be done
    unsubscribe: float = 1
    register: float = 1
    unregister: float = 1
    publish: float = 6
    call: float = 4


class RandomClient(threading.Thread):
    """One client; `history` is complete when the thread has ended."""

    def __init__(self, name: str, nodes: Sequence[HostNode], seed: int, load: Load) -> None:
        """It joins `nodes` in turn, the first one first."""
        super().__init__(name=name, daemon=True)
        self.history: Final = h.History()
        self.failure: BaseException | None = None
        self._nodes: Final = itertools.cycle(nodes)
        self._chance: Final = random.Random(seed)
        self._load: Final = load
        self._quiet: Final = threading.Event()
        self._ending: Final = threading.Event()
        self._session: Session
        self._node: HostNode
        self._pending: tuple[int, h.Operation] | None = None  # (request, operation) that waits for its answer
        self._held: dict[str, dict[str, int]] = {}  # "subscribe" and "register" -> uri -> id
        self._numbers: dict[str, int] = {}  # of publish and call, per session
        self._due = 0.0

    def quiet(self) -> None:
        """Begin nothing new."""
        self._quiet.set()

    def end(self) -> None:
        """Let the thread end soon; what it waits for becomes unknown."""
        self._quiet.set()
        self._ending.set()

    @property
    def idle(self) -> bool:
        """Whether it waits for no answer."""
        return self._pending is None

    def run(self) -> None:
        """Join, live, and join again."""
        try:
            while not self._ending.is_set():
                if self._join():
                    with self._session:
                        self._live()
                else:
                    self._ending.wait(AGAIN_S)
        except BaseException as failure:
            self.failure = failure

    # ---- a session's life

    def _join(self) -> bool:
        self._node = next(self._nodes)
        join = h.Operation(self.name, 0, self._node.name, "join", time.monotonic())
        try:
            self._session = self._node.session("rawsocket", self._chance.choice(("json", "msgpack", "cbor")))
        except (OSError, ConnectionEndedError):
            return False
        join.session, join.returned, join.outcome = self._session.id, time.monotonic(), h.OK
        self.history.add(join)
        self._held = {"subscribe": {}, "register": {}}
        self._numbers = {"publish": 0, "call": 0}
        self._pending = None
        return True

    def _live(self) -> None:
        try:
            while not self._ending.is_set():
                if self._pending is None and not self._quiet.is_set() and time.monotonic() >= self._due:
                    self._due = time.monotonic() + self._chance.expovariate(self._load.per_second)
                    self._begin()
                if self._receive() is GOODBYE:
                    return
        except (ConnectionEndedError, OSError):
            self._ended(h.LOST)
        else:
            self._ended(h.ENDED)

    def _ended(self, cause: str, reason: str = "") -> None:
        self.history.add(
            h.Ending(self.name, self._session.id, self._node.name, time.monotonic(), cause, reason),
        )
        self._pending = None

    def _receive(self) -> int | None:
        try:
            message = self._session.connection.receive(TICK_S)
        except TimeoutError:
            return None
        now = time.monotonic()
        if message[0] == EVENT:
            self._heard(message, now)
        elif message[0] == INVOCATION:
            self._invoked(message, now)
        elif message[0] == GOODBYE:
            self._ended(h.GOODBYE, message[2])
            return GOODBYE
        else:
            self._answered(message, now)
        return None

    # ---- what it asks for

    def _begin(self) -> None:
        load, subscribed, registered = self._load, self._held["subscribe"], self._held["register"]
        code = self._chance.choices(
            (SUBSCRIBE, UNSUBSCRIBE, REGISTER, UNREGISTER, PUBLISH, CALL),
            (load.subscribe, load.unsubscribe, load.register, load.unregister, load.publish, load.call),
        )[0]
        if code == SUBSCRIBE:
            free = [topic for topic in load.topics if topic not in subscribed]
            self._ask(code, free, lambda topic: ({}, topic))
        elif code == UNSUBSCRIBE:
            self._ask(code, list(subscribed), lambda topic: (subscribed[topic],))
        elif code == REGISTER:
            free = [procedure for procedure in load.procedures if procedure not in registered]
            self._ask(code, free, lambda procedure: ({}, procedure))
        elif code == UNREGISTER:
            self._ask(code, list(registered), lambda procedure: (registered[procedure],))
        elif code == PUBLISH:
            self._publish(self._chance.random() < 0.5)
        else:
            self._ask(code, load.procedures, lambda procedure: ({}, procedure, self._payload("call", procedure)))

    def _payload(self, series: str, uri: str) -> list[Any]:
        self._numbers[series] += 1
        return [self._session.id, self._numbers[series], uri]

    def _operation(self, code: int, uri: str) -> h.Operation:
        operation = h.Operation(self.name, self._session.id, self._node.name, _NAMES[code], time.monotonic(), uri=uri)
        self.history.add(operation)
        return operation

    def _ask(self, code: int, uris: Sequence[str], rest: Any) -> None:
        if not uris:
            return
        uri = self._chance.choice(uris)
        arguments = rest(uri)
        operation = self._operation(code, uri)
        if code == CALL:
            operation.number = self._numbers["call"]
        if code in (UNSUBSCRIBE, UNREGISTER):
            operation.id = arguments[0]
            del self._held["subscribe" if code == UNSUBSCRIBE else "register"][uri]
        self._pending = (self._session.start(code, *arguments), operation)

    def _publish(self, acknowledge: bool) -> None:
        topic = self._chance.choice(self._load.topics)
        payload = self._payload("publish", topic)
        operation = self._operation(PUBLISH, topic)
        operation.number, operation.acknowledge, operation.excludes_me = payload[1], acknowledge, False
        options = {"acknowledge": acknowledge, "exclude_me": False}
        request = self._session.start(PUBLISH, options, topic, payload)
        if acknowledge:
            self._pending = (request, operation)
        else:
            operation.returned, operation.outcome = time.monotonic(), h.OK

    # ---- what it sees

    def _answered(self, message: list[Any], now: float) -> None:
        is_error = message[0] == ERROR
        request = message[2] if is_error else message[1]
        if self._pending is None or self._pending[0] != request:
            raise AssertionError(f"{self.name} did not wait for {message}")
        operation = self._pending[1]
        self._pending = None
        operation.returned, operation.outcome = now, h.ERROR if is_error else h.OK
        operation.answers += operation.op == "call"
        if is_error:
            operation.error = message[4]
            return
        if operation.op in ("subscribe", "register"):
            operation.id = self._held[operation.op][operation.uri] = message[2]
        elif operation.op == "publish":
            operation.id = message[2]
        elif operation.op == "call":
            caller, number, operation.callee = message[3]
            assert (caller, number) == (operation.session, operation.number), f"{self.name}: an answer to another call"

    def _heard(self, event: list[Any], now: float) -> None:
        publisher, number, topic = event[4][:3]
        self.history.add(
            h.Event(self.name, self._session.id, self._node.name, now, event[1], event[2], publisher, number, topic)
        )

    def _invoked(self, invocation: list[Any], now: float) -> None:
        caller, number, procedure = invocation[4][:3]
        record = h.Invocation(
            self.name, self._session.id, self._node.name, now, invocation[2], invocation[1], caller, number, procedure
        )
        self.history.add(record)
        self._session.connection.send([YIELD, invocation[1], {}, [caller, number, self._session.id]])
        record.answered = time.monotonic()


class Crowd:
    """Random clients on all nodes. Use as a context manager: it starts them, and lets them finish what they began."""

    def __init__(
        self,
        nodes: Iterable[HostNode],
        per_node: int = 2,
        *,
        seed: int = 0,
        load: Load | None = None,
        stay: bool = True,
    ) -> None:
        """With `stay` a client joins its own node again when its session has ended; else the next one."""
        homes = list(nodes)
        self.clients: Final = [
            RandomClient(
                f"{home.name}{number}",
                [home] if stay else homes[place:] + homes[:place],
                seed * 1000 + place * 100 + number,
                load or Load(),
            )
            for place, home in enumerate(homes)
            for number in range(per_node)
        ]

    def __enter__(self) -> Crowd:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.quiet()
        deadline = time.monotonic() + ANSWER_S
        while not all(client.idle or not client.is_alive() for client in self.clients):
            if time.monotonic() >= deadline:
                break  # what is not answered stays unknown, for the checkers to judge
            time.sleep(TICK_S)
        time.sleep(LATE_S)
        for client in self.clients:
            client.end()
        for client in self.clients:
            client.join()
        failures = [client.failure for client in self.clients if client.failure]
        if failures:
            raise failures[0]

    def record_into(self, history: h.History) -> None:
        """Add what all clients have written down, once they have ended."""
        for client in self.clients:
            for line in (client.history.operations, client.history.events, client.history.invocations):
                for record in line:
                    history.add(record)
            for ending in client.history.endings:
                history.add(ending)
