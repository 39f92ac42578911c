"""`wamp.session.add_testament` and `flush_testaments`: what a session leaves behind (advanced profile, "Testament").

A testament is small, and stands in the log with its payload. So it survives its home node, and every node publishes it
to its own subscribers when it applies the end of the session: once, whoever dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from wampha.counters import Counters
from wampha.errors import FeatureNotSupported, InvalidArgument, ProtocolViolation, Unavailable
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Options
from wampha.messages.options import RECEIVER_LISTS, OptionsReader
from wampha.messages.payload import Payload, Untranscodable
from wampha.messages.values import Family
from wampha.names.ids import Ids
from wampha.names.uri import check_not_reserved
from wampha.routing.attendance import Attendance
from wampha.routing.audience import check_lists
from wampha.routing.details import event_details
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.meta.sessions import is_silent, undecided
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.routing.session import Session
from wampha.state.changes import SessionLeft, TestamentsDue
from wampha.state.facts import DESTROYED, SCOPES, Bequeath, Flush, Testament
from wampha.state.roll import Load


class TestamentApi:
    """The testaments of every realm."""

    def __init__(
        self,
        *,
        realms: Mapping[str, Realm],
        attendance: Attendance,
        ledger: Ledger,
        limits: Limits,
        counters: Counters,
        ids: Ids,
    ) -> None:
        self._realms: Final = realms
        self._attendance: Final = attendance
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._counters: Final = counters
        self._ids: Final = ids
        self._options: Final = OptionsReader(Family.MSGPACK, "PUBLISH", limits)

    def offer(self, realm: Realm) -> None:
        """Answer in one more realm."""
        realm.procedures.add("wamp.session.add_testament", partial(self.add, realm))
        realm.procedures.add("wamp.session.flush_testaments", self.flush)

    def add(self, realm: Realm, call: MetaCall) -> None:
        """Publish this event when the session is detached or destroyed; answered when that is certain."""
        session, scope = call.caller, _scope(call)
        testament = self._testament(realm, call)
        self._check_bounds(session, testament)
        standing = session.testaments.get(scope, Load())
        session.testaments[scope] = Load(standing.count + 1, standing.bytes + testament.weight)
        self._ask(call, Bequeath(session.id, scope, testament))

    def flush(self, call: MetaCall) -> None:
        """The session's testaments of one scope hold no longer."""
        scope = _scope(call)
        call.caller.testaments.pop(scope, None)
        self._ask(call, Flush(call.caller.id, scope))

    def due(self, change: SessionLeft | TestamentsDue) -> None:
        """Publish what the session left behind, to this node's subscribers."""
        realm = self._realms.get(change.member.realm)
        if realm is not None and not (isinstance(change, SessionLeft) and is_silent(change)):
            for each in change.testaments:
                realm.broker.publish_here(each.topic, each.publication, each.payload, each.details, each.options)

    # ---- one testament

    def _testament(self, realm: Realm, call: MetaCall) -> Testament:
        session = call.caller
        topic = call.text(0, "topic")
        args = call.optional(1, "args", list, "a list") or []
        kwargs = call.optional(2, "kwargs", dict, "a map") or {}
        realm.uris.check(topic)
        check_not_reserved(topic)
        verdict = session.permissions.require("publish", topic)
        options = self._publish_options(call)
        try:
            payload = Payload.of(args, kwargs)
        except Untranscodable as error:
            raise InvalidArgument(f"{call.procedure}: {error}") from None
        return Testament(
            publication=self._ids.publication(),
            topic=topic,
            payload=payload,
            options=_receivers(options, session),
            details=dict(event_details(options, verdict, session.originator)),
        )

    def _publish_options(self, call: MetaCall) -> Options:
        stated = call.optional(-1, "publish_options", dict, "a map")
        if not stated:
            return NO_OPTIONS
        try:
            options = self._options.checked(stated)
        except (ProtocolViolation, Untranscodable, ValueError) as error:
            raise InvalidArgument(f"{call.procedure}: {error}.") from None
        if "enc_algo" in options or (options.get("ppt_scheme") and not call.caller.features.publisher_passthru):
            raise FeatureNotSupported("A testament has args and kwargs; to say more of them, announce passthru mode.")
        check_lists(options, self._limits.publish_receivers_max)
        return options

    def _check_bounds(self, session: Session, testament: Testament) -> None:
        limits, weight = self._limits, testament.weight
        if weight > limits.testament_bytes_max:
            self._refuse(f"A testament may have {limits.testament_bytes_max} bytes; this one has {weight}.")
        loads = session.testaments.values()
        if sum(load.count for load in loads) >= limits.session_testaments_max:
            self._refuse(f"A session may have {limits.session_testaments_max} testaments.")
        if sum(load.bytes for load in loads) + weight > limits.session_testaments_bytes_max:
            self._refuse(f"A session's testaments may have {limits.session_testaments_bytes_max} bytes together.")
        standing = self._ledger.tables.roll.load(session.realm)
        if standing.count >= limits.realm_testaments_max:
            self._refuse(f"A realm may have {limits.realm_testaments_max} testaments.")
        if standing.bytes + weight > limits.realm_testaments_bytes_max:
            self._refuse(f"A realm's testaments may have {limits.realm_testaments_bytes_max} bytes together.")

    def _refuse(self, sentence: str) -> None:
        self._counters.add("testaments_refused")
        raise Unavailable(sentence)

    def _ask(self, call: MetaCall, fact: Bequeath | Flush) -> None:
        self._attendance.ask(fact, lambda met: call.refuse(undecided(self._limits)) if met is None else call.answer())


def _scope(call: MetaCall) -> str:
    scope = call.optional(-1, "scope", str, "a string")
    if scope is None:
        return DESTROYED
    if scope not in SCOPES:
        raise InvalidArgument(f"{call.procedure}: scope is {scope!r}; it may be 'detached' or 'destroyed'.")
    return scope


def _receivers(options: Options, session: Session) -> dict[str, Any]:
    """Who may get it. Of a session that is only detached, itself only if it excludes itself not (`exclude_me`)."""
    lists = {name: options[name] for name in RECEIVER_LISTS if name in options}
    if options.get("exclude_me") is not False:
        lists["exclude"] = [*lists.get("exclude", ()), session.id]
    return dict(sorted(lists.items()))
