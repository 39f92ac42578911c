"""`wamp.session.*` on one node and across nodes, by the words of the advanced profile ("Session Meta API")."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from tests.support.core import ALL, MEANT, Cluster, Peer
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS, Error, Event, Goodbye, Invocation, Result
from wampha.routing import expulsion
from wampha.routing.meta import publishing
from wampha.routing.permissions import Permissions
from wampha.state.changes import SessionJoined
from wampha.state.commands import Down, Lead
from wampha.state.facts import Join
from wampha.state.roll import Member

ON_JOIN, ON_LEAVE = "wamp.session.on_join", "wamp.session.on_leave"


class Place:
    """Two nodes: the caller, or watcher, sits on `a`; the others on `home`."""

    def __init__(self, home: str, **options: Any) -> None:
        self.cluster = Cluster("a", "b", attends=True, permissions=(ALL, MEANT), **options)
        self.a, self.b, self.home = self.cluster["a"], self.cluster["b"], self.cluster[home]
        for node in self.cluster.nodes.values():
            for name in ("admin", "guest"):
                node.router._realms["realm1"].rules.roles[name] = Permissions((ALL, MEANT))  # type: ignore[index]
        self.caller = self.join(self.a)

    def join(self, node: Any = None, **options: Any) -> Peer:
        peer: Peer = (node or self.home).join(**options)
        self.cluster.attend()
        return peer

    def ask(self, procedure: str, *args: Any, by: Peer | None = None, **kwargs: Any) -> Result | Error:
        caller = by or self.caller
        caller.ask(f"wamp.session.{procedure}", *args, **kwargs)
        self.cluster.attend()
        answer = next(each for each in caller.take() if isinstance(each, Result | Error))
        return answer

    def result(self, procedure: str, *args: Any, **kwargs: Any) -> list[Any]:
        answer = self.ask(procedure, *args, **kwargs)
        assert isinstance(answer, Result), answer
        assert answer.payload.kwargs() == {}
        return answer.payload.args()

    def error(self, procedure: str, *args: Any, **kwargs: Any) -> str:
        answer = self.ask(procedure, *args, **kwargs)
        assert isinstance(answer, Error), answer
        (sentence,) = answer.payload.args()
        assert sentence.endswith(".")
        return answer.error

    def watch(self, topic: str, node: Any = None) -> Peer:
        peer = self.join(node or self.a)
        peer.subscribe(topic)
        self.cluster.attend()
        peer.take()
        return peer


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def events(peer: Peer) -> list[list[Any]]:
    return [message.payload.args() for message in peer.take() if isinstance(message, Event)]


def goodbye(peer: Peer) -> Goodbye:
    """The last thing that the client gets; then the connection is closed."""
    *_, last = peer.take()
    assert isinstance(last, Goodbye)
    assert peer.client.finished
    return last


# ---- who is there


def test_sessions_are_counted_and_listed_by_role(place: Place) -> None:
    user, admin = place.join(), place.join(role="admin")
    everybody = [place.caller.session, user.session, admin.session]
    place.join(realm="realm2")
    assert place.result("count") == [3]
    assert place.result("list") == [everybody]
    assert place.result("count", ["admin", "guest"]) == [1]
    assert place.result("list", ["user"]) == [[place.caller.session, user.session]]
    assert place.result("count", []) == [0]
    assert place.result("list", []) == [[]]
    assert place.result("count", None) == [3]
    assert place.result("count", filter_authroles=["guest"]) == [0]


def test_a_session_is_told_of_with_the_details_of_the_specification(place: Place) -> None:
    peer = place.join(role="admin")
    welcome = peer.opening[0].details
    assert place.result("get", peer.session) == [
        {
            "session": peer.session,
            "authid": welcome["authid"],
            "authrole": "admin",
            "authmethod": "anonymous",
            "authprovider": "static",
            "transport": {"type": "websocket", "protocol": "json", "peer": "tcp4:192.0.2.1:50000"},
        }
    ]
    assert place.result("get", float(peer.session))[0]["session"] == peer.session


def test_an_unknown_session_and_one_of_another_realm_are_no_such_session(place: Place) -> None:
    other = place.join(realm="realm2")
    for session in (other.session, 12345, 2**53, 0):
        for procedure, more in (("get", ()), ("kill", ()), ("modify_details", ({"x": 1},))):
            assert place.error(procedure, session, *more) == "wamp.error.no_such_session"
    assert not other.take()


def test_a_node_tells_of_its_own_sessions_before_the_log_does() -> None:
    place = Place("a")
    peer = place.a.join()
    place.caller.ask("wamp.session.list")
    assert place.caller.one().payload.args() == [[place.caller.session, peer.session]]
    place.caller.ask("wamp.session.get", peer.session)
    assert place.caller.one().payload.args()[0]["session"] == peer.session
    peer.client_leaves()
    place.caller.ask("wamp.session.count")
    assert place.caller.one().payload.args() == [1]
    place.caller.ask("wamp.session.get", peer.session)
    assert place.caller.one().error == "wamp.error.no_such_session"
    standing = place.join(place.a)
    standing.client_leaves()
    for procedure, expected in (("count", 1), ("list", [place.caller.session])):
        place.caller.ask(f"wamp.session.{procedure}")
        assert place.caller.one().payload.args() == [expected]


@pytest.mark.parametrize(
    ("procedure", "args", "kwargs"),
    [
        ("count", ("user",), {}),
        ("count", ([1],), {}),
        ("list", ({},), {}),
        ("get", (), {}),
        ("get", ("1",), {}),
        ("get", (True,), {}),
        ("get", (1.5,), {}),
        ("kill", (), {}),
        ("kill", ("1",), {}),
        ("kill", (1,), {"message": 7}),
        ("kill_by_authid", (), {}),
        ("kill_by_authid", (1,), {}),
        ("kill_by_authrole", (None,), {}),
        ("kill_all", (), {"message": ["x"]}),
        ("modify_details", (1,), {}),
        ("modify_details", (1, [1]), {}),
    ],
)
def test_wrong_arguments_are_refused(procedure: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    place = Place("b")
    other = place.join()
    assert place.error(procedure, *args, **kwargs) == "wamp.error.invalid_argument"
    assert not other.take()
    assert place.result("count") == [2]


# ---- who has to go


def test_a_killed_session_is_told_why_and_everybody_that_it_left(place: Place) -> None:
    peer, watcher = place.join(), place.watch(ON_LEAVE)
    assert place.result("kill", peer.session, reason="a.b.reason", message="Go.") == []
    assert goodbye(peer) == Goodbye({"message": "Go."}, "a.b.reason")
    assert events(watcher) == [[peer.session, peer.opening[0].details["authid"], "user"]]
    assert place.error("kill", peer.session) == "wamp.error.no_such_session"
    assert place.result("count") == [2]
    place.cluster.attend()
    assert events(watcher) == []


def test_without_reason_and_message_goodbye_has_the_defaults_of_the_specification(place: Place) -> None:
    peer = place.join()
    place.result("kill", peer.session)
    assert goodbye(peer) == Goodbye(NO_OPTIONS, "wamp.close.normal")


@pytest.mark.parametrize("reason", ["", "a b", "a..b", 7, []])
@pytest.mark.parametrize("procedure", ["kill", "kill_by_authid", "kill_by_authrole", "kill_all"])
def test_a_reason_that_is_no_uri_is_refused(procedure: str, reason: Any) -> None:
    place = Place("b")
    other = place.join()
    args = {"kill": (other.session,), "kill_all": ()}.get(procedure, ("user",))
    assert place.error(procedure, *args, reason=reason) == "wamp.error.invalid_uri"
    assert not other.take()


def test_nobody_kills_himself(place: Place) -> None:
    assert place.error("kill", place.caller.session) == "wamp.error.no_such_session"
    authid = place.caller.opening[0].details["authid"]
    assert place.result("kill_by_authid", authid) == [[]]
    assert place.result("kill_by_authrole", "user") == [0]
    assert place.result("kill_all") == [0]
    assert place.result("count") == [1]


def test_sessions_are_killed_by_authid(place: Place) -> None:
    one, two = place.join(), place.join()
    assert place.result("kill_by_authid", one.opening[0].details["authid"], message="x") == [[one.session]]
    assert goodbye(one).details == {"message": "x"}
    assert not two.take()


def test_sessions_are_killed_by_role_on_every_node(place: Place) -> None:
    killed = [place.join(node, role="guest") for node in (place.a, place.b, place.a)]
    stays, other = place.join(), place.join(realm="realm2")
    watcher = place.watch(ON_LEAVE)
    assert place.result("kill_by_authrole", "guest") == [3]
    assert [goodbye(each).reason for each in killed] == ["wamp.close.normal"] * 3
    assert [args[0] for args in events(watcher)] == [each.session for each in killed]
    assert not stays.take()
    assert not other.take()


def test_kill_all_spares_the_caller_and_other_realms_and_tells_nobody(place: Place) -> None:
    place.caller.subscribe(ON_LEAVE)
    place.cluster.attend()
    others, realm2 = [place.join(), place.join(place.b), place.join(role="admin")], place.join(realm="realm2")
    others[0].ask("wamp.session.add_testament", "t.a", [], {})
    place.caller.subscribe("t.a")
    place.cluster.attend()
    place.caller.take()
    place.caller.ask("wamp.session.kill_all")
    place.cluster.attend()
    (answer,) = place.caller.take()  # no event
    assert answer.payload.args() == [3]
    assert [goodbye(each).reason for each in others] == ["wamp.close.normal"] * 3
    assert not realm2.take()


def test_a_killed_session_answers_nobody_and_gets_nothing_from_then_on(place: Place) -> None:
    """Detached at once, cluster-wide: when the answer has come, no call and no event reaches it any more."""
    peer = place.join()
    peer.register("p.a")
    peer.subscribe("t.a")
    place.cluster.attend()
    place.caller.call("p.a")
    place.cluster.attend()
    assert isinstance(peer.take()[-1], Invocation)
    place.caller.ask("wamp.session.kill", peer.session)
    place.cluster.attend()
    canceled, result = sorted(place.caller.take(), key=lambda message: type(message).__name__)
    assert (canceled.error, canceled.payload.kwargs()) == ("wamp.error.canceled", {"outcome": "unknown"})
    assert isinstance(result, Result)
    assert isinstance(peer.take()[-1], Goodbye)
    place.caller.call("p.a")
    place.caller.publish("t.a")
    place.cluster.attend()
    assert place.caller.one().error == "wamp.error.no_such_procedure"
    assert not peer.take()
    again = place.join()
    again.register("p.a")
    place.cluster.attend()
    assert type(again.one()).__name__ == "Registered"


def test_the_answer_waits_until_the_home_node_has_ended_the_session() -> None:
    place = Place("b")
    peer = place.join()
    place.caller.ask("wamp.session.kill", peer.session)
    place.a.ledger.commit()
    place.a.ledger.claim(place.a.ledger.applied - 1)
    assert not place.caller.take()
    place.b.ledger.apply()
    assert peer.client.finished
    assert not place.caller.take()
    place.a.ledger.claim()
    assert isinstance(place.caller.one(), Result)


def test_a_session_that_its_node_has_not_reported_yet_is_killed_too() -> None:
    place = Place("b")
    place.join()
    peer = place.b.join()
    place.caller.ask("wamp.session.kill_by_authrole", "user")
    place.a.ledger.commit()
    place.b.ledger.apply()
    assert goodbye(peer).reason == "wamp.close.normal"
    place.cluster.attend()
    assert list(place.a.ledger.tables.roll.within("realm1")) == [place.caller.session]


def test_killing_needs_a_permission_that_was_meant_for_it() -> None:
    place = Place("b")
    for node in place.cluster.nodes.values():
        node.router._realms["realm1"].rules.roles["guest"] = Permissions((ALL,))  # type: ignore[index]
    guest, peer = place.join(place.a, role="guest"), place.join()
    for procedure, args in (
        ("kill", (peer.session,)),
        ("kill_all", ()),
        ("kill_by_authid", ("x",)),
        ("kill_by_authrole", ("user",)),
        ("modify_details", (peer.session, {"x": 1})),
    ):
        assert place.error(procedure, *args, by=guest) == "wamp.error.not_authorized"
    assert place.result("count", by=guest) == [3]
    assert not peer.take()


# ---- details


def test_details_are_modified_on_every_node(place: Place) -> None:
    peer, watcher = place.join(), place.watch(ON_JOIN)
    assert place.result("modify_details", peer.session, {"x": {"y": [1, None]}, "z": "1"}) == []
    assert place.result("modify_details", peer.session, {"z": None, "w": True}) == []
    for asker in (place.caller, peer, place.join(place.b)):
        details = place.result("get", peer.session, by=asker)[0]
        assert (details["x"], details["w"], "z" in details) == ({"y": [1, None]}, True, False)
    assert len(events(watcher)) == 1


@pytest.mark.parametrize("name", ["session", "authid", "authrole", "authmethod", "authprovider", "transport"])
def test_what_the_router_says_of_a_session_is_not_modified(name: str) -> None:
    place = Place("b")
    peer = place.join()
    for value in ("forged", None):
        assert place.error("modify_details", peer.session, {name: value}) == "wamp.error.invalid_argument"


def test_the_details_of_a_session_are_bounded() -> None:
    place = Place("b", limits=Limits(session_details_bytes_max=100))
    peer = place.join()
    assert place.result("modify_details", peer.session, {"x": "x" * 60}) == []
    assert place.error("modify_details", peer.session, {"y": "y" * 60}) == "wamp.error.invalid_argument"
    assert place.a.counters["requests_refused"] == 0
    assert place.a.counters["session_bounds_reached"] == 1
    assert place.result("modify_details", peer.session, {"x": None, "y": "y" * 40}) == []


# ---- events


def test_on_join_and_on_leave_are_told_once_on_every_node_with_equal_publication_ids(place: Place) -> None:
    watchers = [[place.watch(topic, node) for node in (place.a, place.b)] for topic in (ON_JOIN, ON_LEAVE)]
    for each in watchers[0]:
        each.take()
    peer = place.join(role="admin")
    details = place.result("get", peer.session)
    joined = [each.one() for each in watchers[0]]
    assert [each.payload.args() for each in joined] == [details, details]
    peer.client_leaves()
    place.cluster.attend()
    left = [each.one() for each in watchers[1]]
    assert [each.payload.args() for each in left] == [[peer.session, details[0]["authid"], "admin"]] * 2
    for of_both in (joined, left):
        assert of_both[0].publication == of_both[1].publication
        assert [each.details for each in of_both] == [NO_OPTIONS] * 2
    assert joined[0].publication != left[0].publication
    place.cluster.attend()
    assert [each.take() for both in watchers for each in both] == [[]] * 4


def test_events_stay_in_their_realm(place: Place) -> None:
    watcher = place.watch(ON_JOIN)
    place.join(realm="realm2").client_leaves()
    place.cluster.attend()
    assert not watcher.take()


def test_the_death_of_a_node_is_on_leave_for_each_of_its_sessions_once() -> None:
    place = Place("b")
    gone = [place.join().session for _ in range(450)]
    watcher = place.watch(ON_LEAVE)
    place.cluster.log.append(Lead(2, "a"))
    place.cluster.log.append(Down(place.b.owner, 2))
    place.a.ledger.apply()
    assert len(watcher.client.sent) == 200  # in one turn
    place.a.tick()
    assert [args[0] for args in events(watcher)] == gone
    assert place.a.clock.pending() == 0


def test_nothing_is_made_if_nobody_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("a")

    def never(*_: object) -> None:
        raise AssertionError("nobody would get it")

    monkeypatch.setattr(publishing, "derived_publication", never)
    place.join().client_leaves()
    place.cluster.attend()


def test_thousands_are_killed_over_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expulsion, "_EXPELLED_MAX", 2)
    place = Place("b")
    killed = [place.join(role="guest") for _ in range(5)]
    place.caller.ask("wamp.session.kill_by_authrole", "guest")
    place.a.ledger.commit()
    place.b.ledger.apply()
    assert [each.client.finished for each in killed] == [True, True, False, False, False]
    killed[2].client_leaves()
    place.b.clock.advance(0)
    assert [each.client.finished for each in killed] == [True, True, False, True, True]
    place.cluster.attend()
    assert not place.b.ledger.tables.roll.killed(place.b.owner)


def test_a_session_that_is_revived_on_another_node_joins_under_another_publication_id() -> None:
    place = Place("b")
    watcher = place.watch(ON_JOIN)
    member = Member.of(Join(7, "realm1", "joe", "user", "anonymous", "static"), place.b.owner)
    for owner in (place.a.owner, place.b.owner):
        place.a.router._meta.applied([SessionJoined(structs.replace(member, owner=owner))])
    first, second = watcher.take()
    assert first.payload.args() == second.payload.args()
    assert first.publication != second.publication
