"""What the connected nodes say, and what they are told: pings and answers, claims, the state of voters, and Raft.

A frame counts only if it comes from the life and the cluster that it should come from (rules 15, 40, 55). Pings begin
every exchange about leases (rule 10); who hears no leader asks all voters which cluster there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wampha.ledger.affiliation import Affiliation
from wampha.ledger.constants import Timing
from wampha.ledger.frames import AnyFrame, Claim, Found, Go, Ping, Raft, Reply, State
from wampha.ledger.member import Member
from wampha.state.commands import Owner


class Peers:
    """Those whose control link is up."""

    def __init__(
        self,
        *,
        name: str,
        voters: tuple[str, ...],
        affiliation: Affiliation,
        connected: dict[str, int],
        now: Callable[[], float],
        send: Callable[[str, AnyFrame], bool],
        timing: Timing,
        safe_moved: Callable[[], None],
    ) -> None:
        """`connected` has the life of each, and is shared with the affiliation."""
        self._name: Final = name
        self._voters: Final = voters
        self._affiliation: Final = affiliation
        self.connected: Final = connected
        self._now: Final = now
        self._send: Final = send
        self._timing: Final = timing
        self._safe_moved: Final = safe_moved
        self._handlers: Final[dict[type[AnyFrame], Callable[[str, Any], None]]] = {
            Raft: self._on_raft,
            Ping: self._on_ping,
            Reply: self._on_reply,
            Claim: self._on_claim,
            State: self._on_state,
            Found: self._on_found,
            Go: self._on_go,
        }
        self._lives: Final[dict[str, int]] = {}  # every peer ever connected -> its last life
        self._reported = 0  # applied index in the last ping

    # ---- links

    def up(self, name: str, life: int) -> bool:
        """A control link to the peer is up; False if it was so before, for this life."""
        if self.connected.get(name) == life:
            return False
        self.down(name)
        self.connected[name] = life
        member = self._affiliation.member
        if member:
            if self._lives.get(name, life) != life:
                member.engine.forget(name)
            member.engine.peer_up(name)
        self._lives[name] = life
        return True

    def down(self, name: str) -> bool:
        """The control link to the peer is gone, and with it what was under way; False if there was none."""
        if self.connected.pop(name, None) is None:
            return False
        if self._affiliation.member:
            self._affiliation.member.engine.peer_down(name)
        if self._affiliation.founding:
            self._affiliation.founding.lost(name)
        return True

    # ---- what they say

    def received(self, name: str, frame: AnyFrame) -> None:
        """A frame of a connected peer."""
        self._handlers[type(frame)](name, frame)

    def _on_raft(self, name: str, frame: Raft) -> None:
        member = self._affiliation.member
        if member and frame.cluster == member.cluster and frame.life == self.connected[name]:
            member.received(name, frame.body, frame.recovering)

    def _on_ping(self, name: str, ping: Ping) -> None:
        member = self._affiliation.member
        if member is None or ping.life != self.connected[name]:
            return
        reply = member.answer(Owner(name, ping.incarnation), ping)
        if reply:
            self._send(name, reply)

    def _on_reply(self, name: str, reply: Reply) -> None:
        if name not in self._voters:
            return
        own = self._affiliation
        member = own.member
        if member is None or reply.cluster != member.cluster:
            own.hear_of_another_cluster(reply)
            return
        if member.claimed(reply.claim):
            self._safe_moved()
        if own.leaving:
            return
        own.open(name, reply, member)
        if reply.dead and reply.incarnation == own.owner.incarnation:
            own.fence("the cluster declared this node dead")
        elif member.replied(reply, own.owner):
            self._report(member)  # the leader needs an echo before it can grant

    def _on_claim(self, name: str, claim: Claim) -> None:
        member = self._affiliation.member
        if member and claim.cluster == member.cluster and name in self._voters and member.claimed(claim.index):
            self._safe_moved()

    def _on_state(self, name: str, state: State) -> None:
        founding = self._affiliation.founding
        if founding and name in self._voters and state.life == self.connected[name]:
            founding.told(name, state, self._now())

    def _on_found(self, name: str, found: Found) -> None:
        founding = self._affiliation.founding
        if founding and name in self._voters:
            founding.asked(name, found, self._affiliation.cluster, self._now())

    def _on_go(self, name: str, go: Go) -> None:
        founding = self._affiliation.founding
        if founding and name in self._voters:
            founding.go(go, self._now())

    # ---- what they are told

    def claim(self, member: Member) -> None:
        """Tell all what the leader claims (rule 21)."""
        for peer in sorted(self.connected):
            self._send(peer, Claim(member.cluster, member.safe))

    def ping(self) -> None:
        """Rule 10: to the leader; a node that hears none asks all voters which cluster there is."""
        member = self._affiliation.member
        if member and member.engine.heard_leader(2 * self._timing.election_max_s):
            self._report(member)
        else:
            self._probe(self._now())

    def report_progress(self, member: Member) -> None:
        """Ping the leader if more is applied than it knows."""
        if member.engine.applied != self._reported:
            self._report(member)

    def _report(self, member: Member) -> None:
        """Ping the leader, if there is one and this node is not it."""
        leader = member.engine.leader
        if leader and leader != self._name:
            own = self._affiliation
            self._reported = member.engine.applied
            wants_open = own.founding is not None and own.founding.wants_open(self._now())
            self._send(leader, member.ping(own.owner, own.life, leaving=own.leaving, wants_open=wants_open))

    def _probe(self, now: float) -> None:
        own = self._affiliation
        probe = Ping(None, 0, own.owner.incarnation, own.life, now, None, 0, own.founding is not None, False)
        for voter in self._voters:
            if voter in self.connected:
                self._send(voter, probe)
