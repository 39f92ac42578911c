"""What calls can do beyond the basic profile, on one node and between two (advanced profile, "RPC")."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.core import EVERYTHING, Cluster, Peer
from wampha.limits import Limits
from wampha.messages.model import Abort, Error, Interrupt, Invocation, Registered, Result
from wampha.messages.payload import NOTHING, Payload
from wampha.routing.permissions import ACTIONS, Permission

NONE: dict[str, tuple[str, ...]] = {}


def only(*names: str) -> dict[str, tuple[str, ...]]:
    """A client that announces these features in each role."""
    return dict.fromkeys(EVERYTHING, names)


def part(number: int) -> Payload:
    return Payload.of([number])


class Place:
    """A caller on node a, its callee on a or on b."""

    def __init__(self, callee_on: str, **options: Any) -> None:
        self.cluster = Cluster("a", "b", **options)
        self.a, self.b = self.cluster["a"], self.cluster["b"]
        self.home = self.cluster[callee_on]
        self.caller = self.a.join(features=EVERYTHING)
        self.callee = self.home.join(features=EVERYTHING)
        self.far = callee_on != "a"

    def register(self, procedure: str = "p", **options: Any) -> None:
        self.callee.register(procedure, **options)
        self.cluster.settle()
        assert isinstance(self.callee.one(), Registered)

    def call(self, procedure: str = "p", payload: Payload = NOTHING, **options: Any) -> int:
        """CALL; its INVOCATION, if there is one, waits at the callee."""
        request = self.caller.call(procedure, payload, **options)
        self.cluster.settle()
        return request

    def invoked(self, **options: Any) -> Invocation:
        """CALL, and the INVOCATION that comes of it."""
        self.call(**options)
        message = self.callee.one()
        assert isinstance(message, Invocation)
        return message

    def check_nothing_is_left(self) -> None:
        self.cluster.settle()
        for node in (self.a, self.b):
            calls = node.router._calls
            assert not any(calls._elsewhere.values())
            assert not any(calls._served.values())
            assert not len(calls._timeouts)
            assert not calls._timeouts._heap
            assert calls._timeouts._timer is None
            for session in node.router._sessions.values():
                assert not session.calls
                assert not session.invocations
        assert self.a.counters["calls"] == self.a.counters["calls_ended"]


@pytest.fixture(params=["a", "b"], ids=["one-node", "across-nodes"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def refused(message: Any, request: int) -> str:
    assert isinstance(message, Error)
    assert (message.request_type, message.request) == (48, request)
    assert message.payload.args()
    return message.error


def violated(peer: Peer) -> bool:
    abort = peer.take()[-1]
    return isinstance(abort, Abort) and abort.reason == "wamp.error.protocol_violation"


# ---- caller identification and trust levels


def test_a_caller_is_known_if_it_asks_for_it(place: Place) -> None:
    place.register()
    assert place.invoked().details == {}
    assert place.invoked(disclose_me=False).details == {}
    caller = place.a.router._sessions[place.caller.session]
    assert place.invoked(disclose_me=True).details == {
        "caller": caller.id,
        "caller_authid": caller.authid,
        "caller_authrole": "user",
    }


def test_a_callee_may_ask_to_know_every_caller(place: Place) -> None:
    place.register(disclose_caller=True)
    assert place.invoked().details["caller"] == place.caller.session


@pytest.mark.parametrize("home", ["a", "b"])
def test_a_permission_may_disclose_every_caller_and_say_how_far_it_is_trusted(home: str) -> None:
    permission = Permission("", "prefix", frozenset(ACTIONS), disclose=frozenset({"call"}), trustlevel=7)
    place = Place(home, permissions=[permission])
    place.register()
    details = place.invoked().details
    assert (details["caller"], details["trustlevel"]) == (place.caller.session, 7)


# ---- payload passthru mode


PASSTHRU = {"ppt_scheme": "x_mine", "ppt_serializer": "cbor", "ppt_cipher": "aes256gcm", "ppt_keyid": "k"}


def test_passthru_attributes_go_both_ways_as_they_are(place: Place) -> None:
    place.register()
    invocation = place.invoked(**PASSTHRU)
    assert invocation.details == PASSTHRU
    place.callee.result(invocation.request, **PASSTHRU)
    place.cluster.settle()
    assert place.caller.one().details == PASSTHRU


def test_passthru_to_a_callee_without_it_is_refused(place: Place) -> None:
    place.callee = place.home.join(features=NONE)
    place.register()
    request = place.call(**PASSTHRU)
    assert refused(place.caller.one(), request) == "wamp.error.feature_not_supported"
    assert place.callee.take() == []
    place.check_nothing_is_left()


def test_passthru_without_its_announcement_is_a_violation(place: Place) -> None:
    place.register()
    caller = place.a.join(features=NONE)
    caller.call("p", **PASSTHRU)
    assert violated(caller)
    callee = place.home.join(features=NONE)
    callee.register("q")
    place.cluster.settle()
    callee.take()
    request = place.call("q")
    callee.result(callee.one().request, ppt_scheme="x_mine")
    place.cluster.settle()
    assert violated(callee)
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    place.check_nothing_is_left()


@pytest.mark.parametrize("progress", [False, True])
def test_a_passthru_answer_to_a_caller_without_it_ends_the_call(place: Place, progress: bool) -> None:
    place.register()
    place.caller = place.a.join(features=only("progressive_call_results"))
    invocation = place.invoked(receive_progress=True)
    place.callee.result(invocation.request, ppt_scheme="x_mine", progress=progress)
    place.cluster.settle()
    assert refused(place.caller.one(), 1) == "wamp.error.feature_not_supported"
    place.check_nothing_is_left()


# ---- call canceling


@pytest.mark.parametrize("mode", ["skip", "killnowait", None])
def test_cancel_ends_the_call_at_once_and_what_the_callee_says_is_dropped(place: Place, mode: str | None) -> None:
    place.register()
    request = place.call()
    invocation = place.callee.one().request
    place.caller.cancel(request, **({"mode": mode} if mode else {}))
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    place.cluster.settle()
    expected = [Interrupt(invocation, {"mode": "killnowait", "reason": "wamp.error.canceled"})]
    assert place.callee.take() == ([] if mode == "skip" else expected)
    place.callee.result(invocation)
    place.cluster.settle()
    assert place.caller.take() == []
    assert place.callee.conversation.established
    assert place.a.counters["calls_canceled"] == 1
    place.check_nothing_is_left()


@pytest.mark.parametrize("answer", ["result", "error"])
def test_kill_leaves_the_answer_to_the_callee(place: Place, answer: str) -> None:
    place.register()
    request = place.call()
    invocation = place.callee.one().request
    for _ in range(2):
        place.caller.cancel(request, mode="kill")
        place.cluster.settle()
    assert place.caller.take() == []
    assert place.callee.one() == Interrupt(invocation, {"mode": "kill", "reason": "wamp.error.canceled"})
    if answer == "result":
        place.callee.result(invocation, part(5))
    else:
        place.callee.error(invocation, "wamp.error.canceled", part(5))
    place.cluster.settle()
    message = place.caller.one()
    assert type(message) is (Result if answer == "result" else Error)
    assert message.payload == part(5)
    place.check_nothing_is_left()


@pytest.mark.parametrize("mode", ["kill", "killnowait", "skip"])
def test_a_callee_that_did_not_announce_it_gets_no_interrupt(place: Place, mode: str) -> None:
    place.callee = place.home.join(features=only("progressive_call_results"))
    place.register()
    request = place.call()
    invocation = place.callee.one().request
    place.caller.cancel(request, mode=mode)
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    assert place.callee.take() == []
    place.callee.result(invocation)
    place.check_nothing_is_left()
    assert place.caller.take() == []


def test_both_spellings_of_the_feature_count(place: Place) -> None:
    for spelling in ("call_canceling", "call_cancelling"):
        callee = place.home.join(features={"callee": (spelling,)})
        callee.register(f"p.{spelling}")
        place.cluster.settle()
        callee.take()
        place.caller.cancel(place.call(f"p.{spelling}"))
        place.cluster.settle()
        assert isinstance(callee.take()[-1], Interrupt)


def test_impatience_after_kill_ends_the_call(place: Place) -> None:
    place.register()
    request = place.call()
    place.caller.cancel(request, mode="kill")
    place.caller.cancel(request, mode="killnowait")
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    place.check_nothing_is_left()


def test_cancel_of_an_ended_or_foreign_call_does_nothing(place: Place) -> None:
    place.register()
    request = place.call()
    place.callee.result(place.callee.one().request)
    place.cluster.settle()
    place.caller.take()
    place.caller.cancel(request)
    place.caller.cancel(4711, mode="kill")
    request = place.call()
    stranger = place.a.join(features=EVERYTHING)
    stranger.cancel(request, mode="kill")
    place.cluster.settle()
    assert place.caller.take() == stranger.take() == []
    place.callee.result(place.callee.one().request)
    place.cluster.settle()
    assert isinstance(place.caller.one(), Result)
    place.check_nothing_is_left()


def test_a_result_that_meets_cancel_on_its_way_is_dropped() -> None:
    place = Place("b")
    place.register()
    request = place.call()
    place.callee.result(place.callee.one().request)
    place.caller.cancel(request)
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    place.cluster.settle()
    assert place.caller.take() == []
    assert place.callee.take() == []
    place.check_nothing_is_left()


def test_a_result_that_meets_kill_on_its_way_is_the_answer() -> None:
    place = Place("b")
    place.register()
    request = place.call()
    place.callee.result(place.callee.one().request, part(1))
    place.caller.cancel(request, mode="kill")
    place.cluster.settle()
    assert place.caller.one() == Result(request, {}, part(1))
    assert place.callee.take() == []
    place.check_nothing_is_left()


def test_kill_of_a_call_that_was_not_delivered_is_not_tried_elsewhere() -> None:
    place = Place("b")
    place.register()
    place.b.ledger.serve(False)
    request = place.caller.call("p")
    place.caller.cancel(request, mode="kill")
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    place.check_nothing_is_left()


def test_the_callee_learns_that_the_caller_left(place: Place) -> None:
    place.register()
    invocation = place.invoked().request
    place.caller.conversation.lost()
    place.cluster.settle()
    assert place.callee.one() == Interrupt(invocation, {"mode": "killnowait", "reason": "wamp.error.canceled"})
    place.check_nothing_is_left()


def test_the_callee_learns_that_the_caller_s_node_is_lost() -> None:
    place = Place("b")
    place.register()
    place.call()
    place.callee.take()
    place.b.router.node_lost(place.a.owner)
    assert isinstance(place.callee.one(), Interrupt)
    assert not any(place.b.router._calls._served.values())


# ---- call timeout


def test_a_call_ends_when_its_milliseconds_are_over(place: Place) -> None:
    place.register()
    request = place.call(timeout=250)
    invocation = place.callee.one()
    assert invocation.details == {}
    place.a.clock.advance(0.249)
    assert place.caller.take() == []
    place.a.clock.advance(0.002)
    error = place.caller.one()
    assert refused(error, request) == "wamp.error.timeout"
    assert error.payload.kwargs() == {"outcome": "unknown"}
    place.cluster.settle()
    assert place.callee.one() == Interrupt(invocation.request, {"mode": "killnowait", "reason": "wamp.error.timeout"})
    assert place.a.counters["calls_timed_out"] == 1
    place.callee.result(invocation.request)
    place.check_nothing_is_left()
    assert place.caller.take() == []


def test_the_caller_s_home_keeps_the_time_though_the_callee_s_node_hangs() -> None:
    place = Place("b")
    place.register()
    request = place.caller.call("p", timeout=100)
    place.a.clock.advance(0.1)
    assert refused(place.caller.one(), request) == "wamp.error.timeout"
    place.check_nothing_is_left()


def test_a_timeout_without_interrupt_for_a_callee_that_does_not_know_it(place: Place) -> None:
    place.callee = place.home.join(features=NONE)
    place.register()
    request = place.call(timeout=1)
    place.callee.take()
    place.a.clock.advance(1)
    assert refused(place.caller.one(), request) == "wamp.error.timeout"
    place.cluster.settle()
    assert place.callee.take() == []


def test_zero_means_no_timeout_and_a_huge_one_is_taken(place: Place) -> None:
    place.register()
    place.call(timeout=0)
    assert place.a.clock.pending() == 0
    place.call(timeout=2**63)
    place.a.clock.advance(86400)
    assert place.caller.take() == []
    for message in place.callee.take():
        place.callee.result(message.request)
    place.check_nothing_is_left()


def test_a_realm_may_count_seconds_as_crossbar_does() -> None:
    place = Place("a", timeout_unit_s=1.0)
    place.register()
    request = place.call(timeout=2)
    place.a.clock.advance(1.9)
    assert place.caller.take() == []
    place.a.clock.advance(0.2)
    assert refused(place.caller.one(), request) == "wamp.error.timeout"


def test_each_progressive_result_gives_the_call_its_whole_time_again(place: Place) -> None:
    place.register()
    request = place.call(timeout=100, receive_progress=True)
    invocation = place.callee.one().request
    for _ in range(5):
        place.a.clock.advance(0.08)
        place.callee.result(invocation, progress=True)
        place.cluster.settle()
        assert place.caller.one().details == {"progress": True}
    place.a.clock.advance(0.08)
    assert place.caller.take() == []
    place.a.clock.advance(0.03)
    assert refused(place.caller.one(), request) == "wamp.error.timeout"
    place.check_nothing_is_left()


def test_the_shorter_of_two_timeouts_ends_first(place: Place) -> None:
    place.register()
    place.call(timeout=1000)
    request = place.call(timeout=10)
    place.a.clock.advance(0.011)
    assert refused(place.caller.one(), request) == "wamp.error.timeout"
    place.a.clock.advance(1)
    assert refused(place.caller.one(), 1) == "wamp.error.timeout"


def test_many_timeouts_have_one_timer_and_leave_no_heap(place: Place) -> None:
    place.register()
    chance = random.Random(1)
    for _ in range(3000):
        place.call(timeout=chance.randint(10_000, 1_000_000))
        assert place.a.clock.pending() == 1
        if chance.random() < 0.9:
            place.callee.result(place.callee.take()[-1].request)
            place.cluster.settle()
        timeouts = place.a.router._calls._timeouts
        assert len(timeouts._heap) <= 2 * len(timeouts) + 64
    place.caller.take()
    place.a.clock.advance(1001)
    assert {message.error for message in place.caller.take()} == {"wamp.error.timeout"}
    place.check_nothing_is_left()
    assert place.a.clock.pending() == 0


# ---- progressive call results


def test_results_on_the_way_come_in_order_and_before_the_last(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one()
    assert invocation.details == {"receive_progress": True}
    for number in range(3):
        place.callee.result(invocation.request, part(number), progress=True, _own=1)
    place.callee.result(invocation.request, part(3))
    place.callee.result(invocation.request, part(4), progress=True)
    place.cluster.settle()
    on_the_way = [Result(request, {"_own": 1, "progress": True}, part(number)) for number in range(3)]
    assert place.caller.take() == [*on_the_way, Result(request, {}, part(3))]
    assert place.home.counters["late_yields"] == 1
    place.check_nothing_is_left()


def test_an_error_may_follow_results_on_the_way(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one().request
    place.callee.result(invocation, progress=True)
    place.callee.error(invocation, "com.failed")
    place.callee.result(invocation, progress=True)
    place.cluster.settle()
    progress, error = place.caller.take()
    assert progress.details == {"progress": True}
    assert refused(Error(48, request, {}, error.error, part(1)), request) == "com.failed"
    place.check_nothing_is_left()


@pytest.mark.parametrize("features", [NONE, only("progressive_call_results"), only("call_canceling")])
def test_a_callee_without_the_feature_or_canceling_is_not_asked_for_progress(place: Place, features: Any) -> None:
    place.callee = place.home.join(features=features)
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one()
    assert invocation.details == {}
    place.callee.result(invocation.request, part(1), progress=True)
    place.callee.result(invocation.request, part(2))
    place.cluster.settle()
    assert place.caller.one() == Result(request, {}, part(2))
    assert place.home.counters["progress_unwanted"] == 1


def test_progress_that_the_caller_did_not_ask_for_is_dropped(place: Place) -> None:
    place.register()
    request = place.call()
    invocation = place.callee.one().request
    place.callee.result(invocation, part(1), progress=True)
    place.callee.result(invocation, part(2))
    place.cluster.settle()
    assert place.caller.one() == Result(request, {}, part(2))
    assert place.home.counters["progress_unwanted"] == 1


def test_progress_for_an_invocation_never_sent_is_a_violation(place: Place) -> None:
    place.register()
    place.invoked(receive_progress=True)
    place.callee.result(2, progress=True)
    assert violated(place.callee)


def test_progress_after_cancel_is_dropped(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one().request
    place.callee.result(invocation, progress=True)
    place.caller.cancel(request)
    place.callee.result(invocation, progress=True)
    place.cluster.settle()
    messages = place.caller.take()
    assert refused(messages[-1], request) == "wamp.error.canceled"
    assert all(isinstance(message, Result) for message in messages[:-1])
    place.check_nothing_is_left()


def test_progress_after_kill_still_comes_before_the_answer(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one().request
    place.caller.cancel(request, mode="kill")
    place.callee.result(invocation, part(1), progress=True)
    place.callee.error(invocation, "wamp.error.canceled")
    place.cluster.settle()
    assert [type(message) for message in place.caller.take()] == [Result, Error]
    place.check_nothing_is_left()


def test_the_callee_that_leaves_ends_a_call_with_progress(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    place.callee.result(place.callee.one().request, progress=True)
    place.callee.conversation.lost()
    place.cluster.settle()
    progress, error = place.caller.take()
    assert isinstance(progress, Result)
    assert refused(error, request) == "wamp.error.canceled"
    place.check_nothing_is_left()


def test_a_progressive_result_that_fits_no_frame_between_nodes_ends_the_call() -> None:
    place = Place("b")
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one().request
    network = place.b.outbox.network
    assert network is not None
    place.b.outbox.network = lambda target, relayed: relayed.payload != part(1) and network(target, relayed)
    place.callee.result(invocation, part(0), progress=True)
    place.callee.result(invocation, part(1), progress=True)
    place.callee.result(invocation, part(2))
    place.cluster.settle()
    progress, error = place.caller.take()
    assert progress.payload == part(0)
    assert refused(error, request) == "wamp.error.payload_size_exceeded"
    assert isinstance(place.callee.one(), Interrupt)
    place.check_nothing_is_left()


def test_a_progressive_result_that_the_caller_cannot_be_sent_ends_the_call(place: Place) -> None:
    place.register()
    request = place.call(receive_progress=True)
    invocation = place.callee.one().request
    problem = Error(48, request, {}, "wamp.error.payload_size_exceeded", part(9))
    place.caller.conversation.undelivered(problem)
    place.caller.conversation.undelivered(problem)
    assert place.caller.one() == problem
    place.cluster.settle()
    assert isinstance(place.callee.one(), Interrupt)
    place.callee.result(invocation)
    place.check_nothing_is_left()
    assert place.caller.take() == []


# ---- progressive call invocations


def test_a_part_that_the_callee_cannot_be_sent_ends_the_call(place: Place) -> None:
    place.register()
    request = place.call(progress=True)
    invocation = place.callee.one().request
    place.caller.call_on(request, "p", part(1), progress=True)
    place.cluster.settle()
    place.callee.take()
    place.callee.conversation.undelivered(Error(68, invocation, {}, "wamp.error.payload_size_exceeded", part(9)))
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.payload_size_exceeded"
    assert isinstance(place.callee.one(), Interrupt)
    place.check_nothing_is_left()


@pytest.mark.parametrize("progress", [False, True])
def test_a_first_invocation_that_the_callee_cannot_be_sent_is_not_interrupted(place: Place, progress: bool) -> None:
    place.register()
    request = place.call(progress=progress)
    invocation = place.callee.one().request
    place.callee.conversation.undelivered(Error(68, invocation, {}, "wamp.error.payload_size_exceeded", part(9)))
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.payload_size_exceeded"
    assert place.callee.take() == []
    place.check_nothing_is_left()


def test_parts_of_a_call_go_to_one_invocation_in_order(place: Place) -> None:
    place.register()
    request = place.call(payload=part(0), progress=True, disclose_me=True, _own=1)
    place.caller.call_on(request, "p", part(1), progress=True, disclose_me=False, timeout=5, _other=2)
    place.caller.call_on(request, "p", part(2))
    place.cluster.settle()
    invocations = place.callee.take()
    assert [invocation.payload for invocation in invocations] == [part(0), part(1), part(2)]
    assert len({(invocation.request, invocation.registration) for invocation in invocations}) == 1
    first, second, last = (dict(invocation.details) for invocation in invocations)
    assert (first["caller"], first["_own"]) == (place.caller.session, 1)
    assert first == second == {**last, "progress": True}
    place.callee.result(invocations[0].request, part(3))
    place.cluster.settle()
    assert place.caller.one() == Result(request, {}, part(3))
    place.check_nothing_is_left()


def test_parts_and_results_flow_both_ways_at_once(place: Place) -> None:
    place.register()
    request = place.call(payload=part(0), progress=True, receive_progress=True)
    invocation = place.callee.one().request
    for number in range(1, 4):
        place.callee.result(invocation, part(-number), progress=True)
        place.caller.call_on(request, "p", part(number), progress=number < 3)
        place.cluster.settle()
        assert place.caller.one().payload == part(-number)
        message = place.callee.one()
        assert (message.payload, message.details["receive_progress"]) == (part(number), True)
    place.callee.result(invocation)
    place.check_nothing_is_left()


@pytest.mark.parametrize("features", [NONE, only("progressive_call_invocations"), only("call_canceling")])
def test_a_progressive_call_to_a_callee_without_the_feature_is_refused(place: Place, features: Any) -> None:
    place.callee = place.home.join(features=features)
    place.register()
    request = place.call(progress=True)
    assert refused(place.caller.one(), request) == "wamp.error.feature_not_supported"
    assert place.callee.take() == []
    place.check_nothing_is_left()


def test_a_progressive_call_without_its_announcement_is_a_violation(place: Place) -> None:
    place.register()
    caller = place.a.join(features=only("call_canceling"))
    caller.call("p", progress=True)
    assert violated(caller)
    place.cluster.settle()
    assert place.callee.take() == []


def test_parts_that_come_after_the_end_are_ignored(place: Place) -> None:
    place.register()
    request = place.call(progress=True)
    place.callee.error(place.callee.one().request, "com.enough")
    place.cluster.settle()
    assert place.caller.one().error == "com.enough"
    place.caller.call_on(request, "p", progress=True)
    place.caller.call_on(request, "p")
    place.cluster.settle()
    assert place.caller.take() == place.callee.take() == []
    assert place.a.counters["late_parts"] == 2
    assert not place.a.router._sessions[place.caller.session].unfinished, "nothing may follow the last part"
    place.check_nothing_is_left()


def test_a_part_for_another_procedure_is_ignored(place: Place) -> None:
    place.register()
    request = place.call(progress=True)
    place.callee.take()
    place.caller.call_on(request, "q", progress=True)
    place.cluster.settle()
    assert place.callee.take() == []
    assert place.a.counters["late_parts"] == 1
    assert place.caller.conversation.established


def test_a_part_behind_the_last_one_is_a_violation(place: Place) -> None:
    place.register()
    request = place.call(progress=True)
    place.caller.call_on(request, "p")
    place.caller.call_on(request, "p")
    assert violated(place.caller)
    place.check_nothing_is_left()


def test_memory_of_calls_that_ended_before_their_last_part_is_bounded() -> None:
    place = Place("a", limits=Limits(session_calls_max=3))
    place.register()
    for _ in range(10):
        place.call(progress=True)
        place.callee.error(place.callee.one().request, "com.enough")
    assert list(place.a.router._sessions[place.caller.session].unfinished) == [8, 9, 10]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_progressive_call_of_which_parts_were_lost_is_not_tried_elsewhere(parts: int) -> None:
    place = Place("b")
    place.register()
    request = place.caller.call("p", part(0), progress=True)
    for number in range(1, parts):
        place.caller.call_on(request, "p", part(number), progress=True)
    place.callee.conversation.lost()
    place.cluster.commit()
    heir = place.a.join(features=EVERYTHING)
    heir.register("p")
    place.cluster.commit()
    heir.take()
    place.cluster.settle()
    if parts == 1:
        assert heir.one().payload == part(0)
    else:
        assert refused(place.caller.one(), request) == "wamp.error.no_such_procedure"
        assert heir.take() == []
        place.check_nothing_is_left()


def test_rule_2_a_suspended_node_delivers_no_later_part_and_the_call_ends() -> None:
    place = Place("b")
    place.register()
    request = place.call(payload=part(0), progress=True)
    place.callee.take()
    place.b.ledger.serve(False)
    place.caller.call_on(request, "p", part(1), progress=True)
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    assert isinstance(place.callee.one(), Interrupt)
    place.check_nothing_is_left()


def test_a_part_that_cannot_be_sent_to_the_callee_s_node_ends_the_call() -> None:
    place = Place("b")
    place.register()
    request = place.call(payload=part(0), progress=True)
    place.callee.take()
    network = place.a.outbox.network
    assert network is not None
    place.a.outbox.network = lambda target, relayed: not hasattr(relayed, "more") and network(target, relayed)
    place.caller.call_on(request, "p", part(1), progress=True)
    place.cluster.settle()
    assert refused(place.caller.one(), request) == "wamp.error.canceled"
    assert isinstance(place.callee.one(), Interrupt)
    place.check_nothing_is_left()


def test_the_caller_that_leaves_interrupts_its_progressive_call(place: Place) -> None:
    place.register()
    place.call(progress=True)
    place.callee.take()
    place.caller.conversation.lost()
    place.cluster.settle()
    assert isinstance(place.callee.one(), Interrupt)
    place.check_nothing_is_left()


# ---- pattern-based registration

# The example of the specification with c44 in place of c33: that one begins with the prefix a1.b2.c3, and prefixes are
# compared by characters ("Prefix Matching": `com.myapp.myobject1` matches `com.myapp.myobject1-mysubobject1`).
REGISTERED = (
    ("a1.b2.c3.d4.e55", "exact"),
    ("a1.b2.c3", "prefix"),
    ("a1.b2.c3.d4", "prefix"),
    ("a1.b2..d4.e5", "wildcard"),
    ("a1.b2.c44..e5", "wildcard"),
    ("a1.b2..d4.e5..g7", "wildcard"),
    ("a1.b2..d4..f6.g7", "wildcard"),
)
CALLS = {
    "a1.b2.c3.d4.e55": 1,
    "a1.b2.c3.d98.e74": 2,
    "a1.b2.c3.d4.e325": 3,
    "a1.b2.c55.d4.e5": 4,
    "a1.b2.c33.d4.e5": 2,
    "a1.b2.c44.d4.e5": 5,
    "a1.b2.c88.d4.e5.f6.g7": 6,
}


def test_a_call_goes_to_the_most_specific_registration_and_is_told_its_procedure(place: Place) -> None:
    ids = {}
    for number, (procedure, match) in enumerate(REGISTERED, 1):
        place.callee.register(procedure, match=match)
        place.cluster.settle()
        ids[place.callee.one().registration] = number
    for procedure, number in CALLS.items():
        place.call(procedure)
        invocation = place.callee.one()
        assert ids[invocation.registration] == number, procedure
        assert invocation.details == ({} if number == 1 else {"procedure": procedure})
        place.callee.result(invocation.request)
        place.cluster.settle()
        assert isinstance(place.caller.one(), Result)
    request = place.call("a2.b2.c2.d2.e2")
    assert refused(place.caller.one(), request) == "wamp.error.no_such_procedure"
    place.check_nothing_is_left()


def test_a_pattern_gives_way_while_something_more_specific_is_registered(place: Place) -> None:
    place.register("p", match="prefix")
    other = place.a.join(features=EVERYTHING)
    other.register("p.x")
    place.cluster.settle()
    registration = other.one().registration
    place.call("p.x")
    assert other.one().details == {}
    other.unregister(registration)
    place.cluster.settle()
    place.call("p.x", disclose_me=True, progress=True)
    details = place.callee.one().details
    assert (details["procedure"], details["progress"], details["caller"]) == ("p.x", True, place.caller.session)
    place.caller.call_on(2, "p.x")
    place.cluster.settle()
    assert place.callee.one().details["procedure"] == "p.x"


def test_the_same_name_under_another_match_is_another_registration(place: Place) -> None:
    for match in ("exact", "prefix", "wildcard"):
        place.register("p", match=match)
        other = place.home.join()
        request = other.register("p", match=match)
        place.cluster.settle()
        assert other.one().error == "wamp.error.procedure_already_exists"
        assert request


@pytest.mark.parametrize(("pattern", "match"), [("", "prefix"), ("wam", "prefix"), ("..", "wildcard")])
def test_a_pattern_does_not_catch_what_belongs_to_the_router(place: Place, pattern: str, match: str) -> None:
    place.register(pattern, match=match)
    for procedure in ("wamp.session.nothing", "wampha.cluster.nobody"):
        request = place.call(procedure)
        assert refused(place.caller.one(), request) == "wamp.error.no_such_procedure"
    assert place.callee.take() == []


def test_a_pattern_needs_a_permission_that_covers_it() -> None:
    allowed = Permission("com.", "prefix", frozenset({"register"}))
    place = Place("a", permissions=[allowed])
    place.register("com.x", match="prefix")
    for pattern, match in (("co", "prefix"), ("", "prefix"), (".x", "wildcard")):
        place.callee.register(pattern, match=match)
        place.cluster.settle()
        assert place.callee.one().error == "wamp.error.not_authorized"


# ---- lenient realms


@pytest.mark.parametrize("home", ["a", "b"])
def test_a_lenient_realm_accepts_what_was_not_announced(home: str) -> None:
    place = Place(home, lenient=True)
    place.caller = place.a.join(features=NONE)
    place.callee = place.home.join(features=NONE)
    place.register()
    request = place.call(receive_progress=True, **PASSTHRU)
    invocation = place.callee.one()
    assert invocation.details == {"receive_progress": True, **PASSTHRU}
    place.callee.result(invocation.request, progress=True, **PASSTHRU)
    place.callee.result(invocation.request, **PASSTHRU)
    place.cluster.settle()
    assert [message.details for message in place.caller.take()] == [{"progress": True, **PASSTHRU}, PASSTHRU]
    assert refused(place.caller.one() if place.call(progress=True) else None, 2) == "wamp.error.feature_not_supported"
    request = place.call()
    place.caller.cancel(request)
    place.cluster.settle()
    assert [type(message) for message in place.callee.take()] == [Invocation], "nobody is sent what he may not know"


def test_a_lenient_realm_lets_an_unannounced_caller_stream_to_who_can() -> None:
    place = Place("b", lenient=True)
    place.caller = place.a.join(features=NONE)
    place.callee = place.home.join(features=only("progressive_call_invocations"))
    place.register()
    request = place.call(payload=part(0), progress=True)
    place.caller.call_on(request, "p", part(1))
    place.cluster.settle()
    assert [message.payload for message in place.callee.take()] == [part(0), part(1)]


# ---- all at once


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_each_call_ends_once_and_nothing_is_left(seed: int) -> None:
    chance = random.Random(seed)
    place = Place("ab"[seed % 2])
    place.register()
    working: list[int] = []
    streams: set[int] = set()
    ends: dict[int, int] = {}
    made = 0

    def hear() -> None:
        for message in place.caller.take():
            assert ends.get(message.request, 0) == 0, "nothing follows the end of a call"
            if isinstance(message, Error) or "progress" not in message.details:
                ends[message.request] = 1
        for message in place.callee.client.take():
            if isinstance(message, Invocation) and message.request not in working:
                working.append(message.request)

    for _ in range(1500):
        kind = chance.choice(("call", "call", "part", "cancel", "progress", "end", "end", "time", "carry"))
        if kind == "call":
            made += 1
            options = {"timeout": chance.randint(1, 200)} if chance.random() < 0.5 else {}
            for option in ("receive_progress", "progress"):
                if chance.random() < 0.4:
                    options[option] = True
            request = place.caller.call("p" if chance.random() < 0.9 else "nobody", **options)
            if "progress" in options:
                streams.add(request)
        elif kind == "part" and streams:
            request = chance.choice(sorted(streams))
            more = chance.random() < 0.7
            place.caller.call_on(request, "p", progress=more)
            if not more:
                streams.remove(request)
        elif kind == "cancel" and made:
            place.caller.cancel(chance.randint(1, made), mode=chance.choice(("skip", "kill", "killnowait")))
        elif kind == "progress" and working:
            place.callee.result(chance.choice(working), progress=True)
        elif kind == "end" and working:
            place.callee.result(working.pop(chance.randrange(len(working))))
        elif kind == "time":
            place.a.clock.advance(0.02)
        else:
            place.cluster.settle()
        hear()
    place.callee.conversation.lost()
    place.cluster.settle()
    hear()
    assert place.caller.conversation.established
    assert sorted(ends) == list(range(1, made + 1))
    place.check_nothing_is_left()
