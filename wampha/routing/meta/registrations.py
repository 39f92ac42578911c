"""`wamp.registration.*`: which procedures are offered, and by whom (advanced profile, "Registration Meta API").

All of it stands in the replicated registrations, so any node answers at once; only a callee's home node can remove it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wampha.errors import NoSuchRegistration, NoSuchSession, Unavailable
from wampha.limits import Limits
from wampha.names.uri import EXACT, is_reserved
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.meta.dates import iso
from wampha.routing.meta.listing import ids_by_match, match_of
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.meta.publishing import publish_here
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.state.changes import RegistrationAdded, RegistrationRemoved
from wampha.state.commands import Owner
from wampha.state.registrations import MOVED
from wampha.state.tables import Registration

ON_CREATE: Final = "wamp.registration.on_create"
ON_REGISTER: Final = "wamp.registration.on_register"
ON_UNREGISTER: Final = "wamp.registration.on_unregister"
ON_DELETE: Final = "wamp.registration.on_delete"


class RemoveCallee(Question, frozen=True):
    """Take the registration from this session, if it is one of yours; has it been?"""

    realm: str
    registration: int
    session: int
    reason: str


class RegistrationApi:
    """The procedures, in every realm."""

    def __init__(self, *, realms: Mapping[str, Realm], ledger: Ledger, gather: Gather, limits: Limits) -> None:
        self._realms: Final = realms
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._limits: Final = limits
        gather.answer(RemoveCallee, self._remove_own, answers=bool)

    def offer(self, realm: Realm) -> None:
        """Answer in one more realm."""
        add = realm.procedures.add
        for name, handler in (
            ("list", self.list_all),
            ("lookup", self.lookup),
            ("match", self.match),
            ("get", self.get),
            ("list_callees", self.list_callees),
            ("count_callees", self.count_callees),
        ):
            add(f"wamp.registration.{name}", handler)
        add("wamp.registration.remove_callee", self.remove_callee, changes=True)

    def list_all(self, call: MetaCall) -> None:
        """The ids of all registrations by match policy."""
        rows = self._ledger.tables.registrations.get(call.caller.realm)
        call.answer(ids_by_match(rows, self._limits.meta_list_max))

    def lookup(self, call: MetaCall) -> None:
        """The id of the registration of exactly this procedure, or pattern, and match policy; or null."""
        procedure = call.text(0, "procedure")
        row = self._ledger.tables.registration(call.caller.realm, match_of(call), procedure)
        call.answer(None if row is None else row.id)

    def match(self, call: MetaCall) -> None:
        """The id of the registration that a call of this procedure would go to; or null."""
        procedure = call.text(0, "procedure")
        rows = self._ledger.tables.registrations.get(call.caller.realm)
        row = None
        if rows is not None:  # a pattern never stands for the router's own procedures
            row = rows.get(EXACT, procedure) if is_reserved(procedure) else rows.first(procedure)
        call.answer(None if row is None else row.id)

    def get(self, call: MetaCall) -> None:
        """What there is to know of a registration."""
        row = self._asked_for(call)
        call.answer(_details(row.id, row.created, row.procedure, row.match, row.policy))

    def list_callees(self, call: MetaCall) -> None:
        """The sessions that have registered the procedure, in the order of the log."""
        call.answer([session for _, session in callees_of(self._asked_for(call))])

    def count_callees(self, call: MetaCall) -> None:
        """How many sessions have registered the procedure."""
        call.answer(len(callees_of(self._asked_for(call))))

    def remove_callee(self, call: MetaCall) -> None:
        """Take a registration from a session, which is told if it announced `registration_revocation`."""
        row = self._asked_for(call)
        session = call.id(1, "session")
        reason = call.optional(2, "reason", str, "a string") or ""
        homes = [owner for owner, callee in callees_of(row) if callee == session]

        def gathered(all_of: Gathered) -> None:
            if any(all_of.answers.values()):
                call.answer()
            elif all_of.partial:
                call.refuse(Unavailable(f"The callee's node has not answered: {', '.join(all_of.missing)}."))
            else:
                call.refuse(NoSuchSession(f"Session {session} does not have registration {row.id}."))

        self._gather.ask(RemoveCallee(call.caller.realm, row.id, session, reason), gathered, nodes=homes)

    def _asked_for(self, call: MetaCall) -> Registration:
        registration = call.id(0, "registration")
        row = self._ledger.tables.registered(call.caller.realm, registration)
        if row is None:
            raise NoSuchRegistration(f"There is no registration {registration}.")
        return row

    def _remove_own(self, question: RemoveCallee) -> bool:
        realm = self._realms.get(question.realm)
        return realm is not None and realm.offers.remove(question.registration, question.session, question.reason)

    # ---- events: every node tells its own clients when it applies the entry

    def registered(self, change: RegistrationAdded) -> None:
        """A session offers the procedure, perhaps the first one; one that moves to another node did so before."""
        if change.moved:
            return
        registration, session = change.registration, change.session
        if change.created is not None:
            details = _details(registration, change.created, change.procedure, change.match, change.policy)
            self._tell(change, ON_CREATE, registration, session, details)
        self._tell(change, ON_REGISTER, change.added, session, registration)

    def unregistered(self, change: RegistrationRemoved) -> None:
        """A session offers it no longer, perhaps the last one; or its node is dead."""
        if change.reason == MOVED:
            return
        registration, session = change.registration, change.session
        self._tell(change, ON_UNREGISTER, change.added, session, registration)
        if change.last:
            self._tell(change, ON_DELETE, registration, session, registration)

    def _tell(self, change: RegistrationAdded | RegistrationRemoved, topic: str, number: int, *args: Any) -> None:
        publish_here(self._realms.get(change.realm), topic, number, args)


def callees_of(row: Registration) -> list[tuple[Owner, int]]:
    """(home, session) of each callee."""
    return [(callee.owner, callee.session) for callee in row.callees]


def _details(registration: int, created: int, procedure: str, match: str, policy: str) -> dict[str, Any]:
    """RegistrationDetails."""
    return {"id": registration, "created": iso(created), "uri": procedure, "match": match, "invoke": policy}
