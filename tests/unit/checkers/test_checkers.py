"""Each checker finds what it is for in a history made by hand, and lets the history without the fault pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkers.every import check
from tests.checkers.excuses import RECOVERY_S
from tests.checkers.history import (
    ENDED,
    ERROR,
    GOODBYE,
    LEFT,
    LOST,
    OK,
    UNKNOWN,
    VANISHED,
    Ending,
    Event,
    Fault,
    Gap,
    History,
    Invocation,
    Operation,
    Sample,
)

END = 100.0
ALICE, BOB, CAROL = 1, 2, 3  # sessions, one at each node
NODES = {ALICE: "n1", BOB: "n2", CAROL: "n3"}
EXISTS, MISSING = "wamp.error.procedure_already_exists", "wamp.error.no_such_procedure"


class Story:
    """A history, told step by step; without any step after it, it is flawless."""

    def __init__(self) -> None:
        self.history = History()
        self._numbers: dict[tuple[int, str], int] = {}
        for session, node in NODES.items():
            self.history.add(Operation(f"c{session}", session, node, "join", 0.0, 0.1, OK))

    def op(
        self, session: int, op: str, at: float, *, takes: float | None = 0.1, outcome: str = OK, **more
    ) -> Operation:
        operation = Operation(f"c{session}", session, NODES[session], op, at, outcome=outcome, **more)
        operation.returned = None if takes is None else at + takes
        self.history.add(operation)
        return operation

    def subscribe(self, session: int, at: float, topic: str = "t", **more) -> Operation:
        return self.op(session, "subscribe", at, uri=topic, **{"id": 7, **more})

    def publish(self, session: int, at: float, *to: int, topic: str = "t", **more) -> Operation:
        number = self._number(session, "publish")
        publish = self.op(session, "publish", at, uri=topic, number=number, acknowledge=True, **more)
        for receiver in to:
            self.event(receiver, at + 0.1, publish)
        return publish

    def event(self, receiver: int, at: float, publish: Operation, subscription: int = 7) -> None:
        self.history.add(
            Event(
                client=f"c{receiver}",
                session=receiver,
                node=NODES[receiver],
                time=at,
                subscription=subscription,
                publication=publish.number,
                publisher=publish.session,
                number=publish.number,
                topic=publish.uri,
            )
        )

    def register(self, session: int, at: float, **more) -> Operation:
        return self.op(session, "register", at, uri="p", **more)

    def call(self, session: int, at: float, callee: int = 0, **more) -> Operation:
        number = self._number(session, "call")
        call = self.op(session, "call", at, uri="p", number=number, **{"answers": 1, "callee": callee, **more})
        if callee:
            self.invoked(callee, at + 0.05, call)
        return call

    def invoked(self, callee: int, at: float, call: Operation, answered: bool = True) -> None:
        self.history.add(
            Invocation(
                client=f"c{callee}",
                session=callee,
                node=NODES[callee],
                time=at,
                registration=9,
                invocation=1,
                caller=call.session,
                number=call.number,
                procedure="p",
                answered=at if answered else None,
            )
        )

    def ended(self, session: int, at: float, cause: str) -> None:
        self.history.add(Ending(f"c{session}", session, NODES[session], at, cause))

    def fault(self, kind: str, begin: float, end: float, **whom) -> None:
        self.history.add(Fault(kind, begin, end, **whom))

    def gap(self, source: str, target: str, begin: float, end: float) -> None:
        self.history.add(Gap(source, target, begin, end))

    def found(self, **options) -> list[str]:
        over = {ending.session for ending in self.history.endings}
        for session in NODES:
            if session not in over:
                self.ended(session, END, ENDED)
        return sorted({violation.rule for violation in check(self.history, **options)})

    def _number(self, session: int, series: str) -> int:
        self._numbers[session, series] = number = self._numbers.get((session, series), 0) + 1
        return number


# ---- P1


def owned_by_alice() -> Story:
    story = Story()
    story.register(ALICE, 1.0)
    return story


def test_p1_two_owners_at_once() -> None:
    story = owned_by_alice()
    story.register(BOB, 2.0, outcome=ERROR, error=EXISTS)
    assert story.found() == []
    story.register(BOB, 3.0)
    assert story.found() == ["P1"]


def test_p1_an_owner_that_left_may_be_followed() -> None:
    story = owned_by_alice()
    story.ended(ALICE, 2.0, LEFT)
    story.register(BOB, 3.0)
    assert story.found() == []


def test_p1_an_owner_whose_node_was_killed_may_be_followed_and_no_other() -> None:
    story = owned_by_alice()
    story.fault("kill", 2.0, 3.0, nodes=("n1",))
    story.ended(ALICE, 2.1, LOST)
    story.register(BOB, 4.0)
    story.call(CAROL, 5.0, BOB)
    assert story.found() == []
    story.register(CAROL, 6.0)
    assert story.found() == ["P1"]


def test_p1_a_call_to_a_stale_owner() -> None:
    story = owned_by_alice()
    story.fault("stop", 2.0, 9.0, nodes=("n1",))
    story.register(BOB, 8.0)
    story.ended(ALICE, 9.5, GOODBYE)
    assert story.found() == []
    story.call(CAROL, 8.5, ALICE)
    assert story.found() == ["P1"]


def test_p1_who_leaves_a_stopped_node_may_have_been_followed_before() -> None:
    for end, found in ((20.0, []), (3.0, ["P1"])):
        story = owned_by_alice()
        story.fault("stop", 2.0, end, nodes=("n1",))
        story.register(BOB, 8.0)
        story.ended(ALICE, 9.5, VANISHED)
        assert story.found() == found


def test_p1_and_p2_a_call_that_misses_its_owner() -> None:
    story = owned_by_alice()
    story.call(BOB, 0.9, outcome=ERROR, error=MISSING)
    story.call(BOB, 1.05, outcome=ERROR, error=MISSING)  # REGISTER is under way
    assert story.found() == []
    story.call(BOB, 2.0, outcome=ERROR, error=MISSING)
    assert story.found() == ["P1"]


def test_p1_refused_although_nobody_was_the_owner() -> None:
    story = Story()
    story.register(BOB, 1.0, outcome=ERROR, error=EXISTS)
    assert story.found() == ["P1"]


def test_p1_refused_because_of_a_rival_that_was_refused_as_well() -> None:
    story = Story()
    story.register(ALICE, 1.0, takes=2.0, outcome=ERROR, error="wamp.error.unavailable")
    story.register(BOB, 1.5, outcome=ERROR, error=EXISTS)
    assert story.found() == []


def test_p1_a_register_of_unknown_outcome_may_have_taken_effect_or_not() -> None:
    story = Story()
    story.register(ALICE, 1.0, takes=None, outcome=UNKNOWN)
    story.register(BOB, 2.0, outcome=ERROR, error=EXISTS)
    assert story.found() == []
    story = Story()
    story.register(ALICE, 1.0, takes=None, outcome=UNKNOWN)
    story.register(BOB, 2.0)
    assert story.found() == []


def test_p1_unregistered_means_that_another_may_register() -> None:
    story = owned_by_alice()
    story.op(ALICE, "unregister", 2.0, uri="p", takes=1.0)
    story.call(CAROL, 2.5, outcome=ERROR, error=MISSING)
    story.register(BOB, 3.5)
    assert story.found() == []
    story.register(CAROL, 4.0, outcome=ERROR, error=EXISTS)
    story.op(BOB, "unregister", 5.0, uri="p")
    story.register(CAROL, 6.0, outcome=ERROR, error=EXISTS)
    assert story.found() == ["P1"]


def test_p1_long_histories_with_many_unknown_outcomes_are_decided() -> None:
    story = Story()
    for turn in range(60):
        at = 1.0 + turn
        story.register(ALICE, at, takes=None, outcome=UNKNOWN)
        story.register(BOB, at + 0.1, takes=None, outcome=UNKNOWN)
        story.call(CAROL, at + 0.2, ALICE if turn % 2 else BOB)
    assert story.found() == []


# ---- P2 and P5


def subscribed() -> Story:
    story = Story()
    story.subscribe(ALICE, 1.0)
    story.publish(BOB, 2.0, ALICE)
    return story


def test_p2_an_event_that_never_came() -> None:
    story = subscribed()
    assert story.found() == []
    story.publish(BOB, 3.0)
    assert story.found() == ["P2/P5"]


@pytest.mark.parametrize(
    "tell",
    [
        lambda story: story.fault("kill", 2.9, 5.0, nodes=("n1",)),
        lambda story: story.fault("cut", 2.9, 5.0, clients=("c1",)),
    ],
)
def test_p2_a_fault_that_touches_the_subscriber_excuses_its_end(tell: Callable[[Story], None]) -> None:
    story = subscribed()
    story.publish(BOB, 3.0)
    tell(story)
    story.ended(ALICE, 5.5, LOST)
    assert story.found() == []


def test_p2_who_sends_nothing_hears_much_later_that_its_node_lost_its_power() -> None:
    for node, kind, found in (("n1", "power", []), ("n3", "power", ["P2/P5", "P7"]), ("n1", "stop", ["P2/P5", "P7"])):
        story = subscribed()
        story.fault(kind, 3.0, 3.5, nodes=(node,))
        story.publish(BOB, 3.2)
        story.publish(BOB, 20.0)
        story.ended(ALICE, 30.0, LOST)
        assert story.found() == found


def test_p2_a_fault_excuses_nobody_who_lives_on() -> None:
    story = subscribed()
    story.publish(BOB, 3.0)
    story.fault("stop", 2.9, 5.0, nodes=("n1",))
    assert story.found() == ["P2/P5"]


def test_p2_a_fault_elsewhere_excuses_nothing() -> None:
    story = subscribed()
    story.publish(BOB, 3.0)
    story.fault("kill", 2.9, math.inf, nodes=("n3",))
    story.fault("cut", 2.9, math.inf, links=(("n2", "n3"),))
    assert story.found() == ["P2/P5"]


def test_p5_a_gap_between_exactly_these_nodes_excuses_loss() -> None:
    story = subscribed()
    story.publish(BOB, 3.0)
    story.gap("n2", "n1", 5.0, 6.0)
    assert story.found() == []
    assert story.found(gaps_excuse=False) == ["P2/P5"]
    for source, target, begin in (("n2", "n3", 5.0), ("n2", "n1", 9.0)):
        story = subscribed()
        story.publish(BOB, 3.0)
        story.gap(source, target, begin, begin + 1.0)
        assert story.found() == ["P2/P5"]


def test_p5_the_publisher_s_node_may_die_before_it_sends() -> None:
    for end, cause, found in ((12.0, LEFT, []), (6.0, GOODBYE, []), (6.0, LEFT, ["P2/P5"])):
        story = subscribed()
        story.publish(BOB, 3.0)
        story.fault("isolate", 2.9, end, nodes=("n2",), links=(("n2", "n1"), ("n1", "n2")))
        story.ended(BOB, end + 0.5, cause)
        assert story.found() == found


def test_p2_what_was_perhaps_never_handled_need_not_come() -> None:
    story = subscribed()
    story.publish(BOB, 3.0, takes=None, outcome=UNKNOWN)
    story.publish(CAROL, 3.0).acknowledge = False  # sent, and nothing shows that a router got it
    assert story.found() == []
    story.call(CAROL, 3.5, outcome=ERROR, error=MISSING)  # this does: it came behind
    assert story.found() == ["P2/P5"]


def test_p2_patterns_count_like_topics() -> None:
    for match, pattern in (("prefix", "a."), ("wildcard", "a..c"), ("exact", "a.b.c")):
        story = Story()
        story.subscribe(ALICE, 1.0, pattern, match=match)
        publish = story.publish(BOB, 2.0, topic="a.b.c")
        assert story.found() == ["P2/P5"]
        story.event(ALICE, 2.1, publish)
        assert story.found() == []
        story.event(ALICE, 2.2, story.publish(BOB, 2.1, topic="b.b.b"))
        assert story.found() == ["P2"]


def test_p2_events_outside_of_a_subscription() -> None:
    story = subscribed()
    story.op(ALICE, "unsubscribe", 3.0, uri="t", id=7)
    story.publish(BOB, 2.95, ALICE)  # it crossed UNSUBSCRIBE
    assert story.found() == []
    story.publish(BOB, 4.0, ALICE)
    assert story.found() == ["P2"]
    story = Story()
    story.subscribe(ALICE, 1.0, takes=2.0)
    story.publish(BOB, 2.0, ALICE)
    assert story.found() == ["P2"]  # an EVENT before SUBSCRIBED


# ---- P3 and P4


def test_p3_events_of_one_publisher_out_of_order() -> None:
    story = subscribed()
    first, second = story.publish(BOB, 3.0), story.publish(BOB, 4.0)
    story.event(ALICE, 4.5, second)
    story.event(ALICE, 4.6, first)
    assert story.found() == ["P3"]


def test_p3_two_subscriptions_may_show_one_publication_each() -> None:
    story = subscribed()
    story.subscribe(ALICE, 2.5, "", match="prefix", id=8)
    publish = story.publish(BOB, 3.0, ALICE)
    story.event(ALICE, 3.2, publish, subscription=8)
    assert story.found() == []


def test_p3_invocations_of_one_caller_out_of_order() -> None:
    story = owned_by_alice()
    first, second = story.call(BOB, 2.0, callee=0, outcome=UNKNOWN, takes=0.5, answers=0), story.call(BOB, 2.1, ALICE)
    first.callee, first.outcome, first.answers = ALICE, OK, 1
    story.invoked(ALICE, 2.3, first)
    assert second.number > first.number
    assert story.found() == ["P3"]


def test_p4_an_event_twice() -> None:
    story = subscribed()
    story.event(ALICE, 2.2, next(story.history.of("publish")))
    assert story.found() == ["P4"]


# ---- P6


@pytest.mark.parametrize(
    "spoil",
    [
        lambda story, call: setattr(call, "answers", 2),
        lambda story, call: story.invoked(ALICE, 2.2, call),  # a second INVOCATION
        lambda story, call: setattr(call, "error", "wamp.error.unavailable"),  # which says that nothing was sent
        lambda story, call: setattr(call, "callee", 77),  # who was never invoked
        lambda story, call: setattr(call, "callee", 0),  # a result of another call
        lambda story, call: setattr(call, "returned", None),
        lambda story, call: setattr(call, "returned", 30.0),
    ],
)
def test_p6_a_call_that_does_not_end_once_and_in_time(spoil: Callable[[Story, Operation], None]) -> None:
    story = owned_by_alice()
    call = story.call(BOB, 2.0, ALICE)
    assert story.found() == []
    spoil(story, call)
    assert "P6" in story.found()


def test_p6_a_callee_may_take_its_time_and_faults_too() -> None:
    story = owned_by_alice()
    call = story.call(BOB, 2.0, ALICE, takes=40.0)
    story.history.invocations[-1].answered = 41.9
    assert story.found() == []
    story.history.invocations[-1].answered = 2.1
    assert story.found() == ["P6"]
    story.fault("stop", 3.0, call.returned - RECOVERY_S, nodes=("n3",))
    assert story.found() == []


def called_in_vain(held_until: float | None, returned: float, procedure: str = "p") -> list[str]:
    """Alice stops to read at 2.0, and her node gives her up at `held_until`; a call of Bob's ends at `returned`."""
    story = owned_by_alice()
    story.ended(ALICE, 2.0, VANISHED)
    story.history.endings[-1].held_until = held_until
    call = story.call(BOB, 3.0, outcome=ERROR, error="wamp.error.canceled")
    call.uri, call.returned = procedure, returned
    return story.found()


