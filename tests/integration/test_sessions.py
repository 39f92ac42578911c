"""How a session opens and ends, on the wire: HELLO, WELCOME, ABORT, GOODBYE (basic profile, "Sessions")."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.integration.conftest import Router
from tests.support.wampclient import (
    ABORT,
    GOODBYE,
    HELLO,
    ROLES,
    SERIALIZERS,
    TRANSPORTS,
    ConnectionEndedError,
    connect,
)

WAYS: Final = [(transport, serializer) for transport in TRANSPORTS for serializer in SERIALIZERS]


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_hello_is_answered_by_welcome_with_the_roles_of_a_router(
    router: Router, transport: str, serializer: str
) -> None:
    with router.session(transport, serializer) as session:
        assert 1 <= session.id <= 2**53
        assert set(session.welcome["roles"]) == {"broker", "dealer"}
        assert session.welcome["realm"] == "realm1"
        assert session.welcome["authmethod"] == "anonymous"
        assert session.welcome["authrole"] == "anonymous"


def test_only_what_is_there_is_announced(router: Router) -> None:
    with router.session() as session:
        roles = session.welcome["roles"]
    announced = {role: {name for name, on in roles[role].get("features", {}).items() if on} for role in roles}
    to_come = {"sharded_subscription"}
    assert not to_come & (announced["broker"] | announced["dealer"])
    assert {"pattern_based_subscription", "subscriber_blackwhite_listing"} <= announced["broker"]
    assert {"call_timeout", "call_canceling", "progressive_call_results"} <= announced["dealer"]


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_goodbye_is_answered_and_the_connection_closed(router: Router, transport: str, serializer: str) -> None:
    with router.session(transport, serializer) as session:
        session.connection.send([GOODBYE, {}, "wamp.close.close_realm"])
        assert session.next(GOODBYE)[2] == "wamp.close.goodbye_and_out"
        with pytest.raises(ConnectionEndedError):
            session.connection.receive()


@pytest.mark.parametrize(("transport", "serializer"), WAYS)
def test_unknown_realm_is_refused_by_abort(router: Router, transport: str, serializer: str) -> None:
    with connect(router.port, transport, serializer) as client:
        client.send([HELLO, "no.such.realm", {"roles": ROLES}])
        answer = client.receive()
        assert (answer[0], answer[2]) == (ABORT, "wamp.error.no_such_realm")
        with pytest.raises(ConnectionEndedError):
            client.receive()


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"roles": ROLES, "authmethods": ["anonymous"]}, None),
        ({"roles": ROLES, "authmethods": ["wampcra", "anonymous"], "authid": "joe"}, None),
        ({"roles": ROLES, "authmethods": ["wampcra"], "authid": "joe"}, "wamp.error.no_matching_auth_method"),
    ],
)
def test_authentication_methods_are_chosen_from_what_the_client_offers(
    router: Router, details: dict[str, Any], reason: str | None
) -> None:
    with connect(router.port) as client:
        client.send([HELLO, "realm1", details])
        answer = client.receive()
        assert answer[0] == 2 if reason is None else (answer[0], answer[2]) == (ABORT, reason)


def test_client_may_abort_before_it_has_a_session(router: Router) -> None:
    with connect(router.port) as client:
        client.send([ABORT, {}, "com.example.changed_my_mind"])
        with pytest.raises(ConnectionEndedError):
            client.receive()


def test_session_ids_differ(router: Router) -> None:
    ids = set()
    for _ in range(20):
        with router.session("rawsocket", "json") as session:
            ids.add(session.id)
    assert len(ids) == 20
