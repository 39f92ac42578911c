"""All clients of a node that do not read: the memory they may take together, and who is told of them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from twisted.logger import Logger

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.transport.gate import Reactor

_TELL_S: Final = 1.0  # at most one event a second tells of a client's losses
_LOG_TICKS: Final = 10  # of _TELL_S: at most one line in that time of those of all
_CUTS_MAX: Final = 100  # connections that are ended per reactor turn, so that no turn lasts long
_SHOWN: Final = 5  # clients of which the status tells how much waits for each
_TOLD_MAX: Final = 10  # clients whose losses are announced per reactor turn: about 0.1 ms, so that nobody feels it


class SlowClient(Protocol):
    """A client whose transport is full (`outbox.ClientOutbox`)."""

    @property
    def held_bytes(self) -> int:
        """The memory that waits for it."""

    def relieve(self) -> None:
        """Hold much less: drop half of the events if the policy allows it, or everything."""

    def tell_dropped(self, count: int) -> None:
        """Announce so many dropped events."""


class Losing(Protocol):
    """What waits for a client that loses events (`backlog.Backlog`)."""

    untold: int  # events dropped that nobody was told of

    @property
    def client(self) -> SlowClient: ...


class SlowClients:
    """Only a client whose transport is full is known here: one that reads costs nothing."""

    _log = Logger(namespace="wampha.transport")

    def __init__(self, *, limits: Limits, counters: Counters, reactor: Reactor) -> None:
        self.counters: Final = counters
        self.bytes_max: Final = limits.client_queue_bytes_max
        self.total_bytes = 0  # memory that waits for all of them
        self._total_bytes_max: Final = limits.clients_queue_bytes_max
        self._reactor: Final = reactor
        self._clients: Final[dict[SlowClient, None]] = {}
        self._losing: list[Losing] = []  # since they were last told
        self._timer: Any = None
        self._cuts: Final[deque[Callable[[], None]]] = deque()
        self._quiet_ticks = 0  # until the next line may be written
        self._unlogged = 0  # events dropped and told since the last line

    def __len__(self) -> int:
        return len(self._clients)

    def status(self) -> dict[str, Any]:
        """How many there are, the memory that waits for all of them, and for those with most."""
        largest = heapq.nlargest(_SHOWN, (client.held_bytes for client in self._clients))
        return {"clients": len(self._clients), "bytes": self.total_bytes, "largest_bytes": largest}

    def enter(self, client: SlowClient) -> None:
        """The client's transport is full."""
        self._clients[client] = None

    def leave(self, client: SlowClient) -> None:
        """It is empty, or the connection is gone; harmless if the client was not here."""
        self._clients.pop(client, None)

    def changed(self, bytes_more: int) -> None:
        """So much more, or less, waits for a client. Those with most are relieved when it is too much for the node."""
        self.total_bytes += bytes_more
        if self.total_bytes > self._total_bytes_max and bytes_more > 0:
            self._relieve()

    def losing(self, backlog: Losing) -> None:
        """The client has lost an event, for the first time since it was told; within a second it is told how many."""
        self._losing.append(backlog)
        self._start()

    def later(self, cut: Callable[[], None]) -> None:
        """Call `cut` in one of the next turns."""
        if not self._cuts:
            self._reactor.callLater(0, self._end)
        self._cuts.append(cut)

    # ---- too much for the node

    def _relieve(self) -> None:
        self.counters.add("clients_queue_full")
        before, clients = self.total_bytes, len(self._clients)
        enough = self._total_bytes_max - self._total_bytes_max // 8  # so that this is not done for every frame
        while self._clients and self.total_bytes > enough:
            for client in sorted(self._clients, key=lambda each: each.held_bytes, reverse=True):
                if self.total_bytes <= enough:
                    break
                client.relieve()
        if not self._quiet_ticks:
            self._quiet_ticks = _LOG_TICKS
            self._log.warn(
                "{before} bytes waited for {clients} clients that do not read: of those with most, {cut} are cut and "
                "the others lose events; {after} bytes are left",
                before=before,
                clients=clients,
                cut=clients - len(self._clients),
                after=self.total_bytes,
            )
        self._start()

    def _end(self) -> None:
        for _ in range(min(_CUTS_MAX, len(self._cuts))):
            self._cuts.popleft()()
        if self._cuts:
            self._reactor.callLater(0, self._end)

    # ---- telling: once a second, as long as there is something to tell or a line to be held back

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(_TELL_S, self._tick)

    def _tick(self) -> None:
        self._quiet_ticks = max(0, self._quiet_ticks - 1)
        telling = self._untold()
        self._unlogged += sum(telling.values())
        if self._unlogged and not self._quiet_ticks:
            self._log.warn("dropped {count} events of clients that do not read", count=self._unlogged)
            self._unlogged = 0
            self._quiet_ticks = _LOG_TICKS
        self._timer = self._reactor.callLater(_TELL_S, self._tick) if telling or self._quiet_ticks else None
        self._tell(iter(telling.items()))

    def _untold(self) -> dict[SlowClient, int]:
        """Each client that has lost events since the last tick, and how many."""
        losing, self._losing = self._losing, []
        untold: dict[SlowClient, int] = {}
        for backlog in losing:
            untold[backlog.client] = untold.get(backlog.client, 0) + backlog.untold
            backlog.untold = 0
        return untold

    def _tell(self, telling: Iterator[tuple[SlowClient, int]]) -> None:
        told = 0
        for client, count in islice(telling, _TOLD_MAX):
            client.tell_dropped(count)
            told += 1
        if told == _TOLD_MAX:
            self._reactor.callLater(0, self._tell, telling)
