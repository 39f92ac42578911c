"""Mutation test: each rule and repair that is switched off is noticed by a run that the product passes.

docs/mutants.md has the same list with what is noticed, and what nothing was found for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.simulation import test_cluster as cluster
from tests.simulation import test_restarts as restarts
from tests.simulation import witnesses
from tests.simulation.mutants import MUTANTS, noticed
from tests.simulation.runs import run
from tests.support.core import Cluster
from tests.unit.ledger import test_election as election
from tests.unit.ledger import test_founding as founding
from tests.unit.routing import test_cluster as routing
from tests.unit.routing import test_rows as rows
from tests.unit.routing import test_shared as shared
from tests.unit.transport import test_gate as gate
from wampha.ledger.constants import Timing

TIMING = Timing.of()
CONFLICT = "wamp.error.procedure_exists_with_different_invocation_policy"
Scene = Callable[[], object]


@cache
def seed(number: int) -> Scene:
    return lambda: run(number)


def on_cluster(test: Callable[[Cluster], object]) -> Scene:
    return lambda: test(Cluster("a", "b", "c"))


# Mutants for which no run of the simulation was found; why is said in docs/mutants.md.
ARGUED = {"55-quorate", "56-live"}

NOTICED: dict[str, Scene] = {
    "repair-known": witnesses.the_log_is_sent_again,
    "repair-next": witnesses.entries_are_sent_once,
    "repair-answer-term": witnesses.an_answer_to_a_former_term,
    "repair-tail": witnesses.a_deposed_leader_gets_a_snapshot,
    "repair-recovering": lambda: restarts.TestOpening().test_before_it_counts_for_none(),
    "repair-steps": witnesses.a_deposed_leader_with_a_long_log_of_its_own,
    "repair-compaction": witnesses.somebody_needs_a_snapshot,
    "repair-elections": lambda: cluster.TestPreVote().test_d14_a_node_that_sends_but_does_not_hear_deposes_nobody(),
    "1-cached": witnesses.a_client_comes_first_on_waking,
    "2-open-gate": gate.test_nothing_goes_on_before_the_node_serves_whatever_is_announced,
    "3-lease": on_cluster(routing.test_rule_3_a_suspended_node_delivers_no_invocation),
    "3-session": on_cluster(
        lambda nodes: routing.test_rule_3_another_session_registration_or_realm_is_not_called(nodes, {"callee": 7})
    ),
    "3-registered": on_cluster(routing.test_rule_3_nothing_is_invoked_before_registered),
    "3-table": on_cluster(routing.test_rule_3_nothing_is_invoked_if_the_table_shows_another_owner),
    "4-suspended": lambda: cluster.TestMinority().test_rule_4_a_long_one_ends_the_incarnation_and_the_next_one_joins(),
    "4-dead": witnesses.declared_dead_and_never_suspended_for_long,
    "5-order": lambda: cluster.TestLeaving().test_rule_5_a_clean_stop_hands_the_lease_back(),
    "10-probe": seed(0),
    "11-arrival": witnesses.every_echo_takes_long,
    "12-own-lease": witnesses.a_new_leader_is_cut_off_at_once,
    "12-start": witnesses.a_new_leader_cannot_commit_yet,
    "13-applied": witnesses.who_returns_hears_no_entries,
    "14-booking": seed(0),
    "15-arrival": witnesses.the_answer_to_a_ping_takes_long,
    "15-match": witnesses.an_old_answer_reaches_a_new_incarnation,
    "16-leader-lease": witnesses.the_old_leader_is_cut_off_and_replaced_at_once,
    "17-step-down": lambda: (
        cluster.TestMinority().test_an_isolated_leader_serves_no_longer_than_its_own_short_lease_and_steps_down()
    ),
    "20a-holders": seed(0),
    "20b-young": witnesses.a_holder_and_the_leader_vanish_together,
    "20c-unwaited": witnesses.the_old_leader_is_cut_off_and_replaced_at_once,
    "20c-as-others": lambda: cluster.TestFailover().test_the_death_of_the_leader_is_over_within_a_second(),
    "21-falls": witnesses.the_former_leader_returns_without_what_was_claimed,
    "21-sent": lambda: cluster.TestProposals().test_a_command_of_a_follower_is_applied_everywhere_and_acknowledged(3),
    "22-claim": seed(0),
    "22-flight": seed(0),
    "22-lease": seed(4),
    "24-due": witnesses.a_node_that_applies_nothing,
    "25-forgotten": witnesses.an_up_of_a_dead_incarnation_surfaces,
    "25-recovering": lambda: restarts.TestOpening().test_a_restarted_voter_serves_soon_and_votes_after_the_embargo(),
    "26-lease": seed(0),
    "26-silence": lambda: cluster.TestFailover().test_the_table_is_rid_of_the_dead_once_and_only_after_its_lease(),
    "26-young": witnesses.a_new_leader_finds_two_of_one_name,
    "26-term": witnesses.declared_dead_by_a_former_leader,
    "26-dying": witnesses.it_wakes_while_its_death_is_being_decided,
    "27-lock": witnesses.a_former_process_runs_on,
    "27-useless": lambda: restarts.TestCertificate().test_nobody_waits_for_a_predecessor_that_is_proven_dead(True),
    "28-rows": witnesses.rows_of_the_dead,
    "30-numbers": witnesses.an_old_removal_surfaces,
    "30-dead": witnesses.a_command_of_the_dead_surfaces,
    "31-one-flight": seed(0),
    "32-dirty": seed(8),
    "32-installed": lambda: rows.test_rule_32_after_a_snapshot_every_row_is_proposed_again(rows.Bench()),
    "33-applied": lambda: rows.test_rule_33_an_own_row_that_nobody_wants_is_removed(rows.Bench()),
    "33-tick": seed(8),
    "34-single": seed(0),
    "35-order": lambda: shared.test_first_and_last_are_exact_and_the_next_stands_by(
        shared.Place("bca"), "first", [0, 0, 1, 1]
    ),
    "35-policy": lambda: shared.test_conflicting_policies_are_refused_and_change_nothing(
        shared.Place("bca"), "roundrobin", "random", CONFLICT
    ),
    "36-once": shared.test_who_took_it_by_force_does_not_take_it_again_when_its_row_is_said_again,
    "37-renewal": shared.test_a_renewal_in_flight_does_not_bring_back_who_is_put_out_before_it,
    "37-revoked": shared.test_who_was_put_out_while_its_node_slept_does_not_come_back_by_a_snapshot,
    "38-cycle": lambda: shared.test_round_robin_goes_through_all_in_the_order_of_the_log(shared.Place("bca")),
    "38-once": lambda: shared.test_random_gives_it_to_each_of_the_others_before_it_gives_up(shared.Place("bca")),
    "38-lost": lambda: shared.test_else_it_ends_and_nobody_knows_how_far_it_came(shared.Place("bca")),
    "40-votes": seed(10),
    "40-match": seed(0),
    "41-answers": lambda: restarts.TestOpening().test_h1_an_old_leader_fed_by_it_commits_nothing(True),
    "41-pings": lambda: restarts.TestOpening().test_before_it_counts_for_none(),
    "42-embargo": lambda: restarts.TestOpening().test_a_restarted_voter_serves_soon_and_votes_after_the_embargo(),
    "43-quorum": lambda: (
        restarts.TestOpening().test_rule_43_it_is_not_opened_while_the_leader_has_no_majority_without_it()
    ),
    "43-log": witnesses.opened_with_an_empty_log,
    "44-pledge": lambda: restarts.TestFounding().test_rule_44_a_pledge_keeps_from_being_opened(),
    "44-vote": witnesses.asked_for_another_vote_in_the_term_of_its_leader,
    "44-life": witnesses.a_former_life_is_opened,
    "44-term": witnesses.opened_by_the_leader_of_another_term,
    "45-late-vote": witnesses.a_vote_arrives_late,
    "45-postpone": election.test_rule_45_who_said_yes_waits_with_its_own_candidacy,
    "50-told": seed(0),
    "51-grace": witnesses.a_majority_restarts,
    "51-leader": lambda: founding.test_rule_51_a_majority_proposes_when_all_of_it_waited_long_enough(
        TIMING.grace_s + 1, TIMING.grace_s + 1, TIMING.grace_s - 1, False
    ),
    "51-smallest": founding.test_rule_51_others_than_the_smallest_wait,
    "52-exclusive": founding.test_rule_52_a_pledge_is_exclusive,
    "52-life": founding.test_rule_52_a_former_life_cannot_be_asked,
    "52-drop": lambda: cluster.TestFirstStart().test_rule_52_a_pledge_without_go_ends_the_life(),
    "53-majority": witnesses.nobody_pledges,
    "53-late": founding.test_rule_53_a_late_pledge_is_answered_with_go,
    "54-hold": lambda: (
        cluster.TestFirstStart().test_rule_54_nobody_serves_while_a_lease_of_an_older_cluster_might_run()
    ),
    "55-superseded": lambda: (
        cluster.TestSuperseded().test_the_observer_is_fenced_and_keeps_nothing_of_the_old_cluster()
    ),
    "56-lost": lambda: restarts.TestFounding().test_h8_the_founder_dies_after_one_go_was_heard(),
    "57-safe": lambda: cluster.TestSuperseded().test_the_observer_is_fenced_and_keeps_nothing_of_the_old_cluster(),
    "57-incarnation": lambda: (
        restarts.TestFounding().test_h25_a_founder_keeps_nothing_of_the_cluster_that_it_followed()
    ),
    "k-drift": witnesses.clocks_that_differ_by_all_that_they_may,
    "clock-stands-still": witnesses.a_client_comes_first_on_waking,
}


def test_each_mutant_is_in_one_of_the_lists() -> None:
    assert NOTICED.keys() | ARGUED == MUTANTS.keys()
    assert not NOTICED.keys() & ARGUED


def test_the_document_lists_each_mutant() -> None:
    text = (Path(__file__).parents[2] / "docs" / "mutants.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(MUTANTS)


@pytest.mark.logs_errors
@pytest.mark.parametrize("name", NOTICED)
def test_it_is_noticed(name: str) -> None:
    with MUTANTS[name]():
        assert noticed(NOTICED[name]), f"nobody notices that {name} is missing"


@pytest.mark.parametrize("scene", {scene: None for scene in NOTICED.values()})
def test_the_product_passes_the_same(scene: Scene) -> None:
    assert not noticed(scene)
