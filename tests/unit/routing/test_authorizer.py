"""Roles that an authorizer decides about: yes, no, nonsense or silence; and nothing is overtaken meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.core import FakeClock, Node, Peer, RecorderOutbox
from wampha.auth.grant import Grant
from wampha.auth.steps import Ask, Asked
from wampha.counters import Counters
from wampha.errors import NotAuthorized, Undecided
from wampha.messages.model import Error, Registered, Result, Subscribed
from wampha.messages.payload import Payload
from wampha.routing.authorizer import _VERDICTS_MAX, Authorization
from wampha.routing.permissions import PLAIN, Authorizer

AUTHORIZE = "com.example.authorize"


class Bench:
    """One session's authorization, and an authorizer that the test plays."""

    def __init__(self, cache_s: float = 60.0) -> None:
        self.clock, self.counters, self.outbox = FakeClock(), Counters(), RecorderOutbox()
        self.asked: list[tuple[Ask, Callable[[Asked], None]]] = []
        self.authorization = Authorization(
            authorizer=Authorizer(AUTHORIZE, cache_s),
            realm="realm1",
            session=7,
            grant=Grant("joe", "user", "ticket", "static"),
            ask=lambda ask, told: self.asked.append((ask, told)),
            outbox=self.outbox,
            waiting_s=5.0,
            clock=self.clock,
            counters=self.counters,
        )

    def awaits(self, action: str = "call", uri: str = "a.b") -> Any:
        """What the message waits for."""
        with pytest.raises(Undecided) as caught:
            self.authorization.require(action, uri)
        return caught.value.awaited

    def answer(self, value: Any = None, error: str | None = None) -> None:
        _, told = self.asked.pop(0)
        told(Asked(value, error))


def test_the_authorizer_is_called_as_crossbar_calls_it() -> None:
    bench = Bench()
    bench.awaits("publish", "com.topic")
    (ask, _) = bench.asked[0]
    subject = {
        "realm": "realm1",
        "session": 7,
        "authid": "joe",
        "authrole": "user",
        "authmethod": "ticket",
        "authprovider": "static",
    }
    assert ask == Ask("realm1", AUTHORIZE, (subject, "com.topic", "publish", {}))


def test_a_pattern_is_asked_about_as_such() -> None:
    bench = Bench()
    with pytest.raises(Undecided):
        bench.authorization.require_pattern("subscribe", "prefix", "com.")
    assert bench.asked[0][0].args[1:] == ("com.", "subscribe", {"match": "prefix"})


@pytest.mark.parametrize("answer", [True, {"allow": True}, {"allow": True, "cache": False, "more": 1}])
def test_yes_holds_for_the_message_that_waited_and_for_no_other(answer: Any) -> None:
    bench = Bench()
    awaited = bench.awaits()
    bench.answer(answer)
    assert bench.outbox.reliefs == [awaited]
    assert bench.authorization.require("call", "a.b") is PLAIN
    bench.awaits()


def test_yes_that_may_be_cached_holds_for_its_time_unless_purged() -> None:
    bench = Bench(cache_s=10.0)
    bench.awaits()
    bench.answer({"allow": True, "cache": True})
    for _ in range(3):
        assert bench.authorization.require("call", "a.b") is PLAIN
    bench.clock.advance(10.1)
    bench.awaits()
    bench.answer({"allow": True, "cache": True})
    bench.authorization.purge()
    bench.awaits()


def test_disclosure_is_the_authorizer_s_to_say() -> None:
    bench = Bench()
    bench.awaits()
    bench.answer({"allow": True, "disclose": True})
    assert bench.authorization.require("call", "a.b").disclose


@pytest.mark.parametrize("answer", [False, {"allow": False}, {"allow": False, "cache": True}])
def test_no_is_no(answer: Any) -> None:
    bench = Bench()
    bench.awaits()
    bench.answer(answer)
    with pytest.raises(NotAuthorized):
        bench.authorization.require("call", "a.b")
    assert bench.counters["authorizations_failed"] == 0


@pytest.mark.parametrize("value", [None, 1, "yes", "true", [], {}, {"allow": "yes"}, {"allow": 1}, {"allow": None}])
def test_nonsense_means_no(value: Any) -> None:
    bench = Bench()
    bench.awaits()
    bench.answer(value)
    with pytest.raises(NotAuthorized):
        bench.authorization.require("call", "a.b")
    assert bench.counters["authorizations_failed"] == 1


def test_an_answer_that_nobody_fetches_is_worth_nothing_later() -> None:
    bench = Bench()
    bench.awaits()
    bench.answer(True)
    bench.clock.advance(5.1)
    bench.awaits()


def test_two_that_wait_for_the_same_ask_once() -> None:
    bench = Bench()
    assert bench.awaits() is bench.awaits()
    assert len(bench.asked) == bench.counters["authorizations_asked"] == 1


def test_remembered_decisions_are_bounded() -> None:
    bench = Bench()
    for number in range(_VERDICTS_MAX + 1):
        bench.awaits("call", f"a.b{number}")
        bench.answer({"allow": True, "cache": True})
    assert bench.authorization.require("call", f"a.b{_VERDICTS_MAX}") is PLAIN
    bench.awaits("call", "a.b0")


# ---- in a realm


@pytest.fixture
def node() -> Node:
    return Node(roles={"asked": Authorizer(AUTHORIZE)})


@pytest.fixture
def authorizer(node: Node) -> Peer:
    peer = node.join()
    peer.registered(AUTHORIZE)
    return peer


def held(peer: Peer, act: Callable[[], object]) -> None:
    with pytest.raises(Undecided):
        act()
    assert peer.take() == []


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda peer: peer.subscribe("com.topic"), Subscribed),
        (lambda peer: peer.register("com.mine"), Registered),
        (lambda peer: peer.call("wamp.registration.list"), Result),
    ],
)
def test_a_message_is_handled_when_it_is_handed_in_again(
    node: Node, authorizer: Peer, act: Callable[[Peer], object], kind: type
) -> None:
    peer = node.join(role="asked")
    held(peer, lambda: act(peer))
    authorizer.result(authorizer.one().request, Payload.of([True]))
    assert len(node.outbox.reliefs) == 1
    act(peer)
    assert isinstance(peer.one(), kind)


def test_an_authorizer_that_is_not_there_or_goes_or_is_mute_means_no(node: Node) -> None:
    peer = node.join(role="asked")
    peer.call("a.b")
    assert (peer.one().error, node.counters["authorizations_failed"]) == ("wamp.error.not_authorized", 1)
    authorizer = node.join()
    authorizer.registered(AUTHORIZE)
    held(peer, lambda: peer.call("a.b"))
    authorizer.conversation.lost()
    peer.call("a.b")
    assert peer.one().error == "wamp.error.not_authorized"
    mute = node.join()
    mute.registered(AUTHORIZE)
    held(peer, lambda: peer.call("a.b"))
    node.clock.advance(5.1)
    peer.call("a.b")
    assert peer.one().error == "wamp.error.not_authorized"


def test_a_meta_procedure_that_changes_something_is_asked_about_again_and_answered_later(
    node: Node, authorizer: Peer
) -> None:
    peer = node.join(role="asked")
    peer_call = lambda: peer.call("wamp.registration.remove_callee", Payload.of([1, 2]))  # noqa: E731
    held(peer, peer_call)
    authorizer.result(authorizer.one().request, Payload.of([{"allow": True}]))
    peer_call()
    assert peer.take() == []
    authorizer.result(authorizer.one().request, Payload.of([{"allow": False}]))
    error = peer.one()
    assert isinstance(error, Error)
    assert error.error == "wamp.error.not_authorized"
