"""How long a stream waits for a link before it is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.routing.ports import Cancellable, Clock

# Design section 6 allows 3 s until calls over a link that does not come back are answered; the rest is for a reactor
# that is late. Below 2.5 s a dial that began in the cut (2 s until it times out) could not be followed by another one.
WAIT_MAX_S: Final = 2.75
_STEP_S: Final = 0.25
_STANDSTILL_S: Final = 2 * _STEP_S  # of a step that took longer this process stood still, and nobody could reach it


class Window:
    """The time from the loss of a link until `over` is called, unless the window is shut before.

    It is measured in steps and not by one timer: of a pause of this process it counts `_STANDSTILL_S` at most.
    """

    def __init__(self, clock: Clock, over: Callable[[], None]) -> None:
        self._clock: Final = clock
        self._over: Final = over
        self._left_s = 0.0
        self._since = 0.0  # when the present step began
        self._timer: Cancellable | None = None

    def open(self) -> None:
        """Begin to wait; nothing happens if that has begun."""
        if self._timer is None:
            self._left_s = WAIT_MAX_S
            self._step()

    def shut(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self) -> None:
        self._since = self._clock.now()
        self._timer = self._clock.call_later(min(_STEP_S, self._left_s), self._stepped)

    def _stepped(self) -> None:
        self._timer = None
        self._left_s -= min(self._clock.now() - self._since, _STANDSTILL_S)
        if self._left_s > 0:
            self._step()
        else:
            self._over()
