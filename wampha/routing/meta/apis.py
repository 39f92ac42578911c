"""All that the router itself answers and publishes: which part of the meta API stands where."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wampha.counters import Counters
from wampha.limits import Limits
from wampha.names.ids import Ids
from wampha.routing.attendance import Attendance
from wampha.routing.concord import Concord
from wampha.routing.gather import Gather
from wampha.routing.meta import registrations, subscriptions
from wampha.routing.meta.cluster import Announce, ClusterApi
from wampha.routing.meta.history import GET_EVENTS, HistoryApi
from wampha.routing.meta.marks import Marks
from wampha.routing.meta.registrations import RegistrationApi
from wampha.routing.meta.retained import RetainedApi
from wampha.routing.meta.sessions import SessionApi
from wampha.routing.meta.subscriptions import SubscriptionApi
from wampha.routing.meta.testaments import TestamentApi
from wampha.routing.ports import Clock, Ledger
from wampha.routing.realm import Realm
from wampha.routing.turnover import ON_SUBSCRIBE, ON_UNSUBSCRIBE
from wampha.state.changes import (
    NodeGone,
    NodeUp,
    RegistrationAdded,
    RegistrationRemoved,
    RouteAdded,
    RouteRemoved,
    SessionJoined,
    SessionLeft,
    SubscriberChanged,
    TestamentsDue,
)
from wampha.state.commands import Owner

# Of what there may be very much at once: the topics by which it is told. What nobody hears is not even queued.
_TOPICS: Final[Mapping[type, tuple[str, ...]]] = {
    RouteAdded: (subscriptions.ON_CREATE,),
    RouteRemoved: (ON_UNSUBSCRIBE, subscriptions.ON_DELETE),
    SubscriberChanged: (ON_SUBSCRIBE, ON_UNSUBSCRIBE),
    RegistrationAdded: (registrations.ON_CREATE, registrations.ON_REGISTER),
    RegistrationRemoved: (registrations.ON_UNREGISTER, registrations.ON_DELETE),
}
ON_GAP: Final = "wampha.meta.on_gap"
_TOLD_MAX: Final = 200  # changes that are told of in one turn: with a subscriber each, some 5 ms


class MetaApis:
    """The meta API of every realm of one node."""

    def __init__(
        self,
        *,
        realms: Mapping[str, Realm],
        ledger: Ledger,
        gather: Gather,
        attendance: Attendance,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        clock: Clock,
        announce: Announce,
        status: Callable[[], Mapping[str, Any]],
        concord: Concord,
    ) -> None:
        """`announce` is `Router.announce`, `status` what the node tells its operator."""
        self._realms: Final = realms
        self._ledger: Final = ledger
        self._limits: Final = limits
        self._counters: Final = counters
        self._clock: Final = clock
        self._announce: Final = announce
        self._cluster: Final = ClusterApi(
            ledger=ledger, gather=gather, announce=announce, status=status, concord=concord
        )
        self._subscriptions: Final = SubscriptionApi(realms=realms, ledger=ledger, gather=gather, limits=limits)
        self._registrations: Final = RegistrationApi(realms=realms, ledger=ledger, gather=gather, limits=limits)
        self._sessions: Final = SessionApi(realms=realms, attendance=attendance, limits=limits, counters=counters)
        self._testaments: Final = TestamentApi(
            realms=realms, attendance=attendance, ledger=ledger, limits=limits, counters=counters, ids=ids
        )
        self._marks: Final = Marks(ledger=ledger, counters=counters, clock=clock, go_on=self._tell_unless_later)
        self._untold: Final[deque[Any]] = deque()  # changes, in the order of the log
        self._going_on = False  # in a later turn
        self._stopped = False
        self._events: Final[Mapping[type, Callable[[Any], None]]] = {
            NodeUp: self._cluster.node_up,
            NodeGone: self._gone,
            SessionJoined: self._sessions.joined,
            SessionLeft: self._left,
            TestamentsDue: self._testaments.due,
            RouteAdded: self._subscriptions.route_added,
            RouteRemoved: self._subscriptions.route_removed,
            SubscriberChanged: self._subscriptions.subscriber_changed,
            RegistrationAdded: self._registrations.registered,
            RegistrationRemoved: self._registrations.unregistered,
        }

    def offer(self, realm: Realm) -> None:
        """Answer in one more realm."""
        self._cluster.offer(realm.procedures)
        history = HistoryApi(realm=realm, ledger=self._ledger, limits=self._limits, counters=self._counters)
        realm.procedures.add(GET_EVENTS, history.get_events)
        RetainedApi(realm=realm, ledger=self._ledger, limits=self._limits).offer()
        for api in (self._subscriptions, self._registrations, self._sessions, self._testaments):
            api.offer(realm)

    def applied(self, changes: Sequence[Any]) -> None:
        """Tell this node's clients of what the log has changed, in its order; the other nodes tell theirs.

        What is too much for one turn, as when a node with many sessions dies, follows in the next ones.
        """
        if self._stopped:
            return
        heard: dict[tuple[type, str], bool] = {}  # in this batch
        self._untold.extend(change for change in changes if type(change) in self._events and self._heard(change, heard))
        self._tell_unless_later()

    def marked(self, source: Owner, number: int) -> None:
        """The events of that node have come that belong before its report of this number."""
        self._marks.came(source, number)

    def installed(self) -> None:
        """A snapshot replaced the tables: what came and went meanwhile is told nobody, but that it is so (P5)."""
        for name, realm in self._realms.items():
            if any(realm.broker.hears(topic) for topics in _TOPICS.values() for topic in topics):
                self._announce(ON_GAP, [], realm=name)

    def reset(self) -> None:
        """Nobody is left to be told."""
        self._untold.clear()
        self._marks.reset()

    def stop(self) -> None:
        """The node stops: what the log still changes is told nobody."""
        self._stopped = True
        self.reset()

    def _heard(self, change: Any, heard: dict[tuple[type, str], bool]) -> bool:
        topics = _TOPICS.get(type(change))
        if topics is None:
            return True
        about = (type(change), change.realm)
        if about not in heard:
            realm = self._realms.get(change.realm)
            heard[about] = realm is not None and any(map(realm.broker.hears, topics))
        return heard[about]

    def _tell_unless_later(self) -> None:
        if not self._going_on:
            self._tell_some()

    def _tell_some(self) -> None:
        self._going_on = False
        for _ in range(min(_TOLD_MAX, len(self._untold))):
            if self._marks.holds(self._untold[0]):
                return
            change = self._untold.popleft()
            self._events[type(change)](change)
        self._going_on = bool(self._untold)
        if self._going_on:
            self._clock.call_later(0, self._tell_some)

    def _gone(self, change: NodeGone) -> None:
        self._marks.gone(change.owner)
        self._cluster.node_gone(change)

    def _left(self, change: SessionLeft) -> None:
        """A session's last words come first: what follows its on_leave is not of it any more."""
        self._testaments.due(change)
        self._sessions.left(change)
