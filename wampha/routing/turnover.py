"""Who gains and loses subscriptions, told to the cluster through the log; only while somebody somewhere listens.

So `wamp.subscription.on_subscribe` and `on_unsubscribe` come once and in the order of the log on every node, behind
`on_create` and before `on_delete`: a route is removed once all that was told of it has been applied. Without a listener
nothing is told, and the log grows with topics times nodes, not with sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wampha.names.uri import is_reserved
from wampha.routing.attendance import Attendance
from wampha.routing.ports import Ledger
from wampha.state.facts import Subscribing

ON_SUBSCRIBE: Final = "wamp.subscription.on_subscribe"
ON_UNSUBSCRIBE: Final = "wamp.subscription.on_unsubscribe"


class Turnover:
    """The turnover of subscribers of this node in one realm."""

    def __init__(self, *, realm: str, ledger: Ledger, attendance: Attendance) -> None:
        self._realm: Final = realm
        self._ledger: Final = ledger
        self._attendance: Final = attendance

    def gained(self, session: int, subscription: int, topic: str) -> None:
        """The session has the subscription, and its route stands."""
        self._tell(session, subscription, topic, begins=True)

    def lost(self, session: int, subscription: int, topic: str) -> None:
        """The session has it no longer; its route still stands."""
        self._tell(session, subscription, topic, begins=False)

    def then(self, do: Callable[[], None]) -> None:
        """Call `do` once all that was told has been applied: at once if nobody listens."""
        if self._heard():
            self._attendance.after(do)
        else:
            do()

    def _tell(self, session: int, subscription: int, topic: str, *, begins: bool) -> None:
        if self._heard() and not is_reserved(topic):
            self._attendance.subscribing(Subscribing(self._realm, session, subscription, begins))

    def _heard(self) -> bool:
        """Whether any node has a subscriber for it."""
        routes = self._ledger.tables.routes.get(self._realm)
        return routes is not None and bool(routes.match(ON_SUBSCRIBE) or routes.match(ON_UNSUBSCRIBE))
