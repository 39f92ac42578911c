"""`wamp.registration.*` by the advanced profile, "Registration Meta API", on one node and between two."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import ALL, Peer
from tests.unit.routing.meta.place import Place, heard
from wampha.limits import Limits
from wampha.messages.model import Error, Revoked, Unregistered

CREATED = "2001-09-09T01:46:40.000Z"
LIFE = ("on_create", "on_register", "on_unregister", "on_delete")


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def every_event(place: Place) -> Peer:
    return place.watch(*(f"wamp.registration.{name}" for name in LIFE))


def test_list_has_the_ids_by_match_policy(place: Place) -> None:
    assert place.result("wamp.registration.list") == {"exact": [], "prefix": [], "wildcard": []}
    callee = place.join()
    exact, other = place.registered(callee, "p.q"), place.registered(callee, "p.r")
    prefix = place.registered(callee, "p.", match="prefix")
    wildcard = place.registered(callee, "p..r", match="wildcard")
    assert place.result("wamp.registration.list") == {
        "exact": [exact, other],
        "prefix": [prefix],
        "wildcard": [wildcard],
    }


def test_a_list_is_bounded() -> None:
    place = Place("a", limits=Limits(meta_list_max=1))
    callee = place.join()
    place.registered(callee, "p")
    place.result("wamp.registration.list")
    place.registered(callee, "q")
    assert place.refusal("wamp.registration.list") == "wamp.error.payload_size_exceeded"
    assert place.home.counters["meta_calls_refused"] == 1


def test_lookup_finds_a_registration_by_its_uri_and_policy(place: Place) -> None:
    callee = place.join()
    exact, prefix = place.registered(callee, "p"), place.registered(callee, "p", match="prefix")
    assert place.result("wamp.registration.lookup", "p") == exact
    assert place.result("wamp.registration.lookup", "p", {"match": "prefix"}) == prefix
    assert place.result("wamp.registration.lookup", "p", {"match": "wildcard"}) is None
    assert place.result("wamp.registration.lookup", "p.q") is None
    assert place.refusal("wamp.registration.lookup") == "wamp.error.invalid_argument"
    assert place.refusal("wamp.registration.lookup", "p", {"match": "best"}) == "wamp.error.invalid_argument"
    assert place.refusal("wamp.registration.lookup", "p", "prefix") == "wamp.error.invalid_argument"


def test_match_finds_the_registration_that_a_call_would_go_to(place: Place) -> None:
    callee = place.join()
    exact = place.registered(callee, "p.q.r")
    short, long = (place.registered(callee, uri, match="prefix") for uri in ("p.", "p.q"))
    everything = place.registered(callee, "", match="prefix")
    found = {uri: place.result("wamp.registration.match", uri) for uri in ("p.q.r", "p.q.s", "p.x", "x", "wamp.x")}
    assert found == {"p.q.r": exact, "p.q.s": long, "p.x": short, "x": everything, "wamp.x": None}
    assert place.refusal("wamp.registration.match", 7) == "wamp.error.invalid_argument"


def test_get_tells_all_about_a_registration(place: Place) -> None:
    registration = place.registered(place.join(), "p.", match="prefix")
    assert place.result("wamp.registration.get", registration) == {
        "id": registration,
        "created": CREATED,
        "uri": "p.",
        "match": "prefix",
        "invoke": "single",
    }


def test_callees_are_listed_and_counted(place: Place) -> None:
    callee = place.join()
    registration = place.registered(callee, "p")
    assert place.result("wamp.registration.list_callees", registration) == [callee.session]
    assert place.result("wamp.registration.count_callees", registration) == 1


def test_every_node_gives_the_same_answers(place: Place) -> None:
    callee = place.join()
    registration = place.registered(callee, "p")
    askers = [place.cluster[name].join() for name in "abc"]
    for procedure, *args in (
        ("list",),
        ("lookup", "p"),
        ("match", "p"),
        ("get", registration),
        ("list_callees", registration),
        ("count_callees", registration),
    ):
        answers = [place.result(f"wamp.registration.{procedure}", *args, peer=asker) for asker in askers]
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("procedure", ["get", "list_callees", "count_callees", "remove_callee"])
def test_an_unknown_registration_is_an_error(place: Place, procedure: str) -> None:
    registration = place.registered(place.join(), "p")
    subscription = place.subscribed(place.join(), "t")
    for unknown in (registration + 100, subscription, 0, -1, 2**60):
        assert place.refusal(f"wamp.registration.{procedure}", unknown, 1) == "wamp.error.no_such_registration"
    assert place.refusal(f"wamp.registration.{procedure}") == "wamp.error.invalid_argument"
    assert place.refusal(f"wamp.registration.{procedure}", "p") == "wamp.error.invalid_argument"


def test_another_realm_s_registrations_are_unknown(place: Place) -> None:
    registration = place.registered(place.join(realm="realm2"), "p")
    assert place.result("wamp.registration.list")["exact"] == []
    assert place.result("wamp.registration.lookup", "p") is None
    assert place.refusal("wamp.registration.get", registration) == "wamp.error.no_such_registration"


# ---- remove_callee, registration_revocation


def test_a_callee_can_be_removed_and_is_told_if_it_understands_that(place: Place) -> None:
    told, untold = place.join({"callee": ("registration_revocation",)}), place.join()
    for callee, procedure in ((told, "p"), (untold, "q")):
        registration = place.registered(callee, procedure)
        answer = place.ask("wamp.registration.remove_callee", registration, callee.session, "com.moving")
        assert answer.payload.args() == []
        assert place.result("wamp.registration.lookup", procedure) is None
        assert place.refusal(procedure) == "wamp.error.no_such_procedure"
        words = [Revoked(0, {"registration": registration, "reason": "com.moving"})]
        assert callee.take() == (words if callee is told else [])
        callee.unregister(registration)
        assert callee.one().error == "wamp.error.no_such_registration"
    assert place.home.counters["registrations_revoked"] == 2
    assert place.registered(place.join(), "p")


@pytest.mark.parametrize("reason", [(), ("",), ("moving elsewhere",), ("#moving",), ("com..moving",)])
def test_a_reason_may_be_left_out_and_one_that_is_no_uri_is(place: Place, reason: tuple[str, ...]) -> None:
    callee = place.join({"callee": ("registration_revocation",)})
    registration = place.registered(callee, "p")
    place.ask("wamp.registration.remove_callee", registration, callee.session, *reason)
    assert callee.one() == Revoked(0, {"registration": registration})


def test_only_a_callee_can_be_removed(place: Place) -> None:
    callee = place.join()
    registration = place.registered(callee, "p")
    for other in (place.asker.session, callee.session + 1):
        refusal = place.refusal("wamp.registration.remove_callee", registration, other)
        assert refusal == "wamp.error.no_such_session"
    assert place.refusal("wamp.registration.remove_callee", registration) == "wamp.error.invalid_argument"
    assert place.refusal("wamp.registration.remove_callee", registration, callee.session, 7) == (
        "wamp.error.invalid_argument"
    )
    assert place.result("wamp.registration.count_callees", registration) == 1


def test_who_may_call_everything_may_not_remove(place: Place) -> None:
    place = Place("b", permissions=[ALL])
    callee = place.join()
    registration = place.registered(callee, "p")
    refusal = place.refusal("wamp.registration.remove_callee", registration, callee.session)
    assert refusal == "wamp.error.not_authorized"


def test_a_node_that_does_not_answer_leaves_the_caller_knowing_it() -> None:
    place = Place("b")
    callee = place.join()
    registration = place.registered(callee, "p")
    place.cluster["a"].outbox.network = lambda owner, relayed: False
    assert place.refusal("wamp.registration.remove_callee", registration, callee.session) == "wamp.error.unavailable"


# ---- events


def test_the_life_of_a_registration_is_told_once_on_every_node_in_order(place: Place) -> None:
    watchers = [every_event(place), place.join(node="c")]
    for name in LIFE:
        place.subscribed(watchers[1], f"wamp.registration.{name}")
    callee = place.join()
    registration = place.registered(callee, "p.", match="prefix")
    callee.unregister(registration)
    place.cluster.settle()
    assert isinstance(callee.one(), Unregistered)
    details = {"id": registration, "created": CREATED, "uri": "p.", "match": "prefix", "invoke": "single"}
    events = [watcher.take() for watcher in watchers]
    for told in events:
        assert [event.payload.args() for event in told] == [
            [callee.session, details],
            [callee.session, registration],
            [callee.session, registration],
            [callee.session, registration],
        ]
    assert [event.publication for event in events[0]] == [event.publication for event in events[1]]
    assert len({event.publication for event in events[0]}) == 4


def test_callees_that_share_a_procedure_come_and_go_within_its_life(place: Place) -> None:
    watcher = every_event(place)
    first, second, third = place.join(), place.join(node="c"), place.join()
    registration, *_ = [place.registered(each, "p", invoke="roundrobin") for each in (first, second, third)]
    assert place.result("wamp.registration.get", registration)["invoke"] == "roundrobin"
    sessions = [each.session for each in (first, second, third)]
    for asker in (place.asker, place.cluster["c"].join()):
        assert place.result("wamp.registration.list_callees", registration, peer=asker) == sessions
        assert place.result("wamp.registration.count_callees", registration, peer=asker) == 3
    place.ask("wamp.registration.remove_callee", registration, second.session)
    place.cluster.settle()
    assert place.result("wamp.registration.list_callees", registration) == [first.session, third.session]
    first.unregister(registration)
    place.cluster.settle()
    third.conversation.lost()
    place.cluster.settle()
    (session, details), *others = heard(watcher)
    assert (session, details["id"]) == (first.session, registration)
    order = [first, second, third, second, first, third, third]
    assert others == [[each.session, registration] for each in order]


def test_who_registers_by_force_takes_it_from_all_others(place: Place) -> None:
    former, latter = place.join(), place.join(node="c")
    registration = place.registered(former, "p", invoke="roundrobin")
    watcher = every_event(place)
    anew = place.registered(latter, "p", force_reregister=True)
    (_, details), *others = [args for args in heard(watcher) if args[1] != registration]
    assert details["id"] == anew
    assert others == [[latter.session, anew]]
    assert place.result("wamp.registration.list_callees", anew) == [latter.session]
    assert place.refusal("wamp.registration.get", registration) == "wamp.error.no_such_registration"


def test_an_end_of_any_kind_is_told(place: Place) -> None:
    for end in ("lost", "removed"):
        callee = place.join()
        registration = place.registered(callee, "p")
        watcher = every_event(place)
        if end == "lost":
            callee.conversation.lost()
        else:
            place.ask("wamp.registration.remove_callee", registration, callee.session)
        place.cluster.settle()
        assert heard(watcher) == [[callee.session, registration]] * 2


def test_the_death_of_a_node_is_told_for_each_of_its_callees() -> None:
    place = Place("b")
    callee = place.join()
    registrations = [place.registered(callee, uri) for uri in "pq"]
    watcher = every_event(place)
    place.kill("b")
    assert heard(watcher) == [[callee.session, each] for each in registrations for _ in range(2)]


def test_a_refused_register_is_told_nobody(place: Place) -> None:
    place.registered(place.join(), "p")
    watcher = every_event(place)
    for node in "abc":
        late = place.join(node=node)
        late.register("p")
        place.cluster.settle()
        assert isinstance(late.one(), Error)
    assert heard(watcher) == []


def test_events_stay_in_their_realm(place: Place) -> None:
    watcher = every_event(place)
    place.registered(place.join(realm="realm2"), "p")
    assert heard(watcher) == []


def test_nothing_is_made_for_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: Any) -> None:
        raise AssertionError("an event that nobody hears")

    monkeypatch.setattr("wampha.routing.meta.publishing.Payload.of", made)
    callee = place.join()
    callee.unregister(place.registered(callee, "p"))
    place.cluster.settle()


def test_a_node_that_was_given_the_tables_says_that_something_was_missed() -> None:
    place = Place("b")
    watcher, deaf = every_event(place), place.cluster["a"].join()
    for peer in (watcher, deaf):
        place.subscribed(peer, "wampha.meta.on_gap")
    elsewhere = place.cluster["a"].join(realm="realm2")
    place.subscribed(elsewhere, "wampha.meta.on_gap")
    here, there = place.cluster["a"].ledger, place.cluster["c"].ledger
    place.join().register("p")
    for name in "bc":
        place.cluster[name].ledger.commit()
        place.cluster[name].ledger.apply()
    there.apply()
    here.install(there.machine, there.applied)
    assert heard(watcher) == heard(deaf) == [[]]
    assert elsewhere.take() == [], "nobody listens in that realm"
