"""A node's own rows: protocol rules 22 and 30-33, one row at a time."""

from __future__ import annotations

import pytest

from tests.support.core import FakeLedger, Log
from wampha.counters import Counters
from wampha.routing.rowkinds import REGISTRATIONS, ROUTES, SUBSCRIBERS, RowKey, Terms, Want
from wampha.routing.rows import Rows
from wampha.state.commands import AddRegistration, AddRoute, Leave, Outcome, Owner, RemoveRegistration, RemoveRoute, Up
from wampha.state.registrations import FORCED

OWNER = Owner("a", 1)
KEY = RowKey(ROUTES, "r", "exact", "t")
OFFER = RowKey(REGISTRATIONS, "r", "exact", "p", 7)
SUCCESSOR = RowKey(REGISTRATIONS, "r", "exact", "p", 8)


class Watcher:
    def __init__(self) -> None:
        self.told: list[int | str] = []
        self.waiting = False

    def waits(self) -> bool:
        return self.waiting

    def stands(self, row_id: int) -> None:
        self.waiting = False
        self.told.append(row_id)

    def refused(self, outcome: Outcome) -> None:
        self.told.append(outcome.value)

    def revoked(self, reason: str) -> None:
        self.told.append(f"revoked: {reason}")


class Bench:
    def __init__(self) -> None:
        self.counters = Counters()
        self.log = Log()
        self.log.append(Up(OWNER, (), "", ""))
        self.ledger = FakeLedger(self.log, OWNER, None, self.counters)
        self.ledger.apply()
        self.rows = Rows(ledger=self.ledger, counters=self.counters, wall_ms=lambda: 0)
        self.ledger.events = Events(self.rows)
        self.ledger.hold = True
        self.watcher = Watcher()

    def want(self, key: RowKey = KEY, value: Want = SUBSCRIBERS) -> None:
        self.watcher.waiting = True
        self.rows.want(key, value, self.watcher)

    def proposed(self) -> list[tuple[type, int]]:
        return [(type(command), command.number) for command in self.ledger.proposed]

    def owned(self) -> bool:
        route = self.ledger.tables.route("r", "exact", "t")
        return route is not None and OWNER in route.owners


class Events:
    def __init__(self, rows: Rows) -> None:
        self.applied = rows.applied
        self.installed = rows.installed
        self.safe_moved = rows.claim


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_rule_31_one_proposal_per_key_is_in_flight(bench: Bench) -> None:
    bench.want()
    bench.rows.withdraw(KEY)
    bench.want()
    bench.rows.withdraw(KEY)
    assert bench.proposed() == [(AddRoute, 1)]
    bench.ledger.commit()
    assert bench.proposed() == [(AddRoute, 1), (RemoveRoute, 2)]
    bench.ledger.commit()
    assert not bench.owned()
    assert bench.watcher.told == []


def test_rule_31_what_is_wanted_at_the_end_is_what_is_proposed(bench: Bench) -> None:
    bench.want()
    bench.rows.withdraw(KEY)
    bench.want()
    bench.ledger.commit()
    assert bench.proposed() == [(AddRoute, 1)]
    assert bench.watcher.told == [2]


def test_rule_30_numbers_ascend_over_all_keys(bench: Bench) -> None:
    bench.want()
    bench.want(OFFER, Terms())
    bench.ledger.commit()
    bench.rows.withdraw(OFFER)
    assert bench.proposed() == [(AddRoute, 1), (AddRegistration, 2), (RemoveRegistration, 3)]


@pytest.mark.parametrize("doubt", [Outcome.UNKNOWN, Outcome.STALE, Outcome.DEAD, Outcome.REFUSED])
def test_rule_32_an_outcome_that_is_not_known_makes_the_row_dirty(bench: Bench, doubt: Outcome) -> None:
    bench.want()
    command, outcome = bench.ledger.forget()
    bench.log.append(command)
    bench.ledger.apply()
    outcome(doubt)
    assert bench.owned()
    assert bench.rows.standing(KEY) == 0
    assert bench.watcher.told == []
    bench.rows.ticked()
    assert bench.proposed() == [(AddRoute, 1), (AddRoute, 2)], "sent although the table looks right"
    bench.ledger.commit()
    assert bench.watcher.told == [2]
    assert bench.rows.standing(KEY) == 2


def test_rule_32_a_stale_removal_that_surfaces_late_has_lost_its_force(bench: Bench) -> None:
    bench.want()
    bench.ledger.commit()
    bench.rows.withdraw(KEY)
    removal, outcome = bench.ledger.forget()
    outcome(Outcome.UNKNOWN)
    bench.want()
    bench.ledger.commit()
    assert bench.rows.standing(KEY) == 2
    bench.log.append(removal)
    bench.ledger.apply()
    assert bench.owned()
    assert bench.counters["commands_stale"] == 1


