"""The pure core under test: routers on ledgers and networks that the test controls step by step."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from autobahn.wamp import message as autobahn
from autobahn.wamp.role import RoleCalleeFeatures, RoleCallerFeatures, RolePublisherFeatures, RoleSubscriberFeatures

from wampha.auth.anonymous import Anonymous
from wampha.auth.doorway import Doorway
from wampha.auth.steps import Chance, no_channel
from wampha.counters import Counters
from wampha.limits import Limits, RoleLimits
from wampha.messages.model import (
    NO_OPTIONS,
    Call,
    Cancel,
    Error,
    Publish,
    Register,
    Subscribe,
    Subscribed,
    Unregister,
    Unsubscribe,
    Yield,
)
from wampha.messages.payload import NOTHING, Payload
from wampha.names.ids import Ids
from wampha.routing.permissions import ACTIONS, Authorizer, Permission, Permissions, RealmRules
from wampha.routing.resumption import ResumptionRules
from wampha.routing.router import Router
from wampha.routing.slow import SlowPolicy
from wampha.state.codec import VERSION, encode
from wampha.state.commands import Command, Down, Lead, Outcome, Owner, Report, Ring, Up
from wampha.state.machine import Machine
from wampha.state.tables import Tables

DEFAULT_CLIENT_ROLES = {
    "caller": RoleCallerFeatures,
    "callee": RoleCalleeFeatures,
    "publisher": RolePublisherFeatures,
    "subscriber": RoleSubscriberFeatures,
}
# What peers announce unless a test says otherwise, and all that they could.
PASSTHRU = dict.fromkeys(DEFAULT_CLIENT_ROLES, ("payload_passthru_mode",))
EVERYTHING = dict.fromkeys(
    DEFAULT_CLIENT_ROLES,
    ("payload_passthru_mode", "call_canceling", "progressive_call_results", "progressive_call_invocations"),
)
ALL = Permission(uri="", match="prefix", allow=frozenset(ACTIONS))
MEANT = Permission(uri="wamp.", match="prefix", allow=frozenset(("call", "subscribe")))  # also to change something


class FakeClock:
    """Virtual time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Any:
        self._count += 1
        timer = (self._now + delay_s, self._count, lambda: call(*args))
        self._timers.append(timer)
        clock = self

        class Timer:
            def cancel(self) -> None:
                if timer in clock._timers:
                    clock._timers.remove(timer)

        return Timer()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        while due := sorted(timer[:2] for timer in self._timers if timer[0] <= self._now):
            timer = next(each for each in self._timers if each[:2] == due[0])
            self._timers.remove(timer)
            timer[2]()

    def pending(self) -> int:
        return len(self._timers)


class Log:
    """One replicated log; nodes apply it at their own pace."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []

    def append(self, command: Command) -> int:
        self.entries.append(encode(command))
        return len(self.entries)


class FakeLedger:
    """A ledger that decides when the test says so.

    `hold`: proposals wait in `queue` for `commit()`. `claim_at_once`: whatever was applied is claimed (`safe`).
    `attends`: reports of sessions get into the log; without it they are lost, and in nobody's way.
    """

    def __init__(self, log: Log, owner: Owner, events: Any, counters: Counters, *, attends: bool = False) -> None:
        self.attends = attends
        self.log = log
        self.owner = owner
        self.events = events
        self.machine = Machine(counters)
        self.queue: deque[tuple[Command, Callable[[Outcome], None]]] = deque()
        self.proposed: list[Command] = []
        self.hold = False
        self.claim_at_once = True
        self.is_serving = True
        self.applied = 0
        self._safe = 0
        self._waiting: dict[int, Callable[[Outcome], None]] = {}

    @property
    def tables(self) -> Tables:
        return self.machine.tables

    @property
    def safe(self) -> int:
        return self.applied if self.claim_at_once else self._safe

    def serving(self) -> bool:
        return self.is_serving

    def propose(self, command: Command, outcome: Callable[[Outcome], None]) -> None:
        if isinstance(command, Report) and not self.attends:
            return
        self.proposed.append(command)
        self.queue.append((command, outcome))
        if not self.hold:
            self.commit()

    def commit(self, count: int | None = None) -> None:
        """Put proposals into the log and apply it."""
        for _ in range(len(self.queue) if count is None else count):
            command, outcome = self.queue.popleft()
            self._waiting[self.log.append(command)] = outcome
        self.apply()

    def forget(self, position: int = 0) -> tuple[Command, Callable[[Outcome], None]]:
        """Take a proposal out of the queue; the test decides about its outcome and its command."""
        command, outcome = self.queue[position]
        del self.queue[position]
        return command, outcome

    def apply(self, up_to: int | None = None) -> None:
        """Apply the log (up to an index), tell outcomes and changes."""
        limit = len(self.log.entries) if up_to is None else up_to
        while self.applied < limit:
            self.applied += 1
            outcome = self.machine.apply(self.applied, self.log.entries[self.applied - 1])
            told = self._waiting.pop(self.applied, None)
            if told is not None:
                told(outcome)
        changes = self.machine.take_changes()
        if changes and self.events is not None:
            self.events.applied(changes)

    def claim(self, index: int | None = None) -> None:
        """Move `safe`."""
        self._safe = self.applied if index is None else index
        self.events.safe_moved()

    def serve(self, serving: bool) -> None:
        self.is_serving = serving
        self.events.serving_changed(serving)

    def install(self, machine: Machine, applied: int) -> None:
        """Take another node's snapshot."""
        self.machine.restore(machine.snapshot())
        self.applied = applied
        self.events.installed()
        changes = self.machine.take_changes()
        if changes:
            self.events.applied(changes)


