"""What sessions of this node offer: REGISTER and UNREGISTER in one realm.

Who offers a procedure in the whole cluster stands in the replicated registrations; calls are the dealer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import (
    InvalidArgument,
    NoSuchRegistration,
    PolicyConflict,
    ProcedureAlreadyExists,
    Unavailable,
    WampError,
)
from wampha.limits import Limits
from wampha.messages.model import Options, Register, Registered, Revoked, Unregister, Unregistered
from wampha.names.uri import EXACT, MATCHES, UriRules, check_not_reserved
from wampha.routing import replies
from wampha.routing.docket import Adoption, Docket, Undecided
from wampha.routing.estate import Offered
from wampha.routing.holding import Holding
from wampha.routing.places import Places
from wampha.routing.ports import Ledger
from wampha.routing.replies import revocation
from wampha.routing.rowkinds import REGISTRATIONS, RowKey, Terms
from wampha.routing.rows import Rows
from wampha.routing.session import Session
from wampha.state.commands import Outcome, Owner
from wampha.state.registrations import CALLEES_MAX, POLICIES, SINGLE
from wampha.state.tables import Registration


class Offer:
    """A procedure that a session of this node offers, or has asked to."""

    __slots__ = ("_offers", "discloses", "id", "key", "places", "plain", "row", "session", "terms", "undecided")

    def __init__(self, offers: Offers, key: RowKey, session: Session, terms: Terms, *, discloses: bool) -> None:
        self._offers: Final = offers
        self.key: Final = key
        self.session: Final = session
        self.terms: Final = terms
        self.discloses: Final = discloses  # its INVOCATIONs say who calls
        self.plain: Final = not discloses and key.match == EXACT  # they say nothing that the CALL did not
        self.places: Places | None = None  # if the calls that it works on at once are limited
        self.row: Registration | None = None  # the last row of the table in which it was found
        self.id = 0  # unknown until REGISTERED was queued
        self.undecided: Undecided | None = None

    def waits(self) -> bool:
        return self.id == 0

    def stands(self, row_id: int) -> None:
        self._offers.acknowledge(self, row_id)

    def refused(self, outcome: Outcome) -> None:
        self._offers.refuse(self, outcome)

    def revoked(self, reason: str) -> None:
        self._offers.revoke(self, reason)

    def withdraw(self, _: Undecided) -> None:
        """Its session does not wait any longer."""
        self._offers.withdraw(self)


class Offers:
    """The procedures that sessions of this node offer in one realm."""

    def __init__(
        self,
        *,
        realm: str,
        uris: UriRules,
        limits: Limits,
        counters: Counters,
        rows: Rows,
        docket: Docket,
        ledger: Ledger,
    ) -> None:
        self._realm: Final = realm
        self._uris: Final = uris
        self._limits: Final = limits
        self._counters: Final = counters
        self._rows: Final = rows
        self._docket: Final = docket
        self._ledger: Final = ledger
        # (match, procedure) -> session id -> its offer
        self._offers: Final[dict[tuple[str, str], dict[int, Offer]]] = {}
        self.standing: Final[dict[tuple[int, int], Offer]] = {}  # (registration, session) whose REGISTERED was queued
        self._freed: Callable[[Places], None]
        self._forgotten: Callable[[Places], None]

    def attach(self, *, freed: Callable[[Places], None], forgotten: Callable[[Places], None]) -> None:
        """Once, before anything else: whom to tell of a free place, and of places whose offer is gone."""
        self._freed = freed
        self._forgotten = forgotten

    def __iter__(self) -> Iterator[Offer]:
        """All offers, those included whose REGISTERED was not queued yet."""
        for offers in self._offers.values():
            yield from offers.values()

    def register(self, session: Session, register: Register) -> None:
        """REGISTERED as soon as the row stands everywhere, or ERROR if others' rows are in the way (rules 22, 34)."""
        procedure, options = register.procedure, register.options
        match, terms = _match_of(options), _terms_of(options)
        self._uris.check_pattern(match, procedure)
        check_not_reserved(procedure)
        session.permissions.require_pattern("register", match, procedure)
        self._check_others(self._offers.get((match, procedure), {}), session, procedure, terms)
        self._check_bound(session)
        self._check_room(match, procedure)
        key = RowKey(REGISTRATIONS, self._realm, match, procedure, session.id)
        offer = Offer(self, key, session, terms, discloses=options.get("disclose_caller") is True)
        if terms.concurrency:
            offer.places = Places(offer, terms.concurrency, self._freed)
        self._offers.setdefault((match, procedure), {})[session.id] = offer
        offer.undecided = undecided = Undecided(session, replies.REGISTER, register.request, offer.withdraw)
        self._rows.want(key, terms, offer)
        self._docket.enter(undecided)

    @staticmethod
    def _check_others(others: dict[int, Offer], session: Session, procedure: str, terms: Terms) -> None:
        """Refuse at once what the cluster would refuse for the offers of this node alone."""
        if session.id in others:
            raise ProcedureAlreadyExists(f"This session has registered {procedure!r} already.")
        if others and not terms.force:
            policy = next(iter(others.values())).terms.policy
            if policy == SINGLE:
                raise _refusal(procedure, Outcome.TAKEN)
            if policy != terms.policy:
                raise _refusal(procedure, Outcome.CONFLICT)

    def adopt(self, session: Session, offered: Offered, former: Owner, adoption: Adoption) -> None:
        """The session comes from another node with this registration; it passes to this one in one entry (P1)."""
        key = RowKey(REGISTRATIONS, self._realm, offered.match, offered.procedure, session.id)
        terms = Terms(offered.policy, offered.concurrency, offered.repeatable, takes=former)
        offer = Offer(self, key, session, terms, discloses=offered.discloses)
        if terms.concurrency:
            offer.places = Places(offer, terms.concurrency, self._freed)
        self._offers.setdefault((offered.match, offered.procedure), {})[session.id] = offer
        offer.undecided = adoption
        adoption.begin(offer.withdraw)
        self._rows.want(key, terms, offer)

    def acknowledge(self, offer: Offer, row_id: int) -> None:
        """The row stands: REGISTERED, and from here on the procedure can be called."""
        assert offer.undecided is not None, "an offer waits from its beginning"
        offer.id = row_id
        self.standing[row_id, offer.session.id] = offer
        offer.session.registrations[row_id] = offer
        offer.undecided.answer(Registered(offer.undecided.request, row_id))

    def refuse(self, offer: Offer, outcome: Outcome) -> None:
        """The procedure has other callees, who leave no room for this one (rule 34)."""
        self._drop(offer)
        assert offer.undecided is not None, "an offer waits from its beginning"
        if outcome is Outcome.FULL:
            self._counters.add("callees_refused")
        offer.undecided.refuse(_refusal(offer.key.uri, outcome))

    def revoke(self, offer: Offer, reason: str) -> None:
        """The registration was taken from its callee, who is told if it understands that (it never asked)."""
        session = offer.session
        del session.registrations[offer.id]
        if session.resumption is None or not session.resumption.given:  # else it is the session's at its new home
            self._counters.add("registrations_revoked")
            if session.features.callee_revocable:
                session.client.send(Revoked(0, revocation("registration", offer.id, reason)))
        self._forget(offer)

    def remove(self, registration: int, session_id: int, reason: str) -> bool:
        """Take a registration from a session of this node; whether it had it. No call is delivered from here on."""
        offer = self.standing.get((registration, session_id))
        if offer is None:
            return False
        self.revoke(offer, reason)
        self._rows.withdraw(offer.key)
        return True

    def holdings(self, of: Session | None = None) -> Iterator[Holding]:
        """What one session, or (None) each of this node, offers; of all, also what they have asked to.

        It may change while one looks through it.
        """
        for offer in list(self if of is None else of.registrations.values()):
            key = offer.key
            yield Holding(offer.session, "register", key.match, key.uri, partial(self._deprive, offer))

    def _deprive(self, offer: Offer, error: WampError) -> None:
        if offer.id:
            self.remove(offer.id, offer.session.id, error.uri)
        elif offer.undecided is not None and not isinstance(offer.undecided, Adoption):
            offer.undecided.deny(error)

    def withdraw(self, offer: Offer) -> None:
        """Nobody waits for this offer any longer."""
        self._drop(offer)
        self._rows.withdraw(offer.key)

    def unregister(self, session: Session, unregister: Unregister) -> None:
        """No call is delivered from here on; UNREGISTERED once the removal has been applied (rule 22)."""
        offer = session.registrations.pop(unregister.registration, None)
        if offer is None:
            raise NoSuchRegistration(f"Registration {unregister.registration} is not one of this session.")
        self._forget(offer)
        undecided = Undecided(session, replies.UNREGISTER, unregister.request, lambda _: None)
        self._rows.withdraw(offer.key, lambda: undecided.answer(Unregistered(undecided.request)))
        self._docket.enter(undecided)

    def retire(self, session: Session) -> None:
        """The session will be sent away: no call is delivered to it from here on, and its procedures become free."""
        offers = list(session.registrations.values())
        session.registrations.clear()
        for offer in offers:
            self._forget(offer)
            session.removals += 1
            self._rows.withdraw(offer.key, partial(_removed, session))

    def leave(self, session: Session) -> None:
        """The session has ended: forget its offers."""
        offers = list(session.registrations.values())
        session.registrations.clear()
        for offer in offers:
            self._forget(offer)
            self._rows.withdraw(offer.key)

    def _forget(self, offer: Offer) -> None:
        """It is not called any more."""
        self._drop(offer)
        del self.standing[offer.id, offer.session.id]
        if offer.places is not None:
            self._forgotten(offer.places)

    def _drop(self, offer: Offer) -> None:
        key = (offer.key.match, offer.key.uri)
        offers = self._offers[key]
        del offers[offer.session.id]
        if not offers:
            del self._offers[key]

    def _check_bound(self, session: Session) -> None:
        if len(session.registrations) + len(session.undecided) >= session.bounds.registrations:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"This session may have {session.bounds.registrations} registrations.")

    def _check_room(self, match: str, procedure: str) -> None:
        """Refuse a procedure that is new to the realm, if it has as many as it may; this node's count at once."""
        procedures_max = self._limits.realm_procedures_max
        tables = self._ledger.tables
        there = max(len(tables.registrations.get(self._realm, ())), len(self._offers))
        if there >= procedures_max and tables.registration(self._realm, match, procedure) is None:
            self._counters.add("realm_bounds_reached")
            raise Unavailable(f"The realm may have {procedures_max} procedures and patterns that have callees.")


