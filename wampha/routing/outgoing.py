"""A session's publications while some of them are being kept: they leave in the order in which they came (P3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from wampha.limits import KIB
from wampha.messages.model import Options, Publish
from wampha.routing.audience import Audience
from wampha.routing.session import Session

_WAITING_BYTES_MAX: Final = 64 * KIB  # of payloads; then the session waits before it publishes more


class Publication(msgspec.Struct):
    """One accepted PUBLISH."""

    publisher: Session
    publish: Publish
    id: int
    details: Options
    audience: Audience | None
    retained: bool  # whether it is to be its topic's retained event
    ready: bool = True  # it need not wait to be kept
    refused: bool = False  # it could not be kept
    index: int = 0  # of the entry that keeps it; 0: none does


class Outgoing:
    """The queue of one publisher, which ends when it is empty."""

    __slots__ = ("_bytes", "_crowded", "_publisher", "_queue", "_refuse", "_relieved", "_send")

    def __init__(
        self,
        publisher: Session,
        *,
        relieved: Callable[[], None],
        send: Callable[[Publication], None],
        refuse: Callable[[Publication], None],
    ) -> None:
        """`send` gives an event to its subscribers, `refuse` tells the publisher that there is no room to keep it.

        `relieved`: the session that was `crowded` may publish again.
        """
        self._publisher: Final = publisher
        self._relieved: Final = relieved
        self._send: Final = send
        self._refuse: Final = refuse
        self._queue: Final[deque[Publication]] = deque()
        self._bytes = 0
        self._crowded = False
        publisher.outgoing = self

    def join(self, publication: Publication) -> None:
        """Queue it; one that is not `ready` holds up all behind it until `kept`."""
        self._queue.append(publication)
        self._bytes += len(publication.publish.payload.data)

    def kept(self, publication: Publication, index: int | None) -> None:
        """The entry of this index keeps it; None: it cannot be kept. Send what is ready."""
        publication.ready = True
        if index is None:
            publication.refused = True
        else:
            publication.index = index
        queue = self._queue
        while queue and queue[0].ready:
            first = queue.popleft()
            self._bytes -= len(first.publish.payload.data)
            if first.refused:
                self._refuse(first)
            else:
                self._send(first)
        if not queue:
            self._publisher.outgoing = None
        if self._crowded and self._bytes <= _WAITING_BYTES_MAX // 2:
            self._crowded = False
            self._relieved()

    def crowded(self) -> bool:
        """Whether so much waits that the session should not publish more; if so, `relieved` follows."""
        self._crowded = self._crowded or self._bytes > _WAITING_BYTES_MAX
        return self._crowded
