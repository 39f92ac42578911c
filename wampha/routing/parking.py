"""What waits for a session that has no connection: bounded, in order, never written twice.

The realm's `slow_clients` applies, as to a client that does not read: events may be dropped from either end; anything
else is owed, and when that is too much the session ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from wampha.messages.model import Event
from wampha.routing.slow import SlowPolicy

MESSAGE_OVERHEAD_BYTES: Final = 256  # what Python adds to a message and its place here (P10)


class Parking:
    """Messages for one session, oldest first.

    Events can go from either end while everything else keeps its place: so there are two queues, and each message has
    the number under which it came.
    """

    __slots__ = ("_count", "_events", "_owed", "_policy", "dropped", "held_bytes")

    def __init__(self, policy: SlowPolicy) -> None:
        self._policy: Final = policy
        self._events: Final[deque[tuple[int, Any, int]]] = deque()  # (number, message, bytes)
        self._owed: Final[deque[tuple[int, Any, int]]] = deque()
        self._count = 0
        self.held_bytes = 0
        self.dropped = 0  # events, since the beginning

    def __len__(self) -> int:
        return len(self._events) + len(self._owed)

    def __iter__(self) -> Iterator[Any]:
        """All that is not an event, oldest first."""
        return (message for _, message, _ in self._owed)

    def add(self, message: Any, room_bytes: int) -> bool:
        """Keep a message, if `room_bytes` hold it with all others; events make room as far as the policy allows it.

        False if there is no room and none can be made: then the session must end.
        """
        size = _size(message)
        is_event = type(message) is Event
        if self._policy is SlowPolicy.DROP_NEWEST and is_event and self.held_bytes + size > room_bytes:
            self.dropped += 1
            return True
        (self._events if is_event else self._owed).append((self._count, message, size))
        self._count += 1
        self.held_bytes += size
        return self.held_bytes <= room_bytes or self.shrink(room_bytes)

    def shrink(self, room_bytes: int) -> bool:
        """Drop events by the policy until no more than `room_bytes` are held; False if that cannot be reached."""
        if self._policy is not SlowPolicy.DISCONNECT:
            drop = self._events.popleft if self._policy is SlowPolicy.DROP_OLDEST else self._events.pop
            while self._events and self.held_bytes > room_bytes:
                self.held_bytes -= drop()[2]
                self.dropped += 1
        return self.held_bytes <= room_bytes

    def take(self) -> Any:
        """Remove and return the oldest message; there must be one."""
        first_owed = bool(self._owed) and (not self._events or self._owed[0][0] < self._events[0][0])
        _, message, size = (self._owed if first_owed else self._events).popleft()
        self.held_bytes -= size
        return message

    def forget(self, kinds: tuple[type, ...]) -> None:
        """Forget all messages of these types, which are no events."""
        for _ in range(len(self._owed)):
            entry = self._owed.popleft()
            if type(entry[1]) in kinds:
                self.held_bytes -= entry[2]
            else:
                self._owed.append(entry)

    def clear(self) -> None:
        """Forget everything."""
        self._events.clear()
        self._owed.clear()
        self.held_bytes = 0


def _size(message: Any) -> int:
    size = MESSAGE_OVERHEAD_BYTES
    payload = getattr(message, "payload", None)
    if payload is not None:
        size += len(payload.data)
    details = getattr(message, "details", None)
    if details:
        size += len(msgspec.msgpack.encode(details))
    return size
