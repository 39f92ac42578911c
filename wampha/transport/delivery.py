"""The core's way out: one EVENT to many clients, encoded and framed once per kind, and messages to other nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.errors import WamphaError
from wampha.messages.relayed import Relayed
from wampha.state.commands import Owner
from wampha.transport.flusher import Flusher
from wampha.transport.frames import FrameGroup
from wampha.transport.gate import Reactor
from wampha.transport.pressure import Pressure

if TYPE_CHECKING:
    from wampha.routing.session import Session
    from wampha.transport.outbox import ClientOutbox

_MANY: Final = 16  # receivers from which on it is worth to add them up

_log = Logger(namespace="wampha.transport")


class Delivery:
    """`routing.ports.Outbox`: one EVENT to many clients of this node, and messages to other nodes."""

    def __init__(
        self,
        *,
        forward: Callable[[Owner, Relayed], bool],
        counters: Counters,
        reactor: Reactor,
        flush_links: Callable[[], None] = lambda: None,
        behind: Collection[Owner] = (),
    ) -> None:
        """`forward` hands a message to the data links, `flush_links` writes what they have queued.

        `behind` holds, at any time, the nodes for which much waits; `relieved` is to be called when one is not there
        any more.
        """
        self.flusher: Final = Flusher(reactor, flush_links)
        self.pressure: Final = Pressure(counters)
        self.forward: Final = forward
        self.behind: Final = behind
        self._counters: Final = counters

    def relieved(self, awaited: Hashable) -> None:
        """What `errors.Later` named has come, or is lost: let those go on who wait for it."""
        self.pressure.relieved(awaited, self.flusher.let_go)

    def deliver(self, receivers: Sequence[Session], event: Any) -> None:
        """Queue the event to each receiver: encoded and framed once per group, one look-up and append per receiver."""
        if len(receivers) > _MANY:
            self.flusher.reached(len(receivers))
        frames: dict[FrameGroup | None, bytes] = {None: b""}
        mark = self.flusher.mark
        left_out = 0
        for session in receivers:
            client: ClientOutbox = session.client  # type: ignore[assignment]  # a cast would cost a call per receiver
            group = client.group
            frame = frames.get(group)
            if frame is None:
                frame = frames[group] = self._frame(group, event)
            if frame:
                queue = client.queue
                if not queue:
                    mark(client)
                queue.append(frame)
            elif group is not None:
                left_out += 1
        if left_out:
            self._counters.add("events_undeliverable", left_out)

    def _frame(self, group: FrameGroup | None, event: Any) -> bytes:
        """The finished frame; empty if these clients cannot be sent this event."""
        assert group is not None
        try:
            return group.frame(event)
        except WamphaError:
            return b""
        except Exception:  # one kind of client must not keep the event from the others
            _log.failure("an event could not be written for serializer {id}", id=group.serializer.SERIALIZER_ID)
            return b""

    def flush(self) -> None:
        """Write what was queued; see `Flusher.flush`."""
        self.flusher.flush()
