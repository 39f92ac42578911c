"""The snapshots of one member: out to those who lack what its log no longer has, and in from its leader.

How they travel is in transfer.py. Here they meet the log: it is cut as it grows, but not of what somebody needs, and
what the leader's table has replaced is replaced in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger.frames import Answer, Entry, Piece, RaftBody, Taken
from wampha.ledger.options import Options
from wampha.ledger.replica import Replica
from wampha.ledger.transfer import Receiving, Sending, Sink, Snapshot, Source
from wampha.state.codec import UnsupportedError

UNKNOWN_OUTCOME: Final = 7  # result code of the library
LOG_TIMES_MAX: Final = 4  # times log_entries_max or log_bytes_max; then nobody is waited for any more


class Snapshots:
    """What is sent, what is received, and how long the log is."""

    _log = Logger(namespace="wampha.ledger.engine")

    def __init__(
        self,
        *,
        replica: Replica,
        snapshot: Callable[[], Source],
        restore: Callable[[], Sink],
        send: Callable[[str, RaftBody], bool],
        now: Callable[[], float],
        counters: Counters,
        options: Options,
    ) -> None:
        """`snapshot()` begins one of what has been applied, `restore()` a replacement of it."""
        self._replica: Final = replica
        self._snapshot: Final = snapshot
        self._restore: Final = restore
        self._send: Final = send
        self._now: Final = now
        self._counters: Final = counters
        self._options: Final = options
        self._sending: Final = Sending(begin=self._begin, send=send)
        self._receiving: Receiving | None = None
        self.installed = 0
        self._log_bytes = 0  # of what the log had when it was cut last, and of what has been applied since
        self._cut_at_bytes = options.log_bytes_max

    def applied(self, size: int) -> None:
        """An entry of so many bytes has been applied."""
        self._log_bytes += size

    def lost(self, name: str) -> None:
        """The link to the peer is down: what was under way begins anew."""
        self._sending.lost(name)
        self._receiving = None

    def trim(self) -> None:
        """Cut the older half of a log that has grown too long, but for what connected peers still need.

        It grows no longer than LOG_TIMES_MAX times its bound for their sake.
        """
        replica, most, bytes_most = self._replica, self._options.log_entries_max, self._options.log_bytes_max
        length = len(replica.log)
        if length <= most and self._log_bytes <= self._cut_at_bytes:
            return
        keep = min(replica.applied - 1, max(replica.log_end[1] - most // 2, self._half_of(bytes_most)))
        needed = min(replica.needed(), self._sending.needed() or replica.applied)
        crowded = length > LOG_TIMES_MAX * most or self._log_bytes > LOG_TIMES_MAX * bytes_most
        if needed < keep and crowded:
            self._counters.add("log_cuts_forced")
            self._sending.stop()
        else:
            keep = min(keep, needed)
        replica.cut_to(keep)
        self._log_bytes = sum(len(entry[0]) for entry in replica.log[:])
        self._cut_at_bytes = max(bytes_most, self._log_bytes + bytes_most // 8)  # others may need it

    def _half_of(self, bytes_max: int) -> int:
        """The first index from which on the log has half of so many bytes."""
        room = bytes_max // 2
        log: list[Entry] = list(self._replica.log[:])
        for command, index, _ in reversed(log):
            room -= len(command)
            if room < 0:
                return index
        return 0

    # ---- out

    def go_on(self) -> None:
        """Send what can be sent to those who need it."""
        replica = self._replica
        self._sending.go_on(
            [peer.name for peer in replica.behind()],
            first=replica.log_begin,
            term=replica.term,
            commit=replica.committed,
            now=self._now(),
        )

    def _begin(self) -> Snapshot:
        log = self._replica.log
        place = self._replica.applied - log[0][1]
        assert place > 0, "the log always has the last two entries that were applied"
        return Snapshot(self._snapshot(), (log[place - 1], log[place]))

    def took(self, name: str, taken: Taken) -> None:
        """A receiver says how far it is."""
        if taken.term == self._replica.term:
            self._sending.took(name, taken.snapshot, taken.pieces, self._now())

    # ---- in

    def receive(self, leader: str, piece: Piece) -> None:
        """Take a piece of the leader's snapshot, and say how far we are."""
        if piece.snapshot <= self._replica.applied:
            self._receiving = None
            self._answer(leader, reset=True)
            return
        if piece.number == 0 and not (self._receiving and self._receiving.goes_on(leader, piece)):
            self._receiving = Receiving(leader, piece, self._restore())
        receiving = self._receiving
        if receiving is None or not receiving.goes_on(leader, piece):
            self._send(leader, Taken(self._replica.term, piece.snapshot, 0))
            return
        try:
            receiving.add(piece)
            if piece.ends and receiving.taken > piece.number:
                self._receiving = None
                self._install(receiving, piece.ends)
                self._answer(leader, reset=False)
            else:
                self._send(leader, Taken(self._replica.term, piece.snapshot, receiving.taken))
        except UnsupportedError:
            self._receiving = None  # whoever drives this engine sees the reason at the machine
            self._counters.add("snapshots_refused")
        except Exception:
            # The answer says what is true all the same: everything applied is in the leader's log (D18).
            self._receiving = None
            self._counters.add("snapshots_refused")
            self._log.failure("a snapshot could not be installed")
            self._answer(leader, reset=True)

    def _answer(self, leader: str, *, reset: bool) -> None:
        self._send(leader, Answer(self._replica.term, self._replica.applied + 1, reset, True))

    def _install(self, receiving: Receiving, ends: tuple[Entry, Entry]) -> None:
        """Replace table and log by a snapshot that is complete."""
        previous, last = ends
        if last[1] != previous[1] + 1 or last[1] <= self._replica.applied:
            raise ValueError("the entries at the end of the snapshot do not fit")
        behind = self._verified_behind(last[1], last[2])
        receiving.install()
        self._replica.replace((previous, last, *behind), last[1])
        self.installed += 1
        # Nobody will ever say what became of proposals that the snapshot jumped over (D7).
        self._replica.give_up_until(last[1], UNKNOWN_OUTCOME)

    def _verified_behind(self, index: int, term: int) -> list[Entry]:
        """The entries behind a snapshot that ends at (index, term), if the log has that entry (Raft section 7).

        They may have been acknowledged: the leader may count on them.
        """
        log: list[Entry] = list(self._replica.log[:])
        place = index - log[0][1]
        return log[place + 1 :] if 0 <= place < len(log) and log[place][2] == term else []
