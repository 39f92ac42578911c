"""Which events of a realm are kept, and who gets them later (advanced profile, "Event Retention", "Event History").

What is kept stands in the replicated tables (`state/kept.py`), the same on every node; here is what belongs into them,
and what a subscriber may have of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from wampha.counters import Counters
from wampha.errors import PayloadSizeExceeded
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Event, Options
from wampha.messages.options import RECEIVER_LISTS
from wampha.messages.payload import Payload
from wampha.messages.values import Family
from wampha.names.patterns import PatternIndex, overlap
from wampha.names.uri import EXACT
from wampha.routing.audience import Audience
from wampha.routing.outgoing import Publication
from wampha.routing.ports import Ledger
from wampha.routing.session import Session
from wampha.state.commands import Entrusted, KeptEvent, Ring
from wampha.state.kept import Archive, Kept, weight

if TYPE_CHECKING:
    from wampha.routing.broker import Subscription

_pack: Final = msgspec.msgpack.encode
_unpack: Final = msgspec.msgpack.decode


class Retention:
    """What one realm keeps of its events."""

    def __init__(
        self,
        *,
        realm: str,
        histories: Iterable[Ring],
        limits: Limits,
        counters: Counters,
        ledger: Ledger,
        wall_ms: Callable[[], int],
    ) -> None:
        """`histories` are those of the configuration; `wall_ms` gives the time of day, in milliseconds since 1970."""
        self._realm: Final = realm
        self._limits: Final = limits
        self._counters: Final = counters
        self._ledger: Final = ledger
        self._wall_ms: Final = wall_ms
        self._histories: PatternIndex[Ring]
        self.has_histories: bool
        self.adapt(histories)

    def adapt(self, histories: Iterable[Ring]) -> None:
        """These are the histories from now on; what others hold is not shown any more, and stays."""
        self._histories = PatternIndex()
        for ring in histories:
            self._histories.add(ring.match, ring.topic, ring)
        self.has_histories = bool(self._histories)

    # ---- of a publisher

    def rings(self, topic: str, options: Options) -> tuple[Ring, ...]:
        """The histories that the publication enters.

        None if it is for certain sessions: those will not be the same when somebody asks (advanced profile, "Event
        History", "Security Aspects").
        """
        if not self.has_histories or "eligible" in options or "exclude" in options:
            return ()
        return self._histories.match(topic)

    def entrusted(self, publication: Publication, rings: tuple[Ring, ...]) -> Entrusted:
        """The publication as it will be kept; raises PayloadSizeExceeded."""
        publish, details = publication.publish, publication.details
        options, payload = publish.options, publish.payload
        lists = {name: options[name] for name in sorted(RECEIVER_LISTS.intersection(options))}
        event = KeptEvent(
            publication=publication.id,
            topic=publish.topic,
            time_ms=self._wall_ms(),
            publisher=publication.publisher.id,
            to_publisher=options.get("exclude_me") is False,
            lists=_pack(lists) if lists else b"",
            details=_pack(details) if details else b"",
            family=int(payload.family),
            count=payload.count,
            data=payload.data,
        )
        if weight(event) > self._limits.kept_event_bytes_max:
            self._counters.add("events_too_large_to_keep")
            raise PayloadSizeExceeded(
                f"An event that is retained or enters a history may have {self._limits.kept_event_bytes_max} bytes "
                f"with its topic, details and lists; this one has {weight(event)}."
            )
        return Entrusted(self._realm, event, publication.retained, rings)

    def has_history_of(self, match: str, pattern: str) -> bool:
        """Whether some topic that the pattern matches can have a history."""
        return any(overlap(ring.match, ring.topic, match, pattern) for ring in self._histories)

    # ---- of a subscriber

    def retained(self, session: Session, subscription: Subscription) -> Iterator[Event]:
        """The retained events that a new subscriber gets, oldest first."""
        archive = self._ledger.tables.kept.of(self._realm)
        if archive is None:
            return
        match = subscription.key.match
        for kept in self._newest(self._for(session, archive, match, subscription.key.uri)):
            details = {**details_of(kept.event), "retained": True}
            if match != EXACT:
                details["topic"] = kept.event.topic
            yield Event(subscription.id, kept.event.publication, details, payload_of(kept.event))

    def _newest(self, found: Iterable[Kept]) -> list[Kept]:
        events = list(found)
        most = self._limits.retained_events_sent_max
        if len(events) > most:
            self._counters.add("retained_events_omitted", len(events) - most)
            events = nlargest(most, events, key=_order)
        return sorted(events, key=_order)

    @staticmethod
    def _for(session: Session, archive: Archive, match: str, pattern: str) -> Iterator[Kept]:
        """Of each topic the most recent one that the session would have got when it was published."""
        for topic in archive.topics(match, pattern):
            for kept in reversed(archive.retained[topic]):
                if would_have_got(session, kept.event):
                    yield kept
                    break


def would_have_got(session: Session, event: KeptEvent) -> bool:
    """Whether the session would have been sent the event, had it been subscribed when it was published."""
    if event.publisher == session.id and not event.to_publisher:
        return False
    lists = lists_of(event)
    return lists is None or bool(Audience(lists).select((session,)))


def lists_of(event: KeptEvent) -> Options | None:
    """The black and white lists of the event; None if it is for everybody."""
    return _unpack(event.lists) if event.lists else None


def details_of(event: KeptEvent) -> dict[str, Any]:
    """EVENT.Details as they were, but for what differs between subscriptions."""
    details: dict[str, Any] = _unpack(event.details) if event.details else dict(NO_OPTIONS)
    return details


def payload_of(event: KeptEvent) -> Payload:
    """The payload as it came."""
    return Payload(Family(event.family), event.count, event.data)


def _order(kept: Kept) -> tuple[int, int]:
    return kept.order
