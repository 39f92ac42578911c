"""Nodes of one cluster: forwarding, calls from node to node, nodes that die (protocol rules 2, 3, 22, 26, 28, 34)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Cluster, Peer
from wampha.limits import Limits
from wampha.messages.model import Error, Event, Invocation, Registered, Subscribed
from wampha.messages.payload import NOTHING, Payload
from wampha.messages.relayed import Answer, CancelInvoke, Forward, Invoke, Originator, Reply
from wampha.state.commands import AddRegistration, Down, Owner, RemoveRegistration

SOMETHING = Payload.of([1, "two"], {"three": 3})


def registered(cluster: Cluster, node: str, procedure: str) -> Peer:
    peer = cluster[node].join()
    peer.register(procedure)
    cluster.commit()
    assert isinstance(peer.one(), Registered)
    return peer


def kill(cluster: Cluster, name: str) -> None:
    """Declare a node dead (rule 26) on all others."""
    node = cluster.nodes.pop(name)
    cluster.log.append(Down(node.owner, 1))
    for wire in list(cluster.wires):
        if name in wire:
            del cluster.wires[wire]
    for other in cluster.nodes.values():
        other.ledger.apply()


def on_wire(cluster: Cluster, source: str, target: str) -> list[Any]:
    return [relayed for _, _, relayed in cluster.wires.get((source, target), ())]


# ---- publish and subscribe


def test_ids_are_the_same_on_every_node(cluster: Cluster) -> None:
    peers = [cluster[name].join() for name in "abc"]
    for peer in peers:
        peer.subscribe("t")
    cluster.commit()
    assert len({peer.one().subscription for peer in peers}) == 1


def test_an_event_is_forwarded_once_per_node_and_never_again(cluster: Cluster) -> None:
    subscribers = [cluster.subscribed(name, "t") for name in "bbbc"]
    cluster.subscribed("b", "t", match="prefix")
    subscribers.append(cluster.subscribed("a", "t"))
    publisher = cluster["a"].join()
    publisher.publish("t", SOMETHING)
    assert len(on_wire(cluster, "a", "b")) == len(on_wire(cluster, "a", "c")) == 1
    cluster.settle()
    for subscriber in subscribers:
        event = subscriber.one()
        assert isinstance(event, Event)
        assert event.payload == SOMETHING
    assert not on_wire(cluster, "b", "c")


def test_what_a_dead_incarnation_sends_again_is_dropped(cluster: Cluster) -> None:
    """Invariant 3: it stood still, was given up, and resumes its link before it hears of that."""
    subscriber, callee = cluster.subscribed("b", "t"), registered(cluster, "b", "p")
    ghost = cluster["a"].owner
    cluster["a"].join().publish("t", SOMETHING)
    cluster["a"].join().call("p")
    forward, invoke = on_wire(cluster, "a", "b")
    cluster.settle()
    assert len([*subscriber.take(), *callee.take()]) == 2
    kill(cluster, "a")
    for again in (forward, invoke):
        cluster["b"].router.relayed(ghost, again)
    assert [*subscriber.take(), *callee.take()] == []
    assert cluster["b"].counters["forwards_of_the_dead"] == 2


def test_a_forward_names_publisher_topic_and_options(cluster: Cluster) -> None:
    subscriber = cluster.subscribed("b", "t.", match="prefix")
    publisher = cluster["a"].join()
    publisher.publish("t.x", SOMETHING, _own=1)
    (forward,) = on_wire(cluster, "a", "b")
    assert isinstance(forward, Forward)
    assert (forward.realm, forward.topic, forward.options) == ("realm1", "t.x", {"_own": 1})
    assert forward.publisher.session == publisher.session
    assert forward.publisher.authrole == "user"
    cluster.settle()
    event = subscriber.one()
    assert (event.publication, event.details) == (forward.publication, {"_own": 1, "topic": "t.x"})


def test_nothing_is_forwarded_to_nodes_without_subscribers(cluster: Cluster) -> None:
    cluster.subscribed("b", "other")
    cluster["a"].join().publish("t")
    assert not any(cluster.wires.values())


def test_events_of_one_publisher_arrive_in_order_at_every_node(cluster: Cluster) -> None:
    subscribers = [cluster.subscribed(name, "t.", match="prefix") for name in "abc"]
    publisher = cluster["a"].join()
    for number in range(20):
        publisher.publish(f"t.{number % 3}", Payload.of([number]))
    cluster.settle()
    for subscriber in subscribers:
        assert [event.payload.args() for event in subscriber.take()] == [[number] for number in range(20)]


def test_rule_22_after_subscribed_a_publish_on_any_node_reaches_the_subscriber(cluster: Cluster) -> None:
    subscriber, publisher = cluster["a"].join(), cluster["b"].join()
    subscriber.subscribe("t")
    cluster["a"].ledger.commit()
    assert subscriber.take() == [], "node b has not applied it, and nobody has claimed it"
    publisher.publish("t")
    cluster.commit()
    assert isinstance(subscriber.one(), Subscribed)
    publisher.publish("t")
    cluster.settle()
    assert len(subscriber.take()) == 1


def test_a_forward_that_arrives_behind_unsubscribe_is_dropped(cluster: Cluster) -> None:
    subscriber = cluster.subscribed("b", "t")
    cluster["a"].join().publish("t")
    for subscription in list(cluster["b"].router._sessions[subscriber.session].subscriptions):
        subscriber.unsubscribe(subscription)
    subscriber.take()
    cluster.settle()
    assert subscriber.take() == []


def test_rule_2_a_suspended_node_still_delivers_what_others_forward(cluster: Cluster) -> None:
    subscriber = cluster.subscribed("b", "t")
    cluster["b"].ledger.is_serving = False
    cluster["a"].join().publish("t")
    cluster.carry("a", "b")
    assert len(subscriber.take()) == 1


def test_a_forward_for_a_realm_that_is_not_configured_here_is_dropped(cluster: Cluster) -> None:
    forward = Forward("elsewhere", "t", 1, Originator(1, "x", "y"), {}, NOTHING)
    cluster["b"].router.relayed(cluster["a"].owner, forward)


def test_rule_28_nothing_is_forwarded_to_a_node_that_is_down(cluster: Cluster) -> None:
    cluster.subscribed("c", "t")
    kill(cluster, "c")
    cluster["a"].join().publish("t")
    assert not any(cluster.wires.values())


# ---- calls


@pytest.mark.parametrize("caller_at", ["a", "b", "c"])
def test_a_call_from_any_node_reaches_the_one_owner(cluster: Cluster, caller_at: str) -> None:
    callee = registered(cluster, "b", "p")
    caller = cluster[caller_at].join()
    request = caller.call("p", SOMETHING, _own=1)
    cluster.settle()
    invocation = callee.one()
    assert isinstance(invocation, Invocation)
    assert (invocation.payload, invocation.details) == (SOMETHING, {"_own": 1})
    callee.result(invocation.request, SOMETHING, _back=2)
    cluster.settle()
    result = caller.one()
    assert (result.request, result.details, result.payload) == (request, {"_back": 2}, SOMETHING)
    assert cluster[caller_at].counters["calls_ended"] == 1


def test_an_error_crosses_nodes_with_args_and_kwargs(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    request = caller.call("p")
    cluster.settle()
    callee.error(callee.one().request, "com.app.error", SOMETHING)
    cluster.settle()
    assert caller.one() == Error(48, request, {}, "com.app.error", SOMETHING)


def test_invocations_of_one_caller_arrive_in_order(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    for number in range(20):
        caller.call("p", Payload.of([number]))
    cluster.settle()
    assert [each.payload.args() for each in callee.take()] == [[number] for number in range(20)]


def test_rule_34_of_two_concurrent_registers_one_wins_and_all_nodes_call_it(cluster: Cluster) -> None:
    peers = [cluster[name].join() for name in "ab"]
    for peer in peers:
        peer.register("p")
    cluster.commit()
    answers = [peer.one() for peer in peers]
    winner = peers[[isinstance(answer, Registered) for answer in answers].index(True)]
    assert [answer.error for answer in answers if isinstance(answer, Error)] == ["wamp.error.procedure_already_exists"]
    for name in "abc":
        cluster[name].join().call("p")
    cluster.settle()
    assert len(winner.take()) == 3


def test_a_register_behind_unregistered_wins_on_any_node(cluster: Cluster) -> None:
    first, second = registered(cluster, "a", "p"), cluster["b"].join()
    (registration,) = cluster["a"].router._sessions[first.session].registrations
    first.unregister(registration)
    cluster["a"].ledger.commit()
    assert len(first.take()) == 1, "UNREGISTERED"
    second.register("p")
    cluster.commit()
    assert isinstance(second.one(), Registered)


def test_callers_elsewhere_are_told_when_the_callee_leaves(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    caller.call("p")
    cluster.settle()
    callee.conversation.lost()
    cluster.settle()
    error = caller.one()
    assert (error.error, error.payload.kwargs()) == ("wamp.error.canceled", {"outcome": "unknown"})
    caller.call("p")
    assert caller.one().error == "wamp.error.no_such_procedure"


@pytest.mark.parametrize("canceled", [False, True])
def test_a_caller_that_leaves_or_cancels_tells_the_callee_s_home(cluster: Cluster, canceled: bool) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    request = caller.call("p")
    cluster.settle()
    if canceled:
        caller.cancel(request)
        assert caller.one().error == "wamp.error.canceled"
    else:
        caller.conversation.lost()
    (cancel,) = on_wire(cluster, "a", "b")
    assert isinstance(cancel, CancelInvoke)
    cluster.settle()
    callee.result(callee.one().request)
    assert not on_wire(cluster, "b", "a")
    assert cluster["b"].counters["late_yields"] == 1


def test_an_answer_that_crosses_the_cancel_is_dropped(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    request = caller.call("p")
    cluster.settle()
    callee.result(callee.one().request)
    caller.cancel(request)
    caller.take()
    cluster.settle()
    assert caller.take() == []
    assert cluster["a"].counters["late_yields"] == 1


def test_a_call_to_a_node_without_link_is_refused_and_nothing_is_sent(cluster: Cluster) -> None:
    registered(cluster, "b", "p")
    cluster["a"].outbox.network = lambda owner, relayed: False
    caller = cluster["a"].join()
    caller.call("p")
    assert caller.one().error == "wamp.error.unavailable"
    cluster["a"].router.node_lost(cluster["b"].owner)
    assert caller.take() == []


@pytest.mark.parametrize("failed", [False, True])
def test_an_answer_that_fits_no_frame_ends_the_call_with_an_error(cluster: Cluster, failed: bool) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    request = caller.call("p")
    cluster.settle()
    wire = cluster["b"].outbox.network
    cluster["b"].outbox.network = lambda owner, relayed: (
        relayed.payload != Payload.of(["large"]) and wire(owner, relayed)
    )
    answer = (callee.error, "app.failed") if failed else (callee.result,)
    answer[0](callee.one().request, *answer[1:], Payload.of(["large"]))
    cluster.settle()
    error = caller.one()
    assert (error.request, error.error) == (request, "wamp.error.payload_size_exceeded")


def test_a_lost_link_leaves_no_call_behind_at_the_callee_s_home(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    caller.call("p")
    cluster.settle()
    cluster["a"].router.node_lost(cluster["b"].owner)
    cluster["b"].router.node_lost(cluster["a"].owner)
    callee.result(callee.one().request)
    assert not on_wire(cluster, "b", "a")
    assert cluster["b"].counters["late_yields"] == 1


def test_a_call_that_ends_with_a_gap_is_taken_back_if_its_invocation_comes_behind(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    caller.call("p")
    cluster["b"].router.node_lost(cluster["a"].owner)
    cluster["a"].router.node_lost(cluster["b"].owner)
    assert caller.one().error == "wamp.error.canceled"
    cluster.settle()  # the frame was not among those that were lost
    callee.result(callee.one().request)
    assert not on_wire(cluster, "b", "a")
    assert cluster["b"].counters["late_yields"] == 1


# ---- rule 3: what the callee's home checks


def invoke(cluster: Cluster, peer: Peer, **changes: Any) -> Reply | None:
    """Relay a call from a to b; what b answers at once."""
    row = cluster["b"].ledger.tables.registration("realm1", "exact", "p")
    fields = {
        "call": 1,
        "realm": "realm1",
        "registration": row.id if row else 5,
        "procedure": "p",
        "callee": peer.session,
        "caller": Originator(1, "x", "user"),
        "details": {},
        "payload": NOTHING,
    } | changes
    cluster["b"].router.relayed(cluster["a"].owner, Invoke(**fields))
    replies = on_wire(cluster, "b", "a")
    return replies[-1] if replies else None


def not_delivered(cluster: Cluster, callee: Peer, reply: Reply | None) -> bool:
    return reply is not None and reply.answer is Answer.NOT_DELIVERED and callee.take() == []


def test_rule_3_a_call_that_passes_all_checks_is_delivered(cluster: Cluster) -> None:
    callee = registered(cluster, "b", "p")
    assert invoke(cluster, callee) is None
    assert isinstance(callee.one(), Invocation)


@pytest.mark.parametrize("changes", [{"callee": 7}, {"registration": 999}, {"realm": "realm2"}, {"realm": "none"}])
def test_rule_3_another_session_registration_or_realm_is_not_called(cluster: Cluster, changes: Any) -> None:
    callee = registered(cluster, "b", "p")
    assert not_delivered(cluster, callee, invoke(cluster, callee, **changes))


def test_rule_3_a_suspended_node_delivers_no_invocation(cluster: Cluster) -> None:
    callee = registered(cluster, "b", "p")
    cluster["b"].ledger.is_serving = False
    assert not_delivered(cluster, callee, invoke(cluster, callee))


def test_rule_3_nothing_is_invoked_before_registered(cluster: Cluster) -> None:
    callee = cluster["b"].join()
    callee.register("p")
    cluster["b"].ledger.commit()
    assert not_delivered(cluster, callee, invoke(cluster, callee))


def test_rule_3_nothing_is_invoked_behind_unregister(cluster: Cluster) -> None:
    callee = registered(cluster, "b", "p")
    (registration,) = cluster["b"].router._sessions[callee.session].registrations
    callee.unregister(registration)
    assert not_delivered(cluster, callee, invoke(cluster, callee))


def test_rule_3_nothing_is_invoked_if_the_table_shows_another_owner(cluster: Cluster) -> None:
    callee = registered(cluster, "b", "p")
    b, c = cluster["b"], cluster["c"]
    registration = b.ledger.tables.registration("realm1", "exact", "p").id
    b.ledger.events = None  # the row is lost behind the node's back
    cluster.log.append(RemoveRegistration(b.owner, 99, "realm1", "exact", "p", callee.session))
    cluster.log.append(AddRegistration(c.owner, 1, "realm1", "exact", "p", "single", 77))
    b.ledger.apply()
    assert not_delivered(cluster, callee, invoke(cluster, callee, registration=registration))


def test_what_was_not_delivered_goes_to_the_new_owner(cluster: Cluster) -> None:
    old, new, caller = registered(cluster, "b", "p"), cluster["c"].join(), cluster["a"].join()
    request = caller.call("p", SOMETHING)
    old.conversation.lost()
    new.register("p")
    cluster.commit()
    new.take()
    cluster.settle()
    invocation = new.one()
    assert invocation.payload == SOMETHING
    new.result(invocation.request)
    cluster.settle()
    assert caller.one().request == request
    assert old.take() == []


def overtaken(cluster: Cluster, caller: Peer, old: Peer, meanwhile: int) -> Peer:
    """A call to `old` is under way when another session takes the procedure; the caller calls it `meanwhile` times."""
    caller.call("p", SOMETHING)
    old.conversation.lost()
    new = cluster["c"].join()
    new.register("p")
    cluster.commit()
    new.take()
    for _ in range(meanwhile):
        caller.call("p")
        cluster.carry("a", "c")
    return new


def test_p3_what_was_not_delivered_never_comes_behind_a_later_call_of_its_caller(cluster: Cluster) -> None:
    caller = cluster["a"].join()
    new = overtaken(cluster, caller, registered(cluster, "b", "p"), meanwhile=1)
    new.result(new.one().request)
    cluster.settle()
    assert new.take() == []
    ends = {type(end).__name__: end for end in caller.take()}
    assert set(ends) == {"Result", "Error"}
    assert ends["Error"].error == "wamp.error.unavailable"


def test_p3_calls_that_were_not_delivered_go_on_in_their_order(cluster: Cluster) -> None:
    caller, other = cluster["a"].join(), cluster["a"].join()
    old = registered(cluster, "b", "p")
    other.call("p")
    caller.call("p")
    new = overtaken(cluster, caller, old, meanwhile=0)
    cluster.settle()
    assert len(new.take()) == 3


def test_p3_holds_when_the_later_call_goes_to_the_caller_s_own_node(cluster: Cluster) -> None:
    caller, old = cluster["a"].join(), registered(cluster, "b", "p")
    caller.call("p", SOMETHING)
    old.conversation.lost()
    cluster.commit()
    new = registered(cluster, "a", "p")
    caller.call("p")
    new.result(new.one().request)
    cluster.settle()
    assert new.take() == []
    assert [type(end).__name__ for end in caller.take()] == ["Result", "Error"]


def test_whom_a_caller_called_is_noted_only_while_a_call_of_it_is_at_another_node(cluster: Cluster) -> None:
    caller, there, here = cluster["a"].join(), registered(cluster, "b", "p"), registered(cluster, "a", "q")
    session = caller.conversation.session
    assert session is not None
    caller.call("q")
    assert session.asked is None
    here.result(here.one().request)
    caller.call("p")
    caller.call("q")
    assert set(session.asked or ()) == {there.session, here.session}
    here.result(here.one().request)
    cluster.carry("a", "b")
    there.result(there.one().request)
    cluster.settle()
    assert len(caller.take()) == 3
    assert session.asked is None


def test_p3_is_kept_by_refusal_when_too_many_callees_would_have_to_be_remembered() -> None:
    cluster = Cluster("a", "b", "c", limits=Limits(session_calls_max=2))
    caller, old = cluster["a"].join(), registered(cluster, "b", "p")
    others = [registered(cluster, "a", procedure) for procedure in ("q1", "q2", "q3")]
    caller.call("p")
    for procedure, other in zip(("q1", "q2", "q3"), others, strict=True):
        caller.call(procedure)
        other.result(other.one().request)
    caller.take()
    old.conversation.lost()
    new = registered(cluster, "c", "p")
    cluster.settle()
    assert new.take() == []
    assert caller.one().error == "wamp.error.unavailable"


def test_what_was_not_delivered_and_has_no_other_owner_has_no_procedure(cluster: Cluster) -> None:
    registered(cluster, "b", "p").conversation.lost()
    caller = cluster["a"].join()
    caller.call("p")
    cluster.carry("a", "b")
    cluster.carry("b", "a")
    assert caller.one().error == "wamp.error.no_such_procedure"
    assert cluster["a"].counters["calls_ended"] == 1


def test_a_call_that_nobody_takes_is_refused_after_so_many_attempts() -> None:
    """The procedure changes its owner whenever the call arrives."""
    cluster = Cluster("a", "b", "c", limits=Limits(call_attempts_max=3))
    a, owners, numbers = cluster["a"], [cluster["b"].owner, cluster["c"].owner], {}
    sent: list[Invoke] = []
    a.outbox.network = lambda owner, relayed: sent.append(relayed) or True

    def move(attempt: int) -> None:
        for owner, command in (
            (owners[(attempt + 1) % 2], RemoveRegistration),
            (owners[attempt % 2], AddRegistration),
        ):
            numbers[owner] = numbers.get(owner, 100) + 1
            offer = ("single", 77) if command is AddRegistration else (77,)
            cluster.log.append(command(owner, numbers[owner], "realm1", "exact", "p", *offer))
        a.ledger.apply()

    move(0)
    caller = a.join()
    caller.call("p")
    for attempt in range(3):
        assert caller.take() == []
        assert len(sent) == attempt + 1
        move(attempt + 1)
        a.router.relayed(owners[attempt % 2], Reply(sent[attempt].call, Answer.NOT_DELIVERED, "", {}, NOTHING))
    assert len(sent) == 3
    assert caller.one().error == "wamp.error.no_such_procedure"
    assert a.counters["calls_ended"] == 1


def test_a_callee_at_a_suspended_node_is_unavailable_not_unknown(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    cluster["b"].ledger.is_serving = False
    caller.call("p")
    cluster.settle()
    assert caller.one().error == "wamp.error.unavailable"
    assert callee.take() == []


def test_a_suspended_node_does_not_choose_again(cluster: Cluster) -> None:
    old, new, caller = registered(cluster, "b", "p"), cluster["c"].join(), cluster["a"].join()
    caller.call("p")
    old.conversation.lost()
    new.register("p")
    cluster.commit()
    cluster["a"].ledger.is_serving = False
    cluster.settle()
    assert caller.one().error == "wamp.error.unavailable"
    assert [type(message) for message in new.take()] == [Registered]


# ---- nodes that die


@pytest.mark.parametrize("how", ["link", "down", "snapshot"])
def test_calls_to_a_node_that_is_lost_end_once_with_unknown_outcome(cluster: Cluster, how: str) -> None:
    registered(cluster, "b", "p")
    a, b = cluster["a"], cluster["b"]
    caller = a.join()
    request = caller.call("p")
    if how == "link":
        a.router.node_lost(b.owner)
    elif how == "down":
        kill(cluster, "b")
    else:
        cluster.log.append(Down(b.owner, 1))
        a.ledger.events = None
        a.ledger.apply()
        a.router.installed()
    error = caller.one()
    assert (error.request, error.error) == (request, "wamp.error.canceled")
    assert error.payload.kwargs() == {"outcome": "unknown"}
    a.router.node_lost(b.owner)
    a.router.relayed(b.owner, Reply(1, Answer.RESULT, "", {}, NOTHING))
    assert caller.take() == []
    assert a.counters["calls"] == a.counters["calls_ended"] == 1


def test_calls_to_other_nodes_go_on_when_one_is_lost(cluster: Cluster) -> None:
    callee = registered(cluster, "c", "p")
    caller = cluster["a"].join()
    caller.call("p")
    cluster["a"].router.node_lost(cluster["b"].owner)
    cluster.settle()
    callee.result(callee.one().request)
    cluster.settle()
    assert len(caller.take()) == 1


def test_a_reply_of_a_node_that_was_not_asked_ends_nothing(cluster: Cluster) -> None:
    registered(cluster, "b", "p")
    caller = cluster["a"].join()
    caller.call("p")
    for source in (cluster["c"].owner, Owner("b", 999)):
        cluster["a"].router.relayed(source, Reply(1, Answer.RESULT, "", {}, NOTHING))
    assert caller.take() == []


def test_a_callee_s_answer_for_a_caller_whose_node_died_is_dropped(cluster: Cluster) -> None:
    callee = registered(cluster, "b", "p")
    cluster["a"].join().call("p")
    cluster.settle()
    kill(cluster, "a")
    callee.result(callee.one().request)
    assert not on_wire(cluster, "b", "a")
    assert cluster["b"].counters["late_yields"] == 1


def test_the_procedures_of_a_dead_node_are_free_again(cluster: Cluster) -> None:
    registered(cluster, "b", "p")
    kill(cluster, "b")
    assert registered(cluster, "c", "p")


def test_a_fenced_node_answers_nobody_and_its_calls_are_forgotten(cluster: Cluster) -> None:
    callee, caller = registered(cluster, "b", "p"), cluster["a"].join()
    caller.call("p")
    cluster.settle()
    b = cluster["b"]
    b.ledger.owner = Owner("b", 999)
    b.router.fenced("This node was cut off.")
    assert not on_wire(cluster, "b", "a")
    assert callee.client.finished
    assert caller.take() == [], "its home ends the call when it knows"
