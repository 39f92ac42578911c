"""Sessions of dead nodes: their client proves by its token who it was, and goes on as that, with nothing else.

What a session had was its node's. The cluster remembers who it was and the digest of its token (`state/locks.py`), and
decides through the log who gets it, so that it is never at two nodes (docs/resumable-sessions.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from wampha.auth.grant import Grant
from wampha.counters import Counters
from wampha.errors import SessionRefused, Unavailable
from wampha.routing.attendance import Attendance, transport_of
from wampha.routing.features import ClientFeatures
from wampha.routing.ports import Clock, Ledger
from wampha.routing.realm import Realm
from wampha.routing.resumption import (
    Key,
    Permitting,
    Resumption,
    ResumptionRules,
    Resumptions,
    digest_of,
    no_such_session,
)
from wampha.routing.session import Session
from wampha.state.commands import Owner
from wampha.state.facts import Revive
from wampha.state.locks import Lost
from wampha.state.tables import DEAD_MAX

if TYPE_CHECKING:
    from wampha.routing.conversation import Conversation


class Revival:
    """One client that wants such a session."""

    __slots__ = ("conversation", "hello", "lost", "realm")

    def __init__(self, conversation: Conversation, hello: Any, realm: Realm, lost: Lost) -> None:
        self.conversation: Final = conversation
        self.hello: Final = hello
        self.realm: Final = realm
        self.lost: Final = lost


class Revivals:
    """All that are asked for at this node."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        counters: Counters,
        attendance: Attendance,
        resumptions: Resumptions,
        permissions: Permitting,
        revived: Callable[[Revival, Resumption, Key], None],
    ) -> None:
        """`revived(revival, resumption, used key)`: the session is one of this node from now on."""
        self._ledger: Final = ledger
        self._clock: Final = clock
        self._counters: Final = counters
        self._attendance: Final = attendance
        self._resumptions: Final = resumptions
        self._permissions: Final = permissions
        self._revived: Final = revived
        self._deaths: Final[dict[Owner, float]] = {}  # when this node heard of them, or was first asked

    def node_gone(self, owner: Owner) -> None:
        """The grace time of its sessions begins."""
        if owner not in self._deaths and len(self._deaths) >= DEAD_MAX:
            del self._deaths[next(iter(self._deaths))]
        self._deaths.setdefault(owner, self._clock.now())

    def can(self, hello: Any, rules: ResumptionRules) -> bool:
        """Whether the session is there to be revived, for this token and now."""
        lost = self._ledger.tables.roll.locks.lost(hello.realm, hello.resume_session)
        if lost is None or not hmac.compare_digest(lost.digest, digest_of(hello.resume_token)):
            return False
        self.node_gone(lost.owner)  # no news, unless a snapshot told of it
        return self._clock.now() - self._deaths[lost.owner] <= rules.grace_s

    def begin(self, conversation: Conversation, hello: Any, realm: Realm) -> None:
        """Ask the cluster; the conversation is told what came of it."""
        lost = self._ledger.tables.roll.locks.lost(hello.realm, hello.resume_session)
        assert lost is not None, "it was looked at just now"
        transport = transport_of(conversation.client)
        names = (lost.authid, lost.authrole, lost.authmethod, lost.authprovider)
        revive = Revive(lost.id, lost.realm, *names, transport, lost.digest)
        self._attendance.ask(revive, partial(self._decided, Revival(conversation, hello, realm, lost)))

    def _decided(self, revival: Revival, met: tuple[int, ...] | None) -> None:
        lost, conversation, realm = revival.lost, revival.conversation, revival.realm
        if met is None:
            self._attendance.declined(lost.id)
            conversation.refused(SessionRefused(Unavailable.uri, "It could not be decided who gets the session."))
            return
        grant = Grant(lost.authid, lost.authrole, lost.authmethod, lost.authprovider)
        here = lost.id in self._ledger.tables.roll.owned(self._ledger.owner)  # else it was killed meanwhile
        rules = realm.resumption  # None: the configuration has changed meanwhile
        if lost.id not in met or not here or rules is None:
            if met:
                self._attendance.declined(lost.id)
            self._counters.add("resumptions_refused")
            conversation.refused(no_such_session())
            return
        try:
            permissions = self._permissions(realm, lost.id, grant)
        except SessionRefused as refused:
            self._attendance.declined(lost.id)
            conversation.refused(refused)
            return
        self._counters.add("sessions_revived")
        resumption = self._resumptions.arrive(rules, realm.slow_clients, lost.digest, 0)
        resumption.session = Session(
            session_id=lost.id,
            realm=realm.name,
            grant=grant,
            permissions=permissions,
            client=resumption.line,
            features=ClientFeatures.of(revival.hello.roles, lenient=realm.lenient),
            resumption=resumption,
        )
        assert resumption.former is not None, "a session arrives by a token"
        self._revived(revival, resumption, resumption.former)
