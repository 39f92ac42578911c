"""How fast a session may send: nothing is lost or overtaken, and nobody else waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.core import Node, Peer
from wampha.errors import Later, TooFast
from wampha.limits import Limits, RoleLimits
from wampha.messages.model import Goodbye, Publish
from wampha.messages.payload import NOTHING
from wampha.routing.permissions import Authorizer


def node(per_s: float = 10, burst: int = 3, **options: Any) -> Node:
    return Node(limits=Limits(session_messages_per_s=per_s, session_messages_burst=burst), **options)


def sent(peer: Peer) -> int:
    """How many publications the session can send now."""
    for count in range(100_000):
        try:
            peer.publish("a.topic", acknowledge=True)
        except TooFast:
            return count
    raise AssertionError("there is no limit")


def test_a_session_sends_its_burst_at_once_and_then_so_many_per_second() -> None:
    router = node()
    peer = router.join()
    assert sent(peer) == 3
    assert sent(peer) == 0
    router.clock.advance(0.1)
    assert sent(peer) == 1
    router.clock.advance(0.25)
    assert sent(peer) == 2  # the half is kept
    router.clock.advance(0.05)
    assert sent(peer) == 1
    router.clock.advance(1000)
    assert sent(peer) == 3
    assert router.counters["sessions_throttled"] == 5


def test_who_waits_is_let_go_on_when_its_time_has_come_and_no_sooner() -> None:
    router = node()
    peer, other = router.join(), router.join()
    sent(peer)
    with pytest.raises(Later) as later:
        peer.publish("a.topic")
    assert router.clock.pending() == 1
    router.clock.advance(0.09)
    assert router.outbox.reliefs == []
    router.clock.advance(0.02)
    assert router.outbox.reliefs == [later.value.awaited]
    peer.publish("a.topic")
    assert sent(other) == 3


def test_a_fast_session_waits_for_a_portion_and_not_for_each_message() -> None:
    router = node(per_s=1000, burst=500)
    peer = router.join()
    sent(peer)
    rounds = 0
    total = 0
    while total < 1000:
        router.clock.advance(0.05)
        total += sent(peer)
        rounds += 1
    assert rounds == 20
    assert len(router.outbox.reliefs) == 20


def test_a_message_that_waits_for_something_else_counts_once() -> None:
    router = node(roles={"asked": Authorizer("a.authorizer", 60.0)})
    router.join(role="user").registered("a.authorizer")
    peer = router.join(role="asked")
    for _ in range(10):
        with pytest.raises(Later) as later:
            peer.receive(Publish(1, {}, "a.topic", NOTHING))
        assert not isinstance(later.value, TooFast)


def test_refused_requests_count_and_the_end_of_a_session_does_not() -> None:
    router = node()
    peer = router.join()
    for _ in range(3):
        peer.subscribe("not a uri")
    assert sent(peer) == 0
    peer.take()
    peer.goodbye()
    assert isinstance(peer.one(), Goodbye)


def test_nothing_is_left_of_a_session_that_ends_while_it_waits() -> None:
    router = node()
    peer = router.join()
    sent(peer)
    peer.client_leaves()
    assert router.clock.pending() == 0


def test_without_a_limit_a_session_has_no_allowance() -> None:
    router = Node()
    peer = router.join()
    session = peer.conversation.session
    assert session is not None and session.allowance is None


def test_a_role_may_have_limits_of_its_own() -> None:
    router = node(
        role_limits={"user": RoleLimits(session_messages_per_s=0), "slow": RoleLimits(session_messages_burst=1)}
    )
    peer = router.join()
    session = peer.conversation.session
    assert session is not None and session.allowance is None
    assert session.bounds.subscriptions == Limits().session_subscriptions_max


def reconfigure(router: Node, role_limits: Mapping[str, RoleLimits]) -> None:
    """The configuration says this from now on."""
    realm = router.router._realms["realm1"]
    realm.adapt(replace(realm.rules, role_limits=role_limits))


def test_other_limits_hold_at_once_and_who_waits_goes_on() -> None:
    router = node()
    peer = router.join()
    sent(peer)
    with pytest.raises(Later) as later:
        peer.publish("a.topic")
    reconfigure(router, {"user": RoleLimits(session_messages_per_s=1000, session_messages_burst=7)})
    assert router.outbox.reliefs == [later.value.awaited]
    assert sent(peer) == 7
    reconfigure(router, {"user": RoleLimits(session_messages_per_s=0)})
    session = peer.conversation.session
    assert session is not None and session.allowance is None
    reconfigure(router, {"user": RoleLimits(session_messages_per_s=0, session_calls_max=3)})
    assert session.bounds.calls == 3
    assert router.clock.pending() == 0
