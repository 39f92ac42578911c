"""A change of the configuration: who goes, who loses something, and who notices nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.core import ALL, Cluster, Node, Peer
from wampha.errors import Undecided
from wampha.messages.model import (
    Abort,
    Error,
    Event,
    Goodbye,
    Invocation,
    Registered,
    Result,
    Revoked,
    Subscribed,
    SubscriptionRevoked,
    Welcome,
)
from wampha.messages.payload import Payload
from wampha.routing import expulsion, revision
from wampha.routing.permissions import ACTIONS, Authorizer, Permission, Permissions, RealmRules
from wampha.routing.resumption import ResumptionRules

REVOCABLE = {"subscriber": ("subscription_revocation",), "callee": ("registration_revocation",)}
NOT_AUTHORIZED = "wamp.error.not_authorized"
AUTHORIZE = "com.authorize"


def allowed(uri: str, *actions: str, match: str = "prefix") -> Permission:
    return Permission(uri, match, frozenset(actions or ACTIONS))


def realm1(user: Iterable[Permission] | None = (ALL,), **more: Any) -> RealmRules:
    """Role `user` with these permissions, or none at all; role `other` may do everything."""
    roles: dict[str, Any] = {"other": Permissions((ALL,)), **more.pop("roles", {})}
    if user is not None:
        roles["user"] = Permissions(user)
    return RealmRules("realm1", roles, **more)


def node(**options: Any) -> Node:
    """A node with realm1 only, where there are two roles."""
    made = Node(**options)
    made.router.reconfigure([realm1()])
    return made


def denied(peer: Peer) -> None:
    """The session may not subscribe to this."""
    peer.subscribe("com.secret.x")
    assert peer.one().error == NOT_AUTHORIZED


# ---- a role that may do less


def test_a_subscription_that_the_role_may_not_have_any_more_is_revoked_and_nobody_else_notices() -> None:
    one = node()
    user, other = one.join(features=REVOCABLE), one.join(role="other", features=REVOCABLE)
    secret, plain = user.subscribed("com.secret.x"), user.subscribed("com.plain.x")
    assert other.subscribed("com.secret.x") == secret
    one.router.reconfigure([realm1([allowed("com.plain.")])])
    revoked = user.one()
    assert isinstance(revoked, SubscriptionRevoked)
    assert (revoked.details["subscription"], revoked.details["reason"]) == (secret, NOT_AUTHORIZED)
    assert one.counters["subscriptions_revoked"] == 1
    assert other.take() == []
    other.publish("com.secret.x", exclude_me=False)
    other.publish("com.plain.x")
    assert [message.subscription for message in user.take()] == [plain]
    assert [message.subscription for message in other.take()] == [secret]
    denied(user)


def test_a_registration_likewise_and_a_call_of_it_finds_nobody() -> None:
    one = node()
    user, other = one.join(features=REVOCABLE), one.join(role="other")
    registration = user.registered("com.secret.x")
    kept = user.registered("com.plain.x")
    one.router.reconfigure([realm1([allowed("com.plain.")])])
    revoked = user.one()
    assert isinstance(revoked, Revoked)
    assert (revoked.details["registration"], revoked.details["reason"]) == (registration, NOT_AUTHORIZED)
    assert one.counters["registrations_revoked"] == 1
    other.call("com.secret.x")
    assert other.one().error == "wamp.error.no_such_procedure"
    other.call("com.plain.x")
    assert user.one().registration == kept


def test_a_pattern_is_revoked_as_soon_as_it_is_not_covered_as_a_whole() -> None:
    one = node()
    user = one.join(features=REVOCABLE)
    everything, below = user.subscribed("com.", match="prefix"), user.subscribed("com.plain.", match="prefix")
    one.router.reconfigure([realm1([allowed("com."), allowed("com.secret", "call", match="exact")])])
    assert user.one().details["subscription"] == everything
    one.join(role="other").publish("com.plain.y")
    assert user.one().subscription == below


def test_what_waits_for_the_cluster_is_refused() -> None:
    one = node()
    user = one.join()
    one.ledger.hold = True
    subscribe, register = user.subscribe("com.secret.x"), user.register("com.secret.y")
    fine = user.subscribe("com.plain.x")
    one.router.reconfigure([realm1([allowed("com.plain.")])])
    assert [(each.request, each.error) for each in user.take()] == [
        (subscribe, NOT_AUTHORIZED),
        (register, NOT_AUTHORIZED),
    ]
    one.ledger.commit()
    while one.ledger.queue:
        one.ledger.commit()
    (subscribed,) = user.take()
    assert isinstance(subscribed, Subscribed)
    assert subscribed.request == fine
    assert not list(one.ledger.tables.registrations)


def test_who_may_more_can_do_it_at_once_and_keeps_the_session() -> None:
    one = node()
    one.router.reconfigure([realm1([allowed("com.plain.")])])
    user = one.join()
    denied(user)
    one.router.reconfigure([realm1()])
    assert user.subscribed("com.secret.x")


def test_verdicts_that_were_remembered_are_not_any_more() -> None:
    one = node()
    user = one.join()
    user.publish("com.secret.x", acknowledge=True)
    assert not isinstance(user.one(), Error)
    one.router.reconfigure([realm1([allowed("com.plain.")])])
    user.publish("com.secret.x", acknowledge=True)
    assert user.one().error == NOT_AUTHORIZED


def test_a_role_that_stays_as_it_was_keeps_what_it_remembers() -> None:
    one = node()
    user = one.join()
    before = one.router._sessions[user.session].permissions
    one.router.reconfigure([realm1(lenient=True)])
    assert one.router._sessions[user.session].permissions is before


def test_a_detached_session_is_told_when_it_comes_back() -> None:
    one = node()
    one.router.reconfigure([realm1(resumption=ResumptionRules(30.0, 100_000, 10))])
    user = one.join(features=REVOCABLE, resumable=True)
    token = user.opening[0].details["resume_token"]
    subscription = user.subscribed("com.secret.x")
    user.client_leaves()
    one.router.reconfigure([realm1([allowed("com.plain.")], resumption=ResumptionRules(30.0, 100_000, 10))])
    back = one.join(resume_session=user.session, resume_token=token, features=REVOCABLE)
    assert isinstance(back.opening[0], Welcome)
    assert back.opening[1].details["subscription"] == subscription


def test_very_many_are_looked_at_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "_LOOKED_AT_MAX", 10)
    one = node()
    users = [one.join(features=REVOCABLE) for _ in range(5)]
    for user in users:
        for number in range(5):
            user.subscribed(f"com.secret.{number}")
    one.router.reconfigure([realm1([])])
    assert sum(len(user.take()) for user in users) == 10
    one.clock.advance(0)
    assert sum(len(user.take()) for user in users) == 15


def test_what_is_remembered_while_one_looks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "_KNOWN_MAX", 3)
    one = node()
    user = one.join(features=REVOCABLE)
    for number in range(9):
        user.subscribed(f"com.secret.{number}")
    one.router.reconfigure([realm1([])])
    assert len(user.take()) == 9


# ---- a role or realm that is there no longer


def test_a_session_whose_role_is_gone_is_sent_away_with_a_sentence() -> None:
    one = node()
    user, other = one.join(), one.join(role="other")
    one.router.reconfigure([realm1(None)])
    (goodbye,) = user.take()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.reason == "wamp.error.no_such_role"
    assert "'user'" in goodbye.details["message"] and "configuration" in goodbye.details["message"]
    assert user.client.finished
    assert other.take() == [] and not other.client.finished
    assert one.join().opening[0].reason == "wamp.error.no_such_role"


def test_a_realm_that_is_gone_closes_with_all_that_is_in_it() -> None:
    one = node()
    one.router.reconfigure([realm1(), RealmRules("realm2", {"user": Permissions((ALL,))})])
    stays, goes = one.join(), one.join(realm="realm2")
    stays.subscribed("com.x")
    goes.subscribed("com.x")
    goes.registered("com.y")
    one.router.reconfigure([realm1()])
    (goodbye,) = goes.take()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.reason == "wamp.close.close_realm"
    assert goes.client.finished
    one.tick()
    assert list(one.ledger.tables.routes) == ["realm1"]
    assert list(one.ledger.tables.registrations) == []
    assert "realm2" not in one.router._realms
    refused = one.join(realm="realm2").opening[0]
    assert isinstance(refused, Abort)
    assert refused.reason == "wamp.error.no_such_realm"
    assert stays.take() == []


def test_a_detached_session_of_a_realm_that_is_gone_ends() -> None:
    one = node()
    one.router.reconfigure([realm1(resumption=ResumptionRules(30.0, 100_000, 10)), RealmRules("realm2", {})])
    user = one.join(resumable=True)
    user.registered("com.y")
    user.client_leaves()
    one.router.reconfigure([RealmRules("realm2", {})])
    assert one.router.sessions() == 0
    assert list(one.ledger.tables.registrations) == []


def test_a_realm_that_comes_back_is_open_again() -> None:
    one = node()
    one.join()
    one.router.reconfigure([RealmRules("realm2", {})])
    one.router.reconfigure([realm1(), RealmRules("realm2", {})])
    assert one.join().subscribed("com.x")


def test_a_new_realm_has_all_that_others_have() -> None:
    one = node()
    one.router.reconfigure([realm1(), RealmRules("fresh", {"user": Permissions((ALL,))})])
    user, other = one.join(realm="fresh"), one.join(realm="fresh")
    subscription = user.subscribed("com.x")
    other.publish("com.x")
    event = user.one()
    assert isinstance(event, Event)
    assert event.subscription == subscription
    other.ask("wamp.session.count")
    assert isinstance(other.one(), Result)
    other.registered("com.y")
    user.call("com.y")
    assert isinstance(other.one(), Invocation)


def test_another_node_that_still_has_the_realm_goes_on() -> None:
    cluster = Cluster("one", "two")
    here, there = cluster["one"].join(realm="realm2"), cluster["two"].join(realm="realm2")
    for peer, name in ((here, "com.a"), (there, "com.b")):
        peer.register(name)
        cluster.commit()
        assert isinstance(peer.one(), Registered)
    cluster["one"].router.reconfigure([realm1()])
    cluster.settle()
    assert isinstance(here.one(), Goodbye)
    caller = cluster["two"].join(realm="realm2")
    caller.call("com.a")
    assert caller.one().error == "wamp.error.no_such_procedure"
    caller.call("com.b")
    assert isinstance(there.one(), Invocation)


# ---- authorizers


class Asking:
    """A node whose role `user` asks an authorizer, which the test plays."""

    def __init__(self) -> None:
        self.node = node()
        self.authorizer = self.node.join(role="other")
        self.authorizer.registered(AUTHORIZE)
        self.rules = realm1(None, roles={"user": Authorizer(AUTHORIZE)})
        self.node.router.reconfigure([self.rules])
        self.user = self.node.join(features=REVOCABLE)

    def asked(self) -> list[str]:
        """The URIs about which it is asked now; it stays silent."""
        return [each.payload.args()[1] for each in self.authorizer.client.sent]

    def answer(self, allow: bool, *, cache: bool = True) -> None:
        invocation = self.authorizer.one()
        self.authorizer.result(invocation.request, Payload.of([{"allow": allow, "cache": cache}]))


def test_a_decision_does_not_outlive_a_change_of_the_configuration() -> None:
    asking = Asking()
    for _ in range(2):
        with pytest.raises(Undecided):
            asking.user.publish("com.x", acknowledge=True)
        asking.answer(True)
        asking.user.publish("com.x", acknowledge=True)
        asking.user.take()
        asking.node.router.reconfigure([asking.rules, RealmRules("realm9", {})])
    with pytest.raises(Undecided):
        asking.user.publish("com.x")
    assert asking.asked() == ["com.x"]


def test_a_decision_that_was_awaited_meanwhile_is_asked_for_again() -> None:
    asking = Asking()
    with pytest.raises(Undecided):
        asking.user.publish("com.x")
    asking.node.router.reconfigure([asking.rules])
    asking.answer(True)
    assert len(asking.node.outbox.reliefs) == 1
    with pytest.raises(Undecided):
        asking.user.publish("com.x")
    assert asking.asked() == ["com.x"]


def test_an_authorizer_in_place_of_permissions_is_asked_about_all_that_the_session_has() -> None:
    one = node()
    authorizer = one.join(role="other")
    authorizer.registered(AUTHORIZE)
    user = one.join(features=REVOCABLE)
    kept, lost = user.subscribed("com.a"), user.subscribed("com.b")
    one.router.reconfigure([realm1(None, roles={"user": Authorizer(AUTHORIZE)})])
    for invocation in authorizer.take():
        authorizer.result(invocation.request, Payload.of([invocation.payload.args()[1] == "com.a"]))
    one.clock.advance(0)
    (revoked,) = user.take()
    assert revoked.details["subscription"] == lost
    one.join(role="other").publish("com.a")
    assert user.one().subscription == kept


def test_an_authorizer_is_not_asked_about_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "_ASKED_MAX", 2)
    one = node()
    authorizer = one.join(role="other")
    authorizer.registered(AUTHORIZE)
    user = one.join(features=REVOCABLE)
    for number in range(5):
        user.subscribed(f"com.{number}")
    one.router.reconfigure([realm1(None, roles={"user": Authorizer(AUTHORIZE)})])
    rounds = []
    while invocations := authorizer.take():
        rounds.append(len(invocations))
        for invocation in invocations:
            authorizer.result(invocation.request, Payload.of([False]))
        one.clock.advance(0)
    assert max(rounds) == 2
    assert len(user.take()) == 5


# ---- other rules of a realm


def test_the_other_rules_of_a_realm_hold_from_the_next_message_on() -> None:
    one = node()
    user = one.join()
    user.publish("com.Upper", acknowledge=True)
    assert not isinstance(user.one(), Error)
    one.router.reconfigure([realm1(strict_uris=True)])
    user.publish("com.Upper", acknowledge=True)
    assert user.one().error == "wamp.error.invalid_uri"


def test_who_waits_for_its_end_may_do_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expulsion, "_EXPELLED_MAX", 1)
    one = node()
    first, second = one.join(), one.join()
    one.router.reconfigure([realm1(None)])
    assert isinstance(first.one(), Goodbye)
    second.publish("com.x", acknowledge=True)
    assert second.one().error == NOT_AUTHORIZED
    one.clock.advance(0)
    assert isinstance(second.one(), Goodbye)


# ---- sessions of nodes with another configuration


def moved(there: RealmRules) -> tuple[list[Any], Cluster]:
    """What a session is sent that had two subscriptions and comes back at a node where these rules hold."""
    resumption = ResumptionRules(30.0, 100_000, 10)
    cluster = Cluster("a", "b", attends=True)
    cluster["a"].router.reconfigure([realm1(resumption=resumption)])
    cluster["b"].router.reconfigure([there])
    user = cluster["a"].join(features=REVOCABLE, resumable=True)
    for topic in ("com.plain.x", "com.secret.x"):
        user.subscribe(topic)
        cluster.commit()
        assert isinstance(user.one(), Subscribed)
    cluster.attend()
    token = user.opening[0].details["resume_token"]
    user.client_leaves()
    back = Peer(cluster["b"], features=REVOCABLE, resume_session=user.session, resume_token=token)
    for _ in range(20):
        cluster.attend(0.2)
    return back.take(), cluster


def test_a_session_that_comes_from_another_node_has_what_its_role_may_have_here() -> None:
    resumption = ResumptionRules(30.0, 100_000, 10)
    (welcome, revoked), cluster = moved(realm1([allowed("com.plain.")], resumption=resumption))
    assert isinstance(welcome, Welcome) and isinstance(revoked, SubscriptionRevoked)
    cluster["b"].join(role="other").publish("com.secret.x")
    cluster.settle()
    assert cluster["b"].router.sessions() == 2


def test_and_is_not_taken_if_its_role_is_not_there() -> None:
    sent, cluster = moved(realm1(None, resumption=ResumptionRules(30.0, 100_000, 10)))
    assert not any(isinstance(each, Welcome) for each in sent)
    assert cluster["b"].router.sessions() == 0
