"""What a leader sends, and what it makes of the answers: the repairs next, answer-term, steps and recovering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from wampha.ledger.frames import Answer, Piece, RaftBody
from wampha.ledger.options import Options
from wampha.ledger.replica import Replica
from wampha.ledger.transport import LinkTransport, Peer


class Leader:
    """Leads the library by the hand while it leads; idle otherwise."""

    def __init__(
        self, *, replica: Replica, transport: LinkTransport, send: Callable[[str, RaftBody], bool], options: Options
    ) -> None:
        self._replica: Final = replica
        self._transport: Final = transport
        self._send: Final = send
        self._repairs: Final = options.repairs
        self._flushed = (0, 0)  # last log index and commit index when append_entries were sent last
        self.cut_short = False  # whether a connected peer lacks entries that were not sent for lack of time

    def flush(self) -> None:
        """Send what the library would keep until its next period."""
        replica = self._replica
        end = (replica.log_end[1], replica.committed)
        if replica.is_leader and (end != self._flushed or self.cut_short):
            self._flushed = end
            replica.send()

    def flush_again(self) -> None:
        """Some peer lacks what was sent: the next `flush` sends in any case."""
        self._flushed = (0, 0)

    def beat(self, behind: list[Peer]) -> None:
        """The heartbeat for those who get a snapshot instead of entries, after that of the others."""
        replica = self._replica
        self.cut_short = replica.has_unsent()
        for peer in behind:
            self._send(peer.name, Piece(replica.term, replica.committed, 0, 0, b"", None))

    def answered(self, peer: Peer, answer: Answer, recovering: bool) -> None:
        """An answer to append_entries, or to a snapshot."""
        replica = self._replica
        if not replica.is_leader or peer not in replica.match_index:
            return
        if "answer-term" in self._repairs and answer.term != replica.term:
            return
        answer = msgspec.structs.replace(answer, next_index=min(answer.next_index, replica.log_end[1] + 1))
        next_index = replica.next_index
        before = next_index[peer]
        if recovering and "recovering" in self._repairs:  # rule 41
            next_index[peer] = answer.next_index
        else:
            self._transport.receive(peer, answer)
        if (answer.reset and "steps" in self._repairs) or before <= replica.log_begin:
            self.flush_again()  # begin again, or go on after a snapshot, in this turn
        if "next" in self._repairs:
            least = max(2, replica.match_index[peer] + 1)
            next_index[peer] = max(least, next_index[peer] if answer.reset else max(before, next_index[peer]))

    def forget(self, peer: Peer) -> None:
        """What the peer acknowledged is gone."""
        match = self._replica.match_index
        if peer in match:
            match[peer] = 0

    def holds_all(self, peer: Peer) -> bool:
        """Whether a voter is connected and holds the whole log."""
        return self._transport.is_connected(peer) and self._replica.match_index[peer] == self._replica.log_end[1]
