"""Browsers that are known again: what the cluster is told of their cookies, and whose sessions a logout ends.

    WELCOME by another method  -> RememberCookie
    GOODBYE or kill with the reason `wamp.close.logout`, or another user with the same cookie  -> ForgetCookie
    PERIOD_S without its end, at the node that leads  -> EndPeriod

A logout is stated again until it has taken effect. A cookie that could not be remembered is no harm: its user is asked
for a proof once more.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Final, NamedTuple

from wampha.auth.cookie import METHOD, digest_of, proof
from wampha.auth.grant import Grant
from wampha.auth.steps import BrowserCookie, Claim
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.routing.ports import Audit, Clock, Ledger
from wampha.routing.session import Session, who
from wampha.state.commands import EndPeriod, ForgetCookie, Identity, Outcome, RememberCookie
from wampha.state.cookies import PERIOD_S


class _Held(NamedTuple):
    """A cookie that stands for an identity."""

    digest: bytes
    identity: Identity
    periods: int


class KnownCookies:
    """One per node."""

    def __init__(self, *, ledger: Ledger, limits: Limits, counters: Counters, clock: Clock, audit: Audit) -> None:
        self._ledger: Final = ledger
        self._cookies_max: Final = limits.cookies_max
        self._counters: Final = counters
        self._clock: Final = clock
        self._audit: Final = audit
        self._held: Final[dict[int, _Held]] = {}  # session id -> of sessions here that came with a cookie
        self._sessions: Final[dict[bytes, dict[int, Session]]] = {}  # digest -> the same sessions
        self._leaving: Final[dict[bytes, _Held]] = {}  # logouts that have not taken effect, oldest first
        self._doubtful: Final[dict[bytes, None]] = {}  # those of them that may be lost
        self._period = -1  # the last one seen
        self._since = 0.0  # when it was seen first

    def identity(self, cookie: BrowserCookie | None, realm: str) -> Identity | None:
        """Who has proved something with this cookie, in this realm."""
        if cookie is None:
            return None
        identity = self._ledger.tables.cookies.identity(digest_of(cookie.value))
        return identity if identity is not None and identity.realm == realm else None

    def knows(self, cookie: str) -> bool:
        """Whether somebody has proved something with this cookie; else a browser is given another one.

        So nobody can make somebody else prove something with a cookie of his own.
        """
        return self._ledger.tables.cookies.identity(digest_of(cookie)) is not None

    def came_in(self, session: Session, claim: Claim, grant: Grant) -> None:
        """A session has been opened."""
        if claim.cookie is None:
            return
        if grant.authmethod == METHOD:
            assert claim.identity is not None, "who comes by a cookie is known"
            self._hold(session, _held(claim.cookie, claim.identity))
        elif grant.standing:
            name = claim.authid or grant.authid
            evidence = proof(claim.cookie.value, grant.standing)
            self._prove(session, _held(claim.cookie, Identity(claim.realm, name, grant.authmethod, evidence)))

    def _prove(self, session: Session, held: _Held) -> None:
        known = self._ledger.tables.cookies.get(held.digest)
        if known is None:
            self._hold(session, held)
            remember = RememberCookie(self._ledger.owner, held.digest, held.identity, held.periods, self._cookies_max)
            self._ledger.propose(remember, self._remembered)
        elif not known.void and known.identity.realm == held.identity.realm and known.identity != held.identity:
            # Another user, or one whose principal has changed meanwhile: it stands for nobody from now on.
            self._forget(_Held(held.digest, known.identity, held.periods))

    def _remembered(self, outcome: Outcome) -> None:
        if outcome is Outcome.OK:
            self._counters.add("cookies_remembered")

    def _hold(self, session: Session, held: _Held) -> None:
        self._held[session.id] = held
        self._sessions.setdefault(held.digest, {})[session.id] = session

    def came_back(self, session: Session, cookie: BrowserCookie | None) -> None:
        """A session goes on with another connection, perhaps after it was at another node: a logout ends it too."""
        identity = self.identity(cookie, session.realm)
        if cookie is not None and identity is not None and session.id not in self._held:
            self._hold(session, _held(cookie, identity))

    def left(self, session: Session) -> None:
        """A session is over, or goes on at another node; its cookie stays."""
        held = self._held.pop(session.id, None)
        if held is None:
            return
        sessions = self._sessions[held.digest]
        del sessions[session.id]
        if not sessions:
            del self._sessions[held.digest]

    def log_out(self, session: Session) -> None:
        """The cookie of this session, which is about to end, lets nobody in any more."""
        held = self._held.get(session.id)
        if held is not None:
            self._audit("logged_out", who(session))
            self._forget(held)

    def let_in_by(self, digest: bytes) -> list[Session]:
        """The sessions of this node that came with a cookie, to be ended."""
        return list(self._sessions.get(digest, {}).values())

    # ---- logouts

    def _forget(self, held: _Held) -> None:
        if len(self._leaving) >= self._cookies_max and held.digest not in self._leaving:
            self._counters.add("cookies_crowded_out")
            self._settle(next(iter(self._leaving)))
        self._leaving[held.digest] = held
        self._state(held)

    def _state(self, held: _Held) -> None:
        self._doubtful.pop(held.digest, None)
        forget = ForgetCookie(self._ledger.owner, held.digest, held.identity, held.periods, self._cookies_max)
        self._ledger.propose(forget, partial(self._forgotten, held.digest))

    def _forgotten(self, digest: bytes, outcome: Outcome) -> None:
        if digest not in self._leaving:
            return
        if outcome is Outcome.OK:
            self._counters.add("cookies_forgotten")
            self._settle(digest)
        elif outcome is Outcome.REFUSED:
            self._settle(digest)  # a node that is up cannot read it, and so no cookie has ever been remembered
        else:
            self._doubtful[digest] = None

    def _settle(self, digest: bytes) -> None:
        self._leaving.pop(digest, None)
        self._doubtful.pop(digest, None)

    # ---- time

    def ticked(self) -> None:
        """State again what may be lost, and end the period when its time has come."""
        ledger = self._ledger
        if not ledger.serving():
            return
        for digest in list(self._doubtful):
            self._state(self._leaving[digest])
        cookies, now = ledger.tables.cookies, self._clock.now()
        if cookies.period != self._period or not len(cookies):
            self._period, self._since = cookies.period, now
        elif now - self._since >= PERIOD_S and ledger.tables.leader in ("", ledger.owner.name):
            self._since = now
            ledger.propose(EndPeriod(ledger.owner, cookies.period), _whatever)


def _held(cookie: BrowserCookie, identity: Identity) -> _Held:
    """What stands for an identity for as long as the browser keeps it, rounded up."""
    return _Held(digest_of(cookie.value), identity, math.ceil(cookie.lifetime_s / PERIOD_S) + 1)


def _whatever(outcome: Outcome) -> None:
    """If it was not applied, the next tick but some is."""
