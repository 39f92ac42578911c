"""Snapshots on their way from the leader to those whose next entries its log no longer has.

A snapshot is made when somebody needs it, and no other: the table is always at hand. It is made in pieces, as fast as
the fastest receiver takes them, while the log goes on; all who come meanwhile get the same pieces. At most
UNDER_WAY_MAX of them are under way to each receiver. What they need next stays in the log, up to a bound.

The receiver reads each piece when it comes, into tables of its own, and replaces table and log with the last one.
Until then it goes on with what it has: it reports its old applied index, so it gets no lease for more (rules 13, 24).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from wampha.ledger.frames import Entry, Piece

UNDER_WAY_MAX: Final = 4  # pieces under way to one receiver; bounds what it has to read in one turn
AGAIN_S: Final = 1.0  # without progress for so long, pieces are sent again


class Source(Protocol):
    """A snapshot of a table as it was when it began."""

    def piece(self) -> bytes | None:
        """The next piece, or None after the last."""

    def stop(self) -> None:
        """No more pieces are wanted."""


class Sink(Protocol):
    """A table that is made from pieces."""

    def add(self, piece: bytes) -> None:
        """Take the next piece; raises ValueError if it cannot be read."""

    def install(self) -> None:
        """Replace the present table by what the pieces made; raises ValueError if some are missing."""


class Snapshot:
    """Pieces, made when they are asked for and kept for others."""

    def __init__(self, source: Source, ends: tuple[Entry, Entry]) -> None:
        """`ends`: the last two entries that the table has applied."""
        self._source: Final = source
        self._pieces: Final[list[bytes]] = []
        self._complete = False
        self.ends: Final = ends
        self.index: Final = ends[1][1]

    def piece(self, number: int) -> bytes | None:
        """The piece of that number, at most the next one to be made; None after the last."""
        if number == len(self._pieces) and not self._complete:
            piece = self._source.piece()
            if piece is None:
                self._complete = True
            else:
                self._pieces.append(piece)
        return self._pieces[number] if number < len(self._pieces) else None

    def stop(self) -> None:
        self._source.stop()


@dataclass
class _Progress:
    snapshot: Snapshot
    moved: float  # when the receiver took something last
    sent: int = 0
    taken: int = 0
    last: int | None = None  # number of the last piece, once it was sent


class Sending:
    """What one leader sends."""

    def __init__(
        self, *, begin: Callable[[], Snapshot], send: Callable[[str, Piece], object], again_s: float = AGAIN_S
    ) -> None:
        self._begin: Final = begin
        self._send: Final = send
        self._again_s: Final = again_s
        self._snapshot: Snapshot | None = None
        self._to: Final[dict[str, _Progress]] = {}
        self._began: Final[dict[str, float]] = {}  # receiver -> when its transfer began; it has at most one a second

    def go_on(self, receivers: Iterable[str], *, first: int, term: int, commit: int, now: float) -> None:
        """Send what can be sent to those, and to nobody else; `first` is the index where the log begins."""
        wanted = list(receivers)
        for name in [name for name in self._to if name not in wanted]:
            del self._to[name]
        if not wanted:
            self.stop()
            return
        for name in wanted:
            if name not in self._to and now - self._began.get(name, now - self._again_s) >= self._again_s:
                self._began[name] = now
                self._to[name] = _Progress(self._usable(first), now)
        for name, progress in self._to.items():
            self._feed(name, progress, term, commit, now)

    def took(self, name: str, index: int, count: int, now: float) -> None:
        """The receiver has taken so many pieces of the snapshot up to `index`; fewer than before if it lost them."""
        progress = self._to.get(name)
        if progress and progress.snapshot.index == index and count <= progress.sent:
            if count < progress.taken:
                progress.sent = count
            progress.taken, progress.moved = count, now

    def needed(self) -> int | None:
        """The first index of the log that must stay for those who receive."""
        return min((progress.snapshot.index for progress in self._to.values()), default=None)

    def lost(self, name: str) -> None:
        """The link to the receiver is down: it begins anew."""
        self._to.pop(name, None)
        self._began.pop(name, None)

    def stop(self) -> None:
        """Nobody receives anything any more."""
        self._to.clear()
        if self._snapshot:
            self._snapshot.stop()
            self._snapshot = None

    def _usable(self, first: int) -> Snapshot:
        """The present snapshot, if the log goes on where it ends."""
        if self._snapshot is None or self._snapshot.index < first:
            if self._snapshot:
                self._snapshot.stop()
            self._snapshot = self._begin()
        return self._snapshot

    def _feed(self, name: str, progress: _Progress, term: int, commit: int, now: float) -> None:
        if now - progress.moved > self._again_s:
            progress.sent, progress.moved = progress.taken, now
        snapshot = progress.snapshot
        while progress.sent < progress.taken + UNDER_WAY_MAX and (
            progress.last is None or progress.sent <= progress.last
        ):
            data = snapshot.piece(progress.sent)
            if data is None:
                progress.last = progress.sent
            ends = snapshot.ends if data is None else None
            self._send(name, Piece(term, commit, snapshot.index, progress.sent, data or b"", ends))
            progress.sent += 1


class Receiving:
    """What one follower receives of one snapshot from one leader."""

    def __init__(self, leader: str, piece: Piece, sink: Sink) -> None:
        self._from: Final = (leader, piece.term, piece.snapshot)
        self._sink: Final = sink
        self.taken = 0

    def goes_on(self, leader: str, piece: Piece) -> bool:
        """Whether the piece belongs to this snapshot."""
        return self._from == (leader, piece.term, piece.snapshot)

    def add(self, piece: Piece) -> None:
        """Take it, if it is the next one; raises ValueError if it cannot be read."""
        if piece.number == self.taken:
            if piece.data:
                self._sink.add(piece.data)
            self.taken += 1

    def install(self) -> None:
        """Replace the table; raises ValueError if pieces are missing."""
        self._sink.install()