def test_p6_a_callee_that_does_not_read_keeps_its_callers_waiting_until_its_node_gives_it_up() -> None:
    assert called_in_vain(12.5, 12.6) == []
    assert called_in_vain(12.5, 13.1) == []  # no longer than the bound from then on
    assert called_in_vain(12.5, 23.0) == ["P6"]
    assert called_in_vain(None, 13.1) == ["P6"]
    assert called_in_vain(14.0, 13.1) == ["P6"]  # it was not her end that ended the call
    assert called_in_vain(12.5, 13.1, procedure="q") == ["P6"]


def test_p6_a_callee_that_unregistered_keeps_nobody_waiting() -> None:
    story = owned_by_alice()
    story.op(ALICE, "unregister", 1.5, uri="p")
    story.ended(ALICE, 2.0, VANISHED)
    story.history.endings[-1].held_until = 12.5
    story.call(BOB, 3.0, takes=10.1, outcome=ERROR, error="wamp.error.canceled")
    assert story.found() == ["P6"]


def test_p6_time_in_which_a_node_may_have_read_nothing_proves_no_silence() -> None:
    for takes, found in ((11.9, []), (12.1, ["P6"])):
        story = owned_by_alice()
        story.ended(ALICE, 2.0, VANISHED)
        story.fault("cut", 3.5, 4.5, links=(("n2", "n1"),))
        story.fault("cut", 4.0, 5.5, links=(("n3", "n1"),))  # together two seconds
        story.call(BOB, 3.0, takes=takes, outcome=ERROR, error="wamp.error.canceled")
        assert story.found() == found


