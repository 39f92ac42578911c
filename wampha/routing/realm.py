"""One realm on this node: its rules, its broker and dealer, and the door by which refusals leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
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
from wampha.routing.keeper import Keeper
from wampha.routing.meta.procedures import Procedures
from wampha.routing.offers import Offers
from wampha.routing.permissions import Authorizer, Permissions, RealmRules
from wampha.routing.ports import Audit, Clock, Ledger, Outbox
from wampha.routing.retention import Retention
from wampha.routing.rows import Rows
from wampha.routing.session import Session, who
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


class _Handler:
    """What handles one type of message, and how many have come."""

    __slots__ = ("handle", "received")

    def __init__(self, handle: Callable[[Session, Any], None]) -> None:
        self.handle: Final = handle
        self.received = 0


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
    ) -> None:
        self.name: Final = rules.name
        self.lenient: Final = rules.lenient
        self.keeper: Final = keeper
        self.history_as_list: Final = rules.history_as_list
        self._audit: Final = audit
        self.timeout_unit_s: Final = rules.timeout_unit_s
        self.slow_clients: Final = rules.slow_clients
        self.resumption: Final = rules.resumption
        self._when_detached: Final[list[Callable[[Session], None]]] = []
        self._roles: Final[Mapping[str, Permissions | Authorizer]] = rules.roles
        self._counters: Final = counters
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._bounds: Final = {role: SessionBounds.of(limits, own) for role, own in rules.role_limits.items()}
        self._usual_bounds: Final = SessionBounds.of(limits)
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
        handlers: Mapping[type, Callable[[Session, Any], None]] = {
            Publish: self.broker.publish,
            Subscribe: self.broker.subscribe,
            Unsubscribe: self.broker.unsubscribe,
            Call: self.dealer.call,
            Yield: self.dealer.callees.yielded,
            Error: self.dealer.callees.failed,
            Register: self.offers.register,
            Unregister: self.offers.unregister,
            Cancel: self.dealer.cancel,
        }
        self._handlers: Final = {kind: _Handler(handle) for kind, handle in handlers.items()}
        self._behind: Final[Collection[Owner]] = outbox.behind
        # The nodes that a message with a payload would be sent to; the others are small.
        self._destinations: Final[Mapping[type, Callable[[Session, Any], Iterable[Owner]]]] = {
            Publish: self.broker.destinations,
            Call: self.dealer.callee_nodes,
            Yield: self.dealer.callees.caller_nodes,
            Error: self.dealer.callees.caller_nodes,
        }

    def permissions_of(self, role: str) -> Permissions | Authorizer | None:
        """What a role may do here; None if the realm has no such role."""
        return self._roles.get(role)

    def limit(self, session: Session) -> None:
        """From now on the bounds of its role hold for the session."""
        self._stop(session)
        bounds = session.bounds = self._bounds.get(session.authrole, self._usual_bounds)
        session.allowance = None
        if bounds.messages_per_s:
            session.allowance = Allowance(
                per_s=bounds.messages_per_s,
                burst=bounds.messages_burst,
                clock=self._clock,
                outbox=self._outbox,
                counters=self._counters,
            )

    @staticmethod
    def _stop(session: Session) -> None:
        if session.allowance is not None:
            session.allowance.stop()

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
            handler.received += 1
            handler.handle(session, message)
        except WampError as error:
            self._refuse(session, message, error)
        except Later:
            if allowance is not None:
                allowance.give_back()
            raise

    def received(self) -> dict[str, int]:
        """How many messages of each type have come from sessions of this realm at this node."""
        return {kind.__name__.upper(): handler.received for kind, handler in self._handlers.items()}

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
        self._stop(session)
        for undecided in list(session.undecided):
            undecided.withdraw()
        self.broker.leave(session, moves=moves)
        self.offers.leave(session)
        self.dealer.leave(session)

    def _refuse(self, session: Session, message: Any, error: WampError) -> None:
        if isinstance(error, NotAuthorized):
            self._audit("denied", {**who(session), "request": type(message).__name__.upper(), "why": str(error)})
        # Basic profile, "Publishing": without `acknowledge` the publisher is told nothing.
        if type(message) is Publish and message.options.get("acknowledge") is not True:
            self._counters.add("publishes_refused_silently")
            return
        self._counters.add("requests_refused")
        session.client.send(replies.refusal(_CODES[type(message)], message.request, error))
