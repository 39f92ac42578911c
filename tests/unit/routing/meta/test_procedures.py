"""The dispatcher for procedures of the router itself: arguments, permissions, and that each call ends exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.core import ALL, PASSTHRU, Node, Peer
from wampha.errors import NoSuchSubscription
from wampha.messages.model import Error, Result
from wampha.messages.payload import NOTHING, Family, Payload
from wampha.routing.meta.procedures import MetaCall
from wampha.routing.permissions import Permission

CALL = frozenset(("call",))


def offer(
    node: Node, handler: Callable[[MetaCall], None], name: str = "wamp.test.try", *, changes: bool = False
) -> str:
    node.router._realms["realm1"].procedures.add(name, handler, changes=changes)
    return name


def asked(peer: Peer, procedure: str, *args: object, **kwargs: object) -> Result | Error:
    peer.call(procedure, Payload.of(args, kwargs) if args or kwargs else NOTHING)
    answer = peer.one()
    assert isinstance(answer, Result | Error)
    return answer


def sentence(answer: Result | Error) -> str:
    (words,) = answer.payload.args()
    assert isinstance(words, str)
    return words


def test_a_handler_gets_caller_and_arguments_and_its_answer_is_the_result(node: Node) -> None:
    seen: list[object] = []

    def handler(call: MetaCall) -> None:
        seen.extend((call.caller.id, call.procedure, call.args, call.kwargs))
        call.answer(1, [2], three=3)

    procedure, caller = offer(node, handler), node.join()
    answer = asked(caller, procedure, 7, "x", y=None)
    assert seen == [caller.session, procedure, [7, "x"], {"y": None}]
    assert isinstance(answer, Result)
    assert (answer.payload.args(), answer.payload.kwargs()) == ([1, [2]], {"three": 3})
    assert node.counters["meta_calls"] == 1
    assert node.counters["calls_ended"] == 1


def test_arguments_of_every_serializer_are_understood(node: Node) -> None:
    procedure, caller = offer(node, lambda call: call.answer(call.id(0, "session"))), node.join()
    for family, data in ((Family.JSON, b"[5]"), (Family.MSGPACK, b"\x91\x05"), (Family.CBOR, b"\x81\xf9\x45\x00")):
        caller.call(procedure, Payload(family, 1, data))
        assert caller.one().payload.args() == [5]


def test_an_error_of_the_handler_is_the_error_of_the_call(node: Node) -> None:
    def handler(call: MetaCall) -> None:
        raise NoSuchSubscription("There is no such thing.")

    answer = asked(node.join(), offer(node, handler))
    assert isinstance(answer, Error)
    assert (answer.error, sentence(answer)) == ("wamp.error.no_such_subscription", "There is no such thing.")
    assert node.counters["meta_calls_refused"] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "needs an id as argument 1: session"),
        ((None,), "session must be an id"),
        (("7",), "session must be an id"),
        ((7.5,), "session must be an id"),
        ((True,), "session must be an id"),
        ((7,), "needs a string as argument 2: reason"),
        ((7, 8), "reason must be a string"),
        ((7, "x", "y"), "depth must be an integer"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(node: Node, args: tuple[object, ...], words: str) -> None:
    def handler(call: MetaCall) -> None:
        call.answer(call.id(0, "session"), call.text(1, "reason"), call.optional(2, "depth", int, "an integer"))

    answer = asked(node.join(), offer(node, handler), *args)
    assert isinstance(answer, Error)
    assert answer.error == "wamp.error.invalid_argument"
    assert words in sentence(answer)


def test_an_optional_argument_has_a_place_and_a_name(node: Node) -> None:
    procedure = offer(node, lambda call: call.answer(call.optional(0, "depth", int, "an integer")))
    caller = node.join()
    assert [asked(caller, procedure, *args).payload.args() for args in ((), (None,), (3,))] == [[None], [None], [3]]
    assert asked(caller, procedure, depth=4).payload.args() == [4]


def test_what_only_its_receiver_can_read_is_refused(node: Node) -> None:
    procedure, caller = offer(node, lambda call: call.answer()), node.join(features=PASSTHRU)
    for options in ({"ppt_scheme": "x_mine"}, {"enc_algo": "cryptobox"}):
        caller.call(procedure, Payload(Family.MSGPACK, 1, b"\xc4\x01\x00"), **options)
        assert caller.one().error == "wamp.error.feature_not_supported"
    caller.call(procedure, Payload(Family.JSON, 1, b'["\\u0000!"]'))
    assert caller.one().error == "wamp.error.invalid_argument"


def test_progressive_calls_are_refused_and_their_later_parts_dropped(node: Node) -> None:
    procedure = offer(node, lambda call: call.answer())
    caller = node.join(features={"caller": ("progressive_call_invocations",)})
    request = caller.call(procedure, progress=True)
    assert caller.one().error == "wamp.error.feature_not_supported"
    caller.call_on(request, procedure)
    assert caller.take() == []


def test_progressive_results_are_not_needed(node: Node) -> None:
    caller = node.join()
    caller.call(offer(node, lambda call: call.answer(1)), receive_progress=True)
    assert caller.one().details == {}


# ---- later answers


@pytest.fixture
def kept(node: Node) -> list[MetaCall]:
    calls: list[MetaCall] = []
    offer(node, calls.append, "wamp.test.later")
    return calls


def test_an_answer_may_come_later(node: Node, kept: list[MetaCall]) -> None:
    caller = node.join()
    request = caller.call("wamp.test.later")
    assert caller.take() == []
    assert not kept[0].over
    kept[0].answer("done")
    assert caller.one() == Result(request, {}, Payload.of(["done"]))
    kept[0].answer("again")
    kept[0].refuse(NoSuchSubscription("again"))
    assert caller.take() == []
    assert node.counters["calls_ended"] == 1


@pytest.mark.parametrize("mode", ["skip", "kill", "killnowait"])
def test_a_canceled_call_ends_once(node: Node, kept: list[MetaCall], mode: str) -> None:
    caller = node.join()
    caller.cancel(caller.call("wamp.test.later"), mode=mode)
    assert caller.one().error == "wamp.error.canceled"
    assert kept[0].over
    kept[0].answer("late")
    assert caller.take() == []


def test_a_call_that_had_its_time_ends_once(node: Node, kept: list[MetaCall]) -> None:
    caller = node.join()
    caller.call("wamp.test.later", timeout=500)
    node.clock.advance(0.5)
    assert caller.one().error == "wamp.error.timeout"
    kept[0].answer("late")
    assert caller.take() == []
    assert node.clock.pending() == 0 + 1 * (caller.conversation._deadline is not None)


def test_a_caller_that_left_is_sent_nothing(node: Node, kept: list[MetaCall]) -> None:
    caller = node.join()
    caller.call("wamp.test.later")
    caller.conversation.lost()
    kept[0].answer("late")
    assert caller.take() == []
    assert node.counters["calls_ended"] == 1


# ---- who may


def test_a_procedure_that_is_not_there_is_none(node: Node) -> None:
    answer = asked(node.join(), "wamp.session.nothing")
    assert isinstance(answer, Error)
    assert answer.error == "wamp.error.no_such_procedure"


def test_a_role_needs_the_permission_to_call() -> None:
    node = Node(permissions=[Permission("com.", "prefix", CALL)])
    answer = asked(node.join(), offer(node, lambda call: call.answer()))
    assert isinstance(answer, Error)
    assert answer.error == "wamp.error.not_authorized"


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((ALL,), False),
        ((Permission("wamp", "prefix", CALL),), False),
        ((Permission("..", "wildcard", CALL),), False),
        ((ALL, Permission("wamp.", "prefix", CALL)), True),
        ((Permission("wamp.test.", "prefix", CALL),), True),
        ((Permission("wamp.test.try", "exact", CALL),), True),
        ((Permission("wamp.test.", "wildcard", CALL),), True),
        ((Permission("wamp.", "prefix", CALL), Permission("wamp.test.try", "exact", frozenset())), False),
    ],
)
def test_what_changes_something_needs_a_permission_that_was_meant_for_it(
    permissions: tuple[Permission, ...], allowed: bool
) -> None:
    node = Node(permissions=permissions)
    done: list[MetaCall] = []

    def handler(call: MetaCall) -> None:
        done.append(call)
        call.answer()

    answer = asked(node.join(), offer(node, handler, changes=True))
    assert bool(done) is allowed
    assert allowed or (isinstance(answer, Error) and answer.error == "wamp.error.not_authorized")
