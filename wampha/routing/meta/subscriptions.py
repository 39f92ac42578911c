"""`wamp.subscription.*`: which subscriptions there are, and who has them (advanced profile, "Subscription Meta API").

What the replicated routes know is answered by any node at once; who subscribes, only each session's home node knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from wampha.errors import NoSuchSession, NoSuchSubscription, Unavailable
from wampha.limits import Limits
from wampha.names.uri import is_reserved
from wampha.routing.gather import Gather, Gathered, Question
from wampha.routing.meta.dates import iso
from wampha.routing.meta.listing import ids_by_match, match_of
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.meta.publishing import publish_here
from wampha.routing.ports import Ledger
from wampha.routing.realm import Realm
from wampha.routing.session import Session
from wampha.routing.turnover import ON_SUBSCRIBE, ON_UNSUBSCRIBE
from wampha.state.changes import RouteAdded, RouteRemoved, SubscriberChanged
from wampha.state.tables import Route

ON_CREATE: Final = "wamp.subscription.on_create"
ON_DELETE: Final = "wamp.subscription.on_delete"


class Subscribers(Question, frozen=True):
    """Which sessions of this node have the subscription?"""

    realm: str
    subscription: int


class CountSubscribers(Question, frozen=True):
    """How many?"""

    realm: str
    subscription: int


class RemoveSubscriber(Question, frozen=True):
    """Take the subscription from this session, if it is one of yours; has it been?"""

    realm: str
    subscription: int
    session: int
    reason: str


class SubscriptionApi:
    """The procedures, in every realm."""

    def __init__(self, *, realms: Mapping[str, Realm], ledger: Ledger, gather: Gather, limits: Limits) -> None:
        self._realms: Final = realms
        self._ledger: Final = ledger
        self._gather: Final = gather
        self._limits: Final = limits
        gather.answer(Subscribers, self._own_subscribers, answers=list[int])
        gather.answer(CountSubscribers, self._own_count, answers=int)
        gather.answer(RemoveSubscriber, self._remove_own, answers=bool)

    def offer(self, realm: Realm) -> None:
        """Answer in one more realm."""
        add = realm.procedures.add
        for name, handler in (
            ("list", self.list_all),
            ("lookup", self.lookup),
            ("match", self.match),
            ("get", self.get),
            ("list_subscribers", self.list_subscribers),
            ("count_subscribers", self.count_subscribers),
        ):
            add(f"wamp.subscription.{name}", handler)
        add("wamp.subscription.remove_subscriber", self.remove_subscriber, changes=True)

    # ---- what the tables know

    def list_all(self, call: MetaCall) -> None:
        """The ids of all subscriptions by match policy."""
        routes = self._ledger.tables.routes.get(call.caller.realm)
        call.answer(ids_by_match(routes, self._limits.meta_list_max))

    def lookup(self, call: MetaCall) -> None:
        """The id of the subscription for exactly this topic, or pattern, and match policy; or null."""
        topic = call.text(0, "topic")
        route = self._ledger.tables.route(call.caller.realm, match_of(call), topic)
        call.answer(None if route is None else route.id)

    def match(self, call: MetaCall) -> None:
        """The ids of all subscriptions that an event on this topic would go to; null if there are none."""
        topic = call.text(0, "topic")
        routes = self._ledger.tables.routes.get(call.caller.realm)
        matching = () if routes is None else routes.matching(topic)
        call.answer([route.id for route in matching] or None)

    def get(self, call: MetaCall) -> None:
        """What there is to know of a subscription."""
        route = self._asked_for(call)
        call.answer(_details(route.id, route.created, route.topic, route.match))

    # ---- what home nodes know

    def list_subscribers(self, call: MetaCall) -> None:
        """The sessions that have the subscription."""
        route = self._asked_for(call)

        def gathered(all_of: Gathered) -> None:
            sessions = [session for each in all_of.answers.values() for session in each]
            call.answer_gathered(all_of, sessions)

        self._gather.ask(Subscribers(call.caller.realm, route.id), gathered, nodes=route.owners)

    def count_subscribers(self, call: MetaCall) -> None:
        """How many sessions have the subscription."""
        route = self._asked_for(call)
        self._gather.ask(
            CountSubscribers(call.caller.realm, route.id),
            lambda all_of: call.answer_gathered(all_of, sum(all_of.answers.values())),
            nodes=route.owners,
        )

    def remove_subscriber(self, call: MetaCall) -> None:
        """Take a subscription from a session, which is told if it announced `subscription_revocation`."""
        route = self._asked_for(call)
        session = call.id(1, "session")
        reason = call.optional(2, "reason", str, "a string") or ""

        def gathered(all_of: Gathered) -> None:
            if any(all_of.answers.values()):
                call.answer()
            elif all_of.partial:
                call.refuse(Unavailable(f"Not every node has answered: {', '.join(all_of.missing)}."))
            else:
                call.refuse(NoSuchSession(f"Session {session} does not have subscription {route.id}."))

        self._gather.ask(RemoveSubscriber(call.caller.realm, route.id, session, reason), gathered, nodes=route.owners)

    def _asked_for(self, call: MetaCall) -> Route:
        subscription = call.id(0, "subscription")
        route = self._ledger.tables.subscription(call.caller.realm, subscription)
        if route is None:
            raise NoSuchSubscription(f"There is no subscription {subscription}.")
        return route

    # ---- this node's part

    def _own_subscribers(self, question: Subscribers) -> list[int]:
        return [session.id for session in self._subscribers(question.realm, question.subscription)]

    def _own_count(self, question: CountSubscribers) -> int:
        return len(self._subscribers(question.realm, question.subscription))

    def _remove_own(self, question: RemoveSubscriber) -> bool:
        realm = self._realms.get(question.realm)
        return realm is not None and realm.broker.revoke(question.subscription, question.session, question.reason)

    def _subscribers(self, name: str, subscription: int) -> Collection[Session]:
        realm = self._realms.get(name)
        return () if realm is None else realm.broker.subscribers(subscription)

    # ---- events: every node tells its own clients when it applies the entry

    def route_added(self, change: RouteAdded) -> None:
        """A subscription came to be, or one more node has subscribers: of that nobody is told."""
        if change.created is not None:
            details = _details(change.subscription, change.created, change.topic, change.match)
            self._tell(change, ON_CREATE, change.subscription, change.session, details)

    def route_removed(self, change: RouteRemoved) -> None:
        """A node has no subscribers any more; if it died, nobody knows which they were, and 0 stands for them."""
        if not change.session:
            self._tell(change, ON_UNSUBSCRIBE, change.added, 0, change.subscription)
        if change.last:
            self._tell(change, ON_DELETE, change.subscription, change.session, change.subscription)

    def subscriber_changed(self, change: SubscriberChanged) -> None:
        """A session has gained or lost the subscription, and its home node has told so."""
        topic = ON_SUBSCRIBE if change.begins else ON_UNSUBSCRIBE
        realm = self._realms.get(change.realm)
        publish_here(realm, topic, change.number, (change.session, change.subscription))

    def _tell(self, change: RouteAdded | RouteRemoved, topic: str, number: int, *args: Any) -> None:
        if not is_reserved(change.topic):
            publish_here(self._realms.get(change.realm), topic, number, args)


def _details(subscription: int, created: int, topic: str, match: str) -> dict[str, Any]:
    """SubscriptionDetails."""
    return {"id": subscription, "created": iso(created), "uri": topic, "match": match}
