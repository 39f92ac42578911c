"""Publications that cannot leave at once: they are to be kept first, or stand behind such in their session's queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.errors import NodeBehind, Unavailable
from wampha.limits import Limits
from wampha.messages.model import Options, Publish
from wampha.names.ids import Ids
from wampha.routing import replies
from wampha.routing.audience import Audience
from wampha.routing.keeper import Keeper
from wampha.routing.outgoing import Outgoing, Publication
from wampha.routing.ports import Ledger, Outbox
from wampha.routing.retention import Retention
from wampha.routing.session import Session


class Departures:
    """How publications of one realm come to leave that may have to wait."""

    def __init__(
        self,
        *,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        outbox: Outbox,
        ledger: Ledger,
        keeper: Keeper,
        retention: Retention,
        send: Callable[[Publication], None],
    ) -> None:
        """`send` gives an event to its subscribers."""
        self._limits: Final = limits
        self._counters: Final = counters
        self._ids: Final = ids
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._keeper: Final = keeper
        self._retention: Final = retention
        self._send: Final = send

    def queue(
        self, publisher: Session, publish: Publish, details: Options, audience: Audience | None, *, retain: bool
    ) -> None:
        """Have it kept before anybody gets it, if it is to be kept; behind such a one it waits for its turn.

        Raises PayloadSizeExceeded, or NodeBehind if the session should wait before it publishes this.
        """
        outgoing = publisher.outgoing
        if outgoing is not None and outgoing.crowded():
            raise NodeBehind(self._ledger.owner)
        publication = Publication(publisher, publish, self._ids.publication(), details, audience, retain)
        rings = self._retention.rings(publish.topic, publish.options)
        entrusted = None
        if rings or retain:
            self._keeper.check_room()
            entrusted = self._retention.entrusted(publication, rings)
            publication.ready = False
        self._counters.add("publications")
        if outgoing is None:
            if entrusted is None:
                self._send(publication)
                return
            outgoing = Outgoing(publisher, relieved=self._relieved, send=self._send, refuse=self._refuse)
        outgoing.join(publication)
        if entrusted is not None:
            self._keeper.keep(entrusted, partial(outgoing.kept, publication))

    def _relieved(self) -> None:
        self._outbox.relieved(self._ledger.owner)

    def _refuse(self, publication: Publication) -> None:
        """There is no room to keep it: nobody gets it."""
        self._counters.add("events_not_kept")
        publish = publication.publish
        if publish.options.get("acknowledge") is not True:
            self._counters.add("publishes_refused_silently")
            return
        error = Unavailable(
            f"This realm has no room for another retained event: {self._limits.retained_topics_max} topics with "
            f"{self._limits.retained_bytes_max} bytes together may have one."
        )
        self._counters.add("requests_refused")
        publication.publisher.client.send(replies.refusal(replies.PUBLISH, publish.request, error))
