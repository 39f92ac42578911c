"""Raft by pysyncobj, driven from outside and repaired. Only this file and library.py know the library's private names.

The library is a passive object here: `tick()` and `received()` are its only sources of activity, it has no thread, no
socket and no clock of its own. What is put right around it (docs/design.md section 5, docs/research/raft.md):

    known        entries that a follower has already are not cut off and added again (D1, D2)
    next         an answer never moves the leader's nextIndex back without need, nor beyond its log (D1)
    answer-term  an answer counts only in the term that it answers (D3)
    tail         pieces of a snapshot never commit the follower's own, unverified log (D20)
    recovering   a voter without memory does not vote and its answers do not count (rules 40, 41)
    steps        a log that differs is found in one step, at once (D19)
    compaction   who needs a snapshot is not left to the library, which would spin until it has one (D16)
    elections    candidacies begin only by `campaign()`: see election.py (D14)

Also: apply and callbacks never raise into the library (D5, D6); a command whose fate it forgets is reported as unknown
(D7); log entries hold our bytes, not the library's calls, so that no method exists which could be called from remote;
its check-quorum by arrival of answers is off, since answers may be old: rule 17 takes its place; its snapshots, which
are made, sent and read in one go, are not used: transfer.py takes their place, and the log is cut here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pysyncobj.syncobj
from pysyncobj.config import SyncObjConf
from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger import without_pickle
from wampha.ledger.constants import Timing
from wampha.ledger.entries import connects, contiguous, first_doubtful, without_known
from wampha.ledger.frames import (
    Answer,
    Append,
    Entry,
    Forwarded,
    Piece,
    Placed,
    RaftBody,
    RequestVote,
    Taken,
    Vote,
)
from wampha.ledger.library import Library, check_library
from wampha.ledger.transfer import Receiving, Sending, Sink, Snapshot, Source
from wampha.ledger.transport import LinkTransport, Peer
from wampha.state.codec import UnsupportedError

REPAIRS: Final = frozenset({"known", "next", "answer-term", "tail", "recovering", "steps", "compaction", "elections"})

COMMAND: Final = b"\x00"  # first byte of an entry that holds a command; the only kind that peers may send
NO_OP: Final = b"\x01"  # first byte of the entry with which a leader begins
COMMAND_BYTES_MAX: Final = 1 << 18
QUEUED_MAX: Final = 10_000  # commands that wait for a leader
NEVER_S: Final = 1e9
LOG_TIMES_MAX: Final = 4  # times log_entries_max; then nobody is waited for any more

SUCCESS: Final = 0  # result codes of the library
UNKNOWN_OUTCOME: Final = 7
LEADER: Final = 2  # states of the library
FOLLOWER: Final = 0


@dataclass(frozen=True)
class Options:
    """What only tests change."""

    repairs: frozenset[str] = REPAIRS
    log_entries_max: int = 50_000  # then its older half goes; who needs that gets a snapshot
    batch_bytes_max: int = 1 << 19  # of one append_entries; some thousand entries, which take some milliseconds


Settled = Callable[[Any, int], None]  # (what apply returned, result code of the library)


class Engine:
    """One member of one Raft cluster."""

    _log = Logger(namespace="wampha.ledger.engine")

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        timing: Timing,
        now: Callable[[], float],
        chance: random.Random,
        send: Callable[[str, RaftBody], bool],
        apply: Callable[[int, bytes], Any],
        snapshot: Callable[[], Source],
        restore: Callable[[], Sink],
        counters: Counters,
        recovering: bool,
        options: Options,
    ) -> None:
        """`apply(index, command)` is called in the order of the log, once for each command; `snapshot()` begins one of
        what has been applied, `restore()` a replacement of it.

        A `name` that is not among `voters` makes an observer.
        """
        check_library()
        self._timing: Final = timing
        self._now: Final = now
        self._chance: Final = chance
        self._send: Final = send
        self._apply: Final = apply
        self._snapshot: Final = snapshot
        self._restore: Final = restore
        self._counters: Final = counters
        self._options: Final = options
        self.recovering = recovering
        self.may_cut = "known" not in options.repairs
        self.campaigning = False  # during `campaign`
        self.holding = False  # commands wait in the library's queue
        self.installed = 0  # snapshots
        self.contradiction: str | None = None  # what a leader said last that contradicts invariant 1
        self.heard = -NEVER_S  # when the last append_entries of a leader came
        self._certain: tuple[int, bool] | None = None  # (next index, reset) to be answered instead of the library's
        self._flushed = (0, 0)  # last log index and commit index when append_entries were sent last
        self._cut_short = False  # whether a connected peer lacks entries that were not sent for lack of time
        self._candidate_since = -NEVER_S
        self._handlers: Final[dict[type[RaftBody], Callable[[Peer, Any, bool], None]]] = {
            Append: self._on_append,
            Piece: self._on_piece,
            Answer: self._on_answer,
            RequestVote: self._on_request_vote,
            Vote: self._on_vote,
            Forwarded: self._on_forwarded,
            Placed: self._on_placed,
            Taken: self._on_taken,
        }
        self._sending: Final = Sending(begin=self._begin_snapshot, send=send)
        self._receiving: Receiving | None = None
        self._me: Final = Peer(name) if name in voters else None
        self._others: Final = {voter: Peer(voter) for voter in voters if voter != name}
        self._transport: Final = LinkTransport(self._me, self._others.values(), self._outgoing)
        self._enter()
        self._lib: Final = Library(self, self._me, self._others.values(), self._transport)

    # ---- what it is

    @property
    def is_leader(self) -> bool:
        return bool(self._lib._SyncObj__raftState == LEADER)

    @property
    def leader(self) -> str | None:
        """Name of the leader of the present term, if known; it may be gone (see `heard`)."""
        peer: Peer | None = self._lib._SyncObj__raftLeader
        return peer.name if peer else None

    @property
    def term(self) -> int:
        return int(self._lib._SyncObj__raftCurrentTerm)

    @property
    def applied(self) -> int:
        return int(self._lib._SyncObj__raftLastApplied)

    @property
    def committed(self) -> int:
        return int(self._lib._SyncObj__raftCommitIndex)

    @property
    def log_end(self) -> tuple[int, int]:
        """(term, index) of the last entry: the greater one is the more up to date (Raft section 5.4.1)."""
        entry = self._lib._SyncObj__raftLog[-1]
        return entry[2], entry[1]

    @property
    def votes(self) -> bool:
        """Whether this node may vote and be elected (rule 40)."""
        return self._me is not None and not (self.recovering and self.repaired("recovering"))

    def heard_leader(self, within_s: float) -> bool:
        """Whether append_entries came lately (rules 10, 56). Who the library calls its leader may be long gone (H9)."""
        return self.is_leader or self._now() - self.heard < within_s

    def follows(self, within_s: float) -> bool:
        """Whether there is a leader that is connected and was heard lately, or this node is it."""
        leader: Peer | None = self._lib._SyncObj__raftLeader
        if leader is None or leader == self._me:
            return self.is_leader
        return self._transport.is_connected(leader) and self.heard_leader(within_s)

    def entries(self) -> list[tuple[bytes, int, int]]:
        """A copy of the log in memory, for checks: (command, index, term)."""
        return list(self._lib._SyncObj__raftLog[:])

    def log_length(self) -> int:
        """How many entries the log in memory has."""
        return len(self._lib._SyncObj__raftLog)

    # ---- what drives it

    def tick(self) -> None:
        """Let the library do what is due, then send at once what has become sendable."""
        self._enter()
        self._lib.doTick(0.0)
        if not self._others and self.committed < self.log_end[1]:
            self._lib.doTick(0.0)  # alone: what was just appended is committed already
        self._flush()
        self._send_snapshots()

    @property
    def busy(self) -> bool:
        """Whether there is more to be applied or sent than one tick does."""
        return self.applied < self.committed or self._cut_short

    def propose(self, command: bytes, settled: Settled) -> None:
        """Append a command once a leader is known; `settled` is called from a later `tick` or `received`, if ever."""
        assert len(command) < COMMAND_BYTES_MAX, "a command never fills a message"
        self._enter()
        self._lib._applyCommand(COMMAND + command, settled)

    def peer_up(self, name: str) -> None:
        peer = self._peer(name)
        if self._me is not None or name in self._others:  # an observer has nothing to say to an observer
            self._enter()
            self._transport.connected(peer)
            self._flushed = (0, 0)  # what was under way when the last link broke is missing over there

    def peer_down(self, name: str) -> None:
        """The link is gone: what was under way to the peer is lost, and so is it as our leader."""
        peer = self._peer(name)
        self._enter()
        self._transport.disconnected(peer)
        self._sending.lost(name)
        self._receiving = None
        if self._lib._SyncObj__raftLeader == peer:
            self._lib._SyncObj__onLeaderChanged()  # settles what was forwarded to it (D7)
            self._lib._SyncObj__raftLeader = None
            self.postpone(*self._timing.failover_s, at_most=True)

    def forget(self, name: str) -> None:
        """The peer has a new life: what its former life acknowledged is gone (rule 40)."""
        peer = self._peer(name)
        match = self._lib._SyncObj__raftMatchIndex
        if peer in match:
            match[peer] = 0

    def open(self, leader: str) -> None:
        """Vote and count from now on; the vote of the present term is its leader's (rule 44)."""
        self._lib._SyncObj__setCurrentTerm(self.term, self._peer(leader).id)
        self.recovering = False

    def received(self, name: str, body: RaftBody, recovering: bool) -> None:
        """A message of a connected peer of the same cluster; `recovering` as the peer says of itself."""
        peer = self._peer(name)
        if not self._transport.is_connected(peer):
            return
        self._enter()
        self._handlers[type(body)](peer, body, recovering)

    def stop(self) -> None:
        self._lib.destroy()

    # ---- elections (the rules are in election.py)

    def election_due(self) -> bool:
        """Whether the time to wait for a leader is over."""
        return self.votes and not self.is_leader and bool(self._lib._SyncObj__raftElectionDeadline < self._now())

    def postpone(self, least_s: float, most_s: float, *, at_most: bool = False) -> None:
        """Wait that long for a leader from now; `at_most`: not longer, else not shorter than so far decided."""
        deadline = self._now() + self._chance.uniform(least_s, most_s)
        standing = self._lib._SyncObj__raftElectionDeadline
        self._lib._SyncObj__raftElectionDeadline = (min if at_most else max)(deadline, standing)

    def campaign(self, term: int) -> None:
        """Become a candidate in a term above `term` and above the own one."""
        if not self.votes or self.is_leader:
            return
        self._enter()
        if term > self.term:
            self._lib._SyncObj__setCurrentTerm(term, None)
        self._candidate_since = self._now()
        self._lib._SyncObj__raftElectionDeadline = -NEVER_S
        self.campaigning = True
        self._lib.doTick(0.0)
        self.campaigning = False
        self._flush()

    def hold(self, holding: bool) -> None:
        """Append no commands, or do so again; those that come wait meanwhile."""
        self.holding = holding

    def caught_up(self) -> list[str]:
        """The connected voters that hold the whole log; nobody unless this node leads."""
        if not self.is_leader:
            return []
        match, end = self._lib._SyncObj__raftMatchIndex, self.log_end[1]
        return [
            name for name, peer in self._others.items() if self._transport.is_connected(peer) and match[peer] == end
        ]

    def step_down(self) -> None:
        """Stop being the leader (rule 17)."""
        self._enter()
        self._lib._SyncObj__setState(FOLLOWER)
        self._lib._SyncObj__raftLeader = None
        self._lib._SyncObj__raftElectionDeadline = self._now() + self.election_timeout()

    # ---- what the library asks

    def conf(self) -> SyncObjConf:
        """The settings of the library; nothing in them is for users."""
        timing = self._timing
        return SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=timing.append_s,
            appendEntriesBatchSizeBytes=self._options.batch_bytes_max,
            raftMinTimeout=timing.election_min_s,
            raftMaxTimeout=timing.election_max_s,
            leaderFallbackTimeout=NEVER_S,  # rule 17 instead
            connectionTimeout=timing.election_max_s,
            commandsQueueSize=QUEUED_MAX,
            commandsWaitLeader=True,
            logCompactionMinEntries=self._options.log_entries_max,
            logCompactionMinTime=NEVER_S,
            dynamicMembershipChange=False,
            fullDumpFile=None,
            journalFile=None,
            password=None,
        )

    def repaired(self, repair: str) -> bool:
        return repair in self._options.repairs

    def election_timeout(self) -> float:
        return self._chance.uniform(self._timing.election_min_s, self._timing.election_max_s)

    def apply(self, index: int, entry: bytes) -> Any:
        """Apply one entry of the log; never raises (D6)."""
        if entry[:1] != COMMAND:
            return None
        try:
            return self._apply(index, entry[1:])
        except Exception:
            self._counters.add("apply_failures")
            self._log.failure("applying entry {index} failed", index=index)
            return None

    # ---- snapshots out: the library asks, see transfer.py

    def trim(self) -> None:
        """Cut the older half of a log that has grown too long, but for what connected peers still need.

        It grows no longer than LOG_TIMES_MAX times its bound for their sake.
        """
        log, most = self._lib._SyncObj__raftLog, self._options.log_entries_max
        length = len(log)
        if length <= most:
            return
        keep = min(self.applied - 1, self.log_end[1] - most // 2)
        needed = self._needed()
        if needed < keep and length > LOG_TIMES_MAX * most:
            self._counters.add("log_cuts_forced")
            self._sending.stop()
        else:
            keep = min(keep, needed)
        self._lib._SyncObj__deleteEntriesTo(keep)

    def _needed(self) -> int:
        """The first index that a leader's log must have for all who are connected."""
        if not self.is_leader:
            return self.applied
        next_index, first = self._lib._SyncObj__raftNextIndex, self._lib._SyncObj__raftLog[0][1]
        following: list[int] = [
            next_index[peer] - 1 for peer in self._lib._SyncObj__connectedNodes if next_index[peer] > first
        ]
        return min([self.applied, self._sending.needed() or self.applied, *following])

    def behind(self) -> list[Peer]:
        """The connected peers that need a snapshot, since the log no longer has what they lack; in a fixed order."""
        if not self.is_leader:
            return []
        next_index, first = self._lib._SyncObj__raftNextIndex, self._lib._SyncObj__raftLog[0][1]
        behind = [peer for peer in self._lib._SyncObj__connectedNodes if next_index[peer] <= first]
        return sorted(behind, key=lambda peer: peer.name)

    def _unsent(self) -> bool:
        next_index, end = self._lib._SyncObj__raftNextIndex, self.log_end[1]
        first = self._lib._SyncObj__raftLog[0][1]
        return any(first < next_index[peer] <= end for peer in self._lib._SyncObj__connectedNodes)

    def beat(self, behind: list[Peer]) -> None:
        """The heartbeat for peers that get a snapshot instead of entries, after that of the others."""
        self._cut_short = self._unsent()
        for peer in behind:
            self._send(peer.name, Piece(self.term, self.committed, 0, 0, b"", None))

    def _send_snapshots(self) -> None:
        self._sending.go_on(
            [peer.name for peer in self.behind()],
            first=self._lib._SyncObj__raftLog[0][1],
            term=self.term,
            commit=self.committed,
            now=self._now(),
        )

    def _begin_snapshot(self) -> Snapshot:
        log = self._lib._SyncObj__raftLog
        place = self.applied - log[0][1]
        assert place > 0, "the log always has the last two entries that were applied"
        return Snapshot(self._snapshot(), (log[place - 1], log[place]))

    def _on_taken(self, peer: Peer, taken: Taken, recovering: bool) -> None:
        if taken.term == self.term:
            self._sending.took(peer.name, taken.snapshot, taken.pieces, self._now())

    # ---- snapshots in

    def _receive(self, peer: Peer, piece: Piece) -> None:
        """Take a piece of the leader's snapshot, and say how far we are."""
        if piece.snapshot <= self.applied:
            self._receiving = None
            self._answer(peer, Answer(self.term, self.applied + 1, True, True))
            return
        if piece.number == 0 and not (self._receiving and self._receiving.goes_on(peer.name, piece)):
            self._receiving = Receiving(peer.name, piece, self._restore())
        receiving = self._receiving
        if receiving is None or not receiving.goes_on(peer.name, piece):
            self._send(peer.name, Taken(self.term, piece.snapshot, 0))
            return
        try:
            receiving.add(piece)
            if piece.ends and receiving.taken > piece.number:
                self._receiving = None
                self._install(receiving, piece.ends)
                self._answer(peer, Answer(self.term, self.applied + 1, False, True))
            else:
                self._send(peer.name, Taken(self.term, piece.snapshot, receiving.taken))
        except UnsupportedError:
            self._receiving = None  # whoever drives this engine sees the reason at the machine
            self._counters.add("snapshots_refused")
        except Exception:
            # The answer says what is true all the same: everything applied is in the leader's log (D18).
            self._receiving = None
            self._counters.add("snapshots_refused")
            self._log.failure("a snapshot could not be installed")
            self._answer(peer, Answer(self.term, self.applied + 1, True, True))

    def _install(self, receiving: Receiving, ends: tuple[Entry, Entry]) -> None:
        """Replace table and log by a snapshot that is complete."""
        lib, (previous, last) = self._lib, ends
        if last[1] != previous[1] + 1 or last[1] <= self.applied:
            raise ValueError("the entries at the end of the snapshot do not fit")
        behind = self._verified_behind(last[1], last[2])
        receiving.install()
        lib._SyncObj__raftLog.clear()
        for kept in (previous, last, *behind):
            lib._SyncObj__raftLog.add(*kept)
        lib._SyncObj__raftLastApplied = last[1]
        lib._SyncObj__raftCommitIndex = max(last[1], self.committed)
        self.installed += 1
        self._give_up_until(last[1])

    def _answer(self, peer: Peer, answer: Answer) -> None:
        self._send(peer.name, answer)

    def _verified_behind(self, index: int, term: int) -> list[Any]:
        """The entries behind a snapshot that ends at (index, term), if the log has that entry (Raft section 7).

        They may have been acknowledged: the leader may count on them.
        """
        log = self.entries()
        place = index - log[0][1]
        return log[place + 1 :] if 0 <= place < len(log) and log[place][2] == term else []

    def _give_up_until(self, index: int) -> None:
        """Nobody will ever say what became of proposals that the snapshot jumped over (D7)."""
        waiting = self._lib._SyncObj__commandsWaitingCommit
        for place in sorted(place for place in waiting if place <= index):
            for _, settled in waiting.pop(place):
                settled(None, UNKNOWN_OUTCOME)

    # ---- messages in

    def _on_append(self, peer: Peer, append: Append, recovering: bool) -> None:
        if append.term < self.term or not self._accept_leader(peer, append.term):
            return
        if not contiguous(append):
            self._counters.add("control_frames_refused")
            return
        log = self._lib._SyncObj__raftLog
        if self.repaired("known") and connects(append, log):
            append = without_known(append, log)
            other = append.entries[0][1] if append.entries else self.log_end[1] + 1
            if other <= self.committed:
                self._contradicted("entry {index} of {peer} contradicts what is committed", peer=peer.name, index=other)
                return
            self.may_cut = other <= self.log_end[1]
        elif self.repaired("steps") and (index := first_doubtful(append, log, self.committed)):
            self._certain = (index, True)
        try:
            self._transport.receive(peer, append)
        finally:
            self.may_cut = not self.repaired("known")
            self._certain = None

    def _on_piece(self, peer: Peer, piece: Piece, recovering: bool) -> None:
        if piece.term < self.term or not self._accept_leader(peer, piece.term):
            return
        capped = piece
        if self.repaired("tail"):
            capped = msgspec.structs.replace(piece, commit=min(piece.commit, self.committed))
        self._transport.receive(peer, capped)  # for the library it is a heartbeat
        if piece.snapshot:
            self._receive(peer, piece)

    def _accept_leader(self, peer: Peer, term: int) -> bool:
        if peer.name not in self._others:
            return False
        if term == self.term and self.is_leader:
            self._contradicted("{peer} says that it leads term {term}, which this node does", peer=peer.name, term=term)
            return False
        self.heard = self._now()
        return True

    def _contradicted(self, sentence: str, **facts: Any) -> None:
        """Invariant 1 of the protocol does not hold; whoever says so is not followed."""
        self.contradiction = sentence.format(**facts)
        self._counters.add("log_conflicts")
        self._log.critical(sentence, **facts)

    def _on_answer(self, peer: Peer, answer: Answer, recovering: bool) -> None:
        lib = self._lib
        if not self.is_leader or peer not in lib._SyncObj__raftMatchIndex:
            return
        if self.repaired("answer-term") and answer.term != self.term:
            return
        end = self.log_end[1] + 1
        answer = msgspec.structs.replace(answer, next_index=min(answer.next_index, end))
        next_index = lib._SyncObj__raftNextIndex
        before = next_index[peer]
        if recovering and self.repaired("recovering"):  # rule 41
            next_index[peer] = answer.next_index
        else:
            self._transport.receive(peer, answer)
        if (answer.reset and self.repaired("steps")) or before <= lib._SyncObj__raftLog[0][1]:
            self._flushed = (0, 0)  # begin again, or go on after a snapshot, in this turn
        if self.repaired("next"):
            least = max(2, lib._SyncObj__raftMatchIndex[peer] + 1)
            next_index[peer] = max(least, next_index[peer] if answer.reset else max(before, next_index[peer]))

    def _on_request_vote(self, peer: Peer, request: RequestVote, recovering: bool) -> None:
        if self.votes and not recovering and peer.name in self._others:
            self._transport.receive(peer, request)

    def _on_vote(self, peer: Peer, vote: Vote, recovering: bool) -> None:
        # Rule 45: the voter's embargo after a loss of memory is reckoned from this.
        late = self._now() - self._candidate_since > self._timing.election_max_s and self.repaired("elections")
        if self.votes and not recovering and not late and peer.name in self._others:
            self._transport.receive(peer, vote)

    def _on_forwarded(self, peer: Peer, forwarded: Forwarded, recovering: bool) -> None:
        if forwarded.command[:1] != COMMAND or len(forwarded.command) > COMMAND_BYTES_MAX:
            self._counters.add("control_frames_refused")  # no kind of entry that changes the library itself (D9, D10)
            return
        self._transport.receive(peer, forwarded)

    def _on_placed(self, peer: Peer, placed: Placed, recovering: bool) -> None:
        self._transport.receive(peer, placed)

    # ---- messages out

    def _outgoing(self, peer: Peer, body: RaftBody) -> bool:
        if isinstance(body, Answer):
            body = self._truthful(body)
        return self._send(peer.name, body)

    def _truthful(self, answer: Answer) -> Answer:
        """Say which term is answered (D3), and after a conflict where to go on."""
        next_index, reset = self._certain or (answer.next_index, answer.reset)
        return Answer(self.term, next_index, reset, answer.success)

    # ---- inner

    def _peer(self, name: str) -> Peer:
        return self._others.get(name) or Peer(name)

    def _enter(self) -> None:
        """Give the library our clock. It reads one function of its module; each engine sets it before it calls in, so
        that several with different clocks can live in one process."""
        pysyncobj.syncobj.monotonicTime = self._now

    def _flush(self) -> None:
        """Send what the library would keep until its next period."""
        end = (self.log_end[1], self.committed)
        if self.is_leader and (end != self._flushed or self._cut_short):
            self._flushed = end
            self._lib._SyncObj__sendAppendEntries()


assert without_pickle.loads is pysyncobj.pickle.loads, "pickle is still in the library"
