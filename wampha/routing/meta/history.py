"""`wamp.subscription.get_events` (advanced profile, "Event History"): events that matched a subscription."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from wampha.counters import Counters
from wampha.errors import HistoryUnavailable, InvalidArgument, NoSuchSubscription
from wampha.limits import Limits
from wampha.messages.payload import Payload, Untranscodable
from wampha.messages.values import Family, dump
from wampha.names.instants import read_instant
from wampha.names.patterns import matcher
from wampha.names.uri import EXACT
from wampha.routing.audience import Audience
from wampha.routing.meta.dates import iso
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.routing.retention import details_of, lists_of, payload_of
from wampha.routing.session import Session
from wampha.state.kept import Kept
from wampha.state.tables import Route

GET_EVENTS: Final = "wamp.subscription.get_events"
_LISTED: Final = 10  # events of an answer as in Crossbar, unless the call says otherwise

_TIMES: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "from_time": operator.ge,
    "after_time": operator.gt,
    "before_time": operator.lt,
    "until_time": operator.le,
}
# How each shortens the range of events from `first` to before `end`.
_PUBLICATIONS: Final[Mapping[str, Callable[[int, int, int], tuple[int, int]]]] = {
    "from_publication": lambda first, end, place: (max(first, place), end),
    "after_publication": lambda first, end, place: (max(first, place + 1), end),
    "before_publication": lambda first, end, place: (first, min(end, place)),
    "until_publication": lambda first, end, place: (first, min(end, place + 1)),
}


class HistoryApi:
    """The history of one realm; every node answers from its own copy, all alike."""

    def __init__(self, *, realm: Realm, ledger: Ledger, limits: Limits, counters: Counters) -> None:
        self._realm: Final = realm.name
        self._style: Final = realm  # how a history is told may change
        self._retention: Final = realm.retention
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._counters: Final = counters

    def get_events(self, call: MetaCall) -> None:
        """Answer with the events of a subscription, one argument each; kwargs `more`: not all fit in one answer."""
        route = self._route(call.id(0, "subscription"))
        call.caller.permissions.require_pattern("subscribe", route.match, route.topic)
        if not self._retention.has_history_of(route.match, route.topic):
            raise HistoryUnavailable(f"No history is kept of what {route.match} {route.topic!r} matches.")
        events = _selected(call, self._events(route))
        backwards = call.optional(-1, "reverse", bool, "true or false")
        if self._style.history_as_list if backwards is None else backwards:
            events.reverse()
        limit = call.optional(1, "limit", int, "a positive integer")
        if limit is not None and limit < 1:
            raise InvalidArgument(f"{GET_EVENTS}: limit must be a positive integer.")
        if limit is None and self._style.history_as_list:
            limit = _LISTED
        self._answer(call, route, [kept for kept in events if _may_have(call.caller, kept)][:limit])

    def _answer(self, call: MetaCall, route: Route, events: list[Kept]) -> None:
        most, room = self._limits.history_events_answered_max, self._limits.history_bytes_answered_max
        described: list[dict[str, Any]] = []
        more = {}
        for kept in events:
            room -= len(kept.event.data)
            if described and (room < 0 or len(described) == most):
                self._counters.add("history_answers_cut")
                more = {"more": True}
                break
            described.append(_described(route, kept))
        if self._style.history_as_list:
            call.answer(described, **more)
        else:
            call.answer(*described, **more)

    def _route(self, subscription: int) -> Route:
        route = self._ledger.tables.subscription(self._realm, subscription)
        if route is None:
            raise NoSuchSubscription(f"There is no subscription {subscription} in this realm.")
        return route

    def _events(self, route: Route) -> list[Kept]:
        """All that is kept of what the subscription matches, in the order of the log, each once."""
        archive = self._ledger.tables.kept.of(self._realm)
        if archive is None:
            return []
        matches = matcher(route.match, route.topic)
        found: dict[tuple[int, int], Kept] = {}
        histories = 0
        for (match, topic), history in archive.histories.items():
            if match == EXACT and not matches(topic):
                continue
            before = len(found)
            found.update((kept.order, kept) for kept in history.events if matches(kept.event.topic))
            histories += len(found) > before
        return list(found.values()) if histories < 2 else [found[order] for order in sorted(found)]


def _selected(call: MetaCall, events: list[Kept]) -> list[Kept]:
    """Those for which all conditions of the call hold."""
    places = {kept.event.publication: place for place, kept in enumerate(events)}
    first, end = 0, len(events)
    for name, cut in _PUBLICATIONS.items():
        publication = call.kwargs.get(name)
        if publication is None:
            continue
        if type(publication) not in (int, float):  # clients in JavaScript write large ids in CBOR as floats
            raise InvalidArgument(f"{GET_EVENTS}: {name} must be a publication id.")
        if publication not in places:
            raise InvalidArgument(f"{GET_EVENTS}: {name}: {publication} is not in this history, or not any more.")
        first, end = cut(first, end, places[publication])
    events = events[first:end]
    for name, holds in _TIMES.items():
        text = call.optional(-1, name, str, "an RFC 3339 timestamp")
        if text is not None:
            instant = _instant(name, text)
            events = [kept for kept in events if holds(kept.event.time_ms, instant)]
    topic = call.optional(-1, "topic", str, "a topic")
    return events if topic is None else [kept for kept in events if kept.event.topic == topic]


def _instant(name: str, text: str) -> float:
    try:
        return read_instant(text)
    except ValueError as error:
        raise InvalidArgument(f"{GET_EVENTS}: {name} must be an RFC 3339 timestamp: {error}.") from None


def _may_have(session: Session, kept: Kept) -> bool:
    """Lists are of names only: what is for certain sessions enters no history."""
    lists = lists_of(kept.event)
    return lists is None or bool(Audience(lists).select((session,)))


def _described(route: Route, kept: Kept) -> dict[str, Any]:
    event = kept.event
    details = details_of(event)
    if route.match != EXACT:
        details["topic"] = event.topic
    described = {
        "timestamp": iso(event.time_ms),
        "subscription": route.id,
        "publication": event.publication,
        "topic": event.topic,
        "details": details,
    }
    try:
        described.update(zip(("args", "kwargs"), _elements(payload_of(event)), strict=False))
    except Untranscodable as error:
        details["unreadable"] = str(error)
    return described


def _elements(payload: Payload) -> list[Any]:
    """Arguments that every client can be told: a single one that is not would cost the whole answer."""
    elements = payload.elements()
    for family in (Family.JSON, Family.MSGPACK):
        if family is not payload.family:
            dump(family, elements)
    return elements
