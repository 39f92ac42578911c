"""The product is broken in one place, and the run of some seed notices, by the rule that was broken.

A simulation in which nothing ever failed proves nothing. Each fault here is one that a change of the product could
bring; faults inside the ledger are the business of its own simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.nodes import faults
from tests.simulation.nodes.run import FoundViolationsError, Setting, run
from wampha.cluster.links import Links
from wampha.ledger.lease import LeaseBook
from wampha.ledger.raft import RaftLedger
from wampha.messages.relayed import Forward
from wampha.routing.broker import Broker
from wampha.routing.callees import Callees
from wampha.routing.calls import Calls
from wampha.routing.meta import testaments
from wampha.routing.meta.sessions import SessionApi
from wampha.routing.work import Served
from wampha.state.registrations import Registrations
from wampha.state.routes import Routes
from wampha.state.sessions import Sessions
from wampha.transport.delivery import Delivery

SEEDS = range(6)
Patch = pytest.MonkeyPatch


def serves_without_a_lease(patch: Patch) -> None:
    """Rule 1."""
    patch.setattr(RaftLedger, "serving", lambda self: self._member is not None and self.owner in self.tables.up)


def claims_what_others_have_not_applied(patch: Patch) -> None:
    """Rule 20."""
    patch.setattr(LeaseBook, "_may_hold", lambda *_: False)


def delivers_calls_by_the_caller_s_table(patch: Patch) -> None:
    """Rule 3: whoever leaves may still be called."""

    def invoke(self: Callees, source: Any, invoke: Any) -> None:
        for offer in list(self._standing.values()):
            if offer.key.uri == invoke.procedure:
                served = Served(source, invoke.call)
                self._calls.serve(served)
                self.send(offer, served, invoke.details, invoke.payload)

    patch.setattr(Callees, "invoke", invoke)


def _forwarding(patch: Patch, forward: Callable[[Callable[..., bool], Any, Any, int], bool]) -> None:
    """Let publications to other nodes go through `forward(send, owner, relayed, how many so far)`."""
    original = Links.forward
    count = [0]

    def replaced(self: Links, owner: Any, relayed: Any) -> bool:
        if not isinstance(relayed, Forward):
            return original(self, owner, relayed)
        count[0] += 1
        return forward(lambda *what: original(self, *what), owner, relayed, count[0])

    patch.setattr(Links, "forward", replaced)


def forwards_twice(patch: Patch) -> None:
    def forward(send: Callable[..., bool], owner: Any, relayed: Any, count: int) -> bool:
        return send(owner, relayed) and (count % 100 or send(owner, relayed))

    _forwarding(patch, forward)


def loses_a_forward(patch: Patch) -> None:
    _forwarding(patch, lambda send, owner, relayed, count: send(owner, relayed) if count % 100 else True)


def overtakes(patch: Patch) -> None:
    kept: dict[Any, Any] = {}

    def forward(send: Callable[..., bool], owner: Any, relayed: Any, count: int) -> bool:
        if count % 100 == 0:
            kept[owner] = relayed
            return True
        sent = send(owner, relayed)
        if owner in kept:
            send(owner, kept.pop(owner))
        return sent

    _forwarding(patch, forward)


def loses_a_local_event(patch: Patch) -> None:
    original = Delivery.deliver
    count = [0]

    def deliver(self: Delivery, receivers: Any, event: Any) -> None:
        count[0] += 1
        original(self, receivers if count[0] % 100 else list(receivers)[1:], event)

    patch.setattr(Delivery, "deliver", deliver)


def leaves_calls_waiting_when_a_node_is_lost(patch: Patch) -> None:
    patch.setattr(Calls, "node_lost", lambda self, owner: [])


def leaves_calls_waiting_when_a_callee_is_lost(patch: Patch) -> None:
    patch.setattr(Callees, "leave", lambda self, session: None)


def answers_a_call_with_the_next_one_s_result(patch: Patch) -> None:
    original = Calls.result
    last: list[Any] = []

    def result(self: Calls, pending: Any, details: Any, payload: Any) -> None:
        last.append(payload)
        original(self, pending, details, last[-2] if len(last) % 50 == 0 else payload)

    patch.setattr(Calls, "result", result)


def gives_a_procedure_to_whoever_asks_last(patch: Patch) -> None:
    """Rule 34."""
    original = Registrations._add

    def add(self: Registrations, index: int, command: Any) -> Any:
        tables = self._ground.tables
        standing = tables.registration(command.realm, command.match, command.procedure)
        if standing is not None and standing.callees[0].owner != command.owner and index % 3 == 0:
            tables.registrations_in(command.realm).remove(command.match, command.procedure)
        return original(self, index, command)

    patch.setattr(Registrations, "_add", add)


def delivers_behind_unsubscribed(patch: Patch) -> None:
    original = Broker._remove

    def remove(self: Broker, session: Any, subscription: Any) -> None:
        if session.open and len(subscription.members) > 1:
            return
        original(self, session, subscription)

    patch.setattr(Broker, "_remove", remove)


def keeps_a_dead_node_s_routes(patch: Patch) -> None:
    """Rule 28."""
    patch.setattr(Routes, "bury", lambda self, owner: [])


def tells_nobody_of_a_dead_node_s_sessions(patch: Patch) -> None:
    """Rule 28."""

    def bury(self: Sessions, owner: Any) -> None:
        for member in list(self._roll.owned(owner).values()):
            self._roll.remove(member)
        self._roll.bury(owner)

    patch.setattr(Sessions, "bury", bury)


def forgets_who_left(patch: Patch) -> None:
    original = SessionApi.left
    count = [0]

    def left(self: SessionApi, change: Any) -> None:
        count[0] += 1
        if count[0] % 20:
            original(self, change)

    patch.setattr(SessionApi, "left", left)


def tells_twice_who_left(patch: Patch) -> None:
    """As if a killed session left again when its home node says that it is over."""
    original = SessionApi.left

    def left(self: SessionApi, change: Any) -> None:
        original(self, change)
        if change.killed:
            original(self, change)

    patch.setattr(SessionApi, "left", left)


def loses_testaments(patch: Patch) -> None:
    patch.setattr(testaments.TestamentApi, "due", lambda self, change: None)


LINKS_AND_STOPS = faults.LINKS + faults.PROCESSES * 2


@pytest.mark.parametrize(
    ("broken", "rules", "kinds"),
    [
        (serves_without_a_lease, {"P7", "P1", "P2/P5", "P8", "state"}, LINKS_AND_STOPS),
        (claims_what_others_have_not_applied, {"state", "P2/P5", "P1"}, LINKS_AND_STOPS),
        (delivers_calls_by_the_caller_s_table, {"P1", "P6"}, LINKS_AND_STOPS),
        (forwards_twice, {"P4"}, faults.LINKS),
        (loses_a_forward, {"P2/P5"}, faults.LINKS),
        (overtakes, {"P3"}, faults.LINKS),
        (loses_a_local_event, {"P2/P5"}, faults.LINKS),
        (leaves_calls_waiting_when_a_node_is_lost, {"P6"}, ("restart_observer",)),
        (leaves_calls_waiting_when_a_callee_is_lost, {"P6"}, ("client_unread",)),
        (answers_a_call_with_the_next_one_s_result, {"P6"}, faults.LINKS),
        (gives_a_procedure_to_whoever_asks_last, {"P1"}, faults.LINKS),
        (delivers_behind_unsubscribed, {"P2", "left over"}, faults.LINKS),
        (keeps_a_dead_node_s_routes, {"left over"}, ("restart_observer",)),
        (tells_nobody_of_a_dead_node_s_sessions, {"P8"}, ("restart_observer",)),
        (forgets_who_left, {"P8"}, faults.LINKS),
        (tells_twice_who_left, {"P8"}, faults.LINKS),
        (loses_testaments, {"P8"}, faults.LINKS),
    ],
)
def test_a_broken_node_is_noticed(
    broken: Callable[[Patch], None], rules: set[str], kinds: tuple[str, ...], monkeypatch: Patch
) -> None:
    broken(monkeypatch)
    for seed in SEEDS:
        try:
            run(seed, Setting(seconds=10.0, kinds=kinds, faults=0.8))
        except FoundViolationsError as found:
            seen = {violation.rule for violation in found.world.violations}
            assert rules & seen and "log" not in seen, str(found)
            return
    pytest.fail(f"no seed of {SEEDS} noticed")
