"""What differs between two configurations, by key path, and what of it may change while a node runs."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import pytest

import wampha
from wampha.config.difference import differences, merged
from wampha.config.schema import SECRETS, Settings
from wampha.limits import LIVE, Limits, PresentLimits

TICKET = {"ticket": "first secret", "role": "user"}
BEFORE: dict[str, Any] = {
    "node": {"name": "a"},
    "cluster": {
        "name": "test",
        "listen": "tcp:8071:interface=127.0.0.1",
        "advertise": "127.0.0.1:8071",
        "secret": "a secret of the cluster",
        "voters": [
            {"name": name, "address": f"127.0.0.1:{port}"} for name, port in (("a", 8071), ("b", 8072), ("c", 8073))
        ],
    },
    "realms": [
        {
            "name": "realm1",
            "roles": [
                {"name": "user", "permissions": [{"uri": "com.*", "allow": {"call": True}}]},
                {"name": "guest", "permissions": [{"uri": "com.news", "allow": {"subscribe": True}}]},
            ],
        }
    ],
    "listeners": [
        {"endpoint": "tcp:8080", "auth": {"anonymous": {"role": "guest"}, "ticket": {"principals": {"joe": TICKET}}}},
        {"endpoint": "tcp:0", "auth": {"anonymous": {"role": "guest"}}},
        {"endpoint": "tcp:0", "auth": {"anonymous": {"role": "guest"}}},
        {
            "endpoint": "tcp:8443",
            "tls": {"certificate": "a.pem", "key": "a.key"},
            "auth": {"anonymous": {"role": "guest"}},
        },
    ],
}


def changed(path: tuple[Any, ...], value: Any) -> Settings:
    """BEFORE with another value; None takes a key or entry away."""
    data = copy.deepcopy(BEFORE)
    at: Any = data
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    if value is not None:
        if isinstance(at, list) and path[-1] == len(at):
            at.append(value)
        else:
            at[path[-1]] = value
    else:
        del at[path[-1]]
    return Settings.model_validate(data)


SETTINGS = Settings.model_validate(BEFORE)
ROLE = ("realms", 0, "roles", 0)
PERMISSION = (*ROLE, "permissions", 0)
PRINCIPALS = ("listeners", 0, "auth", "ticket", "principals")

LIVE_CHANGES = [
    (("log", "level"), "debug", "log.level"),
    (("node", "drain", "spread_s"), 1.0, "node.drain.spread_s"),
    (("realms", 1), {"name": "more"}, "realms[more] (added)"),
    (("realm_templates",), [{"name": "tenants.*"}], "realm_templates[tenants.*] (added)"),
    (("realms", 0, "name"), "other", "realms[realm1] (removed), realms[other] (added)"),
    (("realms", 0, "slow_clients"), "drop_newest", "realms[realm1].slow_clients"),
    (("realms", 0, "resumable_sessions"), {"grace_s": 1.0}, "realms[realm1].resumable_sessions (added)"),
    (("realms", 0, "roles", 1), None, "realms[realm1].roles[guest] (removed)"),
    ((*PERMISSION, "allow", "publish"), True, "realms[realm1].roles[user].permissions[prefix com.].allow.publish"),
    ((*ROLE, "permissions", 1), {"uri": "org.x"}, "realms[realm1].roles[user].permissions[org.x] (added)"),
    (("listeners", 0, "auth", "anonymous"), None, "listeners[tcp:8080].auth.anonymous (removed)"),
    ((*PRINCIPALS, "joe", "ticket"), "second", "listeners[tcp:8080].auth.ticket.principals[joe].ticket"),
    ((*PRINCIPALS, "eva"), TICKET, "listeners[tcp:8080].auth.ticket.principals[eva] (added)"),
    (("listeners", 2, "auth", "anonymous", "role"), "user", "listeners[tcp:0 #2].auth.anonymous.role"),
    (("listeners", 3, "tls", "certificate"), "b.pem", "listeners[tcp:8443].tls.certificate"),
    (("limits", "session_subscriptions_max"), 5, "limits.session_subscriptions_max"),
]  # fmt: skip
CHANGES_FOR_A_RESTART = [
    (("node", "name"), "b", "node.name"),
    (("node", "run_dir"), "/run", "node.run_dir (added)"),
    (("cluster", "secret"), "another secret of the cluster", "cluster.secret"),
    (("cluster",), None, "cluster (removed)"),
    (("cluster", "voters", 1, "address"), "127.0.0.1:9", "cluster.voters[b].address"),
    (("cluster", "voters"), list(reversed(BEFORE["cluster"]["voters"])), "cluster.voters"),
    (("listeners", 4), {"endpoint": "tcp:8081"}, "listeners[tcp:8081] (added)"),
    (("listeners", 3), None, "listeners[tcp:8443] (removed)"),
    (("listeners", 3, "tls"), None, "listeners[tcp:8443].tls (removed)"),
    (("listeners", 0, "tls"), {"certificate": "a.pem", "key": "a.key"}, "listeners[tcp:8080].tls (added)"),
    (("listeners", 0, "protocols"), ["websocket"], "listeners[tcp:8080].protocols"),
    (("limits", "message_bytes_max"), 4096, "limits.message_bytes_max"),
]


def test_nothing_differs_from_itself() -> None:
    assert differences(SETTINGS, Settings.model_validate(BEFORE)) == []
    assert merged(SETTINGS, Settings.model_validate(BEFORE)) == SETTINGS


@pytest.mark.parametrize(("path", "value", "said"), LIVE_CHANGES)
def test_what_may_change_is_named_and_taken_over(path: tuple[Any, ...], value: Any, said: str) -> None:
    after = changed(path, value)
    found = differences(SETTINGS, after)
    assert ", ".join(map(str, found)) == said
    assert all(each.live for each in found)
    assert merged(SETTINGS, after) == after


@pytest.mark.parametrize(("path", "value", "said"), CHANGES_FOR_A_RESTART)
def test_what_needs_a_restart_is_named_and_stays_as_it_was(path: tuple[Any, ...], value: Any, said: str) -> None:
    after = changed(path, value)
    found = differences(SETTINGS, after)
    assert ", ".join(map(str, found)) == said
    assert not any(each.live for each in found)
    assert merged(SETTINGS, after) == SETTINGS


def test_of_two_changes_the_one_that_may_is_taken_over() -> None:
    data = copy.deepcopy(BEFORE)
    data["limits"] = {"message_bytes_max": 4096, "meta_list_max": 7}
    data["listeners"][0] |= {"protocols": ["websocket"], "auth": {"anonymous": {"role": "user"}}}
    data["listeners"].reverse()
    after = merged(SETTINGS, Settings.model_validate(data))
    assert (after.limits.message_bytes_max, after.limits.meta_list_max) == (Limits().message_bytes_max, 7)
    assert [each.endpoint for each in after.listeners] == [each.endpoint for each in SETTINGS.listeners]
    first = after.listeners[0]
    assert first.protocols == ("websocket", "rawsocket")
    assert first.auth.anonymous is not None and first.auth.anonymous.role == "user"
    assert first.auth.ticket is None


def test_no_value_is_shown() -> None:
    for path, value, _ in (*LIVE_CHANGES, *CHANGES_FOR_A_RESTART):
        said = " ".join(map(str, differences(SETTINGS, changed(path, value))))
        assert "secret" not in said.replace("cluster.secret", "") and "second" not in said


def test_the_keys_of_secrets_are_known() -> None:
    assert {"secret", "ticket", "ticket_hash", "stored-key", "server-key"} == SECRETS


# ---- limits that hold at once


def test_limits_change_as_a_whole_for_all_who_share_them() -> None:
    shared = PresentLimits.of(Limits(meta_list_max=1))
    seen: Limits = shared
    shared.become(Limits(meta_list_max=2, gathers_max=3))
    assert (seen.meta_list_max, seen.gathers_max) == (2, 3)
    assert seen.model_dump() == Limits(meta_list_max=2, gathers_max=3).model_dump()


def kept_copies() -> set[str]:
    """The limits that some constructor reads: whoever does keeps a copy."""
    package = Path(wampha.__file__).parent
    kept: set[str] = set()
    for file in package.rglob("*.py"):
        if file.parent.name == "config":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "attach"):
                kept |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return kept & set(Limits.model_fields)


def test_a_limit_that_holds_at_once_is_read_whenever_it_is_needed() -> None:
    copies = kept_copies()
    assert copies, "the check sees something"
    assert set(Limits.model_fields) >= LIVE
    assert not LIVE & copies
