"""The fault matrix: each fault with the tests that make it. `report.py` adds the figures that were reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FAULTS: Final = "tests/chaos/test_faults.py"
_NODES: Final = "tests/simulation/test_nodes_faults.py"
_RANDOM: Final = "tests/simulation/test_nodes_random.py::test_three_voters_and_an_observer"


@dataclass(frozen=True)
class Row:
    """One fault. A row without tests says in `note` why there is none."""

    number: int
    fault: str
    tests: tuple[str, ...] = ()  # as pytest names them
    note: str = ""


def _nothing_on_disk(number: int, fault: str) -> Row:
    return Row(number, fault, note="does not apply: nothing is on disk")


ROWS: Final = (
    Row(1, "kill -9 of the leader under load", (f"{_FAULTS}::test_nodes_are_killed_or_leave",)),
    Row(
        2,
        "kill -9 of a follower, of an observer",
        (f"{_FAULTS}::test_nodes_are_killed_or_leave", f"{_FAULTS}::test_nodes_are_killed_whose_death_is_certain"),
    ),
    Row(
        3,
        "kill -9 at every point",
        (_RANDOM, "tests/simulation/test_snapshots.py::test_under_random_faults"),
        "there is no journal: what is left are crashes between any two events, and while a snapshot is under way",
    ),
    Row(
        4,
        "leader stopped for 0.2 to 30 s",
        (
            f"{_FAULTS}::test_nodes_stand_still",
            f"{_NODES}::test_a_stopped_process_that_goes_on_within_5_s_costs_no_session",
            f"{_NODES}::test_a_stopped_process_is_followed_by_others_and_serves_nobody_by_its_old_table",
        ),
    ),
    Row(
        5,
        "follower stopped, its sockets full",
        (
            f"{_FAULTS}::test_nodes_stand_still",
            "tests/integration/cluster/test_real_links.py::test_a_peer_that_stops_reading_is_cut_and_costs_a_bounded_queue",
        ),
    ),
    Row(
        6,
        "partition into majority and minority",
        (
            f"{_FAULTS}::test_three_nodes_are_parted",
            f"{_NODES}::test_a_minority_serves_no_longer_than_its_lease_and_the_tables_are_equal_within_5_s",
        ),
    ),
    Row(
        7,
        "links open one way only",
        (f"{_FAULTS}::test_three_nodes_are_parted", f"{_NODES}::test_a_one_way_cut_moves_the_leader_once_at_most"),
    ),
    Row(
        8,
        "bridge: two that see a third, not each other",
        (f"{_FAULTS}::test_a_bridge_stays", f"{_NODES}::test_a_bridge_loses_nothing_in_silence"),
    ),
    Row(
        9,
        "a link that flaps",
        (f"{_FAULTS}::test_links_flap", f"{_NODES}::test_a_flapping_link_doubles_nothing_and_reorders_nothing"),
    ),
    Row(10, "loss of 1, 5, 20 %", (f"{_FAULTS}::test_links_are_bad",)),
    Row(11, "delay of 50 and 200 ms, jitter, 1 kB/s", (f"{_FAULTS}::test_links_are_bad",)),
    _nothing_on_disk(12, "disk full"),
    _nothing_on_disk(13, "journal or snapshot damaged"),
    _nothing_on_disk(14, "disk errors"),
    Row(
        15,
        "file descriptors exhausted",
        (
            "tests/integration/test_crowds.py::test_a_crowd_that_takes_every_descriptor_disturbs_neither_sessions_nor_links",
        ),
    ),
    Row(
        16,
        "subscribers that do not read",
        ("tests/integration/test_slow_clients.py::test_what_clients_do_not_read_stays_within_the_bound_of_all",),
    ),
    Row(
        17,
        "a thousand of them on a hot topic",
        (
            "tests/integration/test_slow_clients.py"
            "::test_a_thousand_slow_subscribers_of_a_hot_topic_stay_within_the_bound_of_all",
        ),
    ),
    Row(
        18,
        "half-open client",
        (
            f"{_FAULTS}::test_clients_vanish_without_a_word",
            "tests/integration/test_slow_clients.py::test_a_client_that_vanishes_is_cut_and_nothing_of_it_stays",
        ),
    ),
    Row(
        19,
        "half-open link between nodes",
        (f"{_FAULTS}::test_links_are_bad", f"{_NODES}::test_a_half_open_link_is_noticed_within_3_s"),
    ),
    Row(
        20,
        "all clients of a killed node reconnect at once",
        (f"{_FAULTS}::test_all_clients_of_a_node_come_to_the_others",),
    ),
    Row(21, "churn of sessions, subscriptions, registrations", (f"{_FAULTS}::test_nothing_stays_behind",)),
    Row(
        22,
        "rolling restart, clean leave",
        (
            "tests/integration/test_rolling_restart.py"
            "::test_all_nodes_are_restarted_in_turn_and_nothing_acknowledged_is_lost",
            f"{_FAULTS}::test_nodes_are_killed_or_leave",
        ),
    ),
    Row(
        23,
        "rolling upgrade and back",
        (
            "tests/simulation/test_versions.py::test_nothing_newer_is_proposed_than_every_node_that_is_up_can_read",
            "tests/simulation/test_versions.py::test_a_node_that_is_too_old_for_the_log_serves_nobody_and_disturbs_nobody",
            "tests/integration/test_rolling_restart.py"
            "::test_nodes_of_two_versions_serve_together_while_they_are_upgraded_in_turn",
        ),
        "there is no earlier release yet: the test mixes two versions that differ in their number only; "
        "`rolling_restart --earlier` does so with any checkout",
    ),
    Row(
        24,
        "kill -9 of all nodes",
        (f"{_FAULTS}::test_all_nodes_die_at_once", f"{_NODES}::test_after_the_death_of_all_a_quorum_forms_within_5_s"),
    ),
    Row(
        25,
        "members come, go, and move to another address",
        (
            f"{_FAULTS}::test_members_come_and_go_and_move",
            f"{_NODES}::test_a_node_may_come_back_with_another_address",
            f"{_NODES}::test_an_observer_joins_and_leaves_a_cluster_under_load",
        ),
    ),
    Row(26, "wall clock stepped by an hour", (f"{_FAULTS}::test_wall_clocks_are_stepped",)),
    Row(27, "machine frozen for a minute", (f"{_NODES}::test_a_frozen_machine_is_like_a_stopped_process",)),
    Row(28, "oversized frames", (f"{_FAULTS}::test_frames_promise_too_much",)),
    Row(
        38,
        "commands that nobody can read or apply",
        (
            "tests/simulation/test_versions.py::test_what_was_proposed_before_an_older_node_came_up_is_refused_on_every_node",
        ),
    ),
    Row(
        40,
        "callee's node killed in the middle of calls",
        (
            f"{_FAULTS}::test_nodes_are_killed_or_leave",
            f"{_NODES}::test_calls_to_a_killed_node_end_once_when_the_link_is_given_up",
        ),
    ),
    Row(
        41,
        "CANCEL, INTERRUPT and progressive results between nodes that lose one another",
        (
            "tests/model/test_calls.py::test_every_call_ends_once_and_nothing_is_left_of_any",
            "tests/unit/routing/test_call_options.py"
            "::test_a_progressive_call_of_which_parts_were_lost_is_not_tried_elsewhere",
            "tests/unit/routing/test_call_options.py::test_the_callee_learns_that_the_caller_s_node_is_lost",
        ),
    ),
    Row(
        42,
        "callees of a shared procedure come, go and die",
        (
            "tests/model/test_shared_calls.py"
            "::test_every_call_ends_once_and_is_delivered_again_only_where_that_is_allowed",
            "tests/simulation/test_nodes_shared.py::test_with_faults_only_who_offers_it_is_called_and_once",
            "tests/simulation/test_nodes_shared.py::test_without_faults_calls_go_exactly_to_whom_the_policy_says",
            "tests/unit/routing/test_choice.py"
            "::test_round_robin_is_a_cycle_in_the_order_of_the_log_whatever_comes_and_goes",
        ),
    ),
    Row(
        43,
        "meta events and testaments when nodes die",
        (
            f"{_FAULTS}::test_sessions_leave_once_when_their_node_dies",
            f"{_NODES}::test_on_leave_and_testaments_come_once_whoever_dies",
        ),
    ),
)
