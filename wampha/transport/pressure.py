"""Clients whose next message cannot be handled yet (`errors.Later`): because a node takes less than they feed it, or
because an authorizer has not said yet whether they may. They wait until the node has caught up or is lost, or it has.

A message for a node that is behind is not routed: its connection keeps it, and reads no more. So
exactly those clients pay who publish or call into that node, with what their own systems' buffers take; and what waits
for the node grows by one message at most beyond the mark at which it counts as behind, however many clients there are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Protocol

from wampha.counters import Counters


class Feeder(Protocol):
    """A connection whose input goes to other nodes (`connection.ClientConnection`)."""

    patient: bool  # it does not go on before it is let go here

    def stop_flow(self) -> None:
        """Handle no further message, and read no more."""

    def resume(self) -> object:
        """Go on."""


class Pressure:
    """Which clients wait for what, and in which order."""

    def __init__(self, counters: Counters) -> None:
        self._counters: Final = counters
        self._waiting: Final[dict[Hashable, dict[Feeder, None]]] = {}  # who waits for it, oldest first
        self._awaited: Final[dict[Feeder, Hashable]] = {}  # the same by client

    def wait(self, feeder: Feeder, awaited: Hashable) -> None:
        """The client's next message waits for that node or decision. Who comes again in vain has kept its place."""
        former = self._awaited.get(feeder)
        if former is None:
            self._counters.add("clients_paused")
        if former != awaited:
            self.leave(feeder)
            self._awaited[feeder] = awaited
            self._waiting.setdefault(awaited, {})[feeder] = None
        feeder.patient = True
        feeder.stop_flow()

    def relieved(self, awaited: Hashable, go_on: Callable[[Feeder], None]) -> None:
        """It has come, or the node is lost: those who wait for it may try again, one after the other."""
        for feeder in self._waiting.get(awaited, ()):
            if feeder.patient:
                feeder.patient = False
                go_on(feeder)

    def leave(self, feeder: Feeder) -> None:
        """The client waits no longer: its message is through, or its connection is gone. Nothing if it did not wait."""
        awaited = self._awaited.pop(feeder, None)
        if awaited is not None:
            waiting = self._waiting[awaited]
            del waiting[feeder]
            if not waiting:
                del self._waiting[awaited]
