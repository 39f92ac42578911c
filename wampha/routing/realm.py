"""One realm on this node: its rules, its broker and dealer, and the door by which refusals leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from wampha.counters import Counters
from wampha.errors import Later, NodeBehind, NotAuthorized, ProtocolViolation, WampError
from wampha.limits import Limits, SessionBounds
from wampha.messages.model import Call, Cancel, Error, Publish, Register, Subscribe, Unregister, Unsubscribe, Yield
from wampha.names.ids import Ids
from wampha.names.uri import UriRules
from wampha.routing import replies
from wampha.routing.allowance import Allowance
from wampha.routing.attendance import Attendance
from wampha.routing.broker import Broker
from wampha.routing.calls import Calls
from wampha.routing.dealer import Dealer
from wampha.routing.docket import Adoption, Docket
from wampha.routing.estate import Estate
from wampha.routing.holding import Holding
from wampha.routing.keeper import Keeper
from wampha.routing.meta.procedures import Procedures
from wampha.routing.offers import Offers
from wampha.routing.permissions import Authorizer, Permissions, RealmRules
from wampha.routing.ports import Audit, Clock, Ledger, Outbox
from wampha.routing.resumption import ResumptionRules
from wampha.routing.retention import Retention
from wampha.routing.rows import Rows
from wampha.routing.session import Session, who
from wampha.routing.slow import SlowPolicy
from wampha.routing.turnover import Turnover
from wampha.state.commands import Owner

# Requests that ERROR may answer; a CANCEL, YIELD or ERROR is never refused.
_CODES: Final[Mapping[type, int]] = {
    Publish: replies.PUBLISH,
    Subscribe: replies.SUBSCRIBE,
    Unsubscribe: replies.UNSUBSCRIBE,
    Call: replies.CALL,
    Register: replies.REGISTER,
    Unregister: replies.UNREGISTER,
}


class Realm:
    """Where the messages of a realm's sessions go."""

    def __init__(
        self,
        *,
        rules: RealmRules,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        outbox: Outbox,
        ledger: Ledger,
        rows: Rows,
        docket: Docket,
        calls: Calls,
        keeper: Keeper,
        clock: Clock,
        attendance: Attendance,
        wall_ms: Callable[[], int],
        audit: Audit,
        emptied: Callable[[Realm], None],
    ) -> None:
        """`emptied` is called when the last session has left."""
        self.name: Final = rules.name
        self.rules = rules
        self.open = True  # else it is there no longer, once its sessions have ended
        self.sessions: Final[dict[Session, None]] = {}  # of this node, those that are on their way here included
        self.keeper: Final = keeper
        self._audit: Final = audit
        self._emptied: Final = emptied
        self._when_detached: Final[list[Callable[[Session], None]]] = []
        self._counters: Final = counters
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._limits: Final = limits
        self._bounds = self._bounds_of(rules)
        uris = self.uris = UriRules(
            strict=rules.strict_uris, bytes_max=limits.uri_bytes_max, components_max=limits.uri_components_max
        )
        self.retention: Final = Retention(
            realm=rules.name,
            histories=rules.histories,
            limits=limits,
            counters=counters,
            ledger=ledger,
            wall_ms=wall_ms,
        )
        self.broker: Final = Broker(
            realm=rules.name,
            uris=uris,
            limits=limits,
            counters=counters,
            ids=ids,
            outbox=outbox,
            ledger=ledger,
            rows=rows,
            docket=docket,
            keeper=keeper,
            retention=self.retention,
            clock=clock,
            turnover=Turnover(realm=rules.name, ledger=ledger, attendance=attendance),
        )
        self.offers: Final = Offers(
            realm=rules.name,
            uris=uris,
            limits=limits,
            counters=counters,
            rows=rows,
            docket=docket,
            ledger=ledger,
        )
        self.procedures: Final = Procedures(calls=calls, counters=counters, audit=audit)
        self.dealer: Final = Dealer(
            realm=rules.name,
            uris=uris,
            limits=limits,
            counters=counters,
            ids=ids,
            outbox=outbox,
            ledger=ledger,
            offers=self.offers,
            calls=calls,
            procedures=self.procedures,
            timeout_unit_s=rules.timeout_unit_s,
            queue_max=rules.call_queue_max,
        )
        self._others: Final[dict[type, int]] = {}  # messages of types that are counted here, or were refused
        self._handlers: Final[Mapping[type, Callable[[Session, Any], None]]] = {
            Publish: self.broker.publish,
            Subscribe: self._counted(Subscribe, self.broker.subscribe),
            Unsubscribe: self._counted(Unsubscribe, self.broker.unsubscribe),
            Call: self.dealer.call,
            Yield: self.dealer.callees.yielded,
            Error: self._counted(Error, self.dealer.callees.failed),
            Register: self._counted(Register, self.offers.register),
            Unregister: self._counted(Unregister, self.offers.unregister),
            Cancel: self._counted(Cancel, self.dealer.cancel),
        }
        self._behind: Final[Collection[Owner]] = outbox.behind
        # The nodes that a message with a payload would be sent to; the others are small.
        self._destinations: Final[Mapping[type, Callable[[Session, Any], Iterable[Owner]]]] = {
            Publish: self.broker.destinations,
            Call: self.dealer.callee_nodes,
            Yield: self.dealer.callees.caller_nodes,
            Error: self.dealer.callees.caller_nodes,
        }

    @property
    def lenient(self) -> bool:
        """Whether features may be used that were not announced."""
        return self.rules.lenient

    @property
    def history_as_list(self) -> bool:
        """Whether histories are told as Crossbar does it."""
        return self.rules.history_as_list

    @property
    def timeout_unit_s(self) -> float:
        """What a `timeout` of 1 means."""
        return self.rules.timeout_unit_s

    @property
    def slow_clients(self) -> SlowPolicy:
        """What happens to clients that do not read."""
        return self.rules.slow_clients

    @property
    def resumption(self) -> ResumptionRules | None:
        """Whether and how long sessions that open from now on outlive their connection."""
        return self.rules.resumption

    def permissions_of(self, role: str) -> Permissions | Authorizer | None:
        """What a role may do here; None if the realm has no such role, or is closed."""
        return self.rules.roles.get(role) if self.open else None

    def adapt(self, rules: RealmRules) -> frozenset[str]:
        """Other rules hold from now on; returns the roles of which something else is said than before."""
        before = self.rules.roles if self.open else {}
        # A role that stays as it was keeps what it remembers, and its sessions what they have.
        roles = {name: _kept(before.get(name), role) for name, role in rules.roles.items()}
        self.rules = replace(rules, roles=roles)
        self.open = True
        self._bounds = self._bounds_of(rules)
        for session in self.sessions:
            self._limit(session)
        self.uris.adapt(strict=rules.strict_uris)
        self.retention.adapt(rules.histories)
        self.broker.keeps_some = self.retention.has_histories
        self.dealer.timeout_unit_s = rules.timeout_unit_s
        self.dealer.callees.queue_max = rules.call_queue_max
        return frozenset(name for name in {**before, **roles} if before.get(name) is not roles.get(name))

    def close(self) -> None:
        """Nobody can come in any more."""
        self.open = False

    @property
    def idle(self) -> bool:
        """Whether nothing of it is here or on its way out of the tables."""
        return not self.sessions and self.broker.idle

    def enter(self, session: Session) -> None:
        """The session is here from now on, until `leave`, and has the bounds of its role."""
        self.sessions[session] = None
        self._limit(session)

    def holdings(self, of: Session | None = None) -> Iterator[Holding]:
        """What one session, or (None) each of this node, has by a permission; of all, also what they have asked for."""
        yield from self.broker.holdings(of)
        yield from self.offers.holdings(of)

    def _bounds_of(self, rules: RealmRules) -> dict[str, SessionBounds]:
        """By role, and (empty name) of all whose role says nothing about it."""
        own = {role: SessionBounds.of(self._limits, limits) for role, limits in rules.role_limits.items()}
        return {"": SessionBounds.of(self._limits), **own}

    def _limit(self, session: Session) -> None:
        """From now on the bounds of its role hold for the session."""
        bounds = self._bounds.get(session.authrole) or self._bounds[""]
        if bounds == session.bounds:
            return
        session.bounds = bounds
        if session.allowance is not None:
            session.allowance.release()
            session.allowance = None
        if bounds.messages_per_s:
            session.allowance = Allowance(
                per_s=bounds.messages_per_s,
                burst=bounds.messages_burst,
                clock=self._clock,
                outbox=self._outbox,
                counters=self._counters,
            )

    def receive(self, session: Session, message: Any) -> None:
        """Handle one message of an open session; raises ProtocolViolation or Later and nothing else."""
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolViolation(f"A client may not send {type(message).__name__.upper()} in an open session.")
        allowance = session.allowance
        if allowance is not None:
            allowance.take()
        try:
            if self._behind:
                self._check_destinations(session, message)
            handler(session, message)
        except WampError as error:
            self._refuse(session, message, error)
        except Later:
            if allowance is not None:
                allowance.give_back()
            raise

    def _counted(self, kind: type, handle: Callable[[Session, Any], None]) -> Callable[[Session, Any], None]:
        """For messages of which there are few."""
        self._others[kind] = 0

        def handler(session: Session, message: Any) -> None:
            self._others[kind] += 1
            handle(session, message)

        return handler

    def received(self) -> dict[str, int]:
        """Messages by type that sessions of this realm have sent; of PUBLISH and CALL only those that were refused."""
        return {kind.__name__.upper(): count for kind, count in self._others.items()}

    def _check_destinations(self, session: Session, message: Any) -> None:
        destinations = self._destinations.get(type(message))
        for owner in destinations(session, message) if destinations else ():
            if owner in self._behind:
                raise NodeBehind(owner)

    def settled(self, session: Session) -> bool:
        """Take the session's procedures off the table; whether nothing of it is in progress any more."""
        self.offers.retire(session)
        return not (session.removals or session.undecided or session.invocations or session.calls or session.outgoing)

    def when_detached(self, tell: Callable[[Session], None]) -> None:
        """Call `tell` for each session that has lost its connection and waits to be resumed, at that moment."""
        self._when_detached.append(tell)

    def detached(self, session: Session) -> None:
        """The session has lost its connection and waits to be resumed; all that it has stays."""
        for tell in self._when_detached:
            tell(session)

    def adopt(self, session: Session, estate: Estate, former: Owner, decided: Callable[[int, bool], None]) -> None:
        """Make the subscriptions and registrations of a session that comes from another node.

        `decided` is told of each by its id whether it stands here, perhaps before this returns.
        """
        self.enter(session)
        for followed in estate.subscriptions:
            adoption = Adoption(session, partial(decided, followed.id))
            self.broker.adopt(session, followed, adoption)
        for offered in estate.registrations:
            self.offers.adopt(session, offered, former, Adoption(session, partial(decided, offered.id)))

    def part(self, session: Session, unsent: Iterable[int]) -> None:
        """The session goes on at another node: here it ends, and what it was not sent may go elsewhere."""
        self.dealer.callees.give_back(session, unsent)
        self.leave(session, moves=True)

    def leave(self, session: Session, *, moves: bool = False) -> None:
        """The session has ended, or goes on at another node (`moves`): nothing of it stays here."""
        if session.allowance is not None:
            session.allowance.stop()
        for undecided in list(session.undecided):
            undecided.withdraw()
        self.broker.leave(session, moves=moves)
        self.offers.leave(session)
        self.dealer.leave(session)
        self.sessions.pop(session, None)
        if not self.sessions:
            self._emptied(self)

    def _refuse(self, session: Session, message: Any, error: WampError) -> None:
        if isinstance(error, NotAuthorized):
            self._audit("denied", {**who(session), "request": type(message).__name__.upper(), "why": str(error)})
        kind = type(message)
        if kind is Publish or kind is Call:
            self._others[kind] = self._others.get(kind, 0) + 1
        # Basic profile, "Publishing": without `acknowledge` the publisher is told nothing.
        if type(message) is Publish and message.options.get("acknowledge") is not True:
            self._counters.add("publishes_refused_silently")
            return
        self._counters.add("requests_refused")
        session.client.send(replies.refusal(_CODES[type(message)], message.request, error))


def _kept(before: Permissions | Authorizer | None, now: Permissions | Authorizer) -> Permissions | Authorizer:
    return before if before is not None and before.same_as(now) else now
