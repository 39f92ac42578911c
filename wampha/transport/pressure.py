"""Clients that feed a node faster than it takes: nothing is read from them until it has caught up, or is lost.

Whose input it was that had to wait for the node is known while that input is handled (`Flusher.in_hand`); so exactly
those clients pay who publish or call into it. What they send meanwhile waits in their own system's buffers.
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
    """Which clients wait for which nodes."""

    def __init__(self, counters: Counters) -> None:
        self._counters: Final = counters
        self._waiting: Final[dict[Owner, dict[Feeder, None]]] = {}

    def behind(self, owner: Owner, feeder: Feeder | None) -> None:
        """Input of `feeder`, if of any, waits with much else for that node."""
        if feeder is None:
            return
        if not feeder.patient:
            feeder.patient = True
            feeder.stop_flow()
            self._counters.add("clients_paused")
        self._waiting.setdefault(owner, {})[feeder] = None

    def relieved(self, owner: Owner, go_on: Callable[[Feeder], None]) -> None:
        """The node has caught up or is lost: those who waited for no other one go on."""
        for feeder in self._waiting.pop(owner, {}):
            if not any(feeder in others for others in self._waiting.values()):
                feeder.patient = False
                go_on(feeder)

    def forget(self, feeder: Feeder) -> None:
        """The connection is gone."""
        if feeder.patient:
            for waiting in self._waiting.values():
                waiting.pop(feeder, None)