class AtOnce:
    """Workers that work at once."""

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        done(work())
        return True


def doorway_for(role: str | None) -> Doorway:
    """How everybody is let in under a role, or nobody is."""
    return Doorway({} if role is None else {"anonymous": Anonymous(role)})


class RecorderClient:
    """A client that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.finished = False
        self.slow = False
        self.group: Any = self  # None: as a connection that is closing
        self.shown: Any = None  # its certificate
        self.brought: Any = None  # its cookie
        self.kind = ("websocket", "json")

    def pass_on(self, frames: list[bytes]) -> None:
        raise AssertionError("a recorder gets messages, not frames")

    def failed(self) -> None:
        raise AssertionError("nothing here can fail")

    def send(self, message: Any) -> None:
        assert not self.finished, f"{message} behind the end"
        self.sent.append(message)

    def finish(self) -> None:
        self.finished = True

    def certificate(self) -> Any:
        return self.shown

    def channel_id(self, binding: str) -> bytes:
        return no_channel(binding)

    def cookie(self) -> Any:
        return self.brought

    def describe(self) -> str:
        return "tcp4:192.0.2.1:50000 websocket json"

    def take(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent


class RecorderOutbox:
    """Delivers to recorders; keeps what is for other nodes, or hands it to a network."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[Owner, Any]] = []
        self.linked = True
        self.behind: dict[Owner, None] = {}
        self.reliefs: list[Any] = []
        self.network: Callable[[Owner, Any], bool] | None = None

    def deliver(self, receivers: Iterable[Any], event: Any) -> None:
        for session in receivers:
            session.client.send(event)

    def forward(self, owner: Owner, relayed: Any) -> bool:
        if self.network is not None:
            return self.network(owner, relayed)
        if self.linked:
            self.forwarded.append((owner, relayed))
        return self.linked

    def relieved(self, awaited: Any) -> None:
        self.reliefs.append(awaited)

    def take(self) -> list[tuple[Owner, Any]]:
        forwarded, self.forwarded = self.forwarded, []
        return forwarded


