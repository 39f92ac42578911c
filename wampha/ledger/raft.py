"""The ledger of a cluster: `propose -> outcome` over Raft, with leases (docs/protocol.md).

    received, peer_up, peer_down        clock
              |                           |  tick, every 50 ms
              v                           v
          RaftLedger ------------------ turn ---------> LedgerEvents
           |      |                      (coalesced: after frames and proposals)
      Founding  Member: Engine, Election, LeaseBook, Machine

A voter that restarts joins, follows and serves at once, but is *recovering*: it counts for nothing until the leader
opens it, about 1.2 s after its start (rules 40-44).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger.constants import Timing
from wampha.ledger.founding import Founding
from wampha.ledger.frames import (
    AnyFrame,
    BadFrameError,
    Claim,
    Found,
    Go,
    Ping,
    Raft,
    RaftBody,
    Reply,
    State,
    decode,
    encode,
)
from wampha.ledger.handover import HandOver
from wampha.ledger.invariants import Invariants
from wampha.ledger.library import check_library
from wampha.ledger.member import Member
from wampha.ledger.membership import Membership
from wampha.ledger.options import Options
from wampha.ledger.proposals import Proposals
from wampha.routing.ports import Cancellable, Clock, LedgerEvents
from wampha.state.commands import Command, Outcome, Owner
from wampha.state.machine import Machine
from wampha.state.tables import Tables

SUPERSEDED: Final = "this node's cluster was superseded"
PREDECESSORS_MAX: Final = 20  # own dead incarnations that `up` names; older ones fall by rule 26


def _nobody_asks(incarnation: int) -> None:
    """No successor will want to know."""


class RaftLedger:
    """One node's ledger. All methods are called in the reactor's thread."""

    _log = Logger(namespace="wampha.ledger")

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        address: str,
        machine_factory: Callable[[], Machine],
        clock: Clock,
        random: Random,
        send: Callable[[str, bytes], bool],
        identity_changed: Callable[[], None],
        events: LedgerEvents,
        counters: Counters,
        version: str,
        predecessors: tuple[int, ...] = (),
        incarnated: Callable[[int], None] = _nobody_asks,
        timing: Timing | None = None,
        options: Options | None = None,
    ) -> None:
        """`send(peer, data)` queues a control frame (False: no link) and never calls back synchronously.

        `identity_changed()` asks the links to shake hands anew, with another life or incarnation. A node whose name is
        not among the `voters` is an observer. `predecessors` are incarnations of this name that are known to be dead,
        and `incarnated` is told each incarnation before it is used (rule 27). Raises StartError if the installed
        pysyncobj is not the supported one.
        """
        check_library()
        self._name: Final = name
        self._voters: Final = voters
        self._machine_factory: Final = machine_factory
        self._clock: Final = clock
        self._chance: Final = random
        self._send_bytes: Final = send
        self._identity_changed: Final = identity_changed
        self._incarnated: Final = incarnated
        self._events: Final = events
        self._counters: Final = counters
        self._timing: Final = timing or Timing.of()
        self._options: Final = options or Options()
        self._handlers: Final[dict[type[AnyFrame], Callable[[str, Any], None]]] = {
            Raft: self._on_raft,
            Ping: self._on_ping,
            Reply: self._on_reply,
            Claim: self._on_claim,
            State: self._on_state,
            Found: self._on_found,
            Go: self._on_go,
        }
        self._nothing: Final = machine_factory()  # the tables of a node that is in no cluster
        self._proposals: Final = Proposals(deadline_s=self._timing.proposal_s, counters=counters)
        self._membership: Final = Membership(
            propose=self.propose,
            refused=self._up_refused,
            clock=clock,
            leave_s=self._timing.leave_s,
            address=address,
            version=version,
            reads=self._nothing.reads,
        )
        self._peers: Final[dict[str, int]] = {}  # connected peer -> its life
        self._lives: Final[dict[str, int]] = {}  # every peer ever connected -> its last life
        self._timers: Final[dict[str, Cancellable]] = {}
        self.life = random.getrandbits(63)
        self._owner = self._new_owner()
        self._succeeds = list(predecessors[-PREDECESSORS_MAX:])
        self._member: Member | None = None
        self._founding = self._new_founding() if name in voters else None
        self._running = False
        self._leaving = False
        self._hand_over: HandOver | None = None  # under way
        self._refused: str | None = None  # why this process is in no cluster and never will be
        self._invariants = Invariants()  # of the present membership
        self._handed_over: list[Callable[[], None]] = []  # to be told when it is over
        self._told_serving = False
        self._suspended_s: float | None = None  # how long this incarnation has been suspended; None: it never served
        self._worked_at = clock.now()
        self._installed = 0
        self._reported = 0  # applied index in the last ping
        self._next_ping = -math.inf

    # ---- routing.ports.Ledger

    @property
    def owner(self) -> Owner:
        return self._owner

    @property
    def tables(self) -> Tables:
        return self.machine.tables

    @property
    def machine(self) -> Machine:
        """What holds the tables of the present membership."""
        return self._member.machine if self._member else self._nothing

    @property
    def safe(self) -> int:
        return self._member.safe if self._member else 0

    @property
    def recovering(self) -> bool:
        """Rule 40: a voter that has not been opened; an observer never is one."""
        return self._founding is not None and self._founding.recovering

    def serving(self) -> bool:
        """Rule 1: up, and the lease is not over at this instant."""
        member = self._member
        return (
            member is not None
            and not self._leaving
            and not member.machine.unsupported
            and self._owner in member.tables.up
            and self._clock.now() < member.lease_end
        )

    def propose(self, command: Command, outcome: Callable[[Outcome], None]) -> None:
        """Append a command; `outcome` is called once, in a later turn."""
        settled = self._proposals.add(outcome, self._clock.now())
        if self._member:
            self._member.propose(command, settled)
        self._kick()

    # ---- start and stop

    def start(self) -> None:
        self._running = True
        self._tick()

    def hand_over(self, done: Callable[[], None]) -> None:
        """Let another voter lead; `done()` once this node leads no longer, or after a bound."""
        self._handed_over.append(done)
        if self._hand_over is None and self._member and self._member.engine.is_leader:
            self._hand_over = self._member.hand_over()
        self._kick()

    def leave(self, done: Callable[[], None]) -> None:
        """Rule 5, in its order: never serve again, hand the lease back, leave through the log; then `done()`."""
        self._leaving = True
        if self._member:
            self._member.lease_end = -math.inf
        self._membership.leave(self._owner, self.tables, done)

    def stop(self) -> None:
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._membership.stop()
        if self._member:
            self._member.stop()

    # ---- what the links call

    def peer_up(self, name: str, life: int, incarnation: int) -> None:
        """A control link to the peer is up, and the peer has shown who it is."""
        if self._peers.get(name) == life:
            return
        self.peer_down(name)
        self._peers[name] = life
        if self._member:
            if self._lives.get(name, life) != life:
                self._member.engine.forget(name)
            self._member.engine.peer_up(name)
        self._lives[name] = life
        self._kick()

    def peer_down(self, name: str) -> None:
        """The control link to the peer is gone, and with it what was under way."""
        if self._peers.pop(name, None) is None:
            return
        if self._member:
            self._member.engine.peer_down(name)
        if self._founding:
            self._founding.lost(name)
        self._kick()

    def received(self, name: str, data: bytes) -> None:
        """A control frame of a connected peer. Bytes that are none are counted and dropped."""
        try:
            frame = decode(data)
        except BadFrameError:
            self._counters.add("control_frames_refused")
            return
        if name not in self._peers or not self._running or self._refused:
            return
        self._guarded(self._handlers[type(frame)], name, frame)
        self._kick()

    # ---- frames

    def _on_raft(self, name: str, frame: Raft) -> None:
        member = self._member
        if member and frame.cluster == member.cluster and frame.life == self._peers[name]:
            member.received(name, frame.body, frame.recovering)

    def _on_ping(self, name: str, ping: Ping) -> None:
        if self._member is None or ping.life != self._peers[name]:
            return
        reply = self._member.answer(Owner(name, ping.incarnation), ping)
        if reply:
            self._send(name, reply)

    def _on_reply(self, name: str, reply: Reply) -> None:
        if name not in self._voters:
            return
        member = self._member
        if member is None or reply.cluster != member.cluster:
            self._hear_of_another_cluster(reply)
            return
        if member.claimed(reply.claim):
            self._tell(self._events.safe_moved)
        if self._leaving:
            return
        self._open(name, reply, member)
        if reply.dead and reply.incarnation == self._owner.incarnation:
            self._fence("the cluster declared this node dead")
        elif member.replied(reply, self._owner):
            self._report(member)  # the leader needs an echo before it can grant

    def _on_claim(self, name: str, claim: Claim) -> None:
        member = self._member
        if member and claim.cluster == member.cluster and name in self._voters and member.claimed(claim.index):
            self._tell(self._events.safe_moved)

    def _on_state(self, name: str, state: State) -> None:
        if self._founding and name in self._voters and state.life == self._peers[name]:
            self._founding.told(name, state, self._clock.now())

    def _on_found(self, name: str, found: Found) -> None:
        if self._founding and name in self._voters:
            self._founding.asked(name, found, self._cluster, self._clock.now())

    def _on_go(self, name: str, go: Go) -> None:
        if self._founding and name in self._voters:
            self._founding.go(go, self._clock.now())

    # ---- clusters and lives

    @property
    def _cluster(self) -> int | None:
        return self._member.cluster if self._member else None

    def _new_founding(self) -> Founding:
        return Founding(
            name=self._name,
            voters=self._voters,
            timing=self._timing,
            chance=self._chance,
            life=self.life,
            now=self._clock.now(),
            send=self._send,
            found=self._founded,
            drop_life=self._drop_life,
        )

    def _founded(self, cluster: int, held_until: float) -> None:
        self._log.info("{name} is a founding member of a new cluster", name=self._name)
        self._enter(cluster, recovering=False, held_until=held_until)

    def _open(self, leader: str, reply: Reply, member: Member) -> None:
        """Rule 44; never after a pledge, which is for another cluster."""
        founding = self._founding
        if founding and founding.pledge is None and member.opened(leader, reply, self.life):
            founding.opened()
            self._log.info("{name} votes again", name=self._name)

    def _hear_of_another_cluster(self, reply: Reply) -> None:
        """Rule 55: a cluster with a quorum supersedes one without a leader; who is in none joins it."""
        member, founding = self._member, self._founding
        if self._leaving or not reply.quorate or (member and member.engine.heard_leader(self._timing.election_max_s)):
            return
        if founding and founding.pledge is not None and founding.recovering:
            return  # a pledge is exclusive; without `go` this life ends soon
        if founding and (member or not founding.recovering):
            self._drop_life()
        self._enter(reply.cluster, recovering=founding is not None, held_until=-math.inf)

    def _drop_life(self, sentence: str = SUPERSEDED) -> None:
        """Forget everything this process knows, as a crash would: always safe (rule 56)."""
        self._log.warn("{name} begins without memory again", name=self._name)
        self.life = self._chance.getrandbits(63)
        if self._founding:
            self._founding = self._new_founding()
        self._exit(sentence)
        self._identity_changed()

    def _enter(self, cluster: int, *, recovering: bool, held_until: float) -> None:
        self._exit()
        self._member = Member(
            cluster=cluster,
            name=self._name,
            voters=self._voters,
            timing=self._timing,
            now=self._clock.now,
            chance=self._chance,
            send=self._send_raft,
            machine=self._machine_factory(),
            counters=self._counters,
            recovering=recovering,
            held_until=held_until,
            options=self._options,
        )
        self._installed = 0
        self._invariants = Invariants()
        for peer in sorted(self._peers):
            self._member.engine.peer_up(peer)
        self._tell(self._events.installed)

    def _refuse(self, sentence: str) -> None:
        """This release cannot know the tables: serve nobody, follow nobody, until it is replaced."""
        self._refused = f"wampha on this node is too old: {sentence}"
        self._counters.add("versions_refused")
        self._log.critical("{sentence}", sentence=self._refused)
        self._exit(self._refused)

    def _begin_anew(self, sentence: str) -> None:
        """An invariant does not hold: forget everything, as a crash would, and join again."""
        self._counters.add("invariants_violated")
        self._log.critical("{name} forgets its state: {sentence}", name=self._name, sentence=sentence)
        self._drop_life(sentence)

    def _exit(self, sentence: str = SUPERSEDED) -> None:
        """Rule 57: nothing of a cluster outlives it, the incarnation included."""
        if self._member:
            self._member.stop()
            self._member = None
            self._hand_over = None
            self._proposals.abandon()
            self._fence(sentence)

    def _fence(self, sentence: str) -> None:
        """Rule 4: this incarnation has ended; the next one begins to join."""
        self._succeeds = [*self._succeeds, self._owner.incarnation][-PREDECESSORS_MAX:]
        self._owner = self._new_owner()
        self._suspended_s = None
        if self._member:
            self._member.lease_end = -math.inf
        self._tell_serving()
        self._counters.add("fences")
        self._log.warn("fenced: {sentence}", sentence=sentence)
        self._tell(self._events.fenced, sentence)
        self._identity_changed()

    def _new_owner(self) -> Owner:
        incarnation = self._chance.getrandbits(63)
        self._incarnated(incarnation)
        return Owner(self._name, incarnation)

    def _up_refused(self, owner: Owner) -> None:
        if owner == self._owner:
            self._fence("the cluster holds this node's incarnation for dead")

    # ---- time

    def _tick(self) -> None:
        self._timers["tick"] = self._clock.call_later(self._timing.tick_s, self._tick)
        self._guarded(self._work)

    def _work(self) -> None:
        now = self._clock.now()
        if now >= self._next_ping and not self._refused:
            self._next_ping = now + self._timing.ping_s - self._timing.tick_s / 2  # the nearest tick, early or late
            if self._founding:
                leaderless_s = self._member.leaderless_s() if self._member else math.inf
                self._founding.tick(self._cluster, leaderless_s, now)
            self._ping()
        member = self._member
        if member:
            if member.book:
                self._membership.bury(member.book.condemn(self._owner, member.tables, now), member.book.term)
            if not self._leaving:
                self._membership.come_up(self._owner, self._succeeds, member.tables)
        self._proposals.expire(now)
        self._turn_now()
        self._fence_if_suspended_for_long(now)
        self._tell(self._events.ticked)

    def _kick(self) -> None:
        """Have one turn soon, however often this is called."""
        if self._running and "turn" not in self._timers:
            self._timers["turn"] = self._clock.call_later(0, self._turn)

    def _turn(self) -> None:
        del self._timers["turn"]
        self._guarded(self._turn_now)

    def _turn_now(self) -> None:
        """Let the engine work; then tell outcomes, changes, acknowledgeable indices, and whether we serve."""
        member = self._member
        if member is None:
            self._proposals.tell()
            self._tell_handed_over()
            return
        member.tick()
        if member.machine.unsupported:
            self._refuse(member.machine.unsupported)
            return
        if broken := self._invariants.broken(member, self.serving()):
            self._begin_anew(broken)
            return
        if self._hand_over is None or not self._hand_over.go_on(member.book, self._clock.now()):
            self._tell_handed_over()
        self._proposals.tell()
        if member.engine.installed != self._installed:
            self._installed = member.engine.installed
            self._tell(self._events.installed)
        changes = member.machine.take_changes()
        if changes:
            self._tell(self._events.applied, changes)
        if self._owner.incarnation in member.tables.dead and not self._leaving:
            self._fence("the cluster declared this node dead")
        if member.supervise(self._owner):
            self._claim(member)
        if member.engine.applied != self._reported:
            self._report(member)
        self._tell_serving()
        if member.engine.busy:
            self._kick()

    def _tell_handed_over(self) -> None:
        self._hand_over = None
        over, self._handed_over = self._handed_over, []
        for done in over:
            self._tell(done)

    def _claim(self, member: Member) -> None:
        for peer in sorted(self._peers):
            self._send(peer, Claim(member.cluster, member.safe))
        self._tell(self._events.safe_moved)

    def _tell_serving(self) -> None:
        serving = self.serving()
        if serving and self._member:
            self._suspended_s = 0.0
            if self._member.engine.is_leader:  # its own lease is shorter; its clients need not suffer from that
                self._suspended_s -= self._timing.lease_s - self._timing.leader_lease_s
        if serving == self._told_serving:
            return
        self._told_serving = serving
        if not serving and not self._leaving:
            self._counters.add("leases_lost")
        self._tell(self._events.serving_changed, serving)

    def _fence_if_suspended_for_long(self, now: float) -> None:
        """Rule 4. While the process stood still it could ask nobody: that time does not count, and it will be told."""
        passed_s = min(now - self._worked_at, 2 * self._timing.tick_s)
        self._worked_at = now
        if self._suspended_s is None or self.serving() or self._leaving:
            return
        self._suspended_s += passed_s
        if self._suspended_s > self._timing.suspended_s:
            self._fence("this node had no contact to the cluster for too long")

    def _ping(self) -> None:
        """Rule 10: to the leader; a node that hears none asks all voters which cluster there is."""
        member = self._member
        if member and member.engine.heard_leader(2 * self._timing.election_max_s):
            self._report(member)
        else:
            self._probe(self._clock.now())

    def _report(self, member: Member) -> None:
        """Ping the leader, if there is one and this node is not it."""
        leader = member.engine.leader
        if leader and leader != self._name:
            self._reported = member.engine.applied
            wants_open = self._founding is not None and self._founding.wants_open(self._clock.now())
            self._send(leader, member.ping(self._owner, self.life, leaving=self._leaving, wants_open=wants_open))

    def _probe(self, now: float) -> None:
        probe = Ping(None, 0, self._owner.incarnation, self.life, now, None, 0, self._founding is not None, False)
        for voter in self._voters:
            if voter in self._peers:
                self._send(voter, probe)

    # ---- out

    def _send(self, peer: str, frame: AnyFrame) -> bool:
        return self._send_bytes(peer, encode(frame))

    def _send_raft(self, peer: str, body: RaftBody) -> bool:
        member = self._member
        return member is not None and self._send(peer, Raft(member.cluster, self.life, member.engine.recovering, body))

    def _tell(self, event: Callable[..., None], *args: Any) -> None:
        self._guarded(event, *args)

    def _guarded(self, call: Callable[..., Any], *args: Any) -> None:
        """A failure of ours is logged and counted, and time goes on."""
        try:
            call(*args)
        except Exception:
            self._counters.add("ledger_failures")
            self._log.failure("the ledger failed in {call}", call=getattr(call, "__qualname__", call))

    def status(self) -> dict[str, Any]:
        """What an operator or a test asks: leader, term, indices, lease, members."""
        member, now = self._member, self._clock.now()
        engine = member.engine if member else None
        return {
            "name": self._name,
            "refused": self._refused,
            "role": "voter" if self._founding else "observer",
            "cluster": self._cluster,
            "recovering": engine.recovering if engine and self._founding else self._founding is not None,
            "leader": engine.leader if engine else None,
            "leading": bool(engine and engine.is_leader),
            "term": engine.term if engine else 0,
            "applied": engine.applied if engine else 0,
            "log_entries": engine.log_length() if engine else 0,
            "safe": self.safe,
            "serving": self.serving(),
            "lease_left_s": round(max(0.0, member.lease_end - now), 3) if member else 0.0,
            "peers": sorted(self._peers),
            "members": [f"{owner.name}/{owner.incarnation:x}" for owner in self.tables.up],
        }
