"""A node's part in one cluster: engine, table, leases. Thrown away as a whole when the cluster changes (rule 57)."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

from wampha.counters import Counters
from wampha.ledger.constants import Timing
from wampha.ledger.election import Election
from wampha.ledger.engine import SUCCESS, Engine
from wampha.ledger.frames import Ping, PreVote, PreVoted, RaftBody, Reply, TimeoutNow
from wampha.ledger.handover import HandOver
from wampha.ledger.lease import LeaseBook
from wampha.ledger.options import Options
from wampha.ledger.replica import Settled
from wampha.state.codec import encode, version_of
from wampha.state.commands import Command, Lead, Outcome, Owner
from wampha.state.machine import Machine, Restoring
from wampha.state.tables import Tables


class Member:
    """Everything heard and decided in one cluster, by one life."""

    def __init__(
        self,
        *,
        cluster: int,
        name: str,
        voters: tuple[str, ...],
        timing: Timing,
        now: Callable[[], float],
        chance: Random,
        send: Callable[[str, RaftBody], bool],
        machine: Machine,
        counters: Counters,
        recovering: bool,
        held_until: float,
        options: Options,
    ) -> None:
        """`held_until`: as a leader, grant and claim nothing before (rule 54)."""
        self.cluster: Final = cluster
        self.machine: Final = machine
        self._name: Final = name
        self._voters: Final = voters
        self._timing: Final = timing
        self._now: Final = now
        self._counters: Final = counters
        self._round_trips: Final = counters.distributions["lease_round_trip_seconds"]
        self._send: Final = send
        self._held_until: Final = held_until
        self.engine: Final = Engine(
            name=name,
            voters=voters,
            timing=timing,
            now=now,
            chance=chance,
            send=send,
            apply=machine.apply,
            snapshot=machine.begin_snapshot,
            restore=lambda: Restoring(machine),
            counters=counters,
            recovering=recovering,
            options=options,
        )
        self._election: Final = Election(
            name=name, voters=voters, engine=self.engine, timing=timing, now=now, send=send
        )
        self.book: LeaseBook | None = None  # while this node leads
        self._lead_proposed = -math.inf
        self.lease_end = -math.inf
        self._leader_at = now()  # when this node led last, or when it began
        self.safe = 0  # the highest claim heard (rule 21)
        self._echo: tuple[int, float] | None = None  # (term, stamp) of the leader's reply heard last

    @property
    def tables(self) -> Tables:
        return self.machine.tables

    # ---- Raft

    def tick(self) -> None:
        """Let elections and the engine do what is due."""
        if self.engine.repaired("elections"):
            self._election.tick()
        self.engine.tick()
        self.take_office()

    def received(self, peer: str, body: RaftBody, recovering: bool) -> None:
        """A message of Raft; `recovering` is what the sender says of itself."""
        if isinstance(body, PreVote):
            if not recovering:
                self._election.asked(peer, body)
        elif isinstance(body, PreVoted):
            if not recovering:
                self._election.answered(peer, body)
        elif isinstance(body, TimeoutNow):
            self._election.told(peer, body)
        else:
            self.engine.received(peer, body, recovering)
        self.take_office()

    def leaderless_s(self) -> float:
        """For how long this node has neither heard a leader nor been it (rules 51, 56)."""
        return self._now() - max(self._leader_at, self.engine.heard)

    def propose(self, command: Command, settled: Settled) -> None:
        """Append a command; one that a node that is up could not read is refused."""
        if version_of(command) > self.tables.readable():
            settled(Outcome.REFUSED, SUCCESS)
        else:
            self.engine.propose(encode(command), settled)

    def hand_over(self) -> HandOver:
        """Begin to make another voter lead; `HandOver.go_on` carries it out."""
        return HandOver(
            engine=self.engine,
            timing=self._timing,
            now=self._now(),
            send=self._send,
            others=len(self._voters) - 1,
        )

    def take_office(self) -> None:
        """Begin or end to keep a book, as the engine became or ceased to be leader (rule 12)."""
        engine, book, now = self.engine, self.book, self._now()
        if not engine.is_leader:
            self.book = None
            return
        self._leader_at = now
        if book is None or book.term != engine.term:
            book = self.book = LeaseBook(
                timing=self._timing,
                name=self._name,
                voters=self._voters,
                term=engine.term,
                now=now,
                held_until=self._held_until,
            )
            self._counters.add("elections_won")
            self.lease_end = -math.inf
            self._lead_proposed = -math.inf
        if book.start is None:
            self._begin(book, now)

    def _begin(self, book: LeaseBook, now: float) -> None:
        if self.tables.term == book.term:
            book.start = self.engine.applied
        elif now - self._lead_proposed > self._timing.proposal_s:
            self._lead_proposed = now
            self.propose(Lead(book.term, self._name), _heedless)

    # ---- leases and the barrier

    def supervise(self, own: Owner) -> bool:
        """As a leader, step down without a quorum (rule 17), else renew the own lease (16) and raise the claim (20).

        True if `safe` rose.
        """
        book, now = self.book, self._now()
        if book is None:
            return False
        if book.must_step_down(now):
            self.engine.step_down()
            self.take_office()
            return False
        self.lease_end = max(self.lease_end, book.own_lease_end(now))
        return book.advance(own, self.engine.applied, self.tables, now) and self.claimed(book.claim)

    def claimed(self, index: int) -> bool:
        """Every possible holder of a lease has applied `index`; true for ever (rule 21). True if `safe` rose."""
        if index <= self.safe:
            return False
        self.safe = index
        return True

    def ping(self, owner: Owner, life: int, *, leaving: bool, wants_open: bool) -> Ping:
        """What this node tells its leader (rule 10). One that is leaving asks for no lease, but still echoes."""
        term = self.engine.term
        return Ping(
            cluster=self.cluster,
            term=term,
            incarnation=owner.incarnation,
            life=life,
            sent=self._now(),
            echo=self._echo[1] if self._echo and self._echo[0] == term else None,
            applied=0 if leaving else self.engine.applied,
            recovering=self.engine.recovering,
            wants_open=wants_open,
        )

    def answer(self, owner: Owner, ping: Ping) -> Reply | None:
        """The leader's answer to a ping or probe (rule 13); None if this node does not lead."""
        book, now = self.book, self._now()
        if book is None:
            return None
        left, opens = 0.0, None
        if ping.cluster == self.cluster:
            counts = not (ping.recovering and self.engine.repaired("recovering"))
            if ping.term == book.term and ping.echo is not None and counts:
                book.echoed(owner.name, ping.echo, now)
            book.note(owner, ping.applied, now)
            if ping.term == book.term:
                left = book.grant(owner, ping.applied, self.tables, now)
                opens = self._opens(book, owner.name, ping, now)
        return Reply(
            cluster=self.cluster,
            term=book.term,
            incarnation=owner.incarnation,
            sent=ping.sent,
            left=left,
            stamp=now,
            claim=book.claim,
            dead=owner.incarnation in self.tables.dead,
            opens=opens,
            quorate=book.quorate(now),
        )

    def _opens(self, book: LeaseBook, voter: str, ping: Ping, now: float) -> int | None:
        if not (ping.wants_open and voter in self._voters):
            return None
        return book.openings.asked(
            voter,
            ping.life,
            ping.applied,
            last_index=self.engine.log_end[1],
            quorum_time=book.quorum_time(now),
            now=now,
        )

    def opened(self, leader: str, reply: Reply, life: int) -> bool:
        """Rule 44: True if this answer of its leader makes this voter, in its present `life`, vote again."""
        if not self.engine.recovering or reply.opens != life or reply.term != self.engine.term:
            return False
        self.engine.open(leader)
        return True

    def replied(self, reply: Reply, owner: Owner) -> bool:
        """Take the leader's answer (rule 15); True if it is the first one of its term."""
        if reply.term != self.engine.term or reply.incarnation != owner.incarnation or self.book:
            return False
        now = self._now()
        if reply.left > 0 and reply.sent <= now:
            self.lease_end = max(self.lease_end, reply.sent + min(reply.left, self._timing.lease_s))
        if reply.sent <= now:
            self._round_trips.add(now - reply.sent)
        first = self._echo is None or self._echo[0] != reply.term
        self._echo = (reply.term, reply.stamp)
        return first

    def stop(self) -> None:
        self.engine.stop()


def _heedless(result: object, code: int) -> None:
    """The outcome shows in the table, or the command is proposed again."""
