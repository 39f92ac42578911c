"""Which cluster this process is a member of, and as whom (rules 4, 40-57).

life          what other voters know about this process ends with it: it forgets everything, as a crash would
incarnation   whom clients are served as; it ends when the cluster declares it dead, or when it served too long ago
member        all that was heard and decided in one cluster
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Protocol

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.ledger.constants import Timing
from wampha.ledger.founding import Founding
from wampha.ledger.frames import AnyFrame, Raft, RaftBody, Reply
from wampha.ledger.member import Member
from wampha.ledger.options import Options
from wampha.state.commands import Owner
from wampha.state.machine import Machine

SUPERSEDED: Final = "this node's cluster was superseded"
PREDECESSORS_MAX: Final = 20  # own dead incarnations that `up` names; older ones fall by rule 26


class AffiliationEvents(Protocol):
    """What the ledger hears; each call comes in the midst of the change that it tells of."""

    def entered(self) -> None:
        """This process is a member of another cluster than before."""

    def exited(self) -> None:
        """It is a member of none; `fenced` follows."""

    def fenced(self, sentence: str) -> None:
        """The incarnation has ended; `owner` is the next one already."""

    def identity_changed(self) -> None:
        """The links have to shake hands anew."""


class Affiliation:
    """Of one process; the cluster, the life and the incarnation change."""

    _log = Logger(namespace="wampha.ledger")

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        machine_factory: Callable[[], Machine],
        now: Callable[[], float],
        chance: Random,
        send: Callable[[str, AnyFrame], bool],
        connected: Mapping[str, int],
        events: AffiliationEvents,
        counters: Counters,
        predecessors: tuple[int, ...],
        incarnated: Callable[[int], None],
        timing: Timing,
        options: Options,
    ) -> None:
        """`connected`: the peers whose control link is up; `Peers` keeps it up to date."""
        self._name: Final = name
        self._voters: Final = voters
        self._machine_factory: Final = machine_factory
        self._now: Final = now
        self._chance: Final = chance
        self._send: Final = send
        self._connected: Final = connected
        self._events: Final = events
        self._counters: Final = counters
        self._incarnated: Final = incarnated
        self._timing: Final = timing
        self._options: Final = options
        self._nothing: Final = machine_factory()  # the tables of a node that is in no cluster
        self.life = chance.getrandbits(63)
        self.owner = self._new_owner()
        self.succeeds = list(predecessors[-PREDECESSORS_MAX:])  # incarnations of this name that are dead for certain
        self.member: Member | None = None
        self.founding = self._new_founding() if name in voters else None
        self.leaving = False  # for good: nothing is joined any more
        self.refused: str | None = None  # why this process is in no cluster and never will be

    @property
    def cluster(self) -> int | None:
        return self.member.cluster if self.member else None

    @property
    def machine(self) -> Machine:
        """What holds the tables of the present membership."""
        return self.member.machine if self.member else self._nothing

    @property
    def recovering(self) -> bool:
        """Rule 40: a voter that has not been opened; an observer never is one."""
        return self.founding is not None and self.founding.recovering

    # ---- what changes it

    def open(self, leader: str, reply: Reply, member: Member) -> None:
        """Rule 44; never after a pledge, which is for another cluster."""
        founding = self.founding
        if founding and founding.pledge is None and member.opened(leader, reply, self.life):
            founding.opened()
            self._log.info("{name} votes again", name=self._name)

    def hear_of_another_cluster(self, reply: Reply) -> None:
        """Rule 55: a cluster with a quorum supersedes one without a leader; who is in none joins it."""
        member, founding = self.member, self.founding
        if self.leaving or not reply.quorate or (member and member.engine.heard_leader(self._timing.election_max_s)):
            return
        if founding and founding.pledge is not None and founding.recovering:
            return  # a pledge is exclusive; without `go` this life ends soon
        if founding and (member or not founding.recovering):
            self._drop_life()
        self._enter(reply.cluster, recovering=founding is not None, held_until=-math.inf)

    def refuse(self, sentence: str) -> None:
        """This release cannot know the tables: serve nobody, follow nobody, until it is replaced."""
        self.refused = f"wampha on this node is too old: {sentence}"
        self._counters.add("versions_refused")
        self._log.critical("{sentence}", sentence=self.refused)
        self._exit(self.refused)

    def begin_anew(self, sentence: str) -> None:
        """An invariant does not hold: forget everything, as a crash would, and join again."""
        self._counters.add("invariants_violated")
        self._log.critical("{name} forgets its state: {sentence}", name=self._name, sentence=sentence)
        self._drop_life(sentence)

    def fence(self, sentence: str) -> None:
        """Rule 4: this incarnation has ended; the next one begins to join."""
        self.succeeds = [*self.succeeds, self.owner.incarnation][-PREDECESSORS_MAX:]
        self.owner = self._new_owner()
        if self.member:
            self.member.lease_end = -math.inf
        self._events.fenced(sentence)
        self._events.identity_changed()

    # ---- inner

    def _founded(self, cluster: int, held_until: float) -> None:
        self._log.info("{name} is a founding member of a new cluster", name=self._name)
        self._enter(cluster, recovering=False, held_until=held_until)

    def _drop_life(self, sentence: str = SUPERSEDED) -> None:
        """Forget everything this process knows, as a crash would: always safe (rule 56)."""
        self._log.warn("{name} begins without memory again", name=self._name)
        self.life = self._chance.getrandbits(63)
        if self.founding:
            self.founding = self._new_founding()
        self._exit(sentence)
        self._events.identity_changed()

    def _enter(self, cluster: int, *, recovering: bool, held_until: float) -> None:
        self._exit()
        self.member = Member(
            cluster=cluster,
            name=self._name,
            voters=self._voters,
            timing=self._timing,
            now=self._now,
            chance=self._chance,
            send=self._send_raft,
            machine=self._machine_factory(),
            counters=self._counters,
            recovering=recovering,
            held_until=held_until,
            options=self._options,
        )
        for peer in sorted(self._connected):
            self.member.engine.peer_up(peer)
        self._events.entered()

    def _exit(self, sentence: str = SUPERSEDED) -> None:
        """Rule 57: nothing of a cluster outlives it, the incarnation included."""
        if self.member:
            self.member.stop()
            self.member = None
            self._events.exited()
            self.fence(sentence)

    def _new_founding(self) -> Founding:
        return Founding(
            name=self._name,
            voters=self._voters,
            timing=self._timing,
            chance=self._chance,
            life=self.life,
            now=self._now(),
            send=self._send,
            found=self._founded,
            drop_life=self._drop_life,
        )

    def _new_owner(self) -> Owner:
        incarnation = self._chance.getrandbits(63)
        self._incarnated(incarnation)
        return Owner(self._name, incarnation)

    def _send_raft(self, peer: str, body: RaftBody) -> bool:
        member = self.member
        return member is not None and self._send(peer, Raft(member.cluster, self.life, member.engine.recovering, body))
