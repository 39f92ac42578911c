"""What every ledger is: `routing.ports.Ledger`, driven by a node. Two exist: `local.py` and `raft.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wampha.routing.ports import Ledger


class NodeLedger(Ledger, Protocol):
    """A ledger as `node.py` starts and stops it."""

    @property
    def recovering(self) -> bool:
        """Whether this node is a voter that counts for nothing yet (rule 40)."""

    def start(self) -> None:
        """Begin to work; `LedgerEvents.serving_changed(True)` follows when this node may serve."""

    def hand_over(self, done: Callable[[], None]) -> None:
        """Let another node lead, then call `done()`: in a later turn, within `Timing.hand_over_s`, led or not.

        For a node that leads and is to stop, before `leave`. `stop` forgets `done`.
        """

    def leave(self, done: Callable[[], None]) -> None:
        """Stop for good (rule 5): serve no longer, leave through the log, then call `done()`; within two seconds."""

    def stop(self) -> None:
        """End every timer at once."""
