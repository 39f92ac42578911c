"""Procedures with several callees, on one node and on three: advanced profile, "Shared Registration" and the like."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Node, Peer
from wampha.counters import Counters
from wampha.limits import Limits
from wampha.messages.model import Error, Interrupt, Invocation, Registered, Result, Revoked, Unregistered
from wampha.messages.payload import NOTHING, Payload
from wampha.state.changes import RegistrationAdded
from wampha.state.commands import Down
from wampha.state.machine import Machine
from wampha.state.registrations import FORCED
from wampha.state.tables import Registration

POLICIES = ("first", "last", "roundrobin", "random")
ALL = {role: (*names, "call_reroute", "registration_revocation") for role, names in EVERYTHING.items()}
NONE: dict[str, tuple[str, ...]] = {role: () for role in EVERYTHING}


class Place:
    """A caller on node a, callees on a alone or on all nodes."""

    def __init__(self, nodes: str, **options: Any) -> None:
        self.cluster = Cluster("a", "b", "c", **options)
        self.nodes = [self.cluster[name] for name in nodes]
        self.caller = self.cluster["a"].join(features=ALL)
        self.callees: list[Peer] = []
        self.ids: list[int] = []

    def add(self, features: Any = ALL, procedure: str = "p", **options: Any) -> Peer:
        """One more callee, on the next node."""
        callee = self.nodes[len(self.callees) % len(self.nodes)].join(features=features)
        callee.register(procedure, **options)
        self.cluster.settle()
        self.callees.append(callee)
        self.ids.append(callee.one().registration)
        return callee

    def fill(self, count: int, **options: Any) -> list[Peer]:
        return [self.add(**options) for _ in range(count)]

    def row(self, node: str = "a") -> Registration | None:
        return self.cluster[node].ledger.tables.registration("realm1", "exact", "p")

    def joins(self) -> list[int]:
        """The sessions that became callees, as the log tells."""
        machine = Machine(Counters())
        for index, entry in enumerate(self.cluster.log.entries, 1):
            machine.apply(index, entry)
        return [change.session for change in machine.take_changes() if isinstance(change, RegistrationAdded)]

    def call(self, **options: Any) -> int:
        request = self.caller.call("p", **options)
        self.cluster.settle()
        return request

    def called(self) -> int:
        """CALL; the place of the callee that has got it, who answers."""
        request = self.call()
        ((place, invocation),) = [
            (place, message) for place, callee in enumerate(self.callees) for message in callee.take()
        ]
        self.callees[place].result(invocation.request, Payload.of([place]))
        self.cluster.settle()
        result = self.caller.one()
        assert (result.request, result.payload.args()) == (request, [place])
        return place

    def working(self, callee: Peer) -> Invocation:
        """The one INVOCATION that it has got."""
        self.cluster.settle()
        invocation = callee.one()
        assert isinstance(invocation, Invocation)
        return invocation

    def answer(self, callee: Peer, invocation: int, error: str = "") -> None:
        if error:
            callee.error(invocation, error)
        else:
            callee.result(invocation)
        self.cluster.settle()

    def leave(self, callee: Peer) -> None:
        callee.conversation.lost()
        self.cluster.settle()

    def refused(self, request: int) -> Error:
        message = self.caller.one()
        assert isinstance(message, Error)
        assert (message.request_type, message.request) == (48, request)
        assert message.payload.args()
        return message

    def check_nothing_is_left(self) -> None:
        self.cluster.settle()
        for node in self.cluster.nodes.values():
            calls = node.router._calls
            assert not any(calls._elsewhere.values())
            assert not any(calls._served.values())
            assert not calls._loads
            assert not calls._timeouts._heap
            for session in node.router._sessions.values():
                assert not session.calls
                assert not session.invocations
                assert not session.places
            for offer in node.router._realms["realm1"].offers:
                assert offer.places is None or (not offer.places.queue and not offer.places._taken)
            assert node.counters["calls"] == node.counters["calls_ended"]


@pytest.fixture(params=["a", "bca"], ids=["one-node", "across-nodes"])
def nodes(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def place(nodes: str) -> Place:
    return Place(nodes)


# ---- policies


@pytest.mark.parametrize(("policy", "chosen"), [("first", [0, 0, 1, 1]), ("last", [3, 3, 2, 2])])
def test_first_and_last_are_exact_and_the_next_stands_by(place: Place, policy: str, chosen: list[int]) -> None:
    place.fill(4, invoke=policy)
    seen = [place.called(), place.called()]
    place.leave(place.callees[seen[0]])
    assert [*seen, place.called(), place.called()] == chosen


def test_round_robin_goes_through_all_in_the_order_of_the_log(place: Place) -> None:
    place.fill(3, invoke="roundrobin")
    assert [place.called() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    place.add(invoke="roundrobin")
    assert [place.called() for _ in range(4)] == [1, 2, 3, 0]
    place.leave(place.callees[1])
    assert [place.called() for _ in range(4)] == [2, 3, 0, 2]


def test_random_calls_everybody_about_as_often(place: Place) -> None:
    place.fill(3, invoke="random")
    assert min(Counter(place.called() for _ in range(300)).values()) > 70


@pytest.mark.parametrize("policy", POLICIES)
def test_all_callees_have_one_registration_and_the_same_order_on_all_nodes(place: Place, policy: str) -> None:
    place.fill(4, invoke=policy)
    assert len(set(place.ids)) == 1
    rows = [place.row(name) for name in ("a", "b", "c")]
    assert rows[0] == rows[1] == rows[2]
    assert [callee.session for callee in rows[0].callees] == [callee.session for callee in place.callees]


def test_round_robin_is_fair_to_one_call_per_node_over_10000_calls_from_all() -> None:
    place = Place("abc")
    place.fill(5, invoke="roundrobin")
    callers = [node.join() for node in place.nodes]
    taken: Counter[int] = Counter()
    for number in range(10_000):
        callers[number % 3].call("p")
        if number % 50 == 49:
            place.cluster.settle()
            for callee in place.callees:
                for invocation in callee.take():
                    taken[callee.session] += 1
                    callee.result(invocation.request)
            place.cluster.settle()
    assert len(taken) == 5
    assert max(taken.values()) - min(taken.values()) <= 3
    assert all(len(caller.take()) in (3333, 3334) for caller in callers)
    place.check_nothing_is_left()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_last_that_leaves_takes_the_registration_along(place: Place, policy: str) -> None:
    first, second = place.fill(2, invoke=policy)
    request = first.unregister(place.ids[0])
    place.cluster.settle()
    assert first.one() == Unregistered(request)
    assert place.called() == 1
    place.leave(second)
    assert place.row() is None
    request = place.call()
    assert place.refused(request).error == "wamp.error.no_such_procedure"
    place.add(invoke="single")
    assert place.ids[-1] != place.ids[0]


def test_the_callees_of_a_dead_node_are_gone_in_one_entry_and_the_others_stay() -> None:
    place = Place("bca")
    place.fill(6, invoke="first")
    place.cluster.log.append(Down(place.cluster["b"].owner, 1))
    for name in ("a", "c"):
        place.cluster[name].ledger.apply()
    row = place.row()
    assert [callee.session for callee in row.callees] == [place.callees[number].session for number in (1, 2, 4, 5)]
    del place.cluster.nodes["b"]
    assert place.called() == 1


def test_the_order_of_callees_outlives_a_snapshot(place: Place) -> None:
    place.fill(4, invoke="first")
    before = place.row()
    for node in place.cluster.nodes.values():
        node.ledger.install(node.ledger.machine, node.ledger.applied)
        node.tick()
    place.cluster.settle()
    assert place.row() == before
    assert place.called() == 0
    assert [callee.take() for callee in place.callees] == [[], [], [], []], "nobody was told of any change"


# ---- who may join


@pytest.mark.parametrize(
    ("standing", "wanted", "error"),
    [
        ("single", "single", "wamp.error.procedure_already_exists"),
        ("single", "first", "wamp.error.procedure_already_exists"),
        ("roundrobin", "single", "wamp.error.procedure_exists_with_different_invocation_policy"),
        ("roundrobin", "random", "wamp.error.procedure_exists_with_different_invocation_policy"),
    ],
)
def test_conflicting_policies_are_refused_and_change_nothing(
    place: Place, standing: str, wanted: str, error: str
) -> None:
    place.add(invoke=standing)
    other = place.nodes[-1].join()
    request = other.register("p", invoke=wanted)
    place.cluster.settle()
    refused = other.one()
    assert (refused.request_type, refused.request, refused.error) == (64, request, error)
    assert place.called() == 0


@pytest.mark.parametrize("policy", ["", "Single", "all", "ROUNDROBIN"])
def test_an_unknown_policy_is_refused(place: Place, policy: str) -> None:
    place.caller.register("p", invoke=policy)
    assert place.caller.one().error == "wamp.error.invalid_argument"


def test_a_session_is_one_callee_of_a_procedure_not_two(place: Place) -> None:
    callee = place.add(invoke="roundrobin")
    callee.register("p", invoke="roundrobin")
    assert callee.one().error == "wamp.error.procedure_already_exists"


def test_a_procedure_has_a_bounded_number_of_callees(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wampha.state.registrations.CALLEES_MAX", 2)
    place.fill(2, invoke="roundrobin")
    one_more = place.nodes[-1].join()
    one_more.register("p", invoke="roundrobin")
    place.cluster.settle()
    assert one_more.one().error == "wamp.error.unavailable"
    assert sum(node.counters["callees_refused"] for node in place.cluster.nodes.values()) == 1
    assert [place.called(), place.called(), place.called()] == [0, 1, 0]


def test_a_callee_is_invoked_only_behind_its_registered(place: Place) -> None:
    place.add(invoke="last")
    late = place.nodes[-1].join()
    late.register("p", invoke="last")
    for node in place.cluster.nodes.values():
        node.ledger.commit()
    for node in place.cluster.nodes.values():
        node.ledger.apply()
    assert late.take() == [], "it is in all tables, but the leader has not claimed that"
    place.caller.call("p")
    for _ in range(3):
        for wire in list(place.cluster.wires):
            place.cluster.carry(*wire)
    assert late.take() == []
    assert isinstance(place.callees[0].one(), Invocation)


# ---- force_reregister and revocation


def test_force_takes_the_procedure_and_who_had_it_is_told(place: Place) -> None:
    old = place.add()
    new = place.add(force_reregister=True)
    assert old.one() == Revoked(0, {"registration": place.ids[0], "reason": FORCED})
    assert place.ids[1] != place.ids[0]
    assert place.called() == 1
    request = old.unregister(place.ids[0])
    refused = old.one()
    assert (refused.request_type, refused.request, refused.error) == (66, request, "wamp.error.no_such_registration")
    assert new.take() == []
    assert sum(node.counters["registrations_revoked"] for node in place.cluster.nodes.values()) == 1


def test_who_did_not_announce_revocation_is_unregistered_without_a_word(place: Place) -> None:
    old = place.add(features=NONE | {"callee": ()})
    place.nodes[0].router._sessions[old.session].features  # noqa: B018 - it is there
    place.add(force_reregister=True)
    assert old.take() == []
    assert place.called() == 1


def test_force_ends_a_shared_registration_whole_and_may_begin_another_kind(place: Place) -> None:
    old = place.fill(3, invoke="roundrobin")
    place.add(invoke="first", force_reregister=True)
    assert all(isinstance(callee.one(), Revoked) for callee in old)
    assert [callee.session for callee in place.row().callees] == [place.callees[3].session]
    place.add(invoke="first")
    assert place.called() == 3


def test_of_two_that_force_at_once_both_are_answered_and_the_later_one_has_it(place: Place) -> None:
    first, second = place.nodes[0].join(features=ALL), place.nodes[-1].join(features=ALL)
    first.register("p", force_reregister=True)
    second.register("p", force_reregister=True)
    place.cluster.settle()
    place.callees = [first, second]
    heard = [callee.take() for callee in place.callees]
    assert all(isinstance(messages[0], Registered) for messages in heard)
    owner = place.row().callees
    assert len(owner) == 1
    for callee, messages in zip(place.callees, heard, strict=True):
        assert isinstance(messages[-1], Registered if callee.session == owner[0].session else Revoked)


def test_a_call_in_progress_outlives_that_its_callee_is_put_out(place: Place) -> None:
    old = place.add()
    request = place.call()
    invocation = place.working(old)
    place.add(force_reregister=True)
    assert isinstance(old.one(), Revoked)
    place.answer(old, invocation.request)
    assert place.caller.one().request == request


def test_who_was_put_out_while_its_node_slept_does_not_come_back_by_a_snapshot() -> None:
    place = Place("ba", limits=Limits())
    old = place.add(invoke="roundrobin")
    sleeper = place.cluster["b"].ledger
    asleep = sleeper.applied
    new = place.cluster["a"].join(features=ALL)
    new.register("p", invoke="roundrobin", force_reregister=True)
    ledger = place.cluster["a"].ledger
    ledger.commit()
    ledger.claim()
    assert isinstance(new.one(), Registered)
    assert sleeper.applied == asleep
    sleeper.machine.restore(ledger.machine.snapshot())
    sleeper.applied = ledger.applied
    sleeper.events.installed()
    place.cluster["b"].tick()
    assert isinstance(old.one(), Revoked)
    place.cluster.settle()
    for _ in range(3):
        place.cluster["b"].tick()
        place.cluster.settle()
    assert [callee.session for callee in place.row().callees] == [new.session]


def test_a_renewal_in_flight_does_not_bring_back_who_is_put_out_before_it() -> None:
    place = Place("ba")
    old = place.add(invoke="roundrobin")
    b = place.cluster["b"]
    b.ledger.install(b.ledger.machine, b.ledger.applied)
    b.tick()
    assert b.ledger.queue, "the row is in doubt, and said again"
    new = place.cluster["a"].join(features=ALL)
    new.register("p", invoke="roundrobin", force_reregister=True)
    place.cluster["a"].ledger.commit()
    place.cluster.settle()
    assert isinstance(old.one(), Revoked)
    assert place.joins() == [old.session, new.session], "not even for a moment"


def test_who_took_it_by_force_does_not_take_it_again_when_its_row_is_said_again() -> None:
    place = Place("ba")
    first = place.add(invoke="roundrobin", force_reregister=True)
    b = place.cluster["b"]
    b.ledger.install(b.ledger.machine, b.ledger.applied)
    b.tick()
    later = place.cluster["a"].join(features=ALL)
    later.register("p", invoke="roundrobin", force_reregister=True)
    place.cluster["a"].ledger.commit()
    place.cluster.settle()
    assert isinstance(first.one(), Revoked)
    assert [type(message) for message in later.take()] == [Registered]
    assert place.joins() == [first.session, later.session]


# ---- concurrency


def limited(nodes: str, queue: int = 0) -> Place:
    return Place(nodes, call_queue_max=queue)


def test_a_callee_has_no_more_calls_at_once_than_it_wants(nodes: str) -> None:
    place = limited(nodes)
    callee = place.add(concurrency=2)
    place.call()
    place.call()
    request = place.call()
    assert place.refused(request).error == "crossbar.error.max_concurrency_reached"
    one, two = callee.take()
    place.answer(callee, one.request)
    assert isinstance(place.caller.one(), Result)
    place.call()
    three = place.working(callee)
    for invocation in (two, three):
        place.answer(callee, invocation.request)
    assert len(place.caller.take()) == 2
    place.check_nothing_is_left()


def test_the_callee_s_home_counts_the_calls_of_all_nodes() -> None:
    place = limited("b")
    callee = place.add(concurrency=1)
    place.cluster["c"].join().call("p")
    place.cluster.settle()
    invocation = place.working(callee)
    request = place.call()
    assert place.refused(request).error == "crossbar.error.max_concurrency_reached"
    assert callee.take() == []
    assert place.cluster["b"].counters["callees_full"] == 1
    place.answer(callee, invocation.request)
    place.call()
    place.answer(callee, place.working(callee).request)
    assert isinstance(place.caller.one(), Result)
    place.check_nothing_is_left()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_full_callee_is_passed_over(nodes: str, policy: str) -> None:
    place = limited(nodes)
    place.fill(3, invoke=policy, concurrency=1)
    for _ in range(3):
        place.call()
    invocations = [place.working(callee) for callee in place.callees]
    request = place.call()
    assert place.refused(request).error == "crossbar.error.max_concurrency_reached"
    for callee, invocation in zip(place.callees, invocations, strict=True):
        place.answer(callee, invocation.request)
    assert len(place.caller.take()) == 3
    place.check_nothing_is_left()


def test_a_call_that_finds_one_full_elsewhere_goes_to_the_next() -> None:
    place = limited("bc")
    first, second = place.fill(2, invoke="first", concurrency=1)
    place.cluster["c"].join().call("p")
    place.cluster.settle()
    busy = place.working(first)
    place.call()
    place.answer(second, place.working(second).request)
    assert isinstance(place.caller.one(), Result)
    assert place.cluster["a"].counters["calls_rerouted"] == 1
    place.answer(first, busy.request)
    place.check_nothing_is_left()


def test_calls_wait_in_order_for_a_place_and_no_more_than_may(nodes: str) -> None:
    place = limited(nodes, queue=2)
    callee = place.add(concurrency=1)
    requests = [place.call(payload=Payload.of([number])) for number in range(3)]
    last = place.call()
    assert place.refused(last).error == "crossbar.error.max_concurrency_reached"
    assert sum(node.counters["calls_queued"] for node in place.cluster.nodes.values()) == 2
    for number, request in enumerate(requests):
        invocation = place.working(callee)
        assert invocation.payload.args() == [number]
        place.answer(callee, invocation.request)
        assert place.caller.one().request == request
    place.check_nothing_is_left()


def test_calls_that_wait_end_by_cancel_and_timeout_and_are_never_sent(nodes: str) -> None:
    place = limited(nodes, queue=10)
    callee = place.add(concurrency=1)
    place.call()
    invocation = place.working(callee)
    for mode in ("skip", "kill", "killnowait"):
        request = place.call()
        place.caller.cancel(request, mode=mode)
        place.cluster.settle()
        assert place.refused(request).error == "wamp.error.canceled"
    request = place.call(timeout=100)
    for node in place.cluster.nodes.values():
        node.clock.advance(0.2)
    place.cluster.settle()
    assert place.refused(request).error == "wamp.error.timeout"
    place.answer(callee, invocation.request)
    assert isinstance(place.caller.one(), Result)
    assert callee.take() == []
    place.check_nothing_is_left()


def test_calls_of_a_caller_that_leaves_wait_no_longer(nodes: str) -> None:
    place = limited(nodes, queue=10)
    callee = place.add(concurrency=1)
    for _ in range(5):
        place.call()
    invocation = place.working(callee)
    place.leave(place.caller)
    assert [type(message) for message in callee.take()] == [Interrupt]
    callee.error(invocation.request, "wamp.error.canceled")
    assert callee.take() == []
    place.check_nothing_is_left()


def test_calls_of_a_node_that_dies_wait_no_longer() -> None:
    place = limited("b", queue=10)
    callee = place.add(concurrency=1)
    for _ in range(5):
        place.call()
    place.working(callee)
    place.cluster.log.append(Down(place.cluster["a"].owner, 1))
    place.cluster["b"].ledger.apply()
    assert [type(message) for message in callee.take()] == [Interrupt]
    assert not any(place.cluster["b"].router._calls._served.values())


def test_calls_that_wait_go_elsewhere_when_their_callee_leaves(nodes: str) -> None:
    place = limited(nodes, queue=10)
    first, second = place.fill(2, invoke="first", concurrency=1)
    requests = [place.call() for _ in range(4)]
    place.leave(first)
    heard = place.caller.take()
    assert [(message.request, message.error) for message in heard] == [(requests[0], "wamp.error.canceled")]
    while invocations := second.take():
        (invocation,) = invocations
        place.answer(second, invocation.request)
    assert {message.request for message in place.caller.take()} == set(requests[1:])
    place.check_nothing_is_left()


def test_calls_that_wait_have_no_procedure_when_their_callee_unregisters(nodes: str) -> None:
    place = limited(nodes, queue=10)
    callee = place.add(concurrency=1)
    place.call()
    invocation = place.working(callee)
    request = place.call()
    callee.unregister(place.ids[0])
    place.cluster.settle()
    assert place.refused(request).error == "wamp.error.no_such_procedure"
    assert isinstance(callee.one(), Unregistered)
    place.answer(callee, invocation.request)
    assert isinstance(place.caller.one(), Result)
    place.check_nothing_is_left()


def test_a_place_is_free_when_the_callee_was_interrupted_else_when_it_answers(nodes: str) -> None:
    for features, freed in ((ALL, True), (NONE, False)):
        place = limited(nodes)
        callee = place.add(features=features, concurrency=1)
        request = place.call()
        invocation = place.working(callee)
        place.caller.cancel(request)
        place.cluster.settle()
        assert place.refused(request).error == "wamp.error.canceled"
        callee.take()
        request = place.call()
        if freed:
            place.answer(callee, place.working(callee).request)
            assert isinstance(place.caller.one(), Result)
        else:
            assert place.refused(request).error == "crossbar.error.max_concurrency_reached"
        place.answer(callee, invocation.request)
        place.check_nothing_is_left()


def test_a_suspended_node_sends_nothing_that_waits_until_it_serves_again(nodes: str) -> None:
    place = limited(nodes, queue=10)
    callee = place.add(concurrency=1)
    home = place.nodes[0]
    request = place.call(timeout=100)
    waiting = place.call()
    place.working(callee)
    home.ledger.serve(False)
    for node in place.cluster.nodes.values():
        node.clock.advance(0.2)
    for wire in list(place.cluster.wires):
        place.cluster.carry(*wire)
    assert place.refused(request).error == "wamp.error.timeout"
    assert [type(message) for message in callee.take()] == [Interrupt]
    home.ledger.serve(True)
    place.answer(callee, place.working(callee).request)
    assert place.caller.one().request == waiting
    place.check_nothing_is_left()


def test_a_progressive_call_does_not_wait(nodes: str) -> None:
    place = limited(nodes, queue=10)
    callee = place.add(concurrency=1)
    place.call()
    invocation = place.working(callee)
    request = place.call(progress=True)
    assert place.refused(request).error == "crossbar.error.max_concurrency_reached"
    place.answer(callee, invocation.request)


# ---- call_reroute

UNAVAILABLE = "wamp.error.unavailable"


@pytest.mark.parametrize(("policy", "order"), [("first", [0, 1, 2]), ("last", [2, 1, 0]), ("roundrobin", [0, 1, 2])])
def test_who_is_unavailable_is_passed_over_by_the_rules_of_the_policy(
    place: Place, policy: str, order: list[int]
) -> None:
    place.fill(3, invoke=policy)
    request = place.call()
    for number in order[:2]:
        place.answer(place.callees[number], place.working(place.callees[number]).request, UNAVAILABLE)
        assert place.caller.take() == []
    last = place.callees[order[2]]
    last.result(place.working(last).request, Payload.of([3]))
    place.cluster.settle()
    result = place.caller.one()
    assert (result.request, result.payload.args()) == (request, [3])
    assert place.cluster["a"].counters["calls_rerouted"] == 2
    place.check_nothing_is_left()


def test_random_gives_it_to_each_of_the_others_before_it_gives_up(place: Place) -> None:
    place.fill(4, invoke="random")
    request = place.call()
    asked: list[int] = []
    while len(asked) < 4:
        ((number, invocation),) = [
            (number, message) for number, callee in enumerate(place.callees) for message in callee.take()
        ]
        asked.append(number)
        place.answer(place.callees[number], invocation.request, UNAVAILABLE)
    assert sorted(asked) == [0, 1, 2, 3]
    assert place.refused(request).error == "wamp.error.no_available_callee"
    place.check_nothing_is_left()


def test_a_single_callee_that_is_unavailable_leaves_nobody(place: Place) -> None:
    callee = place.add()
    request = place.call()
    place.answer(callee, place.working(callee).request, UNAVAILABLE)
    assert place.refused(request).error == "wamp.error.no_available_callee"


def test_of_a_callee_that_did_not_announce_rerouting_it_is_an_error_like_any_other(place: Place) -> None:
    place.fill(2, features=EVERYTHING, invoke="first")
    request = place.call()
    callee = place.callees[0]
    callee.error(place.working(callee).request, UNAVAILABLE, Payload.of(["mine"]))
    place.cluster.settle()
    error = place.refused(request)
    assert (error.error, error.payload.args()) == (UNAVAILABLE, ["mine"])
    assert place.callees[1].take() == []


def test_what_the_caller_has_seen_a_part_of_is_not_given_to_another(place: Place) -> None:
    place.fill(2, invoke="first")
    callee, other = place.callees
    request = place.call(receive_progress=True)
    invocation = place.working(callee)
    callee.result(invocation.request, progress=True)
    place.answer(callee, invocation.request, UNAVAILABLE)
    progress, error = place.caller.take()
    assert isinstance(progress, Result)
    assert (error.request, error.error) == (request, "wamp.error.no_available_callee")
    assert other.take() == []


def test_what_has_gone_on_behind_its_first_part_is_not_given_to_another(place: Place) -> None:
    place.fill(2, invoke="first")
    callee, other = place.callees
    request = place.call(progress=True)
    invocation = place.working(callee)
    place.caller.call_on(request, "p", progress=True)
    place.cluster.settle()
    callee.take()
    place.answer(callee, invocation.request, UNAVAILABLE)
    assert place.refused(request).error == "wamp.error.no_available_callee"
    assert other.take() == []


def test_a_call_that_was_canceled_is_not_given_to_another(place: Place) -> None:
    place.fill(2, invoke="first")
    callee, other = place.callees
    request = place.call()
    invocation = place.working(callee)
    place.caller.cancel(request, mode="kill")
    place.cluster.settle()
    assert isinstance(callee.one(), Interrupt)
    place.answer(callee, invocation.request, UNAVAILABLE)
    assert place.refused(request).error == "wamp.error.canceled"
    assert other.take() == []


def test_a_call_is_offered_to_a_bounded_number_of_callees() -> None:
    place = Place("bca", limits=Limits(call_attempts_max=3))
    place.fill(5, invoke="first")
    request = place.call()
    for callee in place.callees[:3]:
        place.answer(callee, place.working(callee).request, UNAVAILABLE)
    assert place.refused(request).error == "wamp.error.no_available_callee"
    assert place.callees[3].take() == []
    assert place.cluster["a"].counters["call_attempts_reached"] == 1


# ---- callees that are lost


def test_a_call_whose_callee_leaves_is_given_to_the_next_if_it_may_be_repeated(place: Place) -> None:
    place.fill(3, invoke="first", _repeatable=True)
    request = place.call()
    for callee in place.callees[:2]:
        place.working(callee)
        place.leave(callee)
        assert place.caller.take() == []
    last = place.callees[2]
    place.answer(last, place.working(last).request)
    assert place.caller.one().request == request
    place.check_nothing_is_left()


def test_else_it_ends_and_nobody_knows_how_far_it_came(place: Place) -> None:
    place.fill(2, invoke="first")
    request = place.call()
    callee, other = place.callees
    place.working(callee)
    place.leave(callee)
    error = place.refused(request)
    assert (error.error, error.payload.kwargs()) == ("wamp.error.canceled", {"outcome": "unknown"})
    assert other.take() == []
    place.check_nothing_is_left()


def test_if_all_are_lost_nobody_knows_how_far_it_came(place: Place) -> None:
    place.fill(2, invoke="first", _repeatable=True)
    request = place.call()
    for callee in place.callees:
        place.working(callee)
        place.leave(callee)
    error = place.refused(request)
    assert (error.error, error.payload.kwargs()) == ("wamp.error.canceled", {"outcome": "unknown"})
    place.check_nothing_is_left()


@pytest.mark.parametrize("how", ["link", "down"])
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_call_to_a_node_that_is_lost_is_repeated_only_if_it_may_be(how: str, repeatable: bool) -> None:
    place = Place("bc")
    first, second = place.fill(2, invoke="first", _repeatable=repeatable)
    request = place.call()
    place.working(first)
    a, b = place.cluster["a"], place.cluster["b"]
    if how == "link":
        a.router.node_lost(b.owner)
        b.router.node_lost(a.owner)
    else:
        place.cluster.log.append(Down(b.owner, 1))
        a.ledger.apply()
        del place.cluster.nodes["b"]
    place.cluster.settle()
    if repeatable:
        place.answer(second, place.working(second).request)
        assert place.caller.one().request == request
    else:
        assert place.refused(request).error == "wamp.error.canceled"
        assert second.take() == []
    assert not any(a.router._calls._elsewhere.values())


def test_what_the_caller_has_seen_a_part_of_is_not_repeated(place: Place) -> None:
    place.fill(2, invoke="first", _repeatable=True)
    callee, other = place.callees
    request = place.call(receive_progress=True)
    callee.result(place.working(callee).request, progress=True)
    place.cluster.settle()
    assert isinstance(place.caller.one(), Result)
    place.leave(callee)
    assert place.refused(request).error == "wamp.error.canceled"
    assert other.take() == []


def test_a_timeout_holds_over_all_callees(place: Place) -> None:
    place.fill(2, invoke="first", _repeatable=True)
    request = place.call(timeout=100)
    place.working(place.callees[0])
    for node in place.cluster.nodes.values():
        node.clock.advance(0.06)
    place.leave(place.callees[0])
    place.working(place.callees[1])
    for node in place.cluster.nodes.values():
        node.clock.advance(0.06)
    assert place.refused(request).error == "wamp.error.timeout"
    place.check_nothing_is_left()


def test_sessions_that_are_sent_away_hand_their_place_to_the_others() -> None:
    node = Node()
    leaving, staying, caller = node.join(), node.join(), node.join()
    for callee in (leaving, staying):
        callee.registered("p", invoke="first")
    session = node.router._sessions[leaving.session]
    assert node.router._realms["realm1"].settled(session)
    request = caller.call("p")
    staying.result(staying.one().request)
    assert caller.one() == Result(request, {}, NOTHING)
    assert leaving.take() == []