# ---- P7, P9, P10


def test_p7_a_minority_serves_no_longer_than_its_lease() -> None:
    story = subscribed()
    story.fault("isolate", 10.0, 20.0, nodes=("n2",), links=(("n2", "n1"), ("n1", "n2")))
    story.gap("n2", "n1", 12.0, 20.0)
    story.publish(BOB, 11.0)
    story.publish(BOB, 13.0, takes=8.0)  # held until the partition was over
    assert "P7" not in story.found()
    story.publish(BOB, 13.0)
    assert "P7" in story.found()


def test_p7_a_session_is_not_interrupted_without_a_fault() -> None:
    story = Story()
    story.ended(ALICE, 50.0, LOST)
    assert story.found() == ["P7"]
    story.fault("kill", 45.0, 46.0, nodes=("n2",))
    assert story.found() == []


def test_p9_ids_differ() -> None:
    story = subscribed()
    story.subscribe(CAROL, 5.0, id=7)
    assert "P9" not in story.found()
    story.subscribe(CAROL, 6.0, id=8)
    assert "P9" in story.found()


def test_p10_a_bound_was_passed() -> None:
    story = Story()
    story.history.add(Sample("n1", 5.0, "bytes", 10, 10))
    assert story.found() == []
    story.history.add(Sample("n1", 6.0, "bytes", 11, 10))
    assert story.found() == ["P10"]