def _removed(session: Session) -> None:
    session.removals -= 1


def _refusal(procedure: str, outcome: Outcome) -> WampError:
    if outcome is Outcome.CONFLICT:
        return PolicyConflict(f"{procedure!r} is registered already, and shared by another policy.")
    if outcome is Outcome.FULL:
        return Unavailable(f"{procedure!r} has {CALLEES_MAX} callees already, and there may be no more.")
    return ProcedureAlreadyExists(f"{procedure!r} is registered already.")


def _match_of(options: Options) -> str:
    match = options.get("match", EXACT)
    if match not in MATCHES:
        raise InvalidArgument(f"Option 'match' is {match!r}; it may be 'exact', 'prefix' or 'wildcard'.")
    return str(match)


def _terms_of(options: Options) -> Terms:
    if not options:
        return _PLAIN
    invoke, concurrency = options.get("invoke", SINGLE), options.get("concurrency")
    if invoke not in POLICIES:
        raise InvalidArgument(f"Option 'invoke' is {invoke!r}; it may be one of {', '.join(POLICIES)}.")
    if concurrency == 0:
        raise InvalidArgument("Option 'concurrency' is 0; a callee takes at least one call at a time.")
    return Terms(
        policy=str(invoke),
        concurrency=concurrency or 0,
        repeatable=options.get("_repeatable") is True,
        force=options.get("force_reregister") is True,
    )


_PLAIN: Final = Terms()
