"""What waits for one client that does not read: whole frames in order, of which only events may be dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from wampha.routing.slow import SlowPolicy

# What Python adds to a short frame: an object's head and a place in the queue. Without it a client that is sent many
# small events would hold several times its bound (P10).
FRAME_OVERHEAD_BYTES: Final = 64


class Backlog:
    """Events and other frames of one client; they leave in the order in which they came.

    Events are shared with other clients and cost a pointer each. The others carry the number of events that came
    before them, so that events can go from either end and everything else keeps its place.
    """

    __slots__ = (
        "_events",
        "_events_bytes",
        "_left",
        "_owed",
        "_owed_bytes",
        "accounted",
        "in_transport",
        "policy",
        "untaken",
    )

    def __init__(self, policy: SlowPolicy) -> None:
        self.policy: Final = policy
        self.in_transport = 0  # bytes that the transport held when it said that it is full
        self.untaken = 0  # bytes that the client's system had not taken when it was last looked at
        self.accounted = 0  # bytes that the node's total has of this
        self._events: Final[deque[bytes]] = deque()
        self._events_bytes = 0
        self._left = 0  # events that have left at the front, taken or dropped
        self._owed: Final[deque[tuple[int, bytes]]] = deque()  # (events before it since the beginning, frames)
        self._owed_bytes = 0

    def __len__(self) -> int:
        return len(self._events) + len(self._owed)

    @property
    def frame_bytes(self) -> int:
        """What will be written, in bytes."""
        return self._events_bytes + self._owed_bytes

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, in bytes, if no frame is shared with other clients."""
        return self.frame_bytes + FRAME_OVERHEAD_BYTES * len(self)

    @property
    def owed_held_bytes(self) -> int:
        """The part of `held_bytes` that must not be dropped."""
        return self._owed_bytes + FRAME_OVERHEAD_BYTES * len(self._owed)

    def owe(self, frames: bytes) -> None:
        """Add what must not be dropped."""
        self._owed.append((self._left + len(self._events), frames))
        self._owed_bytes += len(frames)

    def add(self, events: Iterable[bytes]) -> None:
        """Add events, one frame each."""
        for frame in events:
            self._events.append(frame)
            self._events_bytes += len(frame)

    def take(self) -> bytes:
        """Remove and return what is next; it must not be empty."""
        if self._owed and self._owed[0][0] <= self._left:
            frames = self._owed.popleft()[1]
            self._owed_bytes -= len(frames)
            return frames
        frame = self._events.popleft()
        self._events_bytes -= len(frame)
        self._left += 1
        return frame

    def drop(self, excess_bytes: int) -> int:
        """Drop events by policy until `excess_bytes` less are held, or none is left; returns how many were dropped."""
        before = len(self._events)
        goal = self.held_bytes - excess_bytes
        oldest = self.policy is SlowPolicy.DROP_OLDEST
        while self._events and self.held_bytes > goal:
            frame = self._events.popleft() if oldest else self._events.pop()
            self._events_bytes -= len(frame)
            self._left += oldest
        if not oldest:
            self._close_up()
        return before - len(self._events)

    def _close_up(self) -> None:
        """What came behind dropped events comes before every event that is added from now on."""
        end = self._left + len(self._events)
        behind: list[bytes] = []
        while self._owed and self._owed[-1][0] > end:
            behind.append(self._owed.pop()[1])
        self._owed.extend((end, frames) for frames in reversed(behind))