class Peer:
    """A client with an open session; each method sends one message."""

    def __init__(
        self,
        node: Node,
        *,
        realm: str = "realm1",
        role: str | None = "user",
        features: Mapping[str, Iterable[str]] = PASSTHRU,
        after: int = 0,
        **details: Any,
    ) -> None:
        """`after`: the last request id that the session has used; `details` are those of HELLO."""
        self.client = RecorderClient()
        self.conversation = node.router.connected(self.client, doorway_for(role))
        self._request = after
        self.receive(hello(realm, features, **details))
        self.opening = self.client.take()
        self.session = self.opening[0].session if self.conversation.established else 0
        self.authid = self.opening[0].details["authid"] if self.conversation.established else ""

    def receive(self, message: Any) -> None:
        self.conversation.receive(message)

    def request(self) -> int:
        self._request += 1
        return self._request

    def take(self) -> list[Any]:
        return self.client.take()

    def one(self) -> Any:
        (message,) = self.take()
        return message

    def subscribe(self, topic: str, **options: Any) -> int:
        request = self.request()
        self.receive(Subscribe(request, options, topic))
        return request

    def subscribed(self, topic: str, **options: Any) -> int:
        """SUBSCRIBE and take the id from SUBSCRIBED."""
        self.subscribe(topic, **options)
        subscription: int = self.one().subscription
        return subscription

    def unsubscribe(self, subscription: int) -> int:
        request = self.request()
        self.receive(Unsubscribe(request, subscription))
        return request

    def publish(self, topic: str, payload: Payload = NOTHING, **options: Any) -> int:
        request = self.request()
        self.receive(Publish(request, options or NO_OPTIONS, topic, payload))
        return request

    def register(self, procedure: str, **options: Any) -> int:
        request = self.request()
        self.receive(Register(request, options, procedure))
        return request

    def registered(self, procedure: str, **options: Any) -> int:
        """REGISTER and take the id from REGISTERED."""
        self.register(procedure, **options)
        registration: int = self.one().registration
        return registration

    def unregister(self, registration: int) -> int:
        request = self.request()
        self.receive(Unregister(request, registration))
        return request

    def call(self, procedure: str, payload: Payload = NOTHING, **options: Any) -> int:
        request = self.request()
        self.receive(Call(request, options or NO_OPTIONS, procedure, payload))
        return request

    def ask(self, procedure: str, *args: Any, **kwargs: Any) -> int:
        """CALL a procedure of the router with these arguments."""
        return self.call(procedure, Payload.of(args, kwargs) if args or kwargs else NOTHING)

    def client_leaves(self) -> None:
        """The connection ends without a word."""
        self.conversation.lost()

    def goodbye(self) -> None:
        self.receive(autobahn.Goodbye())

    def second_hello(self) -> None:
        """A violation, which ends the session by ABORT."""
        self.receive(hello())

    def call_on(self, request: int, procedure: str, payload: Payload = NOTHING, **options: Any) -> None:
        """The next part of a progressive call."""
        self.receive(Call(request, options or NO_OPTIONS, procedure, payload))

    def cancel(self, request: int, **options: Any) -> None:
        self.receive(Cancel(request, options or NO_OPTIONS))

    def result(self, invocation: int, payload: Payload = NOTHING, **options: Any) -> None:
        self.receive(Yield(invocation, options or NO_OPTIONS, payload))

    def error(self, invocation: int, error: str, payload: Payload = NOTHING) -> None:
        self.receive(Error(68, invocation, NO_OPTIONS, error, payload))


class Node:
    """One router with a ledger of its own, or with a share in a log."""

    def __init__(
        self,
        name: str = "node1",
        *,
        log: Log | None = None,
        limits: Limits | None = None,
        permissions: Iterable[Permission] = (ALL,),
        strict_uris: bool = False,
        timeout_unit_s: float = 0.001,
        lenient: bool = False,
        slow_clients: SlowPolicy = SlowPolicy.DISCONNECT,
        histories: Iterable[Ring] = (),
        history_as_list: bool = False,
        resumption: ResumptionRules | None = None,
        call_queue_max: int = 0,
        roles: Mapping[str, Authorizer] | None = None,
        role_limits: Mapping[str, RoleLimits] | None = None,
        up: bool = True,
        attends: bool = False,
    ) -> None:
        """`attends`: see `FakeLedger`."""
        self.counters = Counters()
        self.clock = FakeClock()
        self.outbox = RecorderOutbox()
        self.limits = limits or Limits()
        self.audit: list[tuple[str, dict[str, Any]]] = []
        self.wall_ms = 1_000_000_000_000
        self.router = Router(
            realms=[
                RealmRules(
                    "realm1",
                    {"user": Permissions(permissions), **(roles or {})},
                    strict_uris,
                    slow_clients,
                    timeout_unit_s=timeout_unit_s,
                    lenient=lenient,
                    histories=tuple(histories),
                    history_as_list=history_as_list,
                    resumption=resumption,
                    call_queue_max=call_queue_max,
                    role_limits=role_limits or {},
                ),
                _open_realm("realm2"),
            ],
            limits=self.limits,
            counters=self.counters,
            ids=Ids(random.Random(name)),
            clock=self.clock,
            outbox=self.outbox,
            workers=AtOnce(),
            chance=Chance(random.Random(name).randbytes, lambda: "2026-01-01T00:00:00.000+00:00"),
            agent="wampha-test",
            audit=lambda kind, fields: self.audit.append((kind, dict(fields))),
            wall_ms=lambda: self.wall_ms,
            status=lambda: {"stage": "serving", "ready": True, "counters": {}},
        )
        self.log = log or Log()
        self.owner = Owner(name, int.from_bytes(name.encode()[:7]))
        self.ledger = FakeLedger(self.log, self.owner, self.router, self.counters, attends=attends)
        self.router.attach(self.ledger)
        if up:
            self.log.append(Up(self.owner, (), "127.0.0.1:1", "0", VERSION))
            self.ledger.apply()

    def join(self, **options: Any) -> Peer:
        return Peer(self, **options)

    def tick(self, seconds: float = 0.05) -> None:
        self.clock.advance(seconds)
        self.router.ticked()


