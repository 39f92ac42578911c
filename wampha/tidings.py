"""What the ledger tells a node, and who of its parts hears it in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from wampha.cluster.links import Links
from wampha.routing.ports import LedgerEvents
from wampha.routing.router import Router
from wampha.state.changes import Change, LeaderChanged, NodeGone, NodeUp
from wampha.state.commands import Owner
from wampha.state.tables import Tables


class Listening(Protocol):
    """What a node itself hears."""

    def leader_changed(self, change: LeaderChanged) -> None:
        """Another node leads."""

    def member_changed(self, change: NodeUp | NodeGone) -> None:
        """A member has come up, or is gone."""

    def serving_changed(self, serving: bool) -> None:
        """This node may serve, or may not any longer."""

    def fenced(self, sentence: str) -> None:
        """This incarnation has ended."""


class Tidings(LedgerEvents):
    """For the links, the router and the node."""

    def __init__(
        self, *, name: str, node: Listening, router: Router, links: Links | None, tables: Callable[[], Tables]
    ) -> None:
        """`name` is the node's; `tables()` are the ledger's present ones."""
        self._name: Final = name
        self._node: Final = node
        self._router: Final = router
        self._links: Final = links
        self._tables: Final = tables

    def applied(self, changes: Sequence[Change]) -> None:
        self._router.applied(changes)
        for change in changes:
            if isinstance(change, NodeGone) and self._links:
                self._links.owner_dead(change.owner)
            if isinstance(change, NodeUp) and self._links:
                for owner in self._others():
                    self._links.owner_up(owner)
            if isinstance(change, NodeUp | NodeGone):
                self._locate(change.owner.name)
                self._node.member_changed(change)
            elif isinstance(change, LeaderChanged):
                self._node.leader_changed(change)

    def installed(self) -> None:
        if self._links:
            self._links.members(self._others())
        for owner in self._tables().up:
            self._locate(owner.name)
        self._router.installed()

    def _others(self) -> list[Owner]:
        """The members beside this node. Messages can be for each of them, whether there is a link to it or not."""
        return [owner for owner in self._tables().up if owner.name != self._name]

    def _locate(self, name: str) -> None:
        """Tell the links where the youngest incarnation of a node can be reached."""
        tables = self._tables()
        if self._links and name != self._name:
            standing = [owner for owner in tables.up if owner.name == name]
            self._links.node_address(name, tables.nodes[standing[-1]].address if standing else None)

    def safe_moved(self) -> None:
        self._router.safe_moved()

    def serving_changed(self, serving: bool) -> None:
        self._router.serving_changed(serving)
        self._node.serving_changed(serving)

    def fenced(self, sentence: str) -> None:
        self._router.fenced(sentence)
        self._node.fenced(sentence)

    def ticked(self) -> None:
        self._router.ticked()
