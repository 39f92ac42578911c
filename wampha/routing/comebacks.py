"""Clients that come back to their session: here, at another node, or when its node is dead.

    resumption.py   who may, until when; what waits meanwhile is in `line.py` and `parking.py`
    arrival.py      fetches a session from its home, which gives it away (`giving.py`)
    revival.py      lets a session go on of which only the identity is left

All of it ends here: a session goes on with another connection, and its client gets WELCOME.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Options
from wampha.names.ids import Ids
from wampha.routing.arrival import Arrival, Arrivals
from wampha.routing.attendance import Attendance, join_of
from wampha.routing.calls import Calls
from wampha.routing.features import ClientFeatures
from wampha.routing.gather import Gather
from wampha.routing.giving import Givings
from wampha.routing.passage import Passage
from wampha.routing.ports import Audit, Clock, Ledger
from wampha.routing.realm import Realm
from wampha.routing.resumption import RESUMED, Key, Permitting, Resumption, Resumptions
from wampha.routing.revival import Revival, Revivals
from wampha.routing.session import Session
from wampha.state.commands import Owner

if TYPE_CHECKING:
    from wampha.routing.conversation import Conversation


class Comebacks:
    """The sessions of one node that outlive their connection, and those that come to it for their client's sake."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        clock: Clock,
        gather: Gather,
        attendance: Attendance,
        calls: Calls,
        realms: Mapping[str, Realm],
        find: Callable[[str], Realm | None],
        sessions: dict[int, Session],
        conversations: dict[Conversation, None],
        audit: Audit,
        permissions: Permitting,
        welcome: Callable[[Realm, Session], Options],
        over: Callable[[Session], None],
        parted: Callable[[Session], None],
        arrived: Callable[[Realm, Session], None],
    ) -> None:
        """`sessions` and `conversations` are the router's; `welcome` makes WELCOME.Details, `over` ends a session,
        `parted` hears of one that goes on at another node.

        `find` gives the realm of a name, if there is one; `permissions` are those of a role for one session, or
        SessionRefused; `arrived` looks whether a session of another node may have here what it had there.
        """
        self._ledger: Final = ledger
        self._attendance: Final = attendance
        self._calls: Final = calls
        self._realms: Final = realms
        self._find: Final = find
        self._sessions: Final = sessions
        self._conversations: Final = conversations
        self._audit: Final = audit
        self._welcome: Final = welcome
        self._over: Final = over
        self._parted: Final = parted
        self._arrived: Final = arrived
        self._resumptions: Final = Resumptions(limits=limits, counters=counters, ids=ids, clock=clock, end=self.end)
        passage = Passage(ledger=ledger, gather=gather, clock=clock)
        self._givings: Final = Givings(
            ledger=ledger,
            gather=gather,
            passage=passage,
            clock=clock,
            counters=counters,
            sessions=sessions,
            resumptions=self._resumptions,
            arriving=lambda session: session in self._arrivals,
            supersede=self._supersede,
            cut=self._part,
            end=self.end,
        )
        self._arrivals: Final = Arrivals(
            ledger=ledger,
            gather=gather,
            passage=passage,
            clock=clock,
            counters=counters,
            resumptions=self._resumptions,
            decide_timeout_s=limits.decide_timeout_s,
            permissions=permissions,
            landed=self._landed,
        )
        self._revivals: Final = Revivals(
            ledger=ledger,
            clock=clock,
            counters=counters,
            attendance=attendance,
            resumptions=self._resumptions,
            permissions=permissions,
            revived=self._revived,
        )

    # ---- what the router asks

    def status(self) -> dict[str, int]:
        """How many sessions have no connection, and the bytes that wait to be sent when they come back."""
        return self._resumptions.status()

    def open(self, conversation: Conversation, realm: Realm, hello: Any) -> Resumption | None:
        """For a session that is about to open: what belongs to it if it is to outlive its connection."""
        return self._resumptions.open(conversation, realm.resumption, realm.slow_clients, hello.resumable)

    def opened(self, session: Session) -> Options:
        """WELCOME.Details that are added for a session that can be resumed."""
        if session.resumption is None:
            return NO_OPTIONS
        session.resumption.session = session
        return self._resumptions.token(session.resumption, self._ledger.owner.name)

    def resume(self, hello: Any, conversation: Conversation) -> None:
        """Let a session go on with another connection; the conversation is told, now or later, what came of it.

        A session of another node comes to this one first. Raises SessionRefused if nothing can come of it.
        """
        session, realm = self._sessions.get(hello.resume_session), self._find(hello.realm)
        if session is None and realm is not None and realm.resumption is not None:
            moved_to = self._givings.moved_to(hello.resume_session)
            if moved_to not in self._ledger.tables.up and self._revivals.can(hello, realm.resumption):
                self._revivals.begin(conversation, hello, realm)
            else:
                self._arrivals.begin(conversation, hello, realm, moved_to)
            return
        resumption, used = self._resumptions.opened_by(session, hello)
        self._supersede(resumption)
        assert session is not None, "what is opened is there"
        session.features = ClientFeatures.of(hello.roles, lenient=self._realms[session.realm].lenient)
        self._resume(session, resumption, used, conversation)

    def lost(self, conversation: Conversation, session: Session, resumption: Resumption, proved: bool) -> None:
        """The connection of a session that can be resumed is lost; `proved`: the client had got WELCOME."""
        self._conversations.pop(conversation, None)
        if proved:
            resumption.proved()
        if not self._resumptions.detach(resumption):
            self._over(session)
            return
        session.conversation = None
        self._realms[session.realm].detached(session)
        self._attendance.detached(session)

    def may_move(self, session: Session | None) -> bool:
        """Whether the session may go on at another node."""
        return session is not None and session.resumption is not None and len(self._ledger.tables.up) > 1

    def lingers(self) -> bool:
        """Whether sessions wait that may be fetched by other nodes."""
        return len(self._ledger.tables.up) > 1 and bool(self._resumptions.detached())

    def end(self, session: Session, reason: str, sentence: str) -> None:
        """End a session for good, whether it has a connection or not; harmless if it has ended."""
        if self._sessions.get(session.id) is not session:
            return
        conversation = session.resumption.conversation if session.resumption else None
        if conversation is not None:
            conversation.dismiss(reason, sentence)
        else:
            self._over(session)

    def ended(self, session: Session) -> None:
        """A session is over."""
        if session.resumption is not None:
            self._resumptions.ended(session.resumption)

    def node_gone(self, owner: Owner) -> None:
        """An incarnation is dead."""
        self._revivals.node_gone(owner)

    def clear(self) -> None:
        """End every session that has no connection, those included that are on their way from or to another node."""
        self._arrivals.clear()
        self._givings.clear()
        for session in self._resumptions.detached():
            self._over(session)

    # ---- a session goes on

    def _supersede(self, resumption: Resumption) -> None:
        """Close the session's connection, if it has one: the client knows better that it is dead."""
        before = resumption.conversation
        if before is not None:
            self._conversations.pop(before, None)
            resumption.session.conversation = None
            resumption.line.flush()
            before.superseded(RESUMED, "The session was resumed by another connection.")

    def _resume(
        self,
        session: Session,
        resumption: Resumption,
        used: Key,
        conversation: Conversation,
        *,
        lost: Sequence[int] = (),
        node_lost: bool = False,
    ) -> None:
        realm = self._realms[session.realm]
        session.conversation = conversation
        owner = self._ledger.owner.name
        resumed = self._resumptions.resume(resumption, used, conversation, owner, lost=lost, node_lost=node_lost)
        self._attendance.locked(session, resumption.key.digest)
        details = {**self._welcome(realm, session), **resumed}
        fields = {"session": session.id, "authid": session.authid, "authrole": session.authrole}
        self._audit("resumed", {"realm": realm.name, "peer": conversation.client.describe(), **fields})
        if not conversation.resumed(realm, session, resumption.line, details):  # it has gone while the session came
            self.lost(conversation, session, resumption, proved=False)

    def _landed(self, arrival: Arrival, used: Key) -> None:
        """A session has come from another node."""
        session, conversation = arrival.resumption.session, arrival.conversation
        self._sessions[session.id] = session
        self._givings.arrived(session.id)
        self._attendance.came(session, join_of(session, conversation.client))
        self._resume(session, arrival.resumption, used, conversation, lost=arrival.lost)
        self._arrived(arrival.realm, session)

    def _revived(self, revival: Revival, resumption: Resumption, used: Key) -> None:
        """A session of a dead node goes on here, and has nothing but its identity."""
        session = resumption.session
        self._sessions[session.id] = session
        revival.realm.enter(session)
        self._attendance.revived(session)
        self._resume(session, resumption, used, revival.conversation, node_lost=True)

    def _part(self, session: Session) -> None:
        """A session goes on at another node."""
        assert session.resumption is not None, "only such sessions move"
        session.open = False
        del self._sessions[session.id]
        self._attendance.parted(session)
        self._parted(session)
        self._calls.caller_dismissed(session)
        self._realms[session.realm].part(session, sorted(session.resumption.line.unsent_invocations()))
