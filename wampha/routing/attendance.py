"""This node's sessions, reported to the cluster: not on the way of WELCOME, many in one entry of the log.

A session joins and leaves here; the facts wait for the next report. One report is in flight at a time, and the same one
is proposed again until the table shows that it was applied (`state/sessions.py`): so each fact takes effect once,
whatever becomes of a proposal, and nothing need be compared after a snapshot but what somebody else did to sessions of
this node. Facts that somebody waits for are reported at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.relayed import Reported
from wampha.routing.ports import Client, Clock, Ledger, Outbox
from wampha.routing.session import Session
from wampha.state.changes import SessionLeft, SessionRefused, SessionsMet
from wampha.state.commands import Outcome, Report
from wampha.state.facts import (
    DETACHED,
    AnyFact,
    Come,
    Detach,
    End,
    Join,
    Kill,
    Lock,
    Modify,
    Revive,
    Subscribing,
    Transport,
)
from wampha.state.roll import Member
from wampha.state.sessions import meets

INTERVAL_S: Final = 0.02  # from one report to the next: in a storm of logins each has some hundred facts
_FACTS_MAX: Final = 500  # of a report: applying it takes 2 ms
_BYTES_MAX: Final = 128 * 1024  # of the facts in a report; the largest one alone has less
# GOODBYE of a session whose id turned out to be another one's.
ID_TAKEN: Final = Kill("", "", 0, 0, "wamp.error.unavailable", "Another session has this id; connect again.")
# Of one that somebody killed while this node took a snapshot in place of the log, so that the reason is not known.
KILLED: Final = Kill("", "", 0, 0, "wamp.close.normal", None)

_encode: Final = msgspec.msgpack.Encoder().encode

Told = Callable[[tuple[int, ...] | None], None]  # the sessions that were met, or None if it is not known


class _Entry:
    """One fact on its way."""

    __slots__ = ("deadline", "fact", "index", "met", "told")

    def __init__(self, fact: AnyFact, told: Told | None, deadline: float) -> None:
        self.fact: Final = fact
        self.told = told
        self.deadline: Final = deadline
        self.index = 0  # of the log entry that has it, once it was applied
        self.met: tuple[int, ...] | None = None if isinstance(fact, Kill | Modify | Revive) else ()

    def tell(self, met: tuple[int, ...] | None) -> None:
        told, self.told = self.told, None
        if told is not None:
            told(met)


class _Flight:
    """The report that is proposed until it has been applied."""

    __slots__ = ("entries", "proposed", "report")

    def __init__(self, report: Report, entries: Sequence[_Entry]) -> None:
        self.report: Final = report
        self.entries: Final = entries
        self.proposed = False  # and the outcome has not come


class Attendance:
    """What this node tells the cluster of its sessions, and learns about them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        limits: Limits,
        counters: Counters,
        clock: Clock,
        outbox: Outbox,
        expel: Callable[[Sequence[tuple[Session, Kill]]], None],
    ) -> None:
        """`expel` ends sessions of this node that were killed: at once, with GOODBYE."""
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._counters: Final = counters
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._expel: Final = expel
        self._sessions: Final[dict[int, Session]] = {}  # open ones of this incarnation by id
        self._coming: Final[dict[int, Join]] = {}  # session id -> that the table does not show yet
        self._going: Final[dict[int, str]] = {}  # session id -> realm; over, and the table does not show it yet
        self._queue: Final[deque[_Entry]] = deque()  # facts that no report has
        self._flight: _Flight | None = None
        self._last: _Flight | None = None  # that was applied
        self._landed: Final[deque[_Entry]] = deque()  # applied, and somebody waits until that is safe
        self._awaited: Final[deque[_Entry]] = deque()  # that somebody waits for, by deadline
        self._afterwards: Final[deque[tuple[int, Callable[[], None]]]] = deque()  # (facts stated before, what to do)
        self._stated = 0  # facts of this incarnation
        self._applied = 0  # of them
        self._number = 0  # of the last report
        self._reported_at = clock.now() - INTERVAL_S
        self._looking = False  # at changes; what follows from them is reported later, and so told in its order
        self._stopped = False

    # ---- what happens to sessions of this node

    def joined(self, session: Session, join: Join, digest: bytes | None = None) -> None:
        """The session is open; `join` tells of it, `digest` is that of the token that opens it if this node dies."""
        self._sessions[session.id] = session
        self._coming[session.id] = join
        self._state(join, *(() if digest is None else (Lock(session.id, digest),)))

    def came(self, session: Session, join: Join) -> None:
        """The session has come from another node, and goes on here."""
        self.joined(session, Come(*msgspec.structs.astuple(join)))

    def parted(self, session: Session) -> None:
        """The session goes on at another node, which will say so."""
        self._sessions.pop(session.id, None)
        self._coming.pop(session.id, None)

    def revived(self, session: Session) -> None:
        """A session of a dead node goes on here, as the cluster has decided."""
        self._sessions[session.id] = session

    def declined(self, session: int) -> None:
        """A session of a dead node may have become one of this node, and nobody wants it."""
        self._state(End(session))

    def locked(self, session: Session, digest: bytes) -> None:
        """The digest of the token that opens the session if this node dies."""
        self._state(Lock(session.id, digest))

    def detached(self, session: Session) -> None:
        """The session has lost its connection and goes on: its testaments for that are due."""
        if session.id in self._sessions:
            session.testaments.pop(DETACHED, None)
            self._state(Detach(session.id))

    def ended(self, session: Session) -> None:
        """The session is over, however it ended."""
        if self._sessions.pop(session.id, None) is not None:
            self._coming.pop(session.id, None)
            self._going[session.id] = session.realm
            self._state(End(session.id))

    def subscribing(self, fact: Subscribing) -> None:
        """A session has gained or lost a subscription."""
        self._state(fact)

    def after(self, do: Callable[[], None]) -> None:
        """Call `do` once everything that was stated until now has been applied; never if this incarnation ends."""
        self._afterwards.append((self._stated, do))
        self._report()
        self._go_on()

    def ask(self, fact: AnyFact, told: Told) -> None:
        """State a fact at once; `told` is called when every node that may be serving knows it (rules 20-24).

        It gets the sessions that a Kill or Modify met; None if that is not known, at the latest after
        `decide_timeout_s`: the fact may take effect all the same.
        """
        entry = _Entry(fact, told, self._clock.now() + self._limits.decide_timeout_s)
        self._enter(entry)
        self._awaited.append(entry)
        self._report()

    # ---- who is there, as this node knows it: its own sessions at once, others as reported

    def within(self, realm: str) -> Iterator[Member]:
        """The sessions of a realm."""
        for member in self._ledger.tables.roll.within(realm).values():
            if member.id not in self._going:
                yield member
        yield from (self._arriving(join) for join in self._coming.values() if join.realm == realm)

    def count(self, realm: str) -> int:
        """How many sessions a realm has."""
        standing = self._ledger.tables.roll.within(realm)
        return (
            len(standing)
            - sum(session in standing for session in self._going)
            + sum(join.realm == realm for join in self._coming.values())
        )

    def find(self, realm: str, session: int) -> Member | None:
        """One session of a realm."""
        if session in self._going:
            return None
        join = self._coming.get(session)
        if join is not None:
            return self._arriving(join) if join.realm == realm else None
        return self._ledger.tables.roll.get(realm, session)

    def _arriving(self, join: Join) -> Member:
        return Member.of(join, self._ledger.owner)

    # ---- what the ledger tells

    def applied(self, changes: Iterable[Any]) -> None:
        """Sessions of this node may have been killed, or refused for their id."""
        self._settle()
        self._looking = True
        self._end_expelled(self._expelled(changes))
        self._looking = False
        self.claim()

    def _expelled(self, changes: Iterable[Any]) -> dict[int, Kill]:
        owner, expelled = self._ledger.owner, dict[int, Kill]()
        if self._dead():
            return expelled
        for change in changes:
            kind = type(change)
            if kind is SessionLeft and change.member.owner == owner:
                expelled[change.member.id] = change.killed or KILLED
            elif kind is SessionRefused and change.owner == owner:
                expelled[change.session] = ID_TAKEN
            elif kind is SessionsMet:
                self._met(change)
                if change.kill is not None:
                    expelled.update(self._met_on_their_way(change.kill))
        return expelled

    def _dead(self) -> bool:
        """Whether this incarnation was declared dead: nobody killed its sessions, and the fence says why they end."""
        return self._ledger.owner.incarnation in self._ledger.tables.dead

    def _end_expelled(self, expelled: dict[int, Kill]) -> None:
        present = [(self._sessions[each], kill) for each, kill in expelled.items() if each in self._sessions]
        if present:
            self._expel(present)

    def installed(self) -> None:
        """A snapshot replaced the tables; what became of Kill and Modify that it has is not known."""
        self._settle()
        for entry in self._landed:
            if entry.met is None:
                entry.tell(None)
                entry.met = ()
        if not self._dead():
            owned = self._ledger.tables.roll.owned(self._ledger.owner)
            gone = [each for each in self._sessions if each not in self._coming and each not in owned]
            self._end_expelled(dict.fromkeys(gone, KILLED))
        self.claim()

    def ticked(self) -> None:
        """Propose again what was not decided; give up waiting for what takes too long."""
        self._report()
        now = self._clock.now()
        while self._awaited and (self._awaited[0].told is None or self._awaited[0].deadline <= now):
            entry = self._awaited.popleft()
            if entry.told is not None:
                self._counters.add("wants_timed_out")
                entry.tell(None)
        self.claim()
        self._go_on()

    def claim(self) -> None:
        """Tell those who wait for what is safe by now."""
        ledger = self._ledger
        while self._landed and self._landed[0].met is not None:
            entry = self._landed[0]
            if entry.index > ledger.safe or not ledger.serving():
                break
            self._landed.popleft()
            entry.tell(entry.met)

    def reset(self) -> None:
        """The incarnation is dead, and its sessions with it (rules 4, 28); reports begin anew."""
        waiting = [*self._landed, *(self._flight.entries if self._flight else ()), *self._queue]
        self._flight = self._last = None
        self._number = self._stated = self._applied = 0
        for each in (self._sessions, self._coming, self._going, self._queue, self._landed, self._awaited):
            each.clear()
        self._afterwards.clear()
        for entry in waiting:
            entry.tell(None)

    def stop(self) -> None:
        """Report nothing any more: the incarnation leaves, and its sessions with it (rules 5, 28)."""
        self._stopped = True
        self.reset()

    # ---- reports

    def _state(self, *facts: AnyFact) -> None:
        for fact in facts:
            self._enter(_Entry(fact, None, 0.0))
        if self._flight is None and self._clock.now() >= self._reported_at + INTERVAL_S:
            self._report()  # else the next tick will

    def _enter(self, entry: _Entry) -> None:
        self._stated += 1
        self._queue.append(entry)

    def _go_on(self) -> None:
        while self._afterwards and self._afterwards[0][0] <= self._applied:
            self._afterwards.popleft()[1]()

    def _report(self) -> None:
        """Propose what is to be reported, unless a proposal is under way, or changes are being looked at."""
        if self._looking:
            return
        self._settle()
        if self._stopped:
            return
        flight = self._flight
        if flight is None and self._queue:
            flight = self._flight = self._next()
        elif flight is None or flight.proposed:
            return
        else:
            self._counters.add("reports_repeated")
        flight.proposed = True
        self._counters.add("reports")
        self._reported_at = self._clock.now()
        self._ledger.propose(flight.report, partial(self._decided, flight))

    def _next(self) -> _Flight:
        entries = [self._queue.popleft()]
        weight = _weight(entries[0].fact)
        while self._queue and len(entries) < _FACTS_MAX:
            weight += _weight(self._queue[0].fact)
            if weight > _BYTES_MAX:
                break
            entries.append(self._queue.popleft())
        self._number += 1
        if any(isinstance(entry.fact, End | Detach) for entry in entries):
            self._mark(self._number)
        return _Flight(Report(self._ledger.owner, self._number, tuple(entry.fact for entry in entries)), entries)

    def _mark(self, number: int) -> None:
        """Tell every node where those events end that belong before what this report tells (`meta/marks.py`)."""
        for owner in self._ledger.tables.up:
            if owner != self._ledger.owner:
                self._outbox.forward(owner, Reported(number))

    def _decided(self, flight: _Flight, _: Outcome) -> None:
        """The table shows what came of it; what it does not show is proposed again in the next tick."""
        flight.proposed = False
        if flight is self._flight:
            self._settle()
            if self._flight is None:
                self.claim()
        if len(self._queue) >= _FACTS_MAX:
            self._clock.call_later(0, self._report)
        self._go_on()

    def _settle(self) -> None:
        """The report in flight may have been applied."""
        flight = self._flight
        if flight is None:
            return
        reported = self._ledger.tables.roll.reported(flight.report.owner)
        if reported.number < flight.report.number:
            return
        self._flight = None
        self._applied += len(flight.entries)
        self._last = flight
        for entry in flight.entries:
            if isinstance(entry.fact, Join):
                self._coming.pop(entry.fact.session, None)
            elif isinstance(entry.fact, End):
                self._going.pop(entry.fact.session, None)
            if entry.told is not None:
                entry.index = reported.index
                self._landed.append(entry)

    def _met(self, change: SessionsMet) -> None:
        last = self._last
        if last is not None and (change.owner, change.report) == (last.report.owner, last.report.number):
            last.entries[change.place].met = change.sessions

    def _met_on_their_way(self, kill: Kill) -> dict[int, Kill]:
        """Sessions that the table did not show yet: they end too, though nobody is told of them."""
        return {
            join.session: kill
            for join in self._coming.values()
            if join.realm == kill.realm and join.session != kill.spared and meets(kill, self._arriving(join))
        }


def transport_of(client: Client) -> Transport:
    """How a client is connected."""
    peer, kind, protocol, *_ = (*client.describe().split(" "), "", "")
    return Transport(kind, protocol, peer)


def join_of(session: Session, client: Client) -> Join:
    """What is told of a session that is open."""
    grant = session.grant
    return Join(
        session=session.id,
        realm=session.realm,
        authid=grant.authid,
        authrole=grant.authrole,
        authmethod=grant.authmethod,
        authprovider=grant.authprovider,
        transport=transport_of(client),
    )


def _weight(fact: AnyFact) -> int:
    return len(_encode(fact))
