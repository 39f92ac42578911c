"""What a member takes from a leader, and what it answers: the repairs known, steps and tail, and D3."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger.entries import connects, contiguous, first_doubtful, without_known
from wampha.ledger.frames import Answer, Append, Piece
from wampha.ledger.library import NEVER_S
from wampha.ledger.options import Options
from wampha.ledger.replica import Replica
from wampha.ledger.snapshots import Snapshots
from wampha.ledger.transport import LinkTransport, Peer


class Follower:
    """Leads the library by the hand while it follows."""

    _log = Logger(namespace="wampha.ledger.engine")

    def __init__(
        self,
        *,
        voters: Collection[str],
        replica: Replica,
        snapshots: Snapshots,
        transport: LinkTransport,
        now: Callable[[], float],
        counters: Counters,
        options: Options,
    ) -> None:
        """`voters`: those whom this member may follow."""
        self._voters: Final = voters
        self._replica: Final = replica
        self._snapshots: Final = snapshots
        self._transport: Final = transport
        self._now: Final = now
        self._counters: Final = counters
        self._repairs: Final = options.repairs
        self.heard = -NEVER_S  # when the last append_entries of a leader came
        self.contradiction: str | None = None  # what a leader said last that contradicts invariant 1
        self.may_cut = "known" not in options.repairs
        self._certain: tuple[int, bool] | None = None  # (next index, reset) to be answered instead of the library's

    def append(self, peer: Peer, append: Append) -> None:
        """Entries of a leader, or its heartbeat."""
        if append.term < self._replica.term or not self._accept(peer, append.term):
            return
        if not contiguous(append):
            self._counters.add("control_frames_refused")
            return
        log, committed = self._replica.log, self._replica.committed
        if "known" in self._repairs and connects(append, log):
            append = without_known(append, log)
            end = self._replica.log_end[1]
            other = append.entries[0][1] if append.entries else end + 1
            if other <= committed:
                self._contradicted("entry {index} of {peer} contradicts what is committed", peer=peer.name, index=other)
                return
            self.may_cut = other <= end
        elif "steps" in self._repairs and (index := first_doubtful(append, log, committed)):
            self._certain = (index, True)
        try:
            self._transport.receive(peer, append)
        finally:
            self.may_cut = "known" not in self._repairs
            self._certain = None

    def piece(self, peer: Peer, piece: Piece) -> None:
        """A piece of a leader's snapshot; or of none, which is a heartbeat."""
        if piece.term < self._replica.term or not self._accept(peer, piece.term):
            return
        capped = piece
        if "tail" in self._repairs:
            capped = msgspec.structs.replace(piece, commit=min(piece.commit, self._replica.committed))
        self._transport.receive(peer, capped)  # for the library it is a heartbeat
        if piece.snapshot:
            self._snapshots.receive(peer.name, piece)

    def truthful(self, answer: Answer) -> Answer:
        """Say which term is answered (D3), and after a conflict where to go on."""
        next_index, reset = self._certain or (answer.next_index, answer.reset)
        return Answer(self._replica.term, next_index, reset, answer.success)

    def _accept(self, peer: Peer, term: int) -> bool:
        if peer.name not in self._voters:
            return False
        if term == self._replica.term and self._replica.is_leader:
            self._contradicted("{peer} says that it leads term {term}, which this node does", peer=peer.name, term=term)
            return False
        self.heard = self._now()
        return True

    def _contradicted(self, sentence: str, **facts: Any) -> None:
        """Invariant 1 of the protocol does not hold; whoever says so is not followed."""
        self.contradiction = sentence.format(**facts)
        self._counters.add("log_conflicts")
        self._log.critical(sentence, **facts)