def test_rule_32_a_dirty_row_that_nobody_wants_is_removed_even_if_it_is_not_there(bench: Bench) -> None:
    bench.want()
    addition, outcome = bench.ledger.forget()
    outcome(Outcome.UNKNOWN)
    bench.rows.withdraw(KEY)
    bench.ledger.commit()
    assert bench.proposed() == [(AddRoute, 1), (RemoveRoute, 2)]
    bench.log.append(addition)
    bench.ledger.apply()
    assert not bench.owned()


def test_rule_33_what_is_in_doubt_is_tried_again_with_each_tick(bench: Bench) -> None:
    bench.want()
    for _ in range(3):
        bench.ledger.forget()[1](Outcome.UNKNOWN)
        assert not bench.ledger.queue, "not before the tick: the ledger may be down"
        bench.rows.ticked()
    bench.ledger.commit()
    assert bench.watcher.told == [2]


def test_rule_33_a_tick_tries_a_bounded_number_of_rows(bench: Bench) -> None:
    for number in range(1200):
        bench.want(RowKey(ROUTES, "r", "exact", f"t{number}"))
    while bench.ledger.queue:
        bench.ledger.forget()[1](Outcome.UNKNOWN)
    for expected in (500, 1000, 1200):
        bench.rows.ticked()
        assert len(bench.ledger.queue) == expected


def test_a_storm_of_wants_is_proposed_once_each_and_stands(bench: Bench) -> None:
    # The ledger decides 500 in a tick and gives up what waits for 20 ticks: what is more than that would be given up.
    watchers = [Watcher() for _ in range(15_000)]
    for number, watcher in enumerate(watchers):
        watcher.waiting = True
        bench.rows.want(RowKey(ROUTES, "r", "exact", f"t{number}"), SUBSCRIBERS, watcher)
    for _ in range(40):
        assert len(bench.ledger.queue) <= 2000
        bench.ledger.commit(min(500, len(bench.ledger.queue)))
        bench.rows.ticked()
    assert all(watcher.told for watcher in watchers)
    assert len(bench.ledger.proposed) == 15_000


def test_rule_33_an_own_row_that_nobody_wants_is_removed(bench: Bench) -> None:
    bench.log.append(AddRoute(OWNER, 1, "r", "exact", "t"))
    bench.rows._number = 1
    bench.ledger.apply()
    bench.ledger.commit()
    assert not bench.owned()


def test_rows_of_others_are_left_alone(bench: Bench) -> None:
    other = Owner("b", 2)
    bench.log.append(Up(other, (), "", ""))
    bench.log.append(AddRoute(other, 1, "r", "exact", "t"))
    bench.ledger.apply()
    bench.rows.installed()
    bench.rows.ticked()
    assert bench.ledger.proposed == []


def test_rule_32_after_a_snapshot_every_row_is_proposed_again(bench: Bench) -> None:
    bench.want()
    bench.ledger.commit()
    assert bench.rows.standing(KEY) == 2
    bench.ledger.install(bench.ledger.machine, bench.ledger.applied)
    assert bench.rows.standing(KEY) == 0
    bench.rows.ticked()
    bench.ledger.commit()
    assert bench.proposed() == [(AddRoute, 1), (AddRoute, 2)]
    assert bench.rows.standing(KEY) == 2, "under the same id"


def test_rule_32_after_a_snapshot_all_rows_are_in_doubt_at_once_and_looked_at_a_bounded_number_at_a_time(
    bench: Bench,
) -> None:
    keys = [RowKey(ROUTES, "r", "exact", f"t{number}") for number in range(700)]
    for key in keys:
        bench.want(key)
    bench.ledger.commit()
    for number in range(400):  # as the sender of the snapshot did
        bench.ledger.machine.execute(10_000 + number, AddRoute(OWNER, 701 + number, "r", "exact", f"stray{number}"))
        bench.rows._number += 1
    bench.ledger.machine.take_changes()
    bench.ledger.install(bench.ledger.machine, bench.ledger.applied)
    assert not any(bench.rows.standing(key) for key in keys)
    proposed = len(bench.ledger.proposed)
    for expected in (500, 1000, 1100):
        bench.rows.ticked()
        assert len(bench.ledger.proposed) - proposed == expected
    bench.ledger.commit()
    assert all(bench.rows.standing(key) for key in keys)
    assert len(bench.ledger.tables.routes["r"]) == 700
    bench.rows.ticked()
    assert len(bench.ledger.proposed) - proposed == 1100


def test_rule_32_a_snapshot_may_bring_a_row_that_nobody_wants_any_more(bench: Bench) -> None:
    bench.want()
    addition, outcome = bench.ledger.forget()
    bench.log.append(addition)
    bench.rows.withdraw(KEY)
    bench.ledger.machine.apply(2, bench.log.entries[1])  # as the sender of the snapshot did
    bench.ledger.machine.take_changes()
    bench.ledger.install(bench.ledger.machine, 2)
    outcome(Outcome.UNKNOWN)
    bench.rows.ticked()
    bench.ledger.commit()
    assert not bench.owned()


