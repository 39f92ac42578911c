"""What the library holds, under names of ours: term, log, and how far the others are. It decides nothing.

Only this file and library.py know the library's private names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from wampha.ledger.frames import Entry
from wampha.ledger.library import Library
from wampha.ledger.transport import Peer

LEADER: Final = 2  # states of the library
FOLLOWER: Final = 0

Settled = Callable[[Any, int], None]  # (what apply returned, result code of the library)


class Replica:
    """The library's state of one member."""

    def __init__(self, lib: Library) -> None:
        self._lib: Final = lib

    # ---- term and leader

    @property
    def is_leader(self) -> bool:
        return bool(self._lib._SyncObj__raftState == LEADER)

    @property
    def leader(self) -> Peer | None:
        """The leader of the present term, if known; it may be gone."""
        peer: Peer | None = self._lib._SyncObj__raftLeader
        return peer

    @property
    def term(self) -> int:
        return int(self._lib._SyncObj__raftCurrentTerm)

    def enter_term(self, term: int, vote: str | None) -> None:
        """The present term is this one, and the vote in it was given to the peer of that id."""
        self._lib._SyncObj__setCurrentTerm(term, vote)

    def follow_nobody(self) -> None:
        """Be a follower, of a leader who is not known."""
        self._lib._SyncObj__setState(FOLLOWER)
        self._lib._SyncObj__raftLeader = None

    def lose_leader(self) -> None:
        """The leader is gone: what was forwarded to it is settled as unknown (D7)."""
        self._lib._SyncObj__onLeaderChanged()
        self._lib._SyncObj__raftLeader = None

    @property
    def election_deadline(self) -> float:
        """Until when a leader is waited for."""
        return float(self._lib._SyncObj__raftElectionDeadline)

    @election_deadline.setter
    def election_deadline(self, time: float) -> None:
        self._lib._SyncObj__raftElectionDeadline = time

    # ---- the log, which always has the last two entries that were applied

    @property
    def applied(self) -> int:
        return int(self._lib._SyncObj__raftLastApplied)

    @property
    def committed(self) -> int:
        return int(self._lib._SyncObj__raftCommitIndex)

    @property
    def log(self) -> Any:
        """Its entries, a sequence; never empty."""
        return self._lib._SyncObj__raftLog

    @property
    def log_begin(self) -> int:
        """Index of the first entry."""
        return int(self._lib._SyncObj__raftLog[0][1])

    @property
    def log_end(self) -> tuple[int, int]:
        """(term, index) of the last entry: the greater one is the more up to date (Raft section 5.4.1)."""
        entry = self._lib._SyncObj__raftLog[-1]
        return entry[2], entry[1]

    def cut_to(self, index: int) -> None:
        """Forget the entries before this one."""
        self._lib._SyncObj__deleteEntriesTo(index)

    def replace(self, entries: Iterable[Entry], applied: int) -> None:
        """Put these entries in the place of the whole log; `applied` of them are."""
        log = self._lib._SyncObj__raftLog
        log.clear()
        for entry in entries:
            log.add(*entry)
        self._lib._SyncObj__raftLastApplied = applied
        self._lib._SyncObj__raftCommitIndex = max(applied, self.committed)

    # ---- the others

    @property
    def match_index(self) -> dict[Peer, int]:
        """As a leader: how much of the log each voter holds for certain."""
        match: dict[Peer, int] = self._lib._SyncObj__raftMatchIndex
        return match

    @property
    def next_index(self) -> dict[Peer, int]:
        """As a leader: the entry that each peer gets next."""
        following: dict[Peer, int] = self._lib._SyncObj__raftNextIndex
        return following

    def behind(self) -> list[Peer]:
        """The connected peers that need a snapshot, since the log no longer has what they lack; in a fixed order."""
        if not self.is_leader:
            return []
        next_index, first = self.next_index, self.log_begin
        behind = [peer for peer in self._lib._SyncObj__connectedNodes if next_index[peer] <= first]
        return sorted(behind, key=lambda peer: peer.name)

    def has_unsent(self) -> bool:
        """Whether a connected peer lacks entries that the log has and that were not sent to it."""
        next_index, first, end = self.next_index, self.log_begin, self.log_end[1]
        return any(first < next_index[peer] <= end for peer in self._lib._SyncObj__connectedNodes)

    def needed(self) -> int:
        """The first index that a leader's log must have for those who follow it."""
        if not self.is_leader:
            return self.applied
        next_index, first = self.next_index, self.log_begin
        following: list[int] = [
            next_index[peer] - 1 for peer in self._lib._SyncObj__connectedNodes if next_index[peer] > first
        ]
        return min([self.applied, *following])

    def send(self) -> None:
        """Send append_entries to all."""
        self._lib._SyncObj__sendAppendEntries()

    # ---- commands

    def append(self, command: bytes, settled: Settled) -> None:
        """Append a command once a leader is known."""
        self._lib._applyCommand(command, settled)

    def give_up_until(self, index: int, code: int) -> None:
        """Settle with this code what waits for the outcome of entries up to `index`."""
        waiting = self._lib._SyncObj__commandsWaitingCommit
        for place in sorted(place for place in waiting if place <= index):
            for _, settled in waiting.pop(place):
                settled(None, code)
