"""Raft by pysyncobj, driven from outside and repaired.

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
are made, sent and read in one go, are not used: snapshots.py takes their place.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pysyncobj.syncobj
from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger import without_pickle
from wampha.ledger.constants import Timing
from wampha.ledger.follower import Follower
from wampha.ledger.frames import (
    Answer,
    Append,
    Forwarded,
    Piece,
    Placed,
    RaftBody,
    RequestVote,
    Taken,
    Vote,
)
from wampha.ledger.leader import Leader
from wampha.ledger.library import NEVER_S, Library, check_library, settings
from wampha.ledger.options import Options
from wampha.ledger.replica import Replica, Settled
from wampha.ledger.snapshots import Snapshots
from wampha.ledger.transfer import Sink, Source
from wampha.ledger.transport import LinkTransport, Peer

COMMAND: Final = b"\x00"  # first byte of an entry that holds a command; the only kind that peers may send
NO_OP: Final = b"\x01"  # first byte of the entry with which a leader begins
COMMAND_BYTES_MAX: Final = 1 << 18
SUCCESS: Final = 0  # result code of the library


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
        self._counters: Final = counters
        self._apply_times: Final = counters.distributions["raft_apply_seconds"]
        self._options: Final = options
        self.recovering = recovering
        self.campaigning = False  # during `campaign`
        self.holding = False  # commands wait in the library's queue
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
        self._me: Final = Peer(name) if name in voters else None
        self._others: Final = {voter: Peer(voter) for voter in voters if voter != name}
        self._transport: Final = LinkTransport(self._me, self._others.values(), self._outgoing)
        self._enter()
        self._lib: Final = Library(self, settings(timing, options), self._me, self._others.values(), self._transport)
        self._replica: Final = Replica(self._lib)
        self._snapshots: Final = Snapshots(
            replica=self._replica,
            snapshot=snapshot,
            restore=restore,
            send=send,
            now=now,
            counters=counters,
            options=options,
        )
        self._leader: Final = Leader(replica=self._replica, transport=self._transport, send=send, options=options)
        self._follower: Final = Follower(
            voters=self._others,
            replica=self._replica,
            snapshots=self._snapshots,
            transport=self._transport,
            now=now,
            counters=counters,
            options=options,
        )

    # ---- what it is

    @property
    def is_leader(self) -> bool:
        return self._replica.is_leader

    @property
    def leader(self) -> str | None:
        """Name of the leader of the present term, if known; it may be gone (see `heard`)."""
        peer = self._replica.leader
        return peer.name if peer else None

    @property
    def term(self) -> int:
        return self._replica.term

    @property
    def applied(self) -> int:
        return self._replica.applied

    @property
    def committed(self) -> int:
        return self._replica.committed

    @property
    def log_end(self) -> tuple[int, int]:
        """(term, index) of the last entry: the greater one is the more up to date (Raft section 5.4.1)."""
        return self._replica.log_end

    @property
    def installed(self) -> int:
        """How many snapshots have replaced the table."""
        return self._snapshots.installed

    @property
    def votes(self) -> bool:
        """Whether this node may vote and be elected (rule 40)."""
        return self._me is not None and not (self.recovering and self.repaired("recovering"))

    @property
    def heard(self) -> float:
        """When the last append_entries of a leader came."""
        return self._follower.heard

    @property
    def contradiction(self) -> str | None:
        """What a leader said last that contradicts invariant 1."""
        return self._follower.contradiction

    def heard_leader(self, within_s: float) -> bool:
        """Whether append_entries came lately (rules 10, 56). Who the library calls its leader may be long gone (H9)."""
        return self.is_leader or self._now() - self.heard < within_s

    def follows(self, within_s: float) -> bool:
        """Whether there is a leader that is connected and was heard lately, or this node is it."""
        leader = self._replica.leader
        if leader is None or leader == self._me:
            return self.is_leader
        return self._transport.is_connected(leader) and self.heard_leader(within_s)

    def entries(self) -> list[tuple[bytes, int, int]]:
        """A copy of the log in memory, for checks: (command, index, term)."""
        return list(self._replica.log[:])

    def log_length(self) -> int:
        """How many entries the log in memory has."""
        return len(self._replica.log)

    # ---- what drives it

    def tick(self) -> None:
        """Let the library do what is due, then send at once what has become sendable."""
        self._enter()
        self._lib.doTick(0.0)
        if not self._others and self.committed < self.log_end[1]:
            self._lib.doTick(0.0)  # alone: what was just appended is committed already
        self._leader.flush()
        self._snapshots.go_on()

    @property
    def busy(self) -> bool:
        """Whether there is more to be applied or sent than one tick does."""
        return self.applied < self.committed or self._leader.cut_short

    def propose(self, command: bytes, settled: Settled) -> None:
        """Append a command once a leader is known; `settled` is called from a later `tick` or `received`, if ever."""
        assert len(command) < COMMAND_BYTES_MAX, "a command never fills a message"
        self._enter()
        self._replica.append(COMMAND + command, settled)

    def peer_up(self, name: str) -> None:
        peer = self._peer(name)
        if self._me is not None or name in self._others:  # an observer has nothing to say to an observer
            self._enter()
            self._transport.connected(peer)
            self._leader.flush_again()  # what was under way when the last link broke is missing over there

    def peer_down(self, name: str) -> None:
        """The link is gone: what was under way to the peer is lost, and so is it as our leader."""
        peer = self._peer(name)
        self._enter()
        self._transport.disconnected(peer)
        self._snapshots.lost(name)
        if self._replica.leader == peer:
            self._replica.lose_leader()
            self.postpone(*self._timing.failover_s, at_most=True)

    def forget(self, name: str) -> None:
        """The peer has a new life: what its former life acknowledged is gone (rule 40)."""
        self._leader.forget(self._peer(name))

    def open(self, leader: str) -> None:
        """Vote and count from now on; the vote of the present term is its leader's (rule 44)."""
        self._replica.enter_term(self.term, self._peer(leader).id)
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
        return self.votes and not self.is_leader and self._replica.election_deadline < self._now()

    def postpone(self, least_s: float, most_s: float, *, at_most: bool = False) -> None:
        """Wait that long for a leader from now; `at_most`: not longer, else not shorter than so far decided."""
        deadline = self._now() + self._chance.uniform(least_s, most_s)
        standing = self._replica.election_deadline
        self._replica.election_deadline = (min if at_most else max)(deadline, standing)

    def campaign(self, term: int) -> None:
        """Become a candidate in a term above `term` and above the own one."""
        if not self.votes or self.is_leader:
            return
        self._enter()
        if term > self.term:
            self._replica.enter_term(term, None)
        self._candidate_since = self._now()
        self._replica.election_deadline = -NEVER_S
        self.campaigning = True
        self._lib.doTick(0.0)
        self.campaigning = False
        self._leader.flush()

    def hold(self, holding: bool) -> None:
        """Append no commands, or do so again; those that come wait meanwhile."""
        self.holding = holding

    def caught_up(self) -> list[str]:
        """The connected voters that hold the whole log; nobody unless this node leads."""
        if not self.is_leader:
            return []
        return [name for name, peer in self._others.items() if self._leader.holds_all(peer)]

    def step_down(self) -> None:
        """Stop being the leader (rule 17)."""
        self._enter()
        self._replica.follow_nobody()
        self._replica.election_deadline = self._now() + self.election_timeout()

    # ---- what the library asks

    @property
    def may_cut(self) -> bool:
        """Whether a follower's log may lose what stands behind the entries that came."""
        return self._follower.may_cut

    def repaired(self, repair: str) -> bool:
        return repair in self._options.repairs

    def election_timeout(self) -> float:
        return self._chance.uniform(self._timing.election_min_s, self._timing.election_max_s)

    def apply(self, index: int, entry: bytes) -> Any:
        """Apply one entry of the log; never raises (D6)."""
        self._snapshots.applied(len(entry))
        if entry[:1] != COMMAND:
            return None
        began = self._counters.seconds()
        try:
            return self._apply(index, entry[1:])
        except Exception:
            self._counters.add("apply_failures")
            self._log.failure("applying entry {index} failed", index=index)
            return None
        finally:
            self._apply_times.add(self._counters.seconds() - began)

    def trim(self) -> None:
        """Cut a log that has grown too long."""
        self._snapshots.trim()

    def behind(self) -> list[Peer]:
        """Who gets a snapshot, and no entries."""
        return self._replica.behind()

    def beat(self, behind: list[Peer]) -> None:
        """The heartbeat for those, after that of the others."""
        self._leader.beat(behind)

    # ---- messages in

    def _on_append(self, peer: Peer, append: Append, recovering: bool) -> None:
        self._follower.append(peer, append)

    def _on_piece(self, peer: Peer, piece: Piece, recovering: bool) -> None:
        self._follower.piece(peer, piece)

    def _on_answer(self, peer: Peer, answer: Answer, recovering: bool) -> None:
        self._leader.answered(peer, answer, recovering)

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

    def _on_taken(self, peer: Peer, taken: Taken, recovering: bool) -> None:
        self._snapshots.took(peer.name, taken)

    # ---- messages out

    def _outgoing(self, peer: Peer, body: RaftBody) -> bool:
        if isinstance(body, Answer):
            body = self._follower.truthful(body)
        return self._send(peer.name, body)

    # ---- inner

    def _peer(self, name: str) -> Peer:
        return self._others.get(name) or Peer(name)

    def _enter(self) -> None:
        """Give the library our clock. It reads one function of its module; each engine sets it before it calls in, so
        that several with different clocks can live in one process."""
        pysyncobj.syncobj.monotonicTime = self._now


assert without_pickle.loads is pysyncobj.pickle.loads, "pickle is still in the library"
