"""The router: realms, conversations, and what the ledger and other nodes tell this node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from wampha.auth.cookie import LOGOUT
from wampha.auth.doorway import Doorway
from wampha.auth.grant import Grant
from wampha.auth.steps import Chance, Claim
from wampha.counters import Counters
from wampha.errors import SessionRefused, Unavailable
from wampha.limits import Limits
from wampha.messages.model import Options
from wampha.messages.payload import Payload
from wampha.messages.relayed import Relayed
from wampha.names.ids import Ids
from wampha.routing.attendance import Attendance, join_of
from wampha.routing.calls import Calls
from wampha.routing.comebacks import Comebacks
from wampha.routing.concord import Concord, Differing
from wampha.routing.conversation import Conversation
from wampha.routing.cookies import KnownCookies
from wampha.routing.docket import Docket
from wampha.routing.entrance import Entrance
from wampha.routing.expulsion import Expulsion, Word
from wampha.routing.farewell import Farewell
from wampha.routing.features import ClientFeatures
from wampha.routing.gather import Gather
from wampha.routing.insider import Insiders
from wampha.routing.keeper import Keeper
from wampha.routing.meta.apis import MetaApis
from wampha.routing.neighbours import Neighbours
from wampha.routing.permissions import RealmRules, RealmTemplate
from wampha.routing.ports import Audit, Cancellable, Client, Clock, Ledger, Outbox, Workers, no_audit
from wampha.routing.realm import Realm
from wampha.routing.realms import Realms
from wampha.routing.resumption import Permitting, Resumption
from wampha.routing.revision import Revision
from wampha.routing.rows import Rows
from wampha.routing.session import Session
from wampha.routing.welcome import details_of
from wampha.state.changes import CookieForgotten, NodeGone
from wampha.state.commands import Owner

SYSTEM_SHUTDOWN: Final = "wamp.close.system_shutdown"
STOPPING: Final = "This node is being stopped; connect to another one."


class Router:
    """All realms of one node; implements `LedgerEvents`."""

    def __init__(
        self,
        *,
        realms: Iterable[RealmRules],
        templates: Iterable[RealmTemplate] = (),
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
        linked: Callable[[str], bool] = lambda name: True,
        differing: Callable[[Differing], None] = lambda differing: None,
    ) -> None:
        """`agent` names the software in WELCOME; `status` is what clients may ask of (`wampha.cluster.status`).

        `linked` and `differing`, which is told of nodes that run another configuration: see `Concord`.

        `wall_ms` gives milliseconds since 1970, for what clients are told of the age of things (P11).
        `attach` must follow before anything else is called.
        """
        self.counters: Final = counters
        self._workers: Final = workers
        self._chance: Final = chance
        self._audit: Final = audit
        self._rules: Final = (tuple(realms), tuple(templates))  # of the beginning
        self._limits: Final = limits
        self._ids: Final = ids
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._agent: Final = agent
        self._wall_ms: Final = wall_ms
        self._status: Final = status
        self._linked: Final = linked
        self._differing: Final = differing
        self._calls: Final = Calls(counters=counters, clock=clock, outbox=outbox)
        self._docket: Final = Docket(limits=limits, counters=counters, clock=clock)
        self._conversations: Final[dict[Conversation, None]] = {}  # with a client each, oldest first
        self._sessions: Final[dict[int, Session]] = {}  # session id -> sessions of this node
        self._farewell: Farewell | None = None  # once the node stops
        self._all_realms: Final = Realms(make=self._make_realm, limits=limits, counters=counters, clock=clock)
        self._realms: Final = self._all_realms.by_name
        self._expulsion: Final = Expulsion(clock=clock, over=self._over, log_out=self.log_out)
        self._ledger: Ledger
        self._rows: Rows
        self._attendance: Attendance
        self._keeper: Keeper
        self._insiders: Insiders
        self._cookies: KnownCookies
        self.entrance: Entrance  # where clients are let in
        self.gather: Gather
        self.concord: Concord
        self._comebacks: Comebacks
        self._neighbours: Neighbours
        self._meta: MetaApis
        self._revision: Revision

    def attach(self, ledger: Ledger) -> None:
        """Give the router its ledger; once, before anything else."""
        self._ledger = ledger
        self._rows = Rows(ledger=ledger, counters=self.counters, wall_ms=self._wall_ms)
        self._attendance = Attendance(
            ledger=ledger,
            limits=self._limits,
            counters=self.counters,
            clock=self._clock,
            outbox=self._outbox,
            expel=self._expulsion.expel,
        )
        self._keeper = Keeper(
            ledger=ledger, limits=self._limits, counters=self.counters, outbox=self._outbox, clock=self._clock
        )
        self.gather = Gather(
            limits=self._limits, counters=self.counters, clock=self._clock, outbox=self._outbox, ledger=ledger
        )
        self.concord = Concord(
            ledger=ledger,
            gather=self.gather,
            clock=self._clock,
            counters=self.counters,
            linked=self._linked,
            told=self._differing,
        )
        permissions: Permitting = lambda *of: self.entrance.permissions(*of)  # noqa: E731, PLW0108 - it is made below
        self._revision = Revision(
            sessions=self._sessions, permissions=permissions, expel=self._expulsion.expel, clock=self._clock
        )
        self._comebacks = Comebacks(
            ledger=ledger,
            limits=self._limits,
            counters=self.counters,
            ids=self._ids,
            clock=self._clock,
            gather=self.gather,
            attendance=self._attendance,
            calls=self._calls,
            realms=self._realms,
            find=self._all_realms.find,
            sessions=self._sessions,
            conversations=self._conversations,
            audit=self._audit,
            permissions=permissions,
            welcome=lambda realm, session: details_of(realm, session.grant, self._agent),
            over=self._over,
            parted=lambda session: self._cookies.left(session),  # noqa: PLW0108 - they are made below
            arrived=self._revision.arrived,
        )
        self._insiders = Insiders(
            find=self._all_realms.find, ids=self._ids, calls=self._calls, timeout_s=self._limits.authenticator_timeout_s
        )
        self._cookies = KnownCookies(
            ledger=ledger, limits=self._limits, counters=self.counters, clock=self._clock, audit=self._audit
        )
        self.entrance = Entrance(
            workers=self._workers,
            chance=self._chance,
            insiders=self._insiders,
            cookies=self._cookies,
            outbox=self._outbox,
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
            concord=self.concord,
        )
        self._neighbours = Neighbours(
            realms=self._realms,
            calls=self._calls,
            gather=self.gather,
            ledger=ledger,
            outbox=self._outbox,
            counters=self.counters,
            marked=self._meta.marked,
        )
        self._all_realms.attach(
            ledger=ledger, born=self._meta.offer, gone=self._insiders.forget, asks=self._insiders.waits
        )
        self._all_realms.adapt(*self._rules)

    def _make_realm(self, rules: RealmRules) -> Realm:
        return Realm(
            rules=rules,
            limits=self._limits,
            counters=self.counters,
            ids=self._ids,
            outbox=self._outbox,
            ledger=self._ledger,
            rows=self._rows,
            docket=self._docket,
            calls=self._calls,
            keeper=self._keeper,
            clock=self._clock,
            attendance=self._attendance,
            wall_ms=self._wall_ms,
            audit=self._audit,
            emptied=self._all_realms.emptied,
        )

    def reconfigure(self, realms: Iterable[RealmRules], templates: Iterable[RealmTemplate] = ()) -> None:
        """These are the realms from now on, and the templates of others.

        What that means for the sessions of this node stands in `revision.py`.
        """
        self._revision.revise(self._all_realms.adapt(realms, templates))

    # ---- clients

    def connected(self, client: Client, doorway: Doorway) -> Conversation:
        """A client's transport is open; `doorway`: how its listener lets clients in."""
        conversation = Conversation(router=self, client=client, doorway=doorway)
        self._conversations[conversation] = None
        return conversation

    def sessions(self) -> int:
        """How many sessions this node has."""
        return len(self._sessions)

    def realms(self) -> dict[str, int]:
        """How many realms this node has open, and how many of templates there are on all nodes."""
        return {"open": len(self._realms), "dynamic": self._all_realms.dynamic()}

    def waiting(self) -> dict[str, int]:
        """How many of them have no connection, and the bytes that wait to be sent when they come back."""
        return self._comebacks.status()

    def figures(self) -> dict[str, dict[str, int]]:
        """How many messages of each type came from sessions, and failed authentications by the kind of method."""
        received = self._all_realms.received(*self._realms.values())
        for kind, counter in (("PUBLISH", "publications"), ("CALL", "calls"), ("YIELD", "yields")):
            received[kind] = received.get(kind, 0) + self.counters[counter]
        return {"received": received, "failures": dict(self.entrance.failures)}

    def census(self) -> list[Session]:
        """All sessions of this node, as a list of its own."""
        return list(self._sessions.values())

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
            dismiss=lambda conversation: conversation.send_away(SYSTEM_SHUTDOWN, STOPPING),
            lingers=self._comebacks.lingers,
            done=done,
        )
        self._farewell.start()

    def close(self) -> None:
        """End every conversation that is left. This node's rows go when the ledger leaves (rule 5)."""
        if self._farewell:
            self._farewell.stop()
        self._rows.stop()
        self._attendance.stop()
        self._meta.stop()
        self._keeper.stop()
        self.gather.stop()
        self._dismiss_all(SYSTEM_SHUTDOWN, STOPPING)
        self._comebacks.clear()

    def join(
        self, hello: Any, claim: Claim, grant: Grant, conversation: Conversation
    ) -> tuple[Realm, Session, Options]:
        """Open a session for who was let in; returns it with WELCOME.Details, or raises SessionRefused."""
        self.check_realm(claim.realm)
        realm = self._all_realms.room(claim.realm, grant.authrole)
        permissions = self.entrance.permissions(realm, claim.session, grant)
        if claim.session in self._sessions:
            raise SessionRefused(Unavailable.uri, "The session's id is taken; try again.")
        resumption = self._comebacks.open(conversation, realm, hello)
        session = Session(
            session_id=claim.session,
            realm=realm.name,
            grant=msgspec.structs.replace(grant, standing=b"") if grant.standing else grant,
            permissions=permissions,
            client=resumption.line if resumption else conversation.client,
            features=ClientFeatures.of(hello.roles, lenient=realm.lenient),
            resumption=resumption,
        )
        self._sessions[session.id] = session
        realm.enter(session)
        session.conversation = conversation
        opened = self._comebacks.opened(session)
        digest = resumption.key.digest if resumption else None
        self._attendance.joined(session, join_of(session, conversation.client), digest)
        self.counters.add("sessions_opened")
        return realm, session, {**details_of(realm, session.grant, self._agent), **opened}

    # ---- sessions that outlive their connection

    def resume(self, hello: Any, conversation: Conversation) -> None:
        """Let a session go on with another connection; the conversation is told, now or later, what came of it.

        A session of another node comes to this one first. Raises SessionRefused if nothing can come of it.
        """
        if self._farewell:
            raise SessionRefused(SYSTEM_SHUTDOWN, STOPPING)
        if not self.serving():
            raise SessionRefused("wamp.error.unavailable", "This node does not serve at the moment; try again.")
        self._comebacks.resume(hello, conversation)

    def unresumed(self, client: Client, refused: SessionRefused) -> None:
        """A client did not get the session that it wanted."""
        self._audit("resumption_refused", {"peer": client.describe(), "reason": refused.reason})

    def detached(self, conversation: Conversation, session: Session, resumption: Resumption, proved: bool) -> None:
        """The connection of a session that can be resumed is lost; `proved`: the client had got WELCOME."""
        self._comebacks.lost(conversation, session, resumption, proved)

    def may_move(self, session: Session | None) -> bool:
        """Whether the session may go on at another node."""
        return self._comebacks.may_move(session)

    def _over(self, session: Session) -> None:
        session.open = False
        del self._sessions[session.id]
        self.counters.add("sessions_closed")
        session.conversation = None
        self._cookies.left(session)
        self._comebacks.ended(session)
        self._realms[session.realm].leave(session)
        self._attendance.ended(session)

    # ---- the end of sessions

    def recognises(self, cookie: str) -> bool:
        """Whether somebody has proved who they are with this cookie."""
        return self._cookies.knows(cookie)

    def came_back(self, session: Session, client: Client) -> None:
        """A session was resumed by this client."""
        self._cookies.came_back(session, client.cookie())

    def log_out(self, session: Session) -> None:
        """The user of this session, which is about to end, shall not be let in again by a cookie."""
        self._cookies.log_out(session)

    def _logged_out(self, digest: bytes) -> None:
        """The sessions end that the same cookie has let in, in other windows of the same browser."""
        for session in self._cookies.let_in_by(digest):
            if session.conversation is not None:
                session.conversation.dismiss(LOGOUT, "The user has logged out in another session.")
            elif session.open:
                self._over(session)

    def check_realm(self, name: str) -> None:
        """Raise SessionRefused if no session can be opened in that realm at present, whoever it is."""
        if self._farewell:
            raise SessionRefused(SYSTEM_SHUTDOWN, STOPPING)
        self._all_realms.check(name)
        if not self.serving():
            raise SessionRefused(Unavailable.uri, "This node does not serve at the moment; try again.")

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
        self._neighbours.relayed(source, relayed)

    def node_lost(self, owner: Owner) -> None:
        """Frames from or to this incarnation are lost: the calls between it and this node end, outcome unknown."""
        self._calls.take_back(owner)
        self._neighbours.lost(owner)

    # ---- the ledger

    def applied(self, changes: Sequence[Any]) -> None:
        """A batch of the log was applied."""
        for change in changes:
            if type(change) is NodeGone:
                self._neighbours.lost(change.owner)
                self._comebacks.node_gone(change.owner)
            elif type(change) is CookieForgotten:
                self._logged_out(change.digest)
        self._rows.applied(changes)
        self._attendance.applied(changes)
        self._meta.applied(changes)

    def installed(self) -> None:
        """A snapshot replaced the tables; calls to incarnations that are not in it end."""
        up = self._ledger.tables.up
        for owner in (*self._calls.nodes(), *self.gather.nodes()):
            if owner not in up:
                self._neighbours.lost(owner)
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
        words: list[Word] = []
        for conversation in list(self._conversations):
            if conversation.session in answers:
                words.append(answers[conversation.session])
            words.append(conversation.expel(SYSTEM_SHUTDOWN, sentence))
        self._expulsion.tell(words)
        self._comebacks.clear()

    def ticked(self) -> None:
        """Look after what is in doubt and what has waited for too long (rule 33)."""
        self._rows.ticked()
        self._attendance.ticked()
        self._keeper.ticked()
        self._docket.ticked()
        self._all_realms.ticked()
        self.concord.ticked()
        self._cookies.ticked()
