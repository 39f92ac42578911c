"""Static permissions of roles, in Crossbar's words."""

from __future__ import annotations

import pytest

from wampha.config.schema import Realm
from wampha.errors import NotAuthorized
from wampha.routing.permissions import ACTIONS, PLAIN, Permission, Permissions, RealmRules, Verdict
from wampha.routing.slow import SlowPolicy


def permissions(*stated: tuple[str, str, str]) -> Permissions:
    """From (match, uri, actions separated by spaces)."""
    return Permissions(Permission(uri, match, frozenset(allow.split())) for match, uri, allow in stated)


def may(permissions: Permissions, action: str, uri: str) -> bool:
    try:
        permissions.require(action, uri)
    except NotAuthorized:
        return False
    return True


def may_pattern(permissions: Permissions, match: str, pattern: str) -> bool:
    try:
        permissions.require_pattern("subscribe", match, pattern)
    except NotAuthorized:
        return False
    return True


def test_what_is_not_stated_is_denied() -> None:
    assert not any(may(permissions(), action, "com.topic") for action in ACTIONS)


def test_each_action_is_allowed_by_itself() -> None:
    rules = permissions(("exact", "com.topic", "publish"))
    assert [action for action in ACTIONS if may(rules, action, "com.topic")] == ["publish"]


def test_the_most_specific_permission_decides() -> None:
    rules = permissions(
        ("prefix", "", "call"),
        ("prefix", "com.", "call publish"),
        ("prefix", "com.secret.", ""),
        ("exact", "com.secret.door", "call"),
        ("wildcard", "com.secret.", "call publish"),
    )
    assert may(rules, "call", "org.x")
    assert not may(rules, "publish", "org.x")
    assert may(rules, "publish", "com.x")
    assert not may(rules, "call", "com.secret.x"), "prefix before wildcard"
    assert may(rules, "call", "com.secret.door")
    assert not may(rules, "publish", "com.secret.door")


def test_the_later_statement_of_one_pattern_holds() -> None:
    assert not may(permissions(("exact", "a", "call"), ("exact", "a", "")), "call", "a")


@pytest.mark.parametrize(
    ("granted", "asked"),
    [
        (("prefix", ""), ("prefix", "")),
        (("prefix", "com."), ("prefix", "com.app")),
        (("prefix", "com."), ("wildcard", "com.app..x")),
        (("prefix", "com."), ("wildcard", "com.")),
        (("wildcard", "com..x"), ("wildcard", "com..x")),
        (("wildcard", "com.."), ("wildcard", "com..x")),
        (("wildcard", "com..x"), ("wildcard", "com.app.x")),
        (("exact", "com.app.x"), ("wildcard", "com.app.x")),
        (("exact", "com.app.x"), ("exact", "com.app.x")),
    ],
)
def test_a_permission_that_covers_the_pattern_allows_it(granted: tuple[str, str], asked: tuple[str, str]) -> None:
    assert may_pattern(permissions((*granted, "subscribe")), *asked)


@pytest.mark.parametrize(
    ("granted", "asked"),
    [
        (("prefix", "com.app."), ("prefix", "com.")),
        (("prefix", "com.app."), ("prefix", "com.app")),
        (("prefix", "com.app."), ("wildcard", "com..x")),
        (("prefix", "com.app."), ("wildcard", ".app.x")),
        (("wildcard", "com."), ("prefix", "com.")),
        (("wildcard", "com."), ("prefix", "com.x")),
        (("wildcard", "com..x"), ("wildcard", "com..")),
        (("wildcard", "com.."), ("wildcard", "com.")),
        (("exact", "com.app"), ("prefix", "com.app")),
        (("exact", "com.app"), ("wildcard", "com.")),
    ],
)
def test_a_permission_that_covers_a_part_of_the_pattern_does_not(
    granted: tuple[str, str], asked: tuple[str, str]
) -> None:
    assert not may_pattern(permissions((*granted, "subscribe")), *asked)


