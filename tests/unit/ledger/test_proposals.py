"""Each proposal gets one outcome (rule 32); membership proposals are never doubled (rules 25, 26)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.clock import VirtualClock
from wampha.counters import Counters
from wampha.ledger.membership import Membership
from wampha.ledger.proposals import Proposals
from wampha.state.commands import Command, Down, Leave, Outcome, Owner, Up
from wampha.state.tables import Tables

ME = Owner("a", 1)


class TestProposals:
    def setup_method(self) -> None:
        self.counters = Counters()
        self.proposals = Proposals(deadline_s=1.0, counters=self.counters)
        self.told: list[Outcome] = []

    def test_the_result_of_apply_is_told_once_and_later(self) -> None:
        settled = self.proposals.add(self.told.append, 10.0)
        settled(Outcome.TAKEN, 0)
        settled(Outcome.OK, 0)
        assert self.told == []
        self.proposals.tell()
        self.proposals.expire(99.0)
        self.proposals.tell()
        assert self.told == [Outcome.TAKEN]

    @pytest.mark.parametrize("code", range(1, 8))
    def test_every_error_code_of_the_engine_means_unknown(self, code: int) -> None:
        self.proposals.add(self.told.append, 10.0)(None, code)
        self.proposals.tell()
        assert self.told == [Outcome.UNKNOWN]
        assert self.counters["proposals_unknown"] == 1

    def test_an_apply_that_failed_means_unknown(self) -> None:
        self.proposals.add(self.told.append, 10.0)(None, 0)
        self.proposals.tell()
        assert self.told == [Outcome.UNKNOWN]

    def test_silence_means_unknown_at_the_deadline(self) -> None:
        settled = self.proposals.add(self.told.append, 10.0)
        self.proposals.expire(10.99)
        self.proposals.tell()
        assert self.told == []
        self.proposals.expire(11.0)
        settled(Outcome.OK, 0)
        self.proposals.tell()
        assert self.told == [Outcome.UNKNOWN]

    def test_outcomes_come_in_the_order_in_which_they_were_decided(self) -> None:
        order: list[int] = []
        settle = [self.proposals.add(lambda outcome, number=number: order.append(number), 10.0) for number in range(4)]
        for number in (2, 0):
            settle[number](Outcome.OK, 0)
        self.proposals.abandon()
        self.proposals.tell()
        assert order == [2, 0, 1, 3]

    def test_a_callback_may_propose_again(self) -> None:
        self.proposals.add(lambda outcome: self.proposals.add(self.told.append, 10.0)(outcome, 0), 10.0)(Outcome.OK, 0)
        self.proposals.tell()
        assert self.told == []
        self.proposals.tell()
        assert self.told == [Outcome.OK]

    @pytest.mark.logs_errors
    def test_a_failing_callback_keeps_no_other_from_its_outcome(self) -> None:
        self.proposals.add(lambda outcome: 1 / 0 and None, 10.0)(Outcome.OK, 0)
        self.proposals.add(self.told.append, 10.0)(Outcome.OK, 0)
        self.proposals.tell()
        assert self.told == [Outcome.OK]
        assert self.counters["ledger_failures"] == 1


class TestMembership:
    def setup_method(self) -> None:
        self.proposed: list[tuple[Command, Callable[[Outcome], None]]] = []
        self.refused: list[Owner] = []
        self.clock = VirtualClock()
        self.tables = Tables()
        self.membership = Membership(
            propose=lambda command, outcome: self.proposed.append((command, outcome)),
            refused=self.refused.append,
            clock=self.clock,
            leave_s=2.0,
            address="a:1",
            version="1",
            reads=1,
        )

    def test_up_is_proposed_until_the_row_is_there_one_at_a_time(self) -> None:
        for _ in range(3):
            self.membership.come_up(ME, (5, 6), self.tables)
        [(command, outcome)] = self.proposed
        assert command == Up(ME, (5, 6), "a:1", "1")
        outcome(Outcome.UNKNOWN)
        self.membership.come_up(ME, (5, 6), self.tables)
        assert len(self.proposed) == 2
        self.proposed[1][1](Outcome.OK)
        self.tables.up[ME] = 7
        self.membership.come_up(ME, (5, 6), self.tables)
        assert len(self.proposed) == 2
        assert not self.refused

    def test_the_refusal_of_a_dead_incarnation_is_told(self) -> None:
        self.membership.come_up(ME, (), self.tables)
        self.proposed[0][1](Outcome.DEAD)
        assert self.refused == [ME]

    def test_down_is_proposed_once_in_its_term(self) -> None:
        other = Owner("b", 2)
        for _ in range(3):
            self.membership.bury([other], 4)
        [(command, outcome)] = self.proposed
        assert command == Down(other, 4)
        outcome(Outcome.DEAD)  # somebody else's was applied before
        assert not self.refused

    def test_leave_is_proposed_until_it_is_applied(self) -> None:
        done: list[bool] = []
        self.tables.up[ME] = 7
        self.membership.leave(ME, self.tables, lambda: done.append(True))
        self.proposed[0][1](Outcome.UNKNOWN)
        assert [command for command, _ in self.proposed] == [Leave(ME)] * 2
        assert not done
        self.proposed[1][1](Outcome.OK)
        self.clock.run(5.0)
        assert done == [True]

    def test_leaving_ends_at_its_deadline(self) -> None:
        done: list[float] = []
        self.tables.up[ME] = 7
        began = self.clock.time
        self.membership.leave(ME, self.tables, lambda: done.append(self.clock.time))
        self.clock.run(5.0)
        self.proposed[0][1](Outcome.UNKNOWN)
        assert done == [pytest.approx(began + 2.0)]
        assert len(self.proposed) == 1

    def test_who_is_not_up_has_nothing_to_leave(self) -> None:
        done: list[bool] = []
        self.membership.leave(ME, self.tables, lambda: done.append(True))
        assert not done
        self.clock.run(0.01)
        assert (done, self.proposed) == ([True], [])