def test_rule_22_a_row_stands_when_its_index_is_claimed(bench: Bench) -> None:
    bench.ledger.claim_at_once = False
    bench.want()
    bench.ledger.commit()
    assert bench.watcher.told == []
    assert bench.rows.standing(KEY) == 0
    bench.ledger.claim(1)
    assert bench.watcher.told == []
    bench.ledger.claim(2)
    assert bench.watcher.told == [2]
    assert bench.rows.standing(KEY) == 2


def test_rule_22_nothing_stands_while_the_node_does_not_serve(bench: Bench) -> None:
    bench.ledger.is_serving = False
    bench.want()
    bench.ledger.commit()
    assert bench.watcher.told == []
    assert bench.rows.standing(KEY) == 0
    bench.ledger.is_serving = True
    bench.rows.claim()
    assert bench.watcher.told == [2]


def test_rule_22_a_row_that_is_doubted_while_it_waits_for_the_claim_does_not_stand(bench: Bench) -> None:
    bench.ledger.claim_at_once = False
    bench.want()
    bench.ledger.commit()
    bench.rows.installed()
    bench.ledger.claim()
    assert bench.watcher.told == []
    bench.rows.ticked()
    bench.ledger.commit()
    assert bench.watcher.told == [2]


def test_rule_34_a_taken_procedure_is_told_and_wanted_no_longer(bench: Bench) -> None:
    other = Owner("b", 2)
    bench.log.append(Up(other, (), "", ""))
    bench.log.append(AddRegistration(other, 1, "r", "exact", "p", "single", 5))
    bench.want(OFFER, Terms())
    bench.ledger.commit()
    assert bench.watcher.told == ["taken"]
    bench.rows.ticked()
    assert len(bench.ledger.proposed) == 1


def test_rule_34_another_session_of_this_node_waits_for_the_removal(bench: Bench) -> None:
    bench.want(OFFER, Terms())
    bench.ledger.commit()
    gone: list[str] = []
    bench.rows.withdraw(OFFER, lambda: gone.append("7"))
    bench.want(SUCCESSOR, Terms())
    assert gone == []
    bench.ledger.commit()
    assert gone == ["7"]
    assert bench.watcher.told == [2, 4]


def test_rule_34_a_session_that_is_on_its_way_out_is_in_nobody_s_way(bench: Bench) -> None:
    bench.want(OFFER, Terms())
    bench.ledger.commit()
    bench.rows.withdraw(OFFER)
    _, lost = bench.ledger.forget()
    bench.want(SUCCESSOR, Terms())
    bench.ledger.commit()
    assert bench.watcher.told == [2], "taken, by one who has left"
    lost(Outcome.UNKNOWN)
    bench.rows.ticked()
    bench.ledger.commit()
    bench.rows.ticked()
    bench.ledger.commit()
    assert bench.watcher.told == [2, 6]


def test_a_registration_that_is_taken_away_is_revoked_and_not_wanted_again(bench: Bench) -> None:
    other = Owner("b", 2)
    bench.log.append(Up(other, (), "", ""))
    bench.want(OFFER, Terms("roundrobin"))
    bench.ledger.commit()
    bench.log.append(AddRegistration(other, 1, "r", "exact", "p", "roundrobin", 5, force=True))
    bench.ledger.apply()
    assert bench.watcher.told == [3, f"revoked: {FORCED}"]
    bench.rows.ticked()
    assert len(bench.ledger.proposed) == 1


def test_rule_28_the_death_of_the_incarnation_revokes_nothing(bench: Bench) -> None:
    bench.want(OFFER, Terms())
    bench.ledger.commit()
    bench.log.append(Leave(OWNER))
    bench.ledger.apply()
    assert bench.watcher.told == [2]


def test_numbers_begin_anew_with_a_new_incarnation_and_old_outcomes_are_ignored(bench: Bench) -> None:
    bench.want()
    _, outcome = bench.ledger.forget()
    bench.rows.reset()
    bench.ledger.owner = Owner("a", 2)
    bench.log.append(Up(bench.ledger.owner, (1,), "", ""))
    bench.ledger.apply()
    bench.want()
    outcome(Outcome.UNKNOWN)
    bench.ledger.commit()
    assert bench.ledger.proposed[-1].number == 1
    assert bench.watcher.told == [3]


def test_a_stopped_node_proposes_nothing(bench: Bench) -> None:
    bench.want()
    bench.ledger.commit()
    bench.rows.stop()
    bench.rows.withdraw(KEY)
    bench.want()
    bench.rows.installed()
    bench.rows.ticked()
    assert len(bench.ledger.proposed) == 1


def test_what_is_settled_and_unwanted_takes_no_memory(bench: Bench) -> None:
    bench.want()
    bench.ledger.commit()
    bench.rows.withdraw(KEY)
    bench.ledger.commit()
    assert not bench.rows._rows
    assert not bench.rows._due
    assert not bench.rows._unclaimed
