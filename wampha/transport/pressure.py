"""Clients that feed a node faster than it takes: they wait until it has caught up, or is lost.

A message for a node that is behind is not routed (`errors.NodeBehind`): its connection keeps it, and reads no more. So
exactly those clients pay who publish or call into that node, with what their own systems' buffers take; and what waits
for the node grows by one message at most beyond the mark at which it counts as behind, however many clients there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from wampha.counters import Counters
from wampha.state.commands import Owner


class Feeder(Protocol):
    """A connection whose input goes to other nodes (`connection.ClientConnection`)."""

    patient: bool  # it does not go on before it is let go here

    def stop_flow(self) -> None:
        """Handle no further message, and read no more."""

    def resume(self) -> object:
        """Go on."""


class Pressure:
    """Which clients wait for which nodes, and in which order."""

    def __init__(self, counters: Counters) -> None:
        self._counters: Final = counters
        self._waiting: Final[dict[Owner, dict[Feeder, None]]] = {}  # who waits for it, oldest first
        self._awaited: Final[dict[Feeder, Owner]] = {}  # the same by client

    def wait(self, feeder: Feeder, owner: Owner) -> None:
        """The client's next message is for that node. Who comes again without success has kept its place."""
        awaited = self._awaited.get(feeder)
        if awaited is None:
            self._counters.add("clients_paused")
        if awaited != owner:
            self.leave(feeder)
            self._awaited[feeder] = owner
            self._waiting.setdefault(owner, {})[feeder] = None
        feeder.patient = True
        feeder.stop_flow()

    def relieved(self, owner: Owner, go_on: Callable[[Feeder], None]) -> None:
        """The node has caught up or is lost: those who wait for it may try again, one after the other."""
        for feeder in self._waiting.get(owner, ()):
            if feeder.patient:
                feeder.patient = False
                go_on(feeder)

    def leave(self, feeder: Feeder) -> None:
        """The client waits no longer: its message is through, or its connection is gone. Nothing if it did not wait."""
        owner = self._awaited.pop(feeder, None)
        if owner is not None:
            waiting = self._waiting[owner]
            del waiting[feeder]
            if not waiting:
                del self._waiting[owner]
