"""Events that outlive their publication: the last retained one of each topic, and histories.

An event is never changed, so whoever holds one may keep it. Order is that of the log, and within an entry that of its
events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from wampha.names.patterns import matcher
from wampha.names.uri import EXACT, MATCHES
from wampha.state.commands import KeptEvent, Owner, Ring

RESTRICTED_MAX: Final = 10  # events of one topic that only some may see, kept beside the last one for everybody
_OVERHEAD_BYTES: Final = 300  # what an event takes beside its texts and its payload, about


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event, and where it stands in the log."""

    index: int  # of the entry
    place: int  # in it
    event: KeptEvent

    @property
    def order(self) -> tuple[int, int]:
        return self.index, self.place


class Handled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last `Keep` of an incarnation that took effect."""

    number: int
    index: int
    refused: tuple[int, ...]  # places of events for which the realm had no room


NOTHING_HANDLED: Final = Handled(0, 0, ())


class History:
    """The newest events of one configured pattern."""

    __slots__ = ("bytes", "events")

    def __init__(self) -> None:
        self.events: Final[deque[Kept]] = deque()
        self.bytes = 0

    def add(self, kept: Kept, ring: Ring) -> None:
        """Add the newest event, and drop what is older and beyond the bounds of `ring`."""
        self.restore(kept)
        while len(self.events) > ring.events_max or self.bytes > ring.bytes_max:
            self.bytes -= weight(self.events.popleft().event)

    def restore(self, kept: Kept) -> None:
        """Add the next event of a snapshot."""
        self.events.append(kept)
        self.bytes += weight(kept.event)


class Archive:
    """What is kept in one realm."""

    __slots__ = ("histories", "retained", "retained_bytes")

    def __init__(self) -> None:
        # Topic -> the last event for everybody, if there is one, then those for some that came later.
        self.retained: Final[dict[str, tuple[Kept, ...]]] = {}
        self.retained_bytes = 0
        self.histories: Final[dict[tuple[str, str], History]] = {}  # by (match, topic) of the configured pattern

    def keeps(self) -> bool:
        """Whether anything is kept."""
        return bool(self.retained) or any(history.events for history in self.histories.values())

    def retain(self, kept: Kept, topics_max: int, bytes_max: int) -> bool:
        """Let the event be its topic's retained one; False, and nothing changes, if the bounds leave no room."""
        topic = kept.event.topic
        former = self.retained.get(topic, ())
        events = (*former, kept) if kept.event.lists else (kept,)
        restricted = [each for each in events if each.event.lists]
        if len(restricted) > RESTRICTED_MAX:
            events = tuple(each for each in events if each is not restricted[0])
        grown = _weights(events) - _weights(former)
        crowded = topic not in self.retained and len(self.retained) >= topics_max
        if crowded or (grown > 0 and self.retained_bytes + grown > bytes_max):
            return False
        self.retained[topic] = events
        self.retained_bytes += grown
        return True

    def clear(self, match: str, pattern: str) -> None:
        """The topics that match have no retained event any more; a pattern that is none matches nothing."""
        for topic in self.topics(match, pattern):
            self.retained_bytes -= _weights(self.retained.pop(topic))

    def topics(self, match: str, pattern: str) -> list[str]:
        """The topics that match and have a retained event, in the order in which they first had one."""
        if match == EXACT:
            return [pattern] if pattern in self.retained else []
        return list(filter(matcher(match, pattern), self.retained)) if match in MATCHES else []

    def restore(self, kept: Kept) -> None:
        """Add the next retained event of a snapshot."""
        topic = kept.event.topic
        self.retained[topic] = (*self.retained.get(topic, ()), kept)
        self.retained_bytes += weight(kept.event)

    def history(self, match: str, topic: str) -> History:
        """The history of a configured pattern, to add to."""
        history = self.histories.get((match, topic))
        if history is None:
            history = self.histories[match, topic] = History()
        return history


class KeptEvents:
    """All events that are kept, by realm."""

    __slots__ = ("archives", "handled")

    def __init__(self) -> None:
        self.archives: Final[dict[str, Archive]] = {}
        self.handled: Final[dict[Owner, Handled]] = {}

    def of(self, realm: str) -> Archive | None:
        """What is kept in a realm, if anything ever was."""
        return self.archives.get(realm)

    def realms(self) -> Iterator[str]:
        """The realms in which something is kept."""
        return (realm for realm, archive in self.archives.items() if archive.keeps())

    def handled_of(self, owner: Owner) -> Handled:
        """The last `Keep` of that incarnation that took effect."""
        return self.handled.get(owner, NOTHING_HANDLED)

    def in_realm(self, realm: str) -> Archive:
        """What is kept in a realm, to add to."""
        archive = self.archives.get(realm)
        if archive is None:
            archive = self.archives[realm] = Archive()
        return archive


def weight(event: KeptEvent) -> int:
    """Bytes that the event takes in memory, about, and at most in the log."""
    return _OVERHEAD_BYTES + len(event.topic) + len(event.lists) + len(event.details) + len(event.data)


def _weights(events: tuple[Kept, ...]) -> int:
    return sum(weight(kept.event) for kept in events)
