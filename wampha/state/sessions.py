"""Which sessions there are (protocol rules 28, 30): applies what home nodes report.

The reports of an incarnation are numbered 1, 2, 3, ... Its home node has one of them in flight at a time, and proposes
the same one again until it has been applied. So each takes effect exactly once, in order, whatever becomes of a
proposal, and facts need not be idempotent: a session that came and went within one report has come, and has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from wampha.state.changes import (
    Change,
    SessionJoined,
    SessionLeft,
    SessionRefused,
    SessionsMet,
    SubscriberChanged,
    TestamentsDue,
)
from wampha.state.commands import Command, Outcome, Owner, Report
from wampha.state.facts import (
    AUTHID,
    AUTHROLE,
    DETACHED,
    EVERYBODY,
    SCOPES,
    SESSION,
    Bequeath,
    Come,
    Detach,
    End,
    Flush,
    Join,
    Kill,
    Lock,
    Modify,
    Revive,
    Subscribing,
)
from wampha.state.ground import Ground, Handler
from wampha.state.locks import Lost
from wampha.state.roll import NOTHING, Member, Roll

OF_SESSIONS: Final = (SessionJoined, SessionLeft, TestamentsDue)  # what is published
_SELECTED: Final[Mapping[str, Callable[[Member], int | str]]] = {
    SESSION: lambda member: member.id,
    AUTHID: lambda member: member.authid,
    AUTHROLE: lambda member: member.authrole,
    EVERYBODY: lambda member: "",
}


class Sessions:
    """The rules of the roll of sessions."""

    def __init__(self, ground: Ground) -> None:
        self._ground: Final = ground
        self.handlers: Final[Mapping[type[Command], Handler]] = {Report: self._report}
        self._facts: Final[Mapping[type, Callable[[Report, int, Any], None]]] = {
            Join: self._join,
            End: self._end,
            Detach: self._detach,
            Bequeath: self._bequeath,
            Flush: self._flush,
            Kill: self._kill,
            Modify: self._modify,
            Come: self._come,
            Lock: self._lock,
            Revive: self._revive,
            Subscribing: self._subscribing,
        }

    @property
    def _roll(self) -> Roll:
        return self._ground.tables.roll

    def bury(self, owner: Owner) -> None:
        """Rule 28: the sessions of the incarnation have left, in this entry."""
        roll = self._roll
        for member in list(roll.owned(owner).values()):
            digest = roll.locks.unlock(member.id)
            if digest is not None:
                roll.locks.lose(_lost(member, digest))
            self._ground.changes.append(SessionLeft(member, roll.remove(member).all()))
        roll.bury(owner)

    def _report(self, index: int, report: Report) -> Outcome:
        ground, roll = self._ground, self._roll
        if report.owner not in ground.tables.up:
            return ground.dead()
        last = roll.reported(report.owner).number
        if report.number <= last:
            ground.counters.add("commands_stale")
            return Outcome.STALE
        if report.number != last + 1:
            return Outcome.REFUSED
        roll.report(report.owner, report.number, index)
        for place, fact in enumerate(report.facts):
            self._facts[type(fact)](report, place, fact)
        return Outcome.OK

    def _join(self, report: Report, place: int, join: Join) -> None:
        roll, owner = self._roll, report.owner
        if roll.has(join.session):
            self._ground.changes.append(SessionRefused(owner, join.session))
            return
        member = Member.of(join, owner)
        roll.add(member)
        self._ground.changes.append(SessionJoined(member))

    def _come(self, report: Report, place: int, come: Come) -> None:
        """Nobody is told: it was there before, and it still is."""
        roll = self._roll
        member = roll.get(come.realm, come.session)
        if member is None:
            self._join(report, place, come)
            roll.acquit(come.session)
        else:
            roll.move(msgspec.structs.replace(Member.of(come, report.owner), more=member.more))

    def _lock(self, report: Report, place: int, lock: Lock) -> None:
        roll = self._roll
        if lock.session in roll.owned(report.owner):
            roll.locks.lock(lock.session, lock.digest)

    def _revive(self, report: Report, place: int, revive: Revive) -> None:
        """Of two that would have it the first one gets it."""
        roll = self._roll
        lost = roll.locks.lost(revive.realm, revive.session)
        opened = lost is not None and lost.digest == revive.digest and not roll.has(revive.session)
        if opened:
            roll.locks.find(revive.session)
            self._join(report, place, revive)
        met = (revive.session,) if opened else ()
        self._ground.changes.append(SessionsMet(report.owner, report.number, place, met))

    def _end(self, report: Report, place: int, end: End) -> None:
        roll, owner = self._roll, report.owner
        member = roll.owned(owner).get(end.session)
        if member is None:
            roll.forget(owner, end.session)
            return
        self._ground.changes.append(SessionLeft(member, roll.remove(member).all(), report.number))

    def _detach(self, report: Report, place: int, detach: Detach) -> None:
        member = self._roll.owned(report.owner).get(detach.session)
        if member is not None:
            due = self._clear(member, DETACHED)
            if due:
                self._ground.changes.append(TestamentsDue(member, due, report.number))

    def _bequeath(self, report: Report, place: int, fact: Bequeath) -> None:
        roll = self._roll
        member = roll.owned(report.owner).get(fact.session)
        if member is not None and fact.scope in SCOPES:
            roll.bequeath(member.realm, member.id, roll.testaments(member.id).and_also(fact.scope, fact.testament))

    def _flush(self, report: Report, place: int, flush: Flush) -> None:
        member = self._roll.owned(report.owner).get(flush.session)
        if member is not None and flush.scope in SCOPES:
            self._clear(member, flush.scope)

    def _clear(self, member: Member, scope: str) -> tuple[Any, ...]:
        roll = self._roll
        standing = roll.testaments(member.id)
        left = standing.without(scope)
        roll.bequeath(member.realm, member.id, left if left.all() else NOTHING)
        return standing.of(scope)

    def _kill(self, report: Report, place: int, kill: Kill) -> None:
        roll, changes = self._roll, self._ground.changes
        met = [member for member in _met_by(kill, roll) if member.id != kill.spared]
        for member in met:
            changes.append(SessionLeft(member, roll.remove(member).all(), killed=kill))
            roll.kill(member.owner, member.id)
        changes.append(SessionsMet(report.owner, report.number, place, tuple(member.id for member in met), kill))

    def _modify(self, report: Report, place: int, modify: Modify) -> None:
        roll = self._roll
        member = roll.get(modify.realm, modify.session)
        if member is not None:
            merged = {**member.more, **modify.delta}
            more = {key: value for key, value in merged.items() if value is not None}
            roll.add(msgspec.structs.replace(member, more=more))
        met = () if member is None else (member.id,)
        self._ground.changes.append(SessionsMet(report.owner, report.number, place, met))

    def _subscribing(self, report: Report, place: int, fact: Subscribing) -> None:
        """It is told, and no table has it: the subscribers of a route are its node's own."""
        number = (report.owner.incarnation << 96) + (report.number << 16) + place
        self._ground.changes.append(SubscriberChanged(fact.realm, fact.session, fact.subscription, fact.begins, number))


def _lost(member: Member, digest: bytes) -> Lost:
    return Lost(
        member.id,
        member.realm,
        member.owner,
        member.authid,
        member.authrole,
        member.authmethod,
        member.authprovider,
        digest,
    )


def _met_by(kill: Kill, roll: Roll) -> list[Member]:
    """The sessions that a Kill is about, in the order of the log; the caller's may be among them."""
    if kill.of == SESSION:
        member = roll.get(kill.realm, kill.value) if isinstance(kill.value, int) else None
        return [] if member is None else [member]
    return [member for member in roll.within(kill.realm).values() if meets(kill, member)]


def meets(kill: Kill, member: Member) -> bool:
    """Whether a Kill is about this session of its realm."""
    of = _SELECTED.get(kill.of)
    return of is not None and (kill.of == EVERYBODY or of(member) == kill.value)


def difference(former: Roll, present: Roll) -> Iterator[Change]:
    """What a snapshot that replaced `former` by `present` has skipped, as far as the two of them tell."""
    for member in former:
        if present.get(member.realm, member.id) is None:
            yield SessionLeft(member, former.testaments(member.id).all())
    for member in present:
        if former.get(member.realm, member.id) is None:
            yield SessionJoined(member)
