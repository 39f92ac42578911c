"""`wamp.session.*`: who is there, and who has to go (advanced profile, "Session Meta API").

The replicated roll answers; what this node knows of its own sessions before the log does is in the answer already. A
session is killed through the log: it leaves every table in that entry, its home node ends it when it applies the entry,
and the caller is told when every node that may be serving has applied it. So no answer is partial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import InvalidArgument, InvalidUri, NoSuchSession, Unavailable, WampError
from wampha.limits import Limits
from wampha.messages.payload import Untranscodable
from wampha.messages.values import Family, dump, load
from wampha.routing.attendance import Attendance
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.meta.publishing import publish_here
from wampha.routing.realm import Realm
from wampha.state.changes import SessionJoined, SessionLeft
from wampha.state.facts import AUTHID, AUTHROLE, EVERYBODY, SESSION, Kill, Modify
from wampha.state.roll import Member

ON_JOIN: Final = "wamp.session.on_join"
ON_LEAVE: Final = "wamp.session.on_leave"
REASON: Final = "wamp.close.normal"  # of GOODBYE, if the caller gives none


class SessionApi:
    """The sessions of every realm, the same on every node."""

    def __init__(
        self, *, realms: Mapping[str, Realm], attendance: Attendance, limits: Limits, counters: Counters
    ) -> None:
        self._realms: Final = realms
        self._attendance: Final = attendance
        self._limits: Final = limits
        self._counters: Final = counters

    def offer(self, realm: Realm) -> None:
        """Answer in one more realm."""
        add = realm.procedures.add
        add("wamp.session.count", partial(self.count, realm))
        add("wamp.session.list", partial(self.list, realm))
        add("wamp.session.get", partial(self.get, realm))
        add("wamp.session.kill", partial(self.kill, realm), changes=True)
        add("wamp.session.kill_by_authid", partial(self._kill_by, realm, AUTHID), changes=True)
        add("wamp.session.kill_by_authrole", partial(self._kill_by, realm, AUTHROLE), changes=True)
        add("wamp.session.kill_all", partial(self.kill_all, realm), changes=True)
        add("wamp.session.modify_details", partial(self.modify_details, realm), changes=True)

    # ---- who is there

    def count(self, realm: Realm, call: MetaCall) -> None:
        """How many sessions there are, or how many with one of these roles."""
        roles = _roles(call)
        if roles is None:
            call.answer(self._attendance.count(realm.name))
        else:
            call.answer(sum(1 for _ in self._with(realm, roles)))

    def list(self, realm: Realm, call: MetaCall) -> None:
        """Their ids, likewise."""
        roles = _roles(call)
        chosen = self._attendance.within(realm.name) if roles is None else self._with(realm, roles)
        call.answer([member.id for member in chosen])

    def get(self, realm: Realm, call: MetaCall) -> None:
        """What is known of one."""
        call.answer(self._found(realm, call.id(0, "session")).details())

    def _with(self, realm: Realm, roles: frozenset[str]) -> Iterator[Member]:
        return (member for member in self._attendance.within(realm.name) if member.authrole in roles)

    def _found(self, realm: Realm, session: int) -> Member:
        member = self._attendance.find(realm.name, session)
        if member is None:
            raise _no_such(session)
        return member

    # ---- who has to go

    def kill(self, realm: Realm, call: MetaCall) -> None:
        """End one other session."""
        session = call.id(0, "session")
        kill = _kill(realm, call, SESSION, session)
        if session == call.caller.id:
            raise _no_such(session)  # the specification's answer: there is no *other* session with this id
        self._found(realm, session)
        self._ask(call, kill, lambda met: call.answer() if met else call.refuse(_no_such(session)))

    def _kill_by(self, realm: Realm, of: str, call: MetaCall) -> None:
        """End all others with this authid, and tell their ids; or with this authrole, and tell how many."""
        kill = _kill(realm, call, of, call.text(0, of))
        self._ask(call, kill, lambda met: call.answer([*met] if of == AUTHID else len(met)))

    def kill_all(self, realm: Realm, call: MetaCall) -> None:
        """End all others."""
        self._ask(call, _kill(realm, call, EVERYBODY, ""), lambda met: call.answer(len(met)))

    # ---- what is known of them

    def modify_details(self, realm: Realm, call: MetaCall) -> None:
        """Add details of one's own to what is told of a session, change or (null) remove them."""
        session = call.id(0, "session")
        delta = call.required(1, "details", dict, "a map")
        member = self._found(realm, session)
        ours = delta.keys() & (member.details().keys() - member.more.keys())
        if ours:
            raise InvalidArgument(f"{call.procedure} does not change {', '.join(sorted(ours))}.")
        try:
            delta = load(Family.MSGPACK, dump(Family.MSGPACK, delta))
            weight = len(dump(Family.MSGPACK, {**member.more, **delta}))
        except Untranscodable as error:
            raise InvalidArgument(f"{call.procedure}: {error}") from None
        limit = self._limits.session_details_bytes_max
        if weight > limit:
            self._counters.add("session_bounds_reached")
            raise InvalidArgument(f"The details of a session may have {limit} bytes; these would have {weight}.")
        modify = Modify(realm.name, session, delta)
        self._ask(call, modify, lambda met: call.answer() if met else call.refuse(_no_such(session)))

    def _ask(self, call: MetaCall, fact: Kill | Modify, answer: Callable[[tuple[int, ...]], None]) -> None:
        self._attendance.ask(fact, lambda met: call.refuse(undecided(self._limits)) if met is None else answer(met))

    # ---- events

    def joined(self, change: SessionJoined) -> None:
        """Tell the realm's subscribers."""
        member = change.member
        realm = self._realms.get(member.realm)
        if realm is not None and realm.broker.hears(ON_JOIN):
            publish_here(realm, ON_JOIN, _number(member), [member.details()])

    def left(self, change: SessionLeft) -> None:
        """Likewise."""
        member = change.member
        if not is_silent(change):
            args = [member.id, member.authid, member.authrole]
            publish_here(self._realms.get(member.realm), ON_LEAVE, _number(member), args)


def _number(member: Member) -> int:
    """Of a session at one home: one that was revived after the death of its node has joined twice."""
    return (member.owner.incarnation << 64) + member.id


def is_silent(change: SessionLeft) -> bool:
    """Whether nobody is told: `kill_all` generates neither session meta events nor testaments, by the specification."""
    return change.killed is not None and change.killed.of == EVERYBODY


def undecided(limits: Limits) -> WampError:
    """The answer to what the cluster has not decided in time."""
    return Unavailable(
        f"The cluster did not decide this within {limits.decide_timeout_s:g} seconds; it may still come about."
    )


def _roles(call: MetaCall) -> frozenset[str] | None:
    roles = call.optional(0, "filter_authroles", list, "a list of strings")
    if roles is None:
        return None
    if any(type(role) is not str for role in roles):
        raise InvalidArgument(f"{call.procedure}: filter_authroles must be a list of strings.")
    return frozenset(roles)


def _kill(realm: Realm, call: MetaCall, of: str, value: int | str) -> Kill:
    reason = call.kwargs.get("reason")
    if reason is None:
        reason = REASON
    elif type(reason) is not str:
        raise InvalidUri(f"{call.procedure}: reason must be a URI.")
    else:
        realm.uris.check(reason)
    message = call.optional(-1, "message", str, "a string")
    return Kill(realm.name, of, value, call.caller.id, reason, message)


def _no_such(session: int) -> NoSuchSession:
    return NoSuchSession(f"There is no session {session} here, or none but the caller's own.")
