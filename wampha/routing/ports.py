"""How the core asks the world: clients, other nodes, the ledger, time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from wampha.auth.steps import BrowserCookie, Certificate
from wampha.messages.relayed import Relayed
from wampha.state.commands import Command, Outcome, Owner

if TYPE_CHECKING:
    from wampha.routing.session import Session
    from wampha.state.tables import Tables


class Client(Protocol):
    """One connected client, or a session that has none at the moment (`line.py`)."""

    @property
    def group(self) -> Any:
        """For what `Outbox.deliver` frames events; None once nothing can be sent any more."""

    def pass_on(self, frames: list[bytes]) -> None:
        """Queue events that were framed for `group`, in order."""

    def failed(self) -> None:
        """An exception of ours while writing: what the client has got is no longer known."""

    def send(self, message: Any) -> None:
        """Queue one message of `messages.model`; messages leave in the order of these calls. Never raises.

        What the client's serializer or size limit cannot express is answered by the transport: a RESULT becomes an
        ERROR, an INVOCATION is answered in a later turn by an ERROR in the callee's place. Of a progressive RESULT the
        core is told before `send` returns (`Conversation.undelivered`): the call has ended then.
        """

    @property
    def slow(self) -> bool:
        """Whether the client reads more slowly than it is sent."""

    def finish(self) -> None:
        """Close the connection once all that is queued has been written. Idempotent."""

    def certificate(self) -> Certificate | None:
        """What the client has shown in its TLS handshake, checked; None without one."""

    def channel_id(self, binding: str) -> bytes:
        """The 32 bytes of the client's TLS channel by that kind of channel binding; raises SessionRefused."""

    def cookie(self) -> BrowserCookie | None:
        """The cookie of a browser, where the listener gives cookies to browsers."""

    @property
    def kind(self) -> tuple[str, str]:
        """Transport and serializer, like `("websocket", "json")`; two empty strings without a connection."""

    def describe(self) -> str:
        """Peer address, transport and serializer, for log lines and session details."""


class Outbox(Protocol):
    """Messages to many."""

    def deliver(self, receivers: Sequence[Session], event: Any) -> None:
        """Queue one EVENT to each receiver; encoded and framed once per kind of connection."""

    def relieved(self, awaited: Any) -> None:
        """What `errors.Later` named has come: messages that wait for it may be handed in again."""

    def forward(self, owner: Owner, relayed: Relayed) -> bool:
        """Queue for another node's incarnation; False if no link to it is up (nothing was queued)."""

    @property
    def behind(self) -> Collection[Owner]:
        """The incarnations for which so much waits that clients should not add to it; always the same object."""


class Cancellable(Protocol):
    def cancel(self) -> None:
        """Forget the call; harmless after it ran."""


class Clock(Protocol):
    """Time that cannot be set: CLOCK_BOOTTIME in production, virtual in simulation."""

    def now(self) -> float:
        """Seconds since some fixed instant."""

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Cancellable: ...


Audit = Callable[[str, Mapping[str, Any]], None]  # kind of event, its fields; never a secret


def no_audit(kind: str, fields: Mapping[str, Any]) -> None:
    """Nobody wants to know."""


class Workers(Protocol):
    """Threads for calculations that would stop the reactor."""

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        """Calculate elsewhere, and call `done` with the result, here and later; False if too many wait already.

        `work` must not raise. After the node has stopped `done` is not called any more.
        """


class Ledger(Protocol):
    """The replicated log, as `propose(command) -> outcome`.

    An outcome comes in a later turn or before `propose` returns; `tables` show by then what the command did.
    """

    @property
    def owner(self) -> Owner:
        """This node's present incarnation."""

    @property
    def tables(self) -> Tables:
        """The facts applied so far; read only."""

    @property
    def safe(self) -> int:
        """Every possible holder of a lease has applied the log up to this index (rule 21)."""

    @property
    def applied(self) -> int:
        """Index up to which `tables` show the log."""

    def serving(self) -> bool:
        """Whether this incarnation is up and holds a lease at this instant; reads the clock (rule 1)."""

    def propose(self, command: Command, outcome: Callable[[Outcome], None]) -> None:
        """Append a command; `outcome` is called once, at the latest at the proposal deadline (UNKNOWN)."""


class LedgerEvents(Protocol):
    """What the ledger tells. Never called from inside `propose` of a raft ledger; the local ledger may."""

    def applied(self, changes: Sequence[Any]) -> None:
        """A batch was applied; `changes` are those of `state.machine`, in the order of the log."""

    def installed(self) -> None:
        """The tables were replaced by a snapshot: compare everything (rules 32, 33)."""

    def safe_moved(self) -> None:
        """`safe` rose: acknowledgements may have become due (rule 22)."""

    def serving_changed(self, serving: bool) -> None:
        """The lease came or went; never a promise for later: `serving()` is asked per received chunk."""

    def fenced(self, sentence: str) -> None:
        """The incarnation is dead (rule 4): drop sessions (GOODBYE) and local truth; `owner` is new already."""

    def ticked(self) -> None:
        """About every 50 ms, for reconciling (rule 33)."""
