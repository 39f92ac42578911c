"""Realms of a template: they come to be by who joins, are the same on all nodes, and go when they are empty."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, Cluster, Node, Peer
from wampha.auth.steps import Ask, Asked
from wampha.limits import Limits
from wampha.messages.model import Abort, Event, Goodbye, Invocation, Registered, Result, Subscribed, Welcome
from wampha.messages.payload import Payload
from wampha.routing.permissions import Permission, Permissions, RealmRules, RealmTemplate
from wampha.routing.resumption import ResumptionRules

MEANT = Permission("wampha.", "prefix", frozenset(("call",)))
STATIC = RealmRules("realm1", {"user": Permissions((ALL,))})
LINGER_S = 60.0


def template(pattern: str = "tenants.", match: str = "prefix", **more: Any) -> RealmTemplate:
    roles = more.pop("roles", {"user": Permissions((ALL, MEANT))})
    return RealmTemplate(match, pattern, RealmRules("", roles, linger_s=LINGER_S, **more))


def templated(node: Node, *templates: RealmTemplate) -> Node:
    node.router.reconfigure([STATIC], templates or (template(),))
    return node


def there(node: Node) -> set[str]:
    """The realms for which the node has an object."""
    return set(node.router._realms) - {"realm1", "realm2"}


def refused(node: Node, realm: str, **options: Any) -> str:
    (abort,) = node.join(realm=realm, **options).opening
    assert isinstance(abort, Abort)
    return str(abort.reason)


def pass_s(node: Node, seconds: float) -> None:
    for _ in range(round(seconds)):
        node.tick(1.0)


# ---- how they come to be


def test_a_realm_comes_to_be_when_somebody_joins_it_and_works_like_any_other() -> None:
    node = templated(Node())
    assert there(node) == set()
    one, two = node.join(realm="tenants.a"), node.join(realm="tenants.a")
    assert isinstance(one.opening[0], Welcome)
    assert one.opening[0].details["realm"] == "tenants.a"
    subscription = one.subscribed("com.x")
    two.publish("com.x")
    assert one.one().subscription == subscription
    two.registered("com.y")
    one.call("com.y")
    assert isinstance(two.one(), Invocation)
    two.ask("wamp.session.count")
    assert two.one().payload.args() == [2]
    assert node.counters["dynamic_realms_opened"] == 1


def test_realms_of_one_template_do_not_see_each_other() -> None:
    node = templated(Node())
    one, two = node.join(realm="tenants.a"), node.join(realm="tenants.b")
    one.subscribed("com.x")
    two.publish("com.x")
    assert one.take() == []


@pytest.mark.parametrize(
    "name", ["tenants", "tenants.", "tenants..a", "tenants.a b", "other.a", "", "tenants." + "x" * 5000]
)
def test_names_that_do_not_match_or_are_none_are_no_realm(name: str) -> None:
    node = templated(Node())
    assert refused(node, name) == "wamp.error.no_such_realm"
    assert there(node) == set()


def test_names_of_the_router_are_no_realm_even_if_everything_is() -> None:
    node = templated(Node(), template(""))
    assert refused(node, "wamp.x") == refused(node, "wampha.x") == "wamp.error.no_such_realm"
    assert isinstance(node.join(realm="anything").opening[0], Welcome)


def test_who_is_not_let_in_makes_no_realm() -> None:
    node = templated(Node())
    assert refused(node, "tenants.a", role=None) == "wamp.error.no_matching_auth_method"
    assert refused(node, "tenants.a", role="guest") == "wamp.error.no_such_role"
    assert there(node) == set()


def test_the_configuration_goes_before_templates_and_the_more_specific_before_others() -> None:
    only = {"only": Permissions((ALL,))}
    node = Node()
    node.router.reconfigure(
        [STATIC, RealmRules("tenants.a", only)],
        [template(), template("tenants.b.", roles=only), template("tenants..c", "wildcard", roles=only)],
    )
    assert refused(node, "tenants.a") == refused(node, "tenants.b.x") == "wamp.error.no_such_role"
    assert isinstance(node.join(realm="tenants.z").opening[0], Welcome)
    assert isinstance(node.join(realm="tenants.b.x", role="only").opening[0], Welcome)


def test_their_number_is_bounded_and_who_comes_too_late_is_refused() -> None:
    node = templated(Node(limits=Limits(dynamic_realms_max=2)))
    peers = [node.join(realm=f"tenants.{name}") for name in "ab"]
    assert refused(node, "tenants.c") == "wamp.error.unavailable"
    assert node.counters["dynamic_realms_refused"] == 1
    assert isinstance(node.join(realm="tenants.a").opening[0], Welcome)
    peers[1].client_leaves()
    pass_s(node, LINGER_S + 3)
    assert isinstance(node.join(realm="tenants.c").opening[0], Welcome)


# ---- on all nodes


def cluster(**options: Any) -> Cluster:
    made = Cluster("a", "b", "c", attends=True, **options)
    for node in made.nodes.values():
        templated(node, template(resumption=ResumptionRules(30.0, 100_000, 10)))
    return made


def test_it_is_the_same_realm_on_all_nodes() -> None:
    nodes = cluster()
    one, two = nodes["a"].join(realm="tenants.x"), nodes["b"].join(realm="tenants.x")
    one.subscribe("com.x")
    two.register("com.y")
    nodes.commit()
    assert isinstance(one.one(), Subscribed) and isinstance(two.one(), Registered)
    two.publish("com.x")
    one.call("com.y")
    nodes.settle()
    assert isinstance(one.one(), Event)
    assert isinstance(two.one(), Invocation)
    nodes.attend()
    two.ask("wamp.session.count")
    assert two.one().payload.args() == [2]
    assert there(nodes["c"]) == set(), "who needs none has none"


def test_the_bound_counts_those_of_all_nodes() -> None:
    nodes = cluster(limits=Limits(dynamic_realms_max=1))
    nodes["a"].join(realm="tenants.x")
    nodes.attend()
    assert refused(nodes["b"], "tenants.y") == "wamp.error.unavailable"
    assert isinstance(nodes["b"].join(realm="tenants.x").opening[0], Welcome)


def test_a_session_comes_back_at_a_node_that_did_not_know_its_realm() -> None:
    nodes = cluster()
    one = nodes["a"].join(realm="tenants.x", resumable=True)
    nodes.attend()
    token = one.opening[0].details["resume_token"]
    one.client_leaves()
    back = Peer(nodes["b"], realm="tenants.x", resume_session=one.session, resume_token=token)
    for _ in range(20):
        nodes.attend(0.2)
    (welcome,) = [each for each in back.take() if isinstance(each, Welcome)]
    assert welcome.session == one.session
    assert there(nodes["b"]) == {"tenants.x"}


def test_an_authenticator_in_a_realm_is_found_by_a_node_that_did_not_know_the_realm() -> None:
    nodes = cluster()
    callee = nodes["a"].join(realm="tenants.x")
    callee.register("com.authenticate")
    nodes.commit()
    callee.take()
    told: list[Asked] = []
    nodes["b"].router.entrance.ask(Ask("tenants.x", "com.authenticate", ()), told.append)
    nodes["b"].router.entrance.ask(Ask("tenants.nobody", "com.authenticate", ()), told.append)
    assert told == [Asked(error="wamp.error.no_such_realm")]
    nodes.settle()
    callee.result(callee.one().request, Payload.of(["user"]))
    nodes.settle()
    assert told[1:] == [Asked(value="user")]


# ---- how they go


def test_an_empty_realm_is_forgotten_after_a_while_and_not_before() -> None:
    node = templated(Node())
    one = node.join(realm="tenants.a")
    one.subscribed("com.x")
    pass_s(node, 3 * LINGER_S)
    assert there(node) == {"tenants.a"}
    one.client_leaves()
    pass_s(node, LINGER_S - 2)
    assert there(node) == {"tenants.a"}
    again = node.join(realm="tenants.a")
    pass_s(node, 2 * LINGER_S)
    assert there(node) == {"tenants.a"}
    again.client_leaves()
    pass_s(node, LINGER_S + 3)
    assert there(node) == set()
    assert node.counters["dynamic_realms_closed"] == 1
    assert isinstance(node.join(realm="tenants.a").opening[0], Welcome)
    assert list(node.ledger.tables.routes) == []


def test_messages_of_a_realm_that_is_gone_stay_counted() -> None:
    node = templated(Node())
    one = node.join(realm="tenants.a")
    one.publish("com.x")
    one.client_leaves()
    before = node.router.figures()["received"]["PUBLISH"]
    pass_s(node, LINGER_S + 3)
    assert there(node) == set()
    assert node.router.figures()["received"]["PUBLISH"] == before == 1


def test_what_is_kept_in_a_realm_keeps_it() -> None:
    node = templated(Node(limits=Limits(dynamic_realms_max=1)))
    one = node.join(realm="tenants.a")
    one.publish("com.x", Payload.of(["kept"]), retain=True)
    one.client_leaves()
    pass_s(node, LINGER_S + 3)
    assert node.router.realms()["dynamic"] == 1
    assert refused(node, "tenants.b") == "wamp.error.unavailable"
    back = node.join(realm="tenants.a")
    back.subscribe("com.x", get_retained=True)
    assert [type(each) for each in back.take()] == [Subscribed, Event]
    back.ask("wampha.retained.clear", "com.x")
    assert isinstance(back.one(), Result)
    back.client_leaves()
    pass_s(node, LINGER_S + 3)
    assert node.router.realms()["dynamic"] == 0


def test_a_realm_in_which_the_router_waits_for_an_answer_stays() -> None:
    nodes = cluster()
    callee = nodes["a"].join(realm="tenants.x")
    callee.register("com.authenticate")
    nodes.commit()
    nodes["b"].router._all_realms._look_at = 0.0
    told: list[Asked] = []
    nodes["b"].router.entrance.ask(Ask("tenants.x", "com.authenticate", ()), told.append)
    realms = nodes["b"].router._all_realms
    realms._empty.update(dict.fromkeys(realms._empty, 0.0))
    realms.ticked()
    assert there(nodes["b"]) == {"tenants.x"}
    nodes["b"].clock.advance(10.0)  # no answer has come in time
    assert told[0].error is not None
    realms.ticked()
    assert there(nodes["b"]) == set()


def test_a_realm_stays_until_its_routes_are_on_their_way_out() -> None:
    """Else a new realm of the name would want a route, and what is left of the old one would take it away."""
    nodes = cluster()
    watcher, one = nodes["b"].join(realm="tenants.x"), nodes["a"].join(realm="tenants.x")
    for peer, topic in ((watcher, "wamp.subscription.on_unsubscribe"), (one, "com.x")):
        peer.subscribe(topic)
        nodes.commit()
        assert isinstance(peer.one(), Subscribed)
    nodes.attend()
    one.client_leaves()
    pass_s(nodes["a"], LINGER_S + 3)  # and the cluster decides nothing
    assert there(nodes["a"]) == {"tenants.x"}
    nodes.attend()
    pass_s(nodes["a"], 2)
    assert there(nodes["a"]) == set()
    nodes.settle()
    assert nodes["b"].ledger.tables.route("tenants.x", "exact", "com.x") is None


# ---- another configuration


def test_without_its_template_a_realm_is_closed() -> None:
    node = templated(Node())
    one = node.join(realm="tenants.a")
    node.router.reconfigure([STATIC])
    (goodbye,) = one.take()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.reason == "wamp.close.close_realm"
    node.tick(1.1)
    assert there(node) == set()


def test_a_changed_template_changes_its_realms_and_a_realm_of_the_configuration_takes_over() -> None:
    node = templated(Node())
    one = node.join(realm="tenants.a")
    less = Permissions((Permission("com.plain.", "prefix", frozenset(("publish", "subscribe"))),))
    node.router.reconfigure([STATIC], [template(roles={"user": less})])
    one.subscribe("com.x")
    assert one.one().error == "wamp.error.not_authorized"
    node.router.reconfigure([STATIC, RealmRules("tenants.a", {"user": Permissions((ALL,))})], [template()])
    assert one.subscribed("com.x")
    one.client_leaves()
    pass_s(node, LINGER_S + 3)
    assert there(node) == {"tenants.a"}
