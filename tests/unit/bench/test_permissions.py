"""The role with many permissions against which the one with a single one is measured."""

from __future__ import annotations

from collections import Counter

from bench.permissions import COUNT, permissions
from wampha.config.schema import Realm
from wampha.routing.permissions import ACTIONS, PLAIN, Permissions, RealmRules


def test_many_permissions_of_all_kinds_let_the_load_do_what_it_does_and_nothing_else() -> None:
    stated = permissions()
    assert len(stated) == COUNT
    assert min(Counter(each["match"] for each in stated).values()) > COUNT / 4
    realm = Realm.model_validate({"name": "realm1", "roles": [{"name": "anonymous", "permissions": stated}]})
    role = RealmRules.of(realm).roles["anonymous"]
    assert isinstance(role, Permissions)
    assert all(role.require(action, "bench.run1") is PLAIN for action in ACTIONS)