@pytest.mark.parametrize(
    ("denied", "asked"),
    [
        (("exact", "com.secret"), ("prefix", "com.")),
        (("exact", "com.secret"), ("wildcard", "com.")),
        (("prefix", "com.secret."), ("prefix", "com.")),
        (("prefix", "com.secret."), ("prefix", "com.sec")),
        (("prefix", "com.secret."), ("wildcard", "com..x")),
        (("prefix", "com.sec"), ("wildcard", "com.")),
        (("wildcard", "com..x"), ("prefix", "com.a")),
        (("wildcard", "com..x"), ("wildcard", "com.a.")),
        (("prefix", "com.secret."), ("prefix", "com.secret.x")),
    ],
)
def test_a_denial_inside_the_pattern_denies_the_pattern(denied: tuple[str, str], asked: tuple[str, str]) -> None:
    assert not may_pattern(permissions(("prefix", "", "subscribe"), (*denied, "")), *asked)


@pytest.mark.parametrize(
    ("denied", "asked"),
    [
        (("exact", "org.secret"), ("prefix", "com.")),
        (("exact", "com.a.b"), ("wildcard", "com.")),
        (("prefix", "com.secret."), ("prefix", "com.public.")),
        (("prefix", "com.secret."), ("wildcard", "com.")),
        (("prefix", "com.secret."), ("wildcard", "com.public..")),
        (("wildcard", "com..x"), ("wildcard", "com..y")),
        (("wildcard", "com."), ("wildcard", "com..x")),
    ],
)
def test_a_denial_outside_the_pattern_does_not_matter(denied: tuple[str, str], asked: tuple[str, str]) -> None:
    assert may_pattern(permissions(("prefix", "", "subscribe"), (*denied, "")), *asked)


def test_a_wider_denial_gives_way_to_the_more_specific_permission() -> None:
    rules = permissions(("prefix", "", ""), ("prefix", "com.", "subscribe"))
    assert may_pattern(rules, "prefix", "com.app")
    assert not may_pattern(rules, "prefix", "")


def test_memory_of_verdicts_is_bounded() -> None:
    rules = permissions(("prefix", "", "call"))
    for number in range(25_000):
        rules.require("call", f"p{number}")
    assert len(rules._verdicts["call"]) <= 10_000


def test_a_realm_of_the_configuration_becomes_rules() -> None:
    permission = {"uri": "com.*", "allow": {"call": True, "subscribe": True}}
    realm = {"name": "r", "roles": [{"name": "user", "permissions": [permission]}]}
    rules = RealmRules.of(Realm.model_validate(realm))
    assert (rules.name, list(rules.roles), rules.strict_uris, rules.timeout_unit_s) == ("r", ["user"], False, 0.001)
    assert rules.slow_clients is SlowPolicy.DISCONNECT
    assert rules.roles["user"].require("call", "com.x") is PLAIN
    assert not may(rules.roles["user"], "register", "com.x")


def test_what_a_realm_says_of_uris_and_slow_clients_is_obeyed() -> None:
    rules = RealmRules.of(Realm.model_validate({"name": "r", "uri_check": "strict", "slow_clients": "drop_oldest"}))
    assert rules.strict_uris
    assert rules.slow_clients is SlowPolicy.DROP_OLDEST


def test_a_realm_may_count_timeouts_in_seconds_and_be_lenient() -> None:
    realm = {"name": "r", "call_timeout_unit": "s", "undeclared_features": "accepted"}
    rules = RealmRules.of(Realm.model_validate(realm))
    assert (rules.timeout_unit_s, rules.lenient) == (1.0, True)
    assert not RealmRules.of(Realm.model_validate({"name": "r"})).lenient


def test_the_decisive_permission_says_what_is_disclosed_and_how_far_it_is_trusted() -> None:
    everything = dict.fromkeys(("call", "register", "publish", "subscribe"), True)
    permissions = [
        {"uri": "", "match": "prefix", "allow": everything, "disclose": {"caller": True}},
        {"uri": "com.", "match": "prefix", "allow": everything, "trustlevel": 0},
        {"uri": "com.x", "allow": everything, "disclose": {"publisher": True}, "trustlevel": 3},
    ]
    realm = Realm.model_validate({"name": "r", "roles": [{"name": "user", "permissions": permissions}]})
    rules = RealmRules.of(realm).roles["user"]
    assert rules.require("call", "a") == Verdict(allowed=True, disclose=True)
    assert rules.require("publish", "a") is PLAIN
    assert rules.require("call", "com.y") == Verdict(allowed=True, trustlevel=0)
    assert rules.require("publish", "com.x") == Verdict(allowed=True, disclose=True, trustlevel=3)
    assert rules.require("call", "com.x") == Verdict(allowed=True, trustlevel=3)
