"""How many calls a callee works on at once: REGISTER.Options.concurrency, as Crossbar has it.

The callee's home counts, and it alone knows. A place is taken by an INVOCATION, and free again when the callee has
answered it, or was told by INTERRUPT that nobody waits for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wampha.messages.model import Options
    from wampha.messages.payload import Payload
    from wampha.routing.offers import Offer
    from wampha.routing.session import Session
    from wampha.routing.work import PendingCall, Served


class Places:
    """The places of one callee for the calls of one registration, and the calls that wait for one."""

    __slots__ = ("_freed", "_limit", "_taken", "offer", "queue")

    def __init__(self, offer: Offer, limit: int, freed: Callable[[Places], None]) -> None:
        """`freed` is called when a place is free again."""
        self.offer: Final = offer
        self.queue: Final[dict[PendingCall | Served, tuple[Options, Payload]]] = {}  # -> INVOCATION; oldest first
        self._limit: Final = limit
        self._taken = 0
        self._freed: Final = freed

    @property
    def full(self) -> bool:
        """Whether the callee works on as many calls as it wants to."""
        return self._taken >= self._limit

    def take(self, session: Session, invocation: int) -> None:
        """The callee's session gets this INVOCATION."""
        self._taken += 1
        session.places[invocation] = self

    def leave(self) -> None:
        """One INVOCATION has ended."""
        self._taken -= 1
        self._freed(self)

    def wait(self, work: PendingCall | Served, details: Options, payload: Payload) -> None:
        """Let a call wait for a place."""
        self.queue[work] = (details, payload)
        work.waits = self

    def let_go(self, work: PendingCall | Served) -> tuple[Options, Payload]:
        """A call waits no longer."""
        work.waits = None
        return self.queue.pop(work)
