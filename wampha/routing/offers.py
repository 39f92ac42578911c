"""What sessions of this node offer: REGISTER and UNREGISTER in one realm.

Who offers a procedure in the whole cluster stands in the replicated registrations; calls are the dealer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import InvalidArgument, NoSuchRegistration, ProcedureAlreadyExists, Unavailable
from wampha.limits import Limits
from wampha.messages.model import Options, Register, Registered, Revoked, Unregister, Unregistered
from wampha.names.uri import EXACT, MATCHES, UriRules, check_not_reserved
from wampha.routing import replies
from wampha.routing.docket import Docket, Undecided
from wampha.routing.replies import revocation
from wampha.routing.rows import REGISTRATIONS, RowKey, Rows
from wampha.routing.session import Session
from wampha.state.registrations import SINGLE


class Offer:
    """A procedure that a session of this node offers, or has asked to."""

    __slots__ = ("_offers", "discloses", "id", "key", "plain", "session", "undecided")

    def __init__(self, offers: Offers, key: RowKey, session: Session, *, discloses: bool) -> None:
        self._offers: Final = offers
        self.key: Final = key
        self.session: Final = session
        self.discloses: Final = discloses  # its INVOCATIONs say who calls
        self.plain: Final = not discloses and key.match == EXACT  # they say nothing that the CALL did not
        self.id = 0  # unknown until REGISTERED was queued
        self.undecided: Undecided | None = None

    def waits(self) -> bool:
        return self.id == 0

    def stands(self, row_id: int) -> None:
        self._offers.acknowledge(self, row_id)

    def taken(self) -> None:
        self._offers.refuse(self)

    def withdraw(self, _: Undecided) -> None:
        """Its session does not wait any longer."""
        self._offers.withdraw(self)


class Offers:
    """The procedures that sessions of this node offer in one realm."""

    def __init__(
        self, *, realm: str, uris: UriRules, limits: Limits, counters: Counters, rows: Rows, docket: Docket
    ) -> None:
        self._realm: Final = realm
        self._uris: Final = uris
        self._limits: Final = limits
        self._counters: Final = counters
        self._rows: Final = rows
        self._docket: Final = docket
        self._offers: Final[dict[tuple[str, str], Offer]] = {}  # (match, procedure) -> the offer of this node
        self.by_id: Final[dict[int, Offer]] = {}  # registration id -> those whose REGISTERED was queued

    def __iter__(self) -> Iterator[Offer]:
        """All offers, those included whose REGISTERED was not queued yet."""
        return iter(self._offers.values())

    def register(self, session: Session, register: Register) -> None:
        """REGISTERED as soon as the row stands everywhere, or ERROR if the procedure has an owner (rules 22, 34)."""
        procedure = register.procedure
        match = _match_of(register.options)
        self._uris.check_pattern(match, procedure)
        check_not_reserved(procedure)
        session.permissions.require_pattern("register", match, procedure)
        if (match, procedure) in self._offers:
            raise ProcedureAlreadyExists(f"{procedure!r} is registered already.")
        self._check_bound(session)
        discloses = register.options.get("disclose_caller") is True
        offer = Offer(self, RowKey(REGISTRATIONS, self._realm, match, procedure), session, discloses=discloses)
        self._offers[match, procedure] = offer
        offer.undecided = undecided = Undecided(session, replies.REGISTER, register.request, offer.withdraw)
        self._rows.want(offer.key, session.id, offer)
        self._docket.enter(undecided)

    def acknowledge(self, offer: Offer, row_id: int) -> None:
        """The row stands: REGISTERED, and from here on the procedure can be called."""
        assert offer.undecided is not None, "an offer waits from its beginning"
        offer.id = row_id
        self.by_id[row_id] = offer
        offer.session.registrations[row_id] = offer
        offer.undecided.answer(Registered(offer.undecided.request, row_id))

    def refuse(self, offer: Offer) -> None:
        """The procedure has another owner (rule 34)."""
        del self._offers[offer.key.match, offer.key.uri]
        assert offer.undecided is not None, "an offer waits from its beginning"
        offer.undecided.refuse(ProcedureAlreadyExists(f"{offer.key.uri!r} is registered already."))

    def withdraw(self, offer: Offer) -> None:
        """Nobody waits for this offer any longer."""
        del self._offers[offer.key.match, offer.key.uri]
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

    def remove(self, registration: int, session_id: int, reason: str) -> bool:
        """Take a registration from a session of this node; whether it had it. No call is delivered from here on."""
        offer = self.by_id.get(registration)
        if offer is None or offer.session.id != session_id:
            return False
        session = offer.session
        del session.registrations[registration]
        self._forget(offer)
        self._rows.withdraw(offer.key)
        self._counters.add("registrations_revoked")
        if session.features.callee_revocable:
            session.client.send(Revoked(0, revocation("registration", registration, reason)))
        return True

    def retire(self, session: Session) -> None:
        """The session will be sent away: no call is delivered to it from here on, and its procedures become free."""
        for offer in session.registrations.values():
            self._forget(offer)
            session.removals += 1
            self._rows.withdraw(offer.key, partial(_removed, session))
        session.registrations.clear()

    def leave(self, session: Session) -> None:
        """The session has ended: forget its offers."""
        for offer in session.registrations.values():
            self._forget(offer)
            self._rows.withdraw(offer.key)
        session.registrations.clear()

    def _forget(self, offer: Offer) -> None:
        del self._offers[offer.key.match, offer.key.uri]
        del self.by_id[offer.id]

    def _check_bound(self, session: Session) -> None:
        if len(session.registrations) + len(session.undecided) >= self._limits.session_registrations_max:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"A session may have {self._limits.session_registrations_max} registrations.")


def _removed(session: Session) -> None:
    session.removals -= 1


def _match_of(options: Options) -> str:
    match, invoke = options.get("match", EXACT), options.get("invoke", SINGLE)
    if match not in MATCHES:
        raise InvalidArgument(f"Option 'match' is {match!r}; it may be 'exact', 'prefix' or 'wildcard'.")
    if invoke != SINGLE:
        raise InvalidArgument(f"REGISTER with invoke {invoke!r}: this router offers 'single'.")
    return str(match)
