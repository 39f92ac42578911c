"""`wampha.cluster.*`: what clients may know of the nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from wampha.routing.concord import Concord, shown
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.meta.procedures import MetaCall, Procedures
from wampha.routing.ports import Ledger
from wampha.state.changes import NodeGone, NodeUp
from wampha.state.commands import Owner
from wampha.state.tables import Node

NODES: Final = "wampha.cluster.nodes"
STATUS: Final = "wampha.cluster.status"
ON_NODE_UP: Final = "wampha.cluster.on_node_up"
ON_NODE_DOWN: Final = "wampha.cluster.on_node_down"

# What of a node's status is for clients; counters and figures of its process are for operators.
_SHOWN: Final = (
    *("stage", "ready", "role", "leader", "term", "recovering", "applied", "safe", "serving"),
    *("sessions", "routes", "registrations", "config"),
)


class StatusOf(Question, frozen=True):
    """What does this node say of itself?"""


class Announce(Protocol):
    """`Router.announce`."""

    def __call__(
        self, topic: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, *, realm: str | None = None
    ) -> None: ...


class ClusterApi:
    """The nodes and their states, the same in every realm."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        gather: Gather,
        announce: Announce,
        status: Callable[[], Mapping[str, Any]],
        concord: Concord,
    ) -> None:
        """`status` is what this node says of itself to its operator."""
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._announce: Final = announce
        self._status: Final = status
        self._concord: Final = concord
        gather.answer(StatusOf, self._own_status, answers=dict[str, Any])

    def offer(self, procedures: Procedures) -> None:
        """Answer in one more realm."""
        procedures.add(NODES, self.nodes)
        procedures.add(STATUS, self.status)

    def nodes(self, call: MetaCall) -> None:
        """All nodes that are up, in the order in which they came, as the replicated table has them.

        Beside that, `config`: the digest of the configuration that the node runs, null if it is not known here yet.
        """
        tables = self._ledger.tables
        call.answer(
            [
                {**_described(owner, tables.nodes[owner], tables.leader), "config": shown(self._concord.of(owner))}
                for owner in tables.up
            ]
        )

    def status(self, call: MetaCall) -> None:
        """What each node says of itself, by its name."""

        def gathered(all_of: Gathered) -> None:
            call.answer_gathered(all_of, {owner.name: status for owner, status in all_of.answers.items()})

        self._gather.ask(StatusOf(), gathered)

    def _own_status(self, _: StatusOf) -> dict[str, Any]:
        status = self._status()
        return {name: status[name] for name in _SHOWN if name in status}

    # ---- events: every node tells its own clients when it applies the entry

    def node_up(self, change: NodeUp) -> None:
        """A node has joined."""
        tables = self._ledger.tables
        node = tables.nodes.get(change.owner)
        if node is not None:  # else it has gone in the same batch
            self._announce(ON_NODE_UP, [change.owner.name], _described(change.owner, node, tables.leader))

    def node_gone(self, change: NodeGone) -> None:
        """A node is dead (`reason` "down"), has left ("left"), or was replaced by its next life ("succeeded")."""
        self._announce(ON_NODE_DOWN, [change.owner.name], {"incarnation": _hex(change.owner), "reason": change.reason})


def _described(owner: Owner, node: Node, leader: str) -> dict[str, Any]:
    return {
        "name": owner.name,
        "incarnation": _hex(owner),
        "address": node.address,
        "version": node.version,
        "leads": owner.name == leader,
    }


def _hex(owner: Owner) -> str:
    """An incarnation has more bits than clients in JavaScript can count."""
    return f"{owner.incarnation:016x}"
