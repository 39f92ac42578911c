"""Testaments on one node and across nodes, by the words of the advanced profile ("Testament")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, MEANT, PASSTHRU, Peer
from tests.unit.routing.meta.test_session_api import ON_LEAVE, Place
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Event, Result
from wampha.routing.permissions import Permission, Permissions
from wampha.state.commands import Down, Lead

ADD, FLUSH = "add_testament", "flush_testaments"


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def leave(place: Place, peer: Peer) -> None:
    peer.client_leaves()
    place.cluster.attend()


def got(peer: Peer) -> list[Event]:
    messages = peer.take()
    assert all(isinstance(message, Event) for message in messages)
    return messages


def texts(peer: Peer) -> list[Any]:
    return [event.payload.args()[0] for event in got(peer)]


def test_a_testament_is_published_when_the_session_is_gone_however_it_went(place: Place) -> None:
    watcher = place.watch("t.last")
    lost, polite, rude, killed = (place.join() for _ in range(4))
    for peer in (lost, polite, rude, killed):
        assert place.result(ADD, "t.last", [1, "x"], {"k": [2.5, None]}, by=peer) == []
    assert not watcher.take()
    lost.client_leaves()
    polite.goodbye()
    rude.second_hello()
    place.result("kill", killed.session)
    place.cluster.attend()
    left = got(watcher)
    assert [(event.payload.args(), event.payload.kwargs()) for event in left] == [([1, "x"], {"k": [2.5, None]})] * 4
    assert [event.details for event in left] == [NO_OPTIONS] * 4
    assert len({event.publication for event in left}) == 4


def test_the_event_is_the_same_on_every_node_and_comes_once(place: Place) -> None:
    watchers = [place.watch("t.last", node) for node in (place.a, place.b, place.b)]
    peer = place.join()
    place.result(ADD, "t.last", [], {}, by=peer)
    leave(place, peer)
    events = [got(each) for each in watchers]
    assert [len(each) for each in events] == [1, 1, 1]
    assert len({each[0].publication for each in events}) == 1
    place.cluster.attend()
    assert [each.take() for each in watchers] == [[], [], []]


def test_they_come_by_scope_and_in_order_before_on_leave(place: Place) -> None:
    watcher = place.watch("t.", place.a)
    watcher.subscribe("t.", match="prefix")
    watcher.subscribe(ON_LEAVE)
    place.cluster.attend()
    watcher.take()
    peer = place.join()
    for text, more in (
        ("3", {}),
        ("1", {"scope": "detached"}),
        ("4", {"scope": "destroyed"}),
        ("2", {"scope": "detached"}),
    ):
        place.result(ADD, f"t.x{text}", [text], {}, by=peer, **more)
    peer.publish("t.own", acknowledge=True)
    place.cluster.attend()
    peer.take()
    watcher.take()
    leave(place, peer)
    assert texts(watcher) == ["1", "2", "3", "4", peer.session]


def test_testaments_are_flushed_by_scope(place: Place) -> None:
    watcher, peer = place.watch("t.last"), place.join()
    for scope in ("detached", "destroyed"):
        place.result(ADD, "t.last", [scope], {}, scope=scope, by=peer)
    assert place.result(FLUSH, by=peer) == []  # destroyed
    assert place.result(FLUSH, scope="destroyed", by=peer) == []
    place.result(ADD, "t.last", ["again"], {}, by=peer)
    leave(place, peer)
    assert texts(watcher) == ["detached", "again"]
    other = place.join()
    place.result(ADD, "t.last", ["x"], {}, scope="detached", by=other)
    place.result(FLUSH, scope="detached", by=other)
    leave(place, other)
    assert texts(watcher) == []


def test_it_survives_the_death_of_its_home_node() -> None:
    place = Place("b")
    watcher, peer, third = place.watch("t.last"), place.join(), place.cluster.add("c")
    place.cluster.settle()
    elsewhere = place.watch("t.last", third)
    place.result(ADD, "t.last", ["last"], {}, by=peer)
    place.cluster.log.append(Lead(2, "a"))
    place.cluster.log.append(Down(place.b.owner, 2))
    place.a.ledger.apply()
    third.ledger.apply()
    (one,), (two,) = got(watcher), got(elsewhere)
    assert one.publication == two.publication
    assert one.payload.args() == ["last"]


def test_it_is_acknowledged_only_when_every_node_that_may_serve_knows_it() -> None:
    place = Place("b")
    peer = place.join(place.a)
    peer.ask("wamp.session.add_testament", "t.last", [], {})
    assert not peer.take()
    place.a.ledger.commit()
    assert not peer.take()
    place.a.ledger.claim()
    assert isinstance(peer.one(), Result)


def test_the_detachment_of_a_session_that_stays_is_an_event_of_its_own(place: Place) -> None:
    watcher, peer = place.watch("t.last"), place.join()
    for scope in ("detached", "destroyed"):
        place.result(ADD, "t.last", [scope], {}, scope=scope, by=peer)
    peer.subscribe("t.last")
    place.cluster.attend()
    peer.take()
    session = place.home.router._sessions[peer.session]
    place.home.router._attendance.detached(session)
    place.cluster.attend()
    assert texts(watcher) == ["detached"]
    assert not peer.take()  # a publisher does not get its own event
    assert place.result("get", peer.session)[0]["session"] == peer.session
    place.result(ADD, "t.last", ["detached again"], {}, scope="detached", by=peer)
    leave(place, peer)
    assert texts(watcher) == ["detached again", "destroyed"]


# ---- publish options


@pytest.mark.parametrize(
    ("options", "gets"),
    [
        ({}, "abc"),
        ({"eligible_authrole": ["admin"]}, "b"),
        ({"exclude_authrole": ["admin"]}, "ac"),
        ({"eligible": []}, ""),
        ({"acknowledge": True, "exclude_me": True}, "abc"),
    ],
)
def test_publish_options_say_who_gets_it(place: Place, options: dict[str, Any], gets: str) -> None:
    watchers = {"a": place.join(place.a), "b": place.join(place.b, role="admin"), "c": place.join(place.b)}
    for watcher in watchers.values():
        watcher.subscribe("t.last")
    peer = place.join()
    place.result(ADD, "t.last", ["x"], {}, publish_options=options, by=peer)
    place.cluster.attend()
    for watcher in watchers.values():
        watcher.take()
    leave(place, peer)
    assert "".join(name for name, watcher in watchers.items() if texts(watcher)) == gets


def test_lists_of_sessions_are_respected(place: Place) -> None:
    one, two = place.watch("t.last", place.a), place.watch("t.last", place.b)
    peer = place.join()
    place.result(ADD, "t.last", ["1"], {}, publish_options={"exclude": [one.session]}, by=peer)
    place.result(ADD, "t.last", ["2"], {}, publish_options={"eligible": [one.session]}, by=peer)
    leave(place, peer)
    assert (texts(one), texts(two)) == (["2"], ["1"])


def test_the_publisher_is_disclosed_on_request_and_passthru_attributes_go_along(place: Place) -> None:
    watcher, peer = place.watch("t.last"), place.join(features=PASSTHRU)
    options = {"disclose_me": True, "ppt_scheme": "x_test", "ppt_serializer": "cbor", "retain": False}
    place.result(ADD, "t.last", [b"\x00\x01"], {}, publish_options=options, by=peer)
    leave(place, peer)
    (event,) = got(watcher)
    assert event.details == {
        "ppt_scheme": "x_test",
        "ppt_serializer": "cbor",
        "publisher": peer.session,
        "publisher_authid": peer.opening[0].details["authid"],
        "publisher_authrole": "user",
    }
    assert event.payload.args() == [b"\x00\x01"]


# ---- bad input


@pytest.mark.parametrize(
    ("procedure", "args", "kwargs", "error"),
    [
        (ADD, (), {}, "invalid_argument"),
        (ADD, (7, [], {}), {}, "invalid_argument"),
        (ADD, ("t.a", "x", {}), {}, "invalid_argument"),
        (ADD, ("t.a", [], []), {}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"scope": "later"}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"scope": 1}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"publish_options": []}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"publish_options": {"eligible": "me"}}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"publish_options": {"disclose_me": 1}}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"publish_options": {"exclude": list(range(10_001))}}, "invalid_argument"),
        (ADD, ("t.a", [], {}), {"publish_options": {"enc_algo": "cryptobox"}}, "feature_not_supported"),
        (ADD, ("t a", [], {}), {}, "invalid_uri"),
        (ADD, ("", [], {}), {}, "invalid_uri"),
        (ADD, ("wamp.session.on_leave", [], {}), {}, "invalid_uri"),
        (FLUSH, (), {"scope": "all"}, "invalid_argument"),
        (FLUSH, (), {"scope": []}, "invalid_argument"),
    ],
)
def test_wrong_arguments_are_refused(procedure: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: str) -> None:
    place = Place("b")
    watcher, peer = place.watch("t.a"), place.join()
    assert place.error(procedure, *args, by=peer, **kwargs) == f"wamp.error.{error}"
    leave(place, peer)
    assert not watcher.take()


def test_args_and_kwargs_may_be_left_out(place: Place) -> None:
    watcher, peer = place.watch("t.last"), place.join()
    place.result(ADD, "t.last", by=peer)
    leave(place, peer)
    (event,) = got(watcher)
    assert (event.payload.args(), event.payload.kwargs()) == ([], {})


def test_who_may_not_publish_leaves_no_testament_either() -> None:
    place = Place("b")
    listens = Permission("", "prefix", frozenset(("call", "subscribe")))
    for node in place.cluster.nodes.values():
        node.router._realms["realm1"].rules.roles["guest"] = Permissions((listens, MEANT))  # type: ignore[index]
    assert place.error(ADD, "t.a", [], {}, by=place.join(role="guest")) == "wamp.error.not_authorized"


def test_a_permission_discloses_the_publisher_of_testaments_too() -> None:
    place = Place("b")
    discloses = Permission("", "prefix", frozenset(ALL.allow), frozenset(("publish",)), 3)
    for node in place.cluster.nodes.values():
        node.router._realms["realm1"].rules.roles["guest"] = Permissions((discloses, MEANT))  # type: ignore[index]
    watcher, peer = place.watch("t.a"), place.join(role="guest")
    place.result(ADD, "t.a", [], {}, by=peer)
    leave(place, peer)
    (event,) = got(watcher)
    assert (event.details["publisher"], event.details["trustlevel"]) == (peer.session, 3)


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        ({"testament_bytes_max": 100}, (200,)),
        ({"session_testaments_max": 2}, (1, 1, 1)),
        ({"session_testaments_bytes_max": 300}, (150, 150)),
        ({"realm_testaments_max": 2}, (1, 1, 1)),
        ({"realm_testaments_bytes_max": 300}, (150, 150)),
    ],
)
def test_testaments_are_bounded_in_bytes_and_count(limits: dict[str, int], sizes: tuple[int, ...]) -> None:
    """`testaments_refused` counts; what stands already is published."""
    place = Place("b", limits=Limits(**limits))
    watcher = place.watch("t.a")
    peers = [place.join() for _ in sizes] if "realm" in str(limits) else [place.join()] * len(sizes)
    for size, peer in zip(sizes[:-1], peers, strict=False):
        place.result(ADD, "t.a", ["x" * size], {}, by=peer)
    assert place.error(ADD, "t.a", ["x" * sizes[-1]], {}, by=peers[-1]) == "wamp.error.unavailable"
    assert place.b.counters["testaments_refused"] == 1
    for peer in dict.fromkeys(peers):
        leave(place, peer)
    assert len(got(watcher)) == len(sizes) - 1


def test_a_flush_makes_room() -> None:
    place = Place("b", limits=Limits(session_testaments_max=1))
    peer = place.join()
    for _ in range(2):
        place.result(ADD, "t.a", [], {}, by=peer)
        assert place.error(ADD, "t.a", [], {}, by=peer) == "wamp.error.unavailable"
        place.result(FLUSH, by=peer)
