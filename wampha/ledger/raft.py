"""The ledger of a cluster: `propose -> outcome` over Raft, with leases (docs/protocol.md).

    received, peer_up, peer_down        clock
              |                           |  tick, every 50 ms
              v                           v
          RaftLedger ------------------ turn ---------> LedgerEvents
              |                          (coalesced: after frames and proposals)
         Affiliation
           |      |
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
from wampha.ledger.affiliation import Affiliation
from wampha.ledger.constants import Timing
from wampha.ledger.founding import Founding
from wampha.ledger.frames import (
    AnyFrame,
    BadFrameError,
    decode,
    encode,
)
from wampha.ledger.handover import HandOver
from wampha.ledger.invariants import Invariants
from wampha.ledger.library import check_library
from wampha.ledger.member import Member
from wampha.ledger.membership import Membership
from wampha.ledger.options import Options
from wampha.ledger.peers import Peers
from wampha.ledger.proposals import Proposals
from wampha.ledger.spread import Spread
from wampha.ledger.suspension import Suspension
from wampha.routing.ports import Cancellable, Clock, LedgerEvents
from wampha.state.commands import Command, Outcome, Owner
from wampha.state.machine import Machine
from wampha.state.tables import Tables


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
        self._clock: Final = clock
        self._send_bytes: Final = send
        self.identity_changed: Final = identity_changed
        self._events: Final = events
        self._counters: Final = counters
        self._timing: Final = timing or Timing.of()
        connected: dict[str, int] = {}  # peer -> its life
        self._affiliation: Final = Affiliation(
            name=name,
            voters=voters,
            machine_factory=machine_factory,
            now=clock.now,
            chance=random,
            send=self._send,
            connected=connected,
            events=self,
            counters=counters,
            predecessors=predecessors,
            incarnated=incarnated,
            timing=self._timing,
            options=options or Options(),
        )
        self._peers: Final = Peers(
            name=name,
            voters=voters,
            affiliation=self._affiliation,
            connected=connected,
            now=clock.now,
            send=self._send,
            timing=self._timing,
            safe_moved=self._tell_safe_moved,
        )
        self._spread = Spread(counters)  # of the present membership
        self._suspension: Final = Suspension(self._timing, clock.now())
        self._proposals: Final = Proposals(deadline_s=self._timing.proposal_s, counters=counters)
        self._membership: Final = Membership(
            propose=self.propose,
            refused=self._up_refused,
            clock=clock,
            leave_s=self._timing.leave_s,
            address=address,
            version=version,
            reads=self.machine.reads,
        )
        self._timers: Final[dict[str, Cancellable]] = {}
        self._running = False
        self._hand_over: HandOver | None = None  # under way
        self._invariants = Invariants()  # of the present membership
        self._handed_over: list[Callable[[], None]] = []  # to be told when it is over
        self._told_serving = False
        self._installed = 0
        self._next_ping = -math.inf

    # ---- routing.ports.Ledger

    @property
    def owner(self) -> Owner:
        return self._affiliation.owner

    @property
    def life(self) -> int:
        return self._affiliation.life

    @property
    def tables(self) -> Tables:
        member = self._affiliation.member  # asked for each message: without a detour in the usual case
        return member.machine.tables if member is not None else self.machine.tables

    @property
    def machine(self) -> Machine:
        """What holds the tables of the present membership."""
        return self._affiliation.machine

    @property
    def safe(self) -> int:
        return self._member.safe if self._member else 0

    @property
    def applied(self) -> int:
        return self._member.engine.applied if self._member else 0

    @property
    def recovering(self) -> bool:
        """Rule 40: a voter that has not been opened; an observer never is one."""
        return self._affiliation.recovering

    def serving(self) -> bool:
        """Rule 1: up, and the lease is not over at this instant."""
        member = self._member
        return (
            member is not None
            and not self._affiliation.leaving
            and not member.machine.unsupported
            and self.owner in member.tables.up
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
        self._affiliation.leaving = True
        if self._member:
            self._member.lease_end = -math.inf
        self._membership.leave(self.owner, self.tables, done)

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
        if self._peers.up(name, life):
            self._kick()

    def peer_down(self, name: str) -> None:
        """The control link to the peer is gone, and with it what was under way."""
        if self._peers.down(name):
            self._kick()

    def received(self, name: str, data: bytes) -> None:
        """A control frame of a connected peer. Bytes that are none are counted and dropped."""
        try:
            frame = decode(data)
        except BadFrameError:
            self._counters.add("control_frames_refused")
            return
        if name not in self._peers.connected or not self._running or self._affiliation.refused:
            return
        self._guarded(self._peers.received, name, frame)
        self._kick()

    # ---- what the affiliation tells

    @property
    def _member(self) -> Member | None:
        return self._affiliation.member

    @property
    def _founding(self) -> Founding | None:
        return self._affiliation.founding

    def entered(self) -> None:
        self._installed = 0
        self._invariants = Invariants()
        self._spread = Spread(self._counters)
        self._guarded(self._events.installed)

    def exited(self) -> None:
        self._hand_over = None
        self._proposals.abandon()

    def fenced(self, sentence: str) -> None:
        self._suspension.begin_anew()
        self._tell_serving()
        self._counters.add("fences")
        self._log.warn("fenced: {sentence}", sentence=sentence)
        self._guarded(self._events.fenced, sentence)

    def _up_refused(self, owner: Owner) -> None:
        if owner == self.owner:
            self._affiliation.fence("the cluster holds this node's incarnation for dead")

    # ---- time

    def _tick(self) -> None:
        self._timers["tick"] = self._clock.call_later(self._timing.tick_s, self._tick)
        self._guarded(self._work)

    def _work(self) -> None:
        now = self._clock.now()
        if now >= self._next_ping and not self._affiliation.refused:
            self._next_ping = now + self._timing.ping_s - self._timing.tick_s / 2  # the nearest tick, early or late
            if self._founding:
                leaderless_s = self._member.leaderless_s() if self._member else math.inf
                self._founding.tick(self._affiliation.cluster, leaderless_s, now)
            self._peers.ping()
        member = self._member
        if member:
            if member.book:
                self._membership.bury(member.book.condemn(self.owner, member.tables, now), member.book.term)
            if not self._affiliation.leaving:
                self._membership.come_up(self.owner, self._affiliation.succeeds, member.tables)
        self._proposals.expire(now)
        self._turn_now()
        self._fence_if_suspended_for_long(now)
        self._guarded(self._events.ticked)

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
            self._affiliation.refuse(member.machine.unsupported)
            return
        if broken := self._invariants.broken(member, self.serving()):
            self._affiliation.begin_anew(broken)
            return
        if self._hand_over is None or not self._hand_over.go_on(member.book, self._clock.now()):
            self._tell_handed_over()
        self._proposals.tell()
        if member.engine.installed != self._installed:
            self._installed = member.engine.installed
            self._guarded(self._events.installed)
        changes = member.machine.take_changes()
        if changes:
            self._guarded(self._events.applied, changes)
        if self.owner.incarnation in member.tables.dead and not self._affiliation.leaving:
            self._affiliation.fence("the cluster declared this node dead")
        if member.supervise(self.owner):
            self._peers.claim(member)
            self._tell_safe_moved()
        self._spread.look(member.engine.applied, member.safe)
        self._peers.report_progress(member)
        self._tell_serving()
        if member.engine.busy:
            self._kick()

    def _tell_handed_over(self) -> None:
        self._hand_over = None
        over, self._handed_over = self._handed_over, []
        for done in over:
            self._guarded(done)

    def _tell_serving(self) -> None:
        serving = self.serving()
        if serving and self._member:
            self._suspension.served(leading=self._member.engine.is_leader)
        if serving == self._told_serving:
            return
        self._told_serving = serving
        if not serving and not self._affiliation.leaving:
            self._counters.add("leases_lost")
        self._guarded(self._events.serving_changed, serving)

    def _fence_if_suspended_for_long(self, now: float) -> None:
        """Rule 4."""
        if self._suspension.lasts_too_long(now, lambda: not (self.serving() or self._affiliation.leaving)):
            self._affiliation.fence("this node had no contact to the cluster for too long")

    # ---- out

    def _send(self, peer: str, frame: AnyFrame) -> bool:
        return self._send_bytes(peer, encode(frame))

    def _tell_safe_moved(self) -> None:
        self._guarded(self._events.safe_moved)

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
            "refused": self._affiliation.refused,
            "role": "voter" if self._founding else "observer",
            "cluster": self._affiliation.cluster,
            "recovering": engine.recovering if engine and self._founding else self._founding is not None,
            "leader": engine.leader if engine else None,
            "leading": bool(engine and engine.is_leader),
            "has_leader": bool(engine and engine.follows(2 * self._timing.election_max_s)),
            "term": engine.term if engine else 0,
            "applied": engine.applied if engine else 0,
            "committed": engine.committed if engine else 0,
            "log_entries": engine.log_length() if engine else 0,
            "safe": self.safe,
            "serving": self.serving(),
            "lease_left_s": round(max(0.0, member.lease_end - now), 3) if member else 0.0,
            "peers": sorted(self._peers.connected),
            "members": [f"{owner.name}/{owner.incarnation:x}" for owner in self.tables.up],
        }