# ---- the file


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    story = subscribed()
    story.fault("cut", 2.9, math.inf, links=(("n2", "n3"),))
    story.gap("n2", "n1", 5.0, 6.0)
    story.call(CAROL, 3.0, ALICE)
    story.found()
    history = story.history
    history.write(tmp_path / "one")
    again = History.read([tmp_path / "one"])
    assert sorted(again.lines()) == sorted(history.lines())
    assert check(again) == check(history)


# ---- P1 of procedures with several callees


def shared_by_alice_and_bob(policy: str) -> Story:
    story = Story()
    story.register(ALICE, 1.0, policy=policy)
    story.register(BOB, 2.0, policy=policy)
    return story


def test_p1_several_callees_of_a_shared_procedure_are_no_two_owners() -> None:
    story = shared_by_alice_and_bob("random")
    story.call(CAROL, 3.0, ALICE)
    story.call(CAROL, 3.5, BOB)
    assert story.found() == []


@pytest.mark.parametrize(("policy", "right", "wrong"), [("first", ALICE, BOB), ("last", BOB, ALICE)])
def test_p1_the_first_and_the_last_are_called_and_no_other(policy: str, right: int, wrong: int) -> None:
    story = shared_by_alice_and_bob(policy)
    story.call(CAROL, 3.0, right)
    assert story.found() == []
    story.call(CAROL, 4.0, wrong)
    assert story.found() == ["P1"]


def test_p1_another_may_be_called_while_the_first_one_s_node_stands_still() -> None:
    story = shared_by_alice_and_bob("first")
    story.fault("stop", 2.5, 3.5, nodes=("n1",))
    story.call(CAROL, 3.0, BOB)
    assert story.found() == []


def test_p1_who_is_no_callee_is_not_called() -> None:
    story = shared_by_alice_and_bob("roundrobin")
    story.op(ALICE, "unregister", 3.0, uri="p")
    story.call(CAROL, 3.0, ALICE)  # under way
    assert story.found() == []
    story.call(CAROL, 4.0, ALICE)
    assert story.found() == ["P1"]


def test_p1_a_call_that_misses_all_callees() -> None:
    story = shared_by_alice_and_bob("roundrobin")
    story.op(ALICE, "unregister", 3.0, uri="p")
    story.call(CAROL, 4.0, outcome=ERROR, error=MISSING)
    assert story.found() == ["P1"]