class Cluster:
    """Nodes that share a log, and a network that keeps order per pair and delivers when the test says so."""

    def __init__(self, *names: str, **options: Any) -> None:
        """`options` are those of each `Node`."""
        self.log = Log()
        self.log.append(Lead(1, names[0]))
        self.held: set[str] = set()
        self._options = options
        self.nodes = {name: Node(name, log=self.log, **options) for name in names}
        self.wires: dict[tuple[str, str], deque[tuple[Owner, Owner, Any]]] = {}
        self.settle()
        for node in self.nodes.values():
            self._connect(node)

    def add(self, name: str) -> Node:
        """One more node, which is up at once."""
        node = self.nodes[name] = Node(name, log=self.log, **self._options)
        self._connect(node)
        return node

    def hold(self, name: str) -> None:
        """This node stands still: nothing reaches it or leaves it, and it applies nothing."""
        self.held.add(name)

    def die(self, name: str) -> None:
        """The node is gone, and the others are told so by the log."""
        gone = self.nodes.pop(name)
        self.log.append(Down(gone.owner, 1))
        for pair in list(self.wires):
            if name in pair:
                del self.wires[pair]
        for node in self.nodes.values():
            node.ledger.apply()
            node.router.node_lost(gone.owner)

    def _connect(self, node: Node) -> None:
        node.outbox.network = self._wire(node)
        node.ledger.hold = True
        node.ledger.claim_at_once = False

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def _wire(self, node: Node) -> Callable[[Owner, Any], bool]:
        def forward(target: Owner, relayed: Any) -> bool:
            assert target != node.ledger.owner, "nothing is forwarded to oneself"
            self.wires.setdefault((node.owner.name, target.name), deque()).append((node.ledger.owner, target, relayed))
            return True

        return forward

    def subscribed(self, node: str, topic: str, **options: Any) -> Peer:
        """A new session at that node, subscribed to the topic."""
        peer = self[node].join()
        peer.subscribe(topic, **options)
        self.commit()
        assert isinstance(peer.one(), Subscribed)
        return peer

    def attend(self, seconds: float = 0.05) -> None:
        """Let every node report its sessions, and settle."""
        for _ in range(3):  # what follows from a report is reported by the next one
            for node in self.nodes.values():
                node.tick(seconds)
            self.settle()

    def commit(self) -> None:
        """Put every proposal into the log, apply it everywhere, claim it."""
        for _ in range(100):
            proposed = False
            for node in self.nodes.values():
                proposed = proposed or bool(node.ledger.queue)
                node.ledger.commit()
            for node in self.nodes.values():
                node.ledger.apply()
            for node in self.nodes.values():
                node.ledger.claim()
            if not proposed:
                return
        raise AssertionError("proposals without end")

    def carry(self, source: str, target: str, count: int | None = None) -> None:
        """Deliver messages of one wire: all that are on it now, or so many."""
        wire = self.wires.get((source, target), deque())
        for _ in range(len(wire) if count is None else count):
            sender, addressed, relayed = wire.popleft()
            if target not in self.nodes:
                continue
            node = self.nodes[target]
            if node.ledger.owner == addressed:
                node.router.relayed(sender, relayed)

    def settle(self) -> None:
        """Commit and carry until nothing moves."""
        for node in self.nodes.values():
            node.ledger.apply()
        moving = True
        while moving:
            self.commit()
            moving = False
            for source, target in list(self.wires):
                if source in self.held or target in self.held:
                    continue
                moving = moving or bool(self.wires[source, target])
                self.carry(source, target)


def hello(
    realm: str = "realm1", features: Mapping[str, Iterable[str]] = MappingProxyType({}), **details: Any
) -> autobahn.Hello:
    """HELLO of a client that has every role, with the features it announces by role."""
    roles = {name: role() for name, role in DEFAULT_CLIENT_ROLES.items()}
    for role, names in features.items():
        for name in names:
            setattr(roles[role], name, True)
    return autobahn.Hello(realm, roles, **details)


def refusal(message: Any, code: int, request: int) -> str:
    """The error of an ERROR that answers this request with a sentence."""
    assert isinstance(message, Error)
    assert (message.request_type, message.request) == (code, request)
    assert message.payload.args()[0].endswith(".")
    return message.error


def _open_realm(name: str) -> RealmRules:
    return RealmRules(name, {"user": Permissions((ALL,))})
