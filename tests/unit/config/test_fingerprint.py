"""What nodes compare of their configurations, and what they do not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.config.test_difference import BEFORE, changed
from wampha.config.fingerprint import fingerprint
from wampha.config.schema import Settings
from wampha.routing.concord import SECRETS, shown

SETTINGS = Settings.model_validate(BEFORE)
MINE = fingerprint(SETTINGS)
PRINCIPALS = ("listeners", 0, "auth", "ticket", "principals")


def differing(after: Settings) -> list[str]:
    theirs = fingerprint(after)
    return [part for part in MINE if MINE[part] != theirs[part]]


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        (("realms", 0, "roles", 0, "permissions", 0, "allow", "publish"), True, ["realms"]),
        (("realms", 1), {"name": "more"}, ["realms"]),
        (("realm_templates",), [{"name": "tenants.*"}], ["realms"]),
        (("limits", "message_bytes_max"), 4096, ["limits"]),
        (("listeners", 1, "auth", "anonymous", "role"), "user", ["principals"]),
        ((*PRINCIPALS, "joe", "role"), "guest", ["principals"]),
        ((*PRINCIPALS, "eva"), {"ticket": "first secret", "role": "user"}, ["principals", SECRETS]),
        ((*PRINCIPALS, "joe", "ticket"), "another", [SECRETS]),
    ],
)
def test_what_should_be_the_same_on_all_nodes_is_seen(path: tuple[Any, ...], value: Any, parts: list[str]) -> None:
    assert differing(changed(path, value)) == parts


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("node", "name"), "b"),
        (("node", "run_dir"), "/run"),
        (("cluster", "advertise"), "127.0.0.1:8072"),
        (("listeners", 0, "endpoint"), "tcp:9999"),
        (("listeners", 3, "tls", "certificate"), "b.pem"),
        (("log", "level"), "debug"),
        (("limits", "descriptors_reserved"), 500),
    ],
)
def test_what_is_a_node_s_own_is_not(path: tuple[Any, ...], value: Any) -> None:
    assert differing(changed(path, value)) == []


def test_the_order_of_entries_is_not_either() -> None:
    data = copy.deepcopy(BEFORE)
    data["realms"][0]["roles"].reverse()
    data["listeners"].reverse()
    del data["listeners"][-2]  # one of several that let in the same
    assert differing(Settings.model_validate(data)) == []


def test_nothing_that_is_shown_depends_on_a_secret_and_guesses_need_the_cluster_s() -> None:
    other_ticket = fingerprint(changed((*PRINCIPALS, "joe", "ticket"), "another"))
    assert shown(MINE) == shown(other_ticket)
    other_cluster = fingerprint(changed(("cluster", "secret"), "the secret of another cluster"))
    assert other_cluster[SECRETS] != MINE[SECRETS]
    assert {**other_cluster, SECRETS: ""} == {**MINE, SECRETS: ""}


def test_a_node_on_its_own_has_one_as_well() -> None:
    assert set(fingerprint(changed(("cluster",), None))) == set(MINE)
