"""The router: realms, conversations, and what the ledger and other nodes tell this node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from wampha.auth.doorway import Doorway
from wampha.auth.grant import Grant
from wampha.auth.steps import Chance, Claim
from wampha.counters import Counters
from wampha.errors import SessionRefused, Unavailable
from wampha.limits import Limits
from wampha.messages.model import Options
from wampha.messages.payload import Payload
from wampha.messages.relayed import (
    PROGRESS,
    CancelInvoke,
    Forward,
    Invoke,
    InvokeMore,
    Query,
    QueryReply,
    Relayed,
    Reply,
)
from wampha.names.ids import Ids
from wampha.routing.attendance import Attendance
from wampha.routing.authorizer import Authorization
from wampha.routing.callees import not_delivered
from wampha.routing.calls import Calls
from wampha.routing.conversation import Conversation
from wampha.routing.docket import Docket
from wampha.routing.entrance import Entrance
from wampha.routing.farewell import Farewell
from wampha.routing.features import ClientFeatures
from wampha.routing.gather import Gather
from wampha.routing.insider import Insiders
from wampha.routing.keeper import Keeper
from wampha.routing.meta.apis import MetaApis
from wampha.routing.permissions import Permissions, RealmRules
from wampha.routing.ports import Audit, Cancellable, Client, Clock, Ledger, Outbox, Workers, no_audit
from wampha.routing.realm import Realm
from wampha.routing.rerouting import Why
from wampha.routing.resumption import OFFERED, RESUMED, Resumption, Resumptions
from wampha.routing.rows import Rows
from wampha.routing.session import Session
from wampha.state.changes import NodeGone
from wampha.state.commands import Owner
from wampha.state.facts import Join, Kill, Transport

SYSTEM_SHUTDOWN: Final = "wamp.close.system_shutdown"
_TOLD_MAX: Final = 500  # clients of a dead incarnation that are told so per reactor turn
STOPPING: Final = "This node is being stopped; connect to another one."

# WELCOME.Details.roles: only what a test proves is announced.
_BROKER_FEATURES: Final = (
    "event_history",
    "event_retention",
    "pattern_based_subscription",
    "payload_passthru_mode",
    "payload_transparency",
    "publication_trustlevels",
    "publisher_exclusion",
    "publisher_identification",
    "session_meta_api",
    "subscriber_blackwhite_listing",
    "subscription_meta_api",
    "subscription_revocation",
)
_DEALER_FEATURES: Final = (
    "call_canceling",
    "call_reroute",
    "call_timeout",
    "call_trustlevels",
    "caller_identification",
    "pattern_based_registration",
    "payload_passthru_mode",
    "payload_transparency",
    "progressive_call_invocations",
    "progressive_call_results",
    "registration_meta_api",
    "registration_revocation",
    "session_meta_api",
    "shared_registration",
    "testament_meta_api",
)
_ROLES: Final[Options] = {
    "broker": {"features": dict.fromkeys(_BROKER_FEATURES, True)},
    "dealer": {"features": dict.fromkeys(_DEALER_FEATURES, True)},
}


class Router:
    """All realms of one node; implements `LedgerEvents`."""

    def __init__(
        self,
        *,
        realms: Iterable[RealmRules],
        limits: Limits,
        counters: Counters,
        ids: Ids,
        clock: Clock,
        outbox: Outbox,
        workers: Workers,
        chance: Chance,
        agent: str,
        audit: Audit = no_audit,
        wall_ms: Callable[[], int],
        status: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`agent` names the software in WELCOME; `status` is what clients may ask of (`wampha.cluster.status`).

        `wall_ms` gives milliseconds since 1970, for what clients are told of the age of things (P11).
        `attach` must follow before anything else is called.
        """
        self.counters: Final = counters
        self._workers: Final = workers
        self._chance: Final = chance
        self._audit: Final = audit
        self._rules: Final = tuple(realms)
        self._limits: Final = limits
        self._ids: Final = ids
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._agent: Final = agent
        self._wall_ms: Final = wall_ms
        self._status: Final = status
        self._calls: Final = Calls(limits=limits, counters=counters, clock=clock, outbox=outbox)
        self._docket: Final = Docket(limits=limits, counters=counters, clock=clock)
        self._resumptions: Final = Resumptions(
            limits=limits, counters=counters, ids=ids, clock=clock, end=self.end_session
        )
        self._conversations: Final[dict[Conversation, None]] = {}  # with a client each, oldest first
        self._sessions: Final[dict[int, Session]] = {}  # session id -> sessions of this node
        self._farewell: Farewell | None = None  # once the node stops
        self._realms: Mapping[str, Realm] = {}  # name -> realm
        self._ledger: Ledger
        self._rows: Rows
        self._attendance: Attendance
        self._keeper: Keeper
        self._insiders: Insiders
        self.entrance: Entrance  # where clients are let in
        self.gather: Gather
        self._meta: MetaApis
        self._relayed: Final[Mapping[type, Callable[[Owner, Any], None]]] = {
            Forward: self._forwarded,
            Invoke: self._invoked,
            InvokeMore: self._invoked_more,
            Reply: self._replied,
            CancelInvoke: self._canceled,
            Query: self._queried,
            QueryReply: self._query_replied,
        }

    def attach(self, ledger: Ledger) -> None:
        """Give the router its ledger; once, before anything else."""
        self._ledger = ledger
        self._rows = Rows(ledger=ledger, counters=self.counters, wall_ms=self._wall_ms)
        self._attendance = Attendance(
            ledger=ledger, limits=self._limits, counters=self.counters, clock=self._clock, expel=self._expel
        )
        self._keeper = Keeper(ledger=ledger, limits=self._limits, counters=self.counters, outbox=self._outbox)
        self.gather = Gather(
            limits=self._limits, counters=self.counters, clock=self._clock, outbox=self._outbox, ledger=ledger
        )
        self._realms = {
            rules.name: Realm(
                rules=rules,
                limits=self._limits,
                counters=self.counters,
                ids=self._ids,
                outbox=self._outbox,
                ledger=ledger,
                rows=self._rows,
                docket=self._docket,
                calls=self._calls,
                keeper=self._keeper,
                clock=self._clock,
                attendance=self._attendance,
                wall_ms=self._wall_ms,
                audit=self._audit,
            )
            for rules in self._rules
        }
        self._insiders = insiders = Insiders(
            realms=self._realms, ids=self._ids, calls=self._calls, timeout_s=self._limits.authenticator_timeout_s
        )
        self.entrance = Entrance(
            workers=self._workers,
            chance=self._chance,
            insiders=insiders,
            clock=self._clock,
            limits=self._limits,
            counters=self.counters,
            audit=self._audit,
            session_id=self._session_id,
        )
        self._meta = MetaApis(
            realms=self._realms,
            ledger=ledger,
            gather=self.gather,
            attendance=self._attendance,
            limits=self._limits,
            counters=self.counters,
            ids=self._ids,
            clock=self._clock,
            announce=self.announce,
            status=self._status,
        )

    # ---- clients

    def connected(self, client: Client, doorway: Doorway) -> Conversation:
        """A client's transport is open; `doorway`: how its listener lets clients in."""
        conversation = Conversation(router=self, client=client, doorway=doorway)
        self._conversations[conversation] = None
        return conversation

    def sessions(self) -> int:
        """How many sessions this node has."""
        return len(self._sessions)

    def waiting(self) -> dict[str, int]:
        """How many of them have no connection, and the bytes that wait to be sent when they come back."""
        return self._resumptions.status()

    def drain(self, *, spread_s: float, answer_s: float, done: Callable[[], None]) -> None:
        """The node stops: open no session any more, and end those that are open, one after the other (`Farewell`).

        `done` is called when all are over, perhaps before this returns; not after `close`.
        """
        self.refuse_newcomers(SYSTEM_SHUTDOWN, STOPPING)
        self._farewell = Farewell(
            conversations=self._conversations,
            clock=self._clock,
            spread_s=spread_s,
            answer_s=answer_s,
            dismiss=lambda conversation: conversation.dismiss(SYSTEM_SHUTDOWN, STOPPING),
            done=done,
        )
        self._farewell.start()

    def close(self) -> None:
        """End every conversation that is left. This node's rows go when the ledger leaves (rule 5)."""
        if self._farewell:
            self._farewell.stop()
        self._rows.stop()
        self._attendance.stop()
        self._keeper.stop()
        self.gather.clear()
        self._dismiss_all(SYSTEM_SHUTDOWN, STOPPING)
        for session in self._resumptions.detached():
            self._over(session)

    def join(
        self, hello: Any, claim: Claim, grant: Grant, conversation: Conversation
    ) -> tuple[Realm, Session, Options]:
        """Open a session for who was let in; returns it with WELCOME.Details, or raises SessionRefused."""
        realm = self._room(claim.realm)
        permissions = self._permissions(realm, claim.session, grant)
        if claim.session in self._sessions:
            raise SessionRefused(Unavailable.uri, "The session's id is taken; try again.")
        resumption = self._resumptions.open(conversation, realm.resumption, realm.slow_clients, hello.resumable)
        session = Session(
            session_id=claim.session,
            realm=realm.name,
            grant=grant,
            permissions=permissions,
            client=resumption.line if resumption else conversation.client,
            features=ClientFeatures.of(hello.roles, lenient=realm.lenient),
            resumption=resumption,
        )
        self._sessions[session.id] = session
        session.conversation = conversation
        self._attendance.joined(session, _join_of(session, conversation.client))
        self.counters.add("sessions_opened")
        details = self._welcome(realm, grant)
        if grant.authextra:
            details["authextra"] = grant.authextra
        if resumption:
            resumption.session = session
            details |= self._resumptions.token(resumption, self._ledger.owner.name)
        return realm, session, details

    def _permissions(self, realm: Realm, session: int, grant: Grant) -> Permissions | Authorization:
        role = realm.permissions_of(grant.authrole)
        if role is None:
            raise SessionRefused("wamp.error.no_such_role", f"Realm {realm.name!r} has no role {grant.authrole!r}.")
        if isinstance(role, Permissions):
            return role
        return Authorization(
            authorizer=role,
            realm=realm.name,
            session=session,
            grant=grant,
            ask=self._insiders.ask,
            outbox=self._outbox,
            waiting_s=self._limits.authenticator_timeout_s,
            clock=self._clock,
            counters=self.counters,
        )

    def _welcome(self, realm: Realm, grant: Grant) -> dict[str, Any]:
        details: dict[str, Any] = {
            "realm": realm.name,
            "authid": grant.authid,
            "authrole": grant.authrole,
            "authmethod": grant.authmethod,
            "authprovider": grant.authprovider,
            "roles": _ROLES,
            "agent": self._agent,
        }
        if realm.resumption:
            details[OFFERED] = realm.resumption.grace_s
        return details

    # ---- sessions that outlive their connection

    def resume(self, hello: Any, conversation: Conversation) -> tuple[Realm, Session, Options]:
        """Let a session of this node go on with another connection; returns as `join` does, or raises SessionRefused.

        If it still has one, that one is closed: the client knows better that it is dead.
        """
        if self._farewell:
            raise SessionRefused(SYSTEM_SHUTDOWN, STOPPING)
        if not self.serving():
            raise SessionRefused("wamp.error.unavailable", "This node does not serve at the moment; try again.")
        session = self._sessions.get(hello.resume_session)
        resumption, used = self._resumptions.opened_by(session, hello)
        before = resumption.conversation
        if before is not None:
            self._conversations.pop(before, None)
            resumption.line.flush()
            before.superseded(RESUMED, "The session was resumed by another connection.")
        assert session is not None, "what is opened is there"
        realm = self._realms[session.realm]
        session.conversation = conversation
        session.features = ClientFeatures.of(hello.roles, lenient=realm.lenient)
        resumed = self._resumptions.resume(resumption, used, conversation, self._ledger.owner.name)
        return realm, session, {**self._welcome(realm, session.grant), **resumed}

    def detached(self, conversation: Conversation, session: Session, resumption: Resumption, proved: bool) -> None:
        """The connection of a session that can be resumed is lost; `proved`: the client had got WELCOME."""
        self._conversations.pop(conversation, None)
        if proved:
            resumption.proved()
        if self._farewell or not self._resumptions.detach(resumption):
            self._over(session)
            return
        session.conversation = None
        self._realms[session.realm].detached(session)
        self._attendance.detached(session)

    def end_session(self, session: Session, reason: str, sentence: str) -> None:
        """End a session for good, whether it has a connection or not; harmless if it has ended."""
        if self._sessions.get(session.id) is not session:
            return
        if session.conversation is not None:
            session.conversation.dismiss(reason, sentence)
        else:
            self._over(session)

    def _over(self, session: Session) -> None:
        session.open = False
        del self._sessions[session.id]
        self.counters.add("sessions_closed")
        session.conversation = None
        if session.resumption is not None:
            self._resumptions.ended(session.resumption)
        self._realms[session.realm].leave(session)
        self._attendance.ended(session)

    # ---- the end of sessions

    def check_realm(self, name: str) -> None:
        """Raise SessionRefused if no session can be opened in that realm at present, whoever it is."""
        self._room(name)

    def _room(self, name: str) -> Realm:
        """The realm, if sessions can be opened in it at present; raises SessionRefused."""
        if self._farewell:
            raise SessionRefused(SYSTEM_SHUTDOWN, STOPPING)
        realm = self._realms.get(name)
        if realm is None:
            raise SessionRefused("wamp.error.no_such_realm", f"There is no realm {name!r} here.")
        if not self.serving():
            raise SessionRefused(Unavailable.uri, "This node does not serve at the moment; try again.")
        return realm

    def caller_dismissed(self, session: Session) -> None:
        """Answer the calls of a session that is about to get GOODBYE."""
        self._calls.caller_dismissed(session)

    def ended(self, conversation: Conversation, session: Session | None) -> None:
        """A conversation is over, and with it its session, if there was one."""
        self._conversations.pop(conversation, None)
        if session is not None:
            self._over(session)

    def serving(self) -> bool:
        """Whether this node serves at this instant (rule 1)."""
        return self._ledger.serving()

    def hello_deadline(self, expired: Callable[[], None]) -> Cancellable:
        """Call `expired` when a client has had its time to open a session."""
        return self._clock.call_later(self._limits.hello_timeout_s, expired)

    def announce(
        self,
        topic: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        realm: str | None = None,
        everywhere: bool = False,
    ) -> None:
        """Publish an event of the router's own under a reserved URI, in one realm or (None) in every one.

        It goes to the subscribers of this node, with `everywhere` also to those of the other nodes. It asks no lease:
        what happens to a node is told to its own clients in any state. Values as `Payload.of` takes them.
        """
        assert topic.startswith(("wamp.", "wampha.")), f"{topic!r} belongs to the users"
        payload = Payload.of(args, kwargs)
        for each in self._realms.values():
            if realm is None or each.name == realm:
                each.broker.announce(topic, payload, everywhere)

    def announce_slow(self, realm: str, session: int, topic: str, details: Mapping[str, Any]) -> None:
        """Tell the realm's subscribers on every node of a session that does not read; `topic`: see `slow.py`."""
        self.announce(topic, [session], details, realm=realm, everywhere=True)

    def _session_id(self) -> int:
        roll = self._ledger.tables.roll
        while (drawn := self._ids.session()) in self._sessions or roll.has(drawn):
            pass
        return drawn

    def refuse_newcomers(self, reason: str, sentence: str) -> None:
        """ABORT for every client that has not opened a session."""
        for conversation in list(self._conversations):
            if not conversation.established:
                conversation.dismiss(reason, sentence)

    def _dismiss_all(self, reason: str, sentence: str) -> None:
        for conversation in list(self._conversations):
            conversation.dismiss(reason, sentence)

    # ---- other nodes

    def relayed(self, source: Owner, relayed: Relayed) -> None:
        """A message of another node's incarnation, addressed to this node's present one (rule 29)."""
        if source.incarnation in self._ledger.tables.dead:
            # Invariant 3. It stood still, does not know it yet, and sends again what came here before its end.
            self.counters.add("forwards_of_the_dead")
            return
        self._relayed[type(relayed)](source, relayed)

    def node_lost(self, owner: Owner) -> None:
        """Frames from or to this incarnation are lost: the calls between it and this node end, outcome unknown."""
        self._calls.take_back(owner)
        self._node_lost(owner)

    def _node_lost(self, owner: Owner) -> None:
        for pending in self._calls.node_lost(owner):
            self._realms[pending.caller.realm].dealer.declined(pending, Why.LOST)
        self.gather.node_lost(owner)

    def _forwarded(self, source: Owner, forward: Forward) -> None:
        realm = self._realms.get(forward.realm)
        if realm is not None:
            realm.broker.deliver_forwarded(forward)

    def _invoked(self, source: Owner, invoke: Invoke) -> None:
        realm = self._realms.get(invoke.realm)
        if realm is None:
            self._outbox.forward(source, not_delivered(invoke.call))
        else:
            realm.dealer.callees.invoke(source, invoke)

    def _invoked_more(self, source: Owner, part: InvokeMore) -> None:
        served = self._calls.served(source, part.call)
        if served is not None:
            assert served.callee is not None, "a callee works on what is served"
            self._realms[served.callee.realm].dealer.callees.invoke_more(served, part)

    def _replied(self, source: Owner, reply: Reply) -> None:
        find = self._calls.awaited if reply.answer is PROGRESS else self._calls.replied
        pending = find(source, reply.call)
        if pending is not None:
            self._realms[pending.caller.realm].dealer.replied(pending, reply)

    def _canceled(self, source: Owner, cancel: CancelInvoke) -> None:
        self._calls.canceled_there(source, cancel)

    def _queried(self, source: Owner, query: Query) -> None:
        self.gather.asked(source, query)

    def _query_replied(self, source: Owner, reply: QueryReply) -> None:
        self.gather.answered(source, reply)

    # ---- the ledger

    def applied(self, changes: Sequence[Any]) -> None:
        """A batch of the log was applied."""
        for change in changes:
            if type(change) is NodeGone:
                self._node_lost(change.owner)
        self._rows.applied(changes)
        self._attendance.applied(changes)
        self._meta.applied(changes)

    def installed(self) -> None:
        """A snapshot replaced the tables; calls to incarnations that are not in it end."""
        up = self._ledger.tables.up
        for owner in (*self._calls.nodes(), *self.gather.nodes()):
            if owner not in up:
                self._node_lost(owner)
        self._rows.installed()
        self._attendance.installed()
        self._meta.installed()

    def safe_moved(self) -> None:
        """Every node that may serve has applied more: acknowledgements may be due (rule 22)."""
        self._rows.claim()
        self._attendance.claim()
        self._keeper.claim()

    def serving_changed(self, serving: bool) -> None:
        """The lease came or went. Who has no session yet need not wait for it, and is told to try elsewhere."""
        if serving:
            self._rows.claim()
            self._attendance.claim()
            self._keeper.claim()
            for realm in self._realms.values():
                realm.dealer.callees.resume()
        else:
            self.refuse_newcomers(Unavailable.uri, "This node does not serve at the moment; connect to another one.")

    def fenced(self, sentence: str) -> None:
        """This incarnation is dead: every session ends, and nothing of it stays (rule 4)."""
        self._rows.reset()
        self._attendance.reset()
        for realm in self._realms.values():
            realm.broker.reset()
        self._keeper.reset()
        self._insiders.reset()
        answers = self._calls.clear(self._sessions.values())
        self.gather.clear()
        self._meta.reset()
        sentence = f"{sentence[:1].upper()}{sentence[1:]}; connect to another node."
        words: deque[Callable[[], None]] = deque()
        for conversation in list(self._conversations):
            if conversation.session in answers:
                words.append(answers[conversation.session])
            words.append(conversation.expel(SYSTEM_SHUTDOWN, sentence))
        self._tell_some(words)
        for session in self._resumptions.detached():
            self._over(session)

    def _expel(self, killed: Sequence[tuple[Session, Kill]]) -> None:
        """Sessions were killed: all of them end at once, and are told so some at a time."""
        words = deque[Callable[[], None]]()
        for session, kill in killed:
            if session.conversation is not None:
                words.append(session.conversation.expel(kill.reason, kill.message))
            else:  # it has no connection at the moment
                self._over(session)
        self._tell_some(words)

    def _tell_some(self, words: deque[Callable[[], None]]) -> None:
        for _ in range(min(_TOLD_MAX, len(words))):
            words.popleft()()
        if words:
            self._clock.call_later(0, self._tell_some, words)

    def ticked(self) -> None:
        """Look after what is in doubt and what has waited for too long (rule 33)."""
        self._rows.ticked()
        self._attendance.ticked()
        self._keeper.ticked()
        self._docket.ticked()


def _join_of(session: Session, client: Client) -> Join:
    grant = session.grant
    peer, kind, protocol, *_ = (*client.describe().split(" "), "", "")
    return Join(
        session=session.id,
        realm=session.realm,
        authid=grant.authid,
        authrole=grant.authrole,
        authmethod=grant.authmethod,
        authprovider=grant.authprovider,
        transport=Transport(kind, protocol, peer),
    )
