"""The broker of one realm: SUBSCRIBE, UNSUBSCRIBE, PUBLISH, and publications that other nodes forward.

Which nodes have subscribers for a topic stands in the replicated routes; here are only the subscribers of this node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Final

from wampha.counters import Counters
from wampha.distributions import SMALL
from wampha.errors import InvalidArgument, NoSuchSubscription, ProtocolViolation, Unavailable, WampError
from wampha.limits import Limits
from wampha.messages.model import (
    NO_OPTIONS,
    Event,
    Options,
    Publish,
    Published,
    Subscribe,
    Subscribed,
    SubscriptionRevoked,
    Unsubscribe,
    Unsubscribed,
)
from wampha.messages.payload import Payload
from wampha.messages.relayed import THE_ROUTER, Forward
from wampha.names.ids import Ids
from wampha.names.uri import EXACT, MATCHES, UriRules, check_not_reserved
from wampha.routing import replies
from wampha.routing.audience import Audience, check_lists
from wampha.routing.departures import Departures
from wampha.routing.details import event_details
from wampha.routing.docket import Adoption, Docket, Undecided
from wampha.routing.estate import Followed
from wampha.routing.holding import Holding
from wampha.routing.keeper import Keeper
from wampha.routing.outgoing import Publication
from wampha.routing.permissions import PLAIN
from wampha.routing.ports import Clock, Ledger, Outbox
from wampha.routing.replies import revocation
from wampha.routing.retention import Retention
from wampha.routing.rowkinds import ROUTES, SUBSCRIBERS, RowKey
from wampha.routing.rows import Rows
from wampha.routing.session import Session
from wampha.routing.slow import ABOUT_SLOW
from wampha.routing.turnover import Turnover
from wampha.state.commands import Outcome, Owner

_DROPPED_MAX: Final = 500  # subscriptions of a session that ended, per reactor turn: each may be a route to remove


class Wish(Undecided):
    """A SUBSCRIBE that waits for its route."""

    __slots__ = ("retained",)

    moves = False

    def __init__(self, session: Session, request: int, subscription: Subscription, *, retained: bool) -> None:
        """`retained`: whether the subscriber wants retained events."""
        super().__init__(session, replies.SUBSCRIBE, request, subscription.withdraw)
        self.retained: Final = retained


class Subscription:
    """The subscribers that this node has for one (match, topic)."""

    __slots__ = ("_broker", "id", "key", "leaving", "members", "points", "receivers", "waiting")

    def __init__(self, broker: Broker, key: RowKey) -> None:
        self._broker: Final = broker
        self.key: Final = key
        self.id = 0  # unknown until the route first stood
        self.members: Final[dict[Session, None]] = {}  # sessions whose SUBSCRIBED was queued, oldest first
        self.receivers: tuple[Session, ...] | None = None  # the same, made when needed: members may change meanwhile
        self.leaving = 0  # former members whose leaving has not been told
        self.waiting: list[Wish | Adoption] = []
        # Who got retained events -> index of the log up to which they stand for every event that was retained.
        self.points: Final[dict[Session, int]] = {}

    def waits(self) -> bool:
        return bool(self.waiting)

    def stands(self, row_id: int) -> None:
        self._broker.acknowledge(self, row_id)

    def refused(self, outcome: Outcome) -> None:
        raise AssertionError("a route has many owners")

    def revoked(self, reason: str) -> None:
        raise AssertionError("nobody takes a route from its owner")

    def withdraw(self, undecided: Undecided) -> None:
        """One that waited waits no longer."""
        self.waiting = [wish for wish in self.waiting if wish is not undecided]
        if undecided.session not in self.members:
            self.points.pop(undecided.session, None)
        self._broker.drop_if_unused(self, undecided.session.id)


class Broker:
    """WAMP's publish and subscribe for the sessions of one realm on this node."""

    def __init__(
        self,
        *,
        realm: str,
        uris: UriRules,
        limits: Limits,
        counters: Counters,
        ids: Ids,
        outbox: Outbox,
        ledger: Ledger,
        rows: Rows,
        docket: Docket,
        keeper: Keeper,
        retention: Retention,
        clock: Clock,
        turnover: Turnover,
    ) -> None:
        self._realm: Final = realm
        self._uris: Final = uris
        self._limits: Final = limits
        self._counters: Final = counters
        self._counts: Final = counters.values
        self._fanout: Final = counters.fanout
        self._fanouts: Final = counters.fanout.small
        self._ids: Final = ids
        self._outbox: Final = outbox
        self._ledger: Final = ledger
        self._rows: Final = rows
        self._docket: Final = docket
        self._departures: Final = Departures(
            limits=limits,
            counters=counters,
            ids=ids,
            outbox=outbox,
            ledger=ledger,
            keeper=keeper,
            retention=retention,
            send=self._send_late,
        )
        self._retention: Final = retention
        self.keeps_some = retention.has_histories
        self._clock: Final = clock
        self._turnover: Final = turnover
        self._subscriptions: Final[dict[tuple[str, str], Subscription]] = {}  # (match, topic) -> local subscribers
        self._by_id: Final[dict[int, Subscription]] = {}  # subscription id -> those that stood
        self._withdrawing = 0  # routes that nobody needs any more, and whose removal waits for what is told before

    # ---- PUBLISH

    def publish(self, publisher: Session, publish: Publish) -> None:
        """Send the event to each matching subscriber, here and on other nodes."""
        topic, options = publish.topic, publish.options
        self._uris.check(topic)
        check_not_reserved(topic)
        verdict = publisher.permissions.require("publish", topic)
        details, audience, retain = NO_OPTIONS, None, False
        if options or verdict is not PLAIN:
            _check_passthru(publisher, options)
            check_lists(options, self._limits.publish_receivers_max)
            details = event_details(options, verdict, publisher.originator)
            audience = Audience.of(options)
            retain = options.get("retain") is True
        if retain or self.keeps_some or publisher.outgoing is not None:
            self._departures.queue(publisher, publish, details, audience, retain=retain)
            return
        publication = self._ids.publication()
        self._counts["publications"] += 1
        excluded = None if options.get("exclude_me") is False else publisher
        owners = self._deliver(topic, publication, details, publish.payload, excluded, audience=audience)
        if owners:
            forward = Forward(self._realm, topic, publication, publisher.originator, options, publish.payload, details)
            for owner in owners:
                self._outbox.forward(owner, forward)
        if options.get("acknowledge") is True:
            publisher.client.send(Published(publish.request, publication))

    def _send_late(self, late: Publication) -> None:
        """Send an event that had to wait, as `publish` sends one that had not."""
        publisher, publish, details = late.publisher, late.publish, late.details
        topic, options, payload = publish.topic, publish.options, publish.payload
        excluded = None if options.get("exclude_me") is False else publisher
        retained = late.index if late.retained else 0
        owners = self._deliver(topic, late.id, details, payload, excluded, audience=late.audience, retained=retained)
        if owners:
            originator = publisher.originator
            forward = Forward(self._realm, topic, late.id, originator, options, payload, details, retained)
            for owner in owners:
                self._outbox.forward(owner, forward)
        if options.get("acknowledge") is True:
            publisher.client.send(Published(publish.request, late.id))

    def destinations(self, _: Session, publish: Publish) -> Iterator[Owner]:
        """The nodes that have subscribers for this publication, some perhaps several times."""
        self._uris.check(publish.topic)
        routes = self._ledger.tables.routes.get(self._realm)
        for route in routes.match(publish.topic) if routes is not None else ():
            yield from route.owners

    def announce(self, topic: str, payload: Payload, everywhere: bool) -> None:
        """Send an event of the router's own to the subscribers of this node, and of all nodes if `everywhere`."""
        publication = self._ids.publication()
        owners = self._deliver(topic, publication, NO_OPTIONS, payload, spare_slow=topic in ABOUT_SLOW)
        if everywhere and owners:
            forward = Forward(self._realm, topic, publication, THE_ROUTER, NO_OPTIONS, payload)
            for owner in owners:
                self._outbox.forward(owner, forward)

    def hears(self, topic: str) -> bool:
        """Whether a subscriber of this node would get an event on this topic."""
        routes = self._ledger.tables.routes.get(self._realm)
        if routes is None:
            return False
        standing = (self._by_id.get(route.id) for route in routes.match(topic))
        return any(subscription is not None and subscription.members for subscription in standing)

    def publish_here(
        self,
        topic: str,
        publication: int,
        payload: Payload,
        details: Options = NO_OPTIONS,
        options: Options = NO_OPTIONS,
    ) -> None:
        """Deliver an event that every node publishes to its own subscribers; only the lists in `options` count."""
        self._deliver(topic, publication, details, payload, audience=Audience.of(options) if options else None)

    def deliver_forwarded(self, forward: Forward) -> None:
        """Deliver what another node forwarded to the subscribers of this one; it is never forwarded again."""
        topic, publication, payload = forward.topic, forward.publication, forward.payload
        audience = Audience.of(forward.options) if forward.options else None
        self._deliver(
            topic,
            publication,
            forward.details,
            payload,
            audience=audience,
            spare_slow=topic in ABOUT_SLOW,
            retained=forward.retained,
        )

    def _deliver(  # noqa: PLR0912 - each event comes through here: helpers would be calls
        self,
        topic: str,
        publication: int,
        details: Options,
        payload: Payload,
        excluded: Session | None = None,
        *,
        audience: Audience | None = None,
        spare_slow: bool = False,
        retained: int = 0,
    ) -> Iterable[Owner]:
        """Deliver to this node's subscribers; returns the other nodes that have some, each once.

        `retained`: index of the entry that retains the event; who got what is retained behind it gets it no more.
        """
        routes = self._ledger.tables.routes.get(self._realm)
        if routes is None:
            self._fanouts[0] += 1
            return ()
        own = self._ledger.owner
        others: dict[Owner, None] = {}
        reached = 0
        for route in routes.match(topic):
            subscription = self._by_id.get(route.id)
            if subscription is not None:
                receivers = subscription.receivers
                if receivers is None:
                    receivers = subscription.receivers = tuple(subscription.members)
                if excluded in subscription.members:
                    receivers = tuple(session for session in receivers if session is not excluded)
                if audience is not None:
                    receivers = audience.select(receivers)
                if retained and subscription.points:
                    points = subscription.points
                    receivers = tuple(session for session in receivers if points.get(session, 0) < retained)
                if spare_slow:
                    receivers = tuple(session for session in receivers if not session.client.slow)
                # Advanced profile, "Pattern-based Subscription": the subscriber of a pattern is told the topic.
                shown = details if route.match == EXACT else {**details, "topic": topic}
                if receivers:
                    reached += len(receivers)
                    self._outbox.deliver(receivers, Event(route.id, publication, shown, payload))
            for owner in route.owners:
                if owner != own:
                    others[owner] = None
        if reached < SMALL:
            self._fanouts[reached] += 1
        else:
            self._fanout.add(reached)
        return others

    # ---- SUBSCRIBE and UNSUBSCRIBE

    def subscribe(self, session: Session, subscribe: Subscribe) -> None:
        """SUBSCRIBED at once if the route stands (rule 23), else as soon as it does (rule 22)."""
        topic = subscribe.topic
        match = _match_of(subscribe.options)
        retained = subscribe.options.get("get_retained") is True
        self._uris.check_pattern(match, topic)
        session.permissions.require_pattern("subscribe", match, topic)
        self._check_bound(session)
        self._check_room(match, topic)
        subscription = self._subscription(match, topic)
        if subscription.id and subscription.id == self._rows.standing(subscription.key):
            session.client.send(Subscribed(subscribe.request, subscription.id))
            self._enrol(session, subscription, retained=retained)
            return
        wish = Wish(session, subscribe.request, subscription, retained=retained)
        subscription.waiting.append(wish)
        self._rows.want(subscription.key, SUBSCRIBERS, subscription, session=session.id)
        self._docket.enter(wish)

    def adopt(self, session: Session, followed: Followed, adoption: Adoption) -> None:
        """The session comes from another node with this subscription; it stands here before it goes there."""
        subscription = self._subscription(followed.match, followed.topic)
        if followed.point:
            subscription.points[session] = followed.point
        if subscription.id and subscription.id == self._rows.standing(subscription.key):
            adoption.answer(None)
            self._enrol(session, subscription, retained=False, moves=True)
            return
        adoption.begin(subscription.withdraw)
        subscription.waiting.append(adoption)
        self._rows.want(subscription.key, SUBSCRIBERS, subscription, session=session.id)

    def _subscription(self, match: str, topic: str) -> Subscription:
        subscription = self._subscriptions.get((match, topic))
        if subscription is None:
            key = RowKey(ROUTES, self._realm, match, topic)
            subscription = self._subscriptions[match, topic] = Subscription(self, key)
        return subscription

    def acknowledge(self, subscription: Subscription, row_id: int) -> None:
        """Answer all who wait: the route stands under this id (rule 22)."""
        if subscription.id != row_id:
            assert not subscription.members, "a route with subscribers keeps its id"
            self._by_id.pop(subscription.id, None)
            subscription.id = row_id
            self._by_id[row_id] = subscription
        waiting, subscription.waiting = subscription.waiting, []
        for wish in waiting:
            wish.answer(Subscribed(wish.request, row_id))
            self._enrol(wish.session, subscription, retained=wish.retained, moves=wish.moves)

    def unsubscribe(self, session: Session, unsubscribe: Unsubscribe) -> None:
        """UNSUBSCRIBED at once: from here on nothing is delivered (rule 22 asks no more)."""
        subscription = session.subscriptions.pop(unsubscribe.subscription, None)
        if subscription is None:
            raise NoSuchSubscription(f"Subscription {unsubscribe.subscription} is not one of this session.")
        self._remove(session, subscription)
        session.client.send(Unsubscribed(unsubscribe.request))

    def subscribers(self, subscription: int) -> Collection[Session]:
        """The sessions of this node that have the subscription, oldest first."""
        standing = self._by_id.get(subscription)
        return () if standing is None else standing.members

    def revoke(self, subscription: int, session_id: int, reason: str) -> bool:
        """Take a subscription from a session of this node; whether it had it."""
        standing = self._by_id.get(subscription)
        session = next((each for each in standing.members if each.id == session_id), None) if standing else None
        if standing is None or session is None:
            return False
        self._take(session, standing, reason)
        return True

    @property
    def idle(self) -> bool:
        """Whether nobody has subscriptions here, and no route of former ones is to be removed."""
        return not self._subscriptions and not self._withdrawing

    def holdings(self, of: Session | None = None) -> Iterator[Holding]:
        """What one session, or (None) each of this node, has subscribed to; of all, also what they have asked for.

        It may change while one looks through it.
        """
        if of is not None:
            for subscription in list(of.subscriptions.values()):
                yield self._holding(of, subscription)
            return
        for subscription in list(self._subscriptions.values()):
            key = subscription.key
            for session in list(subscription.members):
                yield self._holding(session, subscription)
            for wish in list(subscription.waiting):
                if not wish.moves:
                    yield Holding(wish.session, "subscribe", key.match, key.uri, wish.deny)

    def _holding(self, session: Session, subscription: Subscription) -> Holding:
        key = subscription.key
        return Holding(session, "subscribe", key.match, key.uri, partial(self._deprive, session, subscription))

    def _deprive(self, session: Session, subscription: Subscription, error: WampError) -> None:
        if session in subscription.members:
            self._take(session, subscription, error.uri)

    def _take(self, session: Session, subscription: Subscription, reason: str) -> None:
        del session.subscriptions[subscription.id]
        self._remove(session, subscription)
        self._counters.add("subscriptions_revoked")
        if session.features.subscriber_revocable:
            session.client.send(SubscriptionRevoked(0, revocation("subscription", subscription.id, reason)))

    def leave(self, session: Session, *, moves: bool = False) -> None:
        """The session has ended: forget its subscriptions. Routes that nobody needs any more follow in portions.

        `moves`: it has them at another node, so nobody is told.
        """
        if not session.subscriptions:
            return
        left = deque(session.subscriptions.values())
        session.subscriptions.clear()
        for subscription in left:
            subscription.members.pop(session, None)
            subscription.points.pop(session, None)
            subscription.receivers = None
            subscription.leaving += 1
        self._drop_some(left, session.id, moves)

    def reset(self) -> None:
        """The incarnation is dead: nothing is told any more of the subscriptions that died with it (rule 4)."""
        self._subscriptions.clear()
        self._by_id.clear()
        self._withdrawing = 0

    def _drop_some(self, left: deque[Subscription], session_id: int, moves: bool) -> None:
        for _ in range(min(_DROPPED_MAX, len(left))):
            subscription = left.popleft()
            subscription.leaving -= 1
            self._left(subscription, session_id, moves)
        if left:
            self._clock.call_later(0, self._drop_some, left, session_id, moves)

    def _check_bound(self, session: Session) -> None:
        if len(session.subscriptions) + len(session.undecided) >= session.bounds.subscriptions:
            self._counters.add("session_bounds_reached")
            raise Unavailable(f"This session may have {session.bounds.subscriptions} subscriptions.")

    def _check_room(self, match: str, topic: str) -> None:
        """Refuse a topic that is new to the realm, if it has as many as it may; those under way here count."""
        if (match, topic) in self._subscriptions:
            return
        topics_max = self._limits.realm_topics_max
        routes = self._ledger.tables.routes.get(self._realm, ())
        under_way = len(self._subscriptions) - len(self._by_id)
        if len(routes) + under_way >= topics_max and self._ledger.tables.route(self._realm, match, topic) is None:
            self._counters.add("realm_bounds_reached")
            raise Unavailable(f"The realm may have {topics_max} topics and patterns that have subscribers.")

    def _enrol(self, session: Session, subscription: Subscription, *, retained: bool, moves: bool = False) -> None:
        known = session in subscription.members
        if not known and not moves:
            self._turnover.gained(session.id, subscription.id, subscription.key.uri)
        session.subscriptions[subscription.id] = subscription
        subscription.members[session] = None
        subscription.receivers = None
        if retained:
            if not known:  # else the live events of the time before are its own
                subscription.points[session] = self._ledger.applied
            for event in self._retention.retained(session, subscription):
                self._counters.add("events_delivered")
                self._outbox.deliver((session,), event)

    def _remove(self, session: Session, subscription: Subscription) -> None:
        subscription.members.pop(session, None)
        subscription.points.pop(session, None)
        subscription.receivers = None
        self._left(subscription, session.id)

    def _left(self, subscription: Subscription, session_id: int, moves: bool = False) -> None:
        if self._known(subscription):
            if not moves:
                self._turnover.lost(session_id, subscription.id, subscription.key.uri)
            self.drop_if_unused(subscription, session_id)

    def drop_if_unused(self, subscription: Subscription, session_id: int) -> None:
        """Forget a subscription that nobody has and nobody waits for; nothing happens if it is forgotten already.

        That session was the last.
        """
        if subscription.members or subscription.leaving or subscription.waiting or not self._known(subscription):
            return
        self._by_id.pop(subscription.id, None)
        del self._subscriptions[subscription.key.match, subscription.key.uri]
        self._withdrawing += 1
        self._turnover.then(partial(self._withdraw, subscription.key, session_id))

    def _known(self, subscription: Subscription) -> bool:
        return self._subscriptions.get((subscription.key.match, subscription.key.uri)) is subscription

    def _withdraw(self, key: RowKey, session_id: int) -> None:
        self._withdrawing -= 1
        if (key.match, key.uri) not in self._subscriptions:  # else somebody has subscribed meanwhile
            self._rows.withdraw(key, session=session_id)


def _check_passthru(publisher: Session, options: Options) -> None:
    # Advanced profile, "Payload Passthru Mode": its use without its announcement is a protocol error.
    if options.get("ppt_scheme") and not publisher.features.publisher_passthru:
        raise ProtocolViolation("PUBLISH with ppt_scheme by a publisher that did not announce payload_passthru_mode.")


def _match_of(options: Options) -> str:
    match = options.get("match", EXACT)
    if match not in MATCHES:
        raise InvalidArgument(f"Option 'match' is {match!r}; it may be 'exact', 'prefix' or 'wildcard'.")
    return str(match)
