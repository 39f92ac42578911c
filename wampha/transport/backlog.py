"""What waits for one client that does not read: whole frames in order, of which only events may be dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

from wampha.routing.slow import SlowPolicy
from wampha.transport.slow import SlowClient, SlowClients

# What Python adds to a short frame: an object's head and a place in the queue. Without it a client that is sent many
# small events would hold several times its bound (P10).
FRAME_OVERHEAD_BYTES: Final = 64

_add: Final = deque.append  # `super` would cost an event as much again

_LITTLE_BYTES: Final = 128 * 1024  # more than this in the transport is looked at again before anything is lost for it


class Waiting(SlowClient, Protocol):
    """The client that does not read (`outbox.ClientOutbox`)."""

    def unsent(self) -> int:
        """Bytes that its transport has now."""

    def passed(self, waiting: int) -> None:
        """So many bytes wait, more than may: cut the client, but later, since an event is on its way to many."""


class Backlog(deque[bytes]):
    """Events and other frames of one client; they leave in the order in which they came.

    Its own items are events: it stands in for the client's queue, so that an event costs one `append` and no look at
    what else the client needs. Events are shared with other clients and cost a pointer each. The others, which
    are owed, carry the number of events that came before them, so that events can go from either end and everything
    else keeps its place.
    """

    __slots__ = (
        "_accounted",
        "_in_transport",
        "_left",
        "_owed",
        "_owed_bytes",
        "_room",
        "_slow",
        "client",
        "held_bytes",
        "untaken",
        "untold",
    )

    COUNTER: ClassVar = ""  # counts events that are dropped; none: all that waits is owed

    def __init__(self, client: Waiting, slow: SlowClients, owed: bytes) -> None:
        """`owed`: frames that were queued already; they are not dropped, whatever they are."""
        super().__init__()
        self.client: Final = client
        self.held_bytes = 0  # the memory that it takes, if no frame is shared with other clients
        self.untaken = 0  # bytes that the client's system had not taken when it was last looked at
        self.untold = 0  # events dropped that nobody was told of
        self._slow: Final = slow
        self._in_transport = 0  # bytes that the transport has, at most
        self._room = slow.bytes_max  # for `held_bytes`
        self._accounted = 0  # bytes that the node's total has of this
        self._left = 0  # events that have left at the front, taken or dropped
        self._owed: Final[deque[tuple[int, bytes]]] = deque()  # (events before it since the beginning, frames)
        self._owed_bytes = 0
        if owed:
            self._keep(owed)

    @property
    def empty(self) -> bool:
        """Whether nothing is to be written."""
        return not self and not self._owed

    @property
    def frame_bytes(self) -> int:
        """What will be written, in bytes."""
        return self.held_bytes - FRAME_OVERHEAD_BYTES * (len(self) + len(self._owed))

    @property
    def owed_held_bytes(self) -> int:
        """The part of `held_bytes` that must not be dropped."""
        return self._owed_bytes + FRAME_OVERHEAD_BYTES * len(self._owed)

    @property
    def all_bytes(self) -> int:
        """The memory that waits, the transport's included."""
        return self.held_bytes + self._in_transport

    def in_transport(self, unsent: int) -> None:
        """The transport has so many bytes: they are within the client's bound, and can only become less."""
        self._in_transport = unsent
        self._room = self._slow.bytes_max - unsent
        self.settle()

    def _full(self, held_bytes: int) -> bool:
        """Whether so much is still too much; `_room` may be larger afterwards."""
        if self._in_transport > _LITTLE_BYTES:
            self._in_transport = unsent = self.client.unsent()
            self._room = self._slow.bytes_max - unsent
        return held_bytes > self._room

    def settle(self) -> None:
        """Let the node's total follow what has changed here."""
        more = self.held_bytes + self._in_transport - self._accounted
        if more:
            self._accounted += more
            self._slow.changed(more)

    def leave(self) -> None:
        """Nothing of it waits any more."""
        self._slow.changed(-self._accounted)
        self._accounted = 0

    def owe(self, frames: bytes) -> None:
        """Add what must not be dropped; events make room for it, and the client is cut if that is not enough."""
        keeps_all = not self.COUNTER
        held = self.held_bytes if keeps_all else self.owed_held_bytes
        if held > self._room and self._full(held):
            self._pass()
            return
        self._keep(frames)
        if not keeps_all and self.held_bytes > self._room and self._full(self.held_bytes):
            # By eighths: what is owed and stands behind dropped events is put in order each time.
            self.drop(max(self.held_bytes - self._room, self._slow.bytes_max // 8))
        self.settle()

    def _keep(self, frames: bytes) -> None:
        self._owed.append((self._left + len(self), frames))
        self._owed_bytes += len(frames)
        self.held_bytes += len(frames) + FRAME_OVERHEAD_BYTES

    def _pass(self) -> None:
        self.client.passed(self.held_bytes + self.client.unsent())

    def take(self) -> bytes:
        """Remove and return what is next; it must not be empty."""
        if self._owed and self._owed[0][0] <= self._left:
            frames = self._owed.popleft()[1]
            self._owed_bytes -= len(frames)
        else:
            frames = self.popleft()
            self._left += 1
        self.held_bytes -= len(frames) + FRAME_OVERHEAD_BYTES
        return frames

    def drop(self, excess_bytes: int) -> None:
        """Drop events by policy until `excess_bytes` less are held, or none is left."""
        raise NotImplementedError

    def lost(self, count: int) -> None:
        """Count events that the client will not get; within a second the realm's subscribers hear of it."""
        if not self.untold:
            self._slow.losing(self)
        self.untold += count
        self._slow.counters.add(self.COUNTER, count)


class KeepAll(Backlog):
    """Nothing is dropped: the client is cut when more waits than may."""

    __slots__ = ()

    def append(self, frame: bytes) -> None:
        """Add an event, unless more waits than may already."""
        if self.held_bytes > self._room and self._full(self.held_bytes):
            self._pass()
            return
        _add(self, frame)
        self.held_bytes += len(frame) + FRAME_OVERHEAD_BYTES
        self.settle()

    def drop(self, excess_bytes: int) -> None:
        """Nothing may be dropped."""


class DropNewest(Backlog):
    """No event is added while there is no room: whoever reads nothing loses all that comes at the cost of counting."""

    __slots__ = ()

    COUNTER = "events_dropped_newest"

    def append(self, frame: bytes) -> None:
        """Add an event if there is room."""
        held = self.held_bytes + len(frame) + FRAME_OVERHEAD_BYTES
        if held > self._room and (self._in_transport <= _LITTLE_BYTES or self._full(held)):
            self.lost(1)
            return
        _add(self, frame)
        self.held_bytes = held
        self.settle()

    def drop(self, excess_bytes: int) -> None:
        """The last events go."""
        before, goal = len(self), self.held_bytes - excess_bytes
        while self and self.held_bytes > goal:
            self.held_bytes -= len(self.pop()) + FRAME_OVERHEAD_BYTES
        self._close_up()
        if before > len(self):
            self.lost(before - len(self))

    def _close_up(self) -> None:
        """What came behind dropped events comes before every event that is added from now on."""
        end = self._left + len(self)
        behind: list[bytes] = []
        while self._owed and self._owed[-1][0] > end:
            behind.append(self._owed.pop()[1])
        self._owed.extend((end, frames) for frames in reversed(behind))


class DropOldest(Backlog):
    """The events that have waited longest make room for new ones."""

    __slots__ = ()

    COUNTER = "events_dropped_oldest"

    def append(self, frame: bytes) -> None:
        """Add an event; of a full client's events one goes for each that comes, as long as they are alike."""
        _add(self, frame)
        self.held_bytes = held = self.held_bytes + len(frame) + FRAME_OVERHEAD_BYTES
        if held > self._room and (self._in_transport <= _LITTLE_BYTES or self._full(held)):
            self.drop(held - self._room)
        if self.held_bytes + self._in_transport != self._accounted:  # they were not alike
            self.settle()

    def drop(self, excess_bytes: int) -> None:
        """The first events go."""
        held, dropped = self.held_bytes, 0
        goal = held - excess_bytes
        while self and held > goal:
            held -= len(self.popleft()) + FRAME_OVERHEAD_BYTES
            dropped += 1
        if dropped:
            self.held_bytes = held
            self._left += dropped
            self.lost(dropped)


BACKLOGS: Final[Mapping[SlowPolicy, type[Backlog]]] = {
    SlowPolicy.DISCONNECT: KeepAll,
    SlowPolicy.DROP_NEWEST: DropNewest,
    SlowPolicy.DROP_OLDEST: DropOldest,
}
