"""The features of `docs/features.md`, each with the tests that prove it.

A test counts for one node or across nodes by what its id says: `one-node`, `a-to-a`, `on_one_node` and the like. What
has no test has a sentence instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

CALLS: Final = "tests/unit/routing/test_call_options.py"
EVENTS: Final = "tests/unit/routing/test_publish_options.py"
WIRE: Final = "tests/integration/test_call_and_publish_options.py"
LIBRARIES: Final = "tests/integration/test_client_libraries.py"
SHARED: Final = "tests/unit/routing/test_shared.py"
SHARING: Final = "tests/integration/test_shared_procedures.py"
CLUSTER: Final = "tests/unit/routing/test_cluster.py"
BATCHES: Final = "tests/integration/test_batches.py"
SESSIONS: Final = "tests/unit/routing/meta/test_session_api.py"
WIRE_SESSIONS: Final = "tests/integration/test_session_api.py"
TESTAMENTS: Final = "tests/unit/routing/meta/test_testaments.py"
RESUMING: Final = "tests/integration/test_resumable_sessions.py"
READING: Final = "tests/unit/messages/test_reading.py"

RETAINED: Final = "tests/unit/routing/test_retention.py"
HISTORY: Final = "tests/unit/routing/meta/test_history.py"
KEPT: Final = "tests/integration/test_kept_events.py"
META: Final = "tests/integration/test_meta_api.py"
REGISTRATIONS: Final = "tests/unit/routing/meta/test_registrations_api.py"
SUBSCRIPTIONS: Final = "tests/unit/routing/meta/test_subscriptions_api.py"

NEITHER: Final = "nothing of it outlives a publication"
ENDS: Final = (f"{CLUSTER}::test_calls_to_a_node_that_is_lost_end_once_with_unknown_outcome",)
NOT_YET: Final = "not there yet, and not announced"


@dataclass(frozen=True)
class Feature:
    """One row: its announced name, the role that announces it, the tests of it on one node and across nodes.

    `after_death`: tests of what is left when the home node of one side dies, or a sentence.
    """

    name: str
    role: str
    tests: tuple[str, ...]
    after_death: tuple[str, ...] | str
    announced: bool = True
    remark: str = field(default="", kw_only=True)


def _of(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


_MISSING: Final = (("broker", "sharded_subscription"),)

FEATURES: Final[tuple[Feature, ...]] = (
    Feature(
        "subscriber_blackwhite_listing",
        "broker",
        (
            *_of(EVENTS, "an_event_reaches_whom_every_list_admits", "lists_of_roles_are_respected"),
            *_of(WIRE, "black_and_white_lists"),
        ),
        NEITHER,
        remark="lists are bounded by `limits.publish_receivers_max`",
    ),
    Feature(
        "publisher_exclusion",
        "broker",
        (*_of(LIBRARIES, "library_on_one_node", "library_across_nodes"),),
        NEITHER,
    ),
    Feature(
        "publisher_identification",
        "broker",
        (
            *_of(EVENTS, "a_publisher_is_known_if_it_asks_for_it"),
            *_of(EVENTS, "a_permission_may_disclose_every_publisher_and_say_how_far_it_is_trusted"),
            *_of(WIRE, "publisher_identification_and_patterns"),
        ),
        NEITHER,
        remark="on request, or by `disclose.publisher` of a permission",
    ),
    Feature(
        "publication_trustlevels",
        "broker",
        _of(EVENTS, "a_permission_may_disclose_every_publisher_and_say_how_far_it_is_trusted"),
        NEITHER,
        remark="where a permission states a `trustlevel`",
    ),
    Feature(
        "pattern_based_subscription",
        "broker",
        (
            *_of(EVENTS, "each_matching_subscription_gets_the_event_and_patterns_the_topic"),
            *_of(EVENTS, "one_session_gets_the_event_once_for_each_of_its_subscriptions"),
            *_of(WIRE, "publisher_identification_and_patterns"),
        ),
        "subscriptions end with their sessions; clients subscribe anew on another node",
    ),
    Feature(
        "payload_passthru_mode",
        "broker",
        (
            *_of(EVENTS, "passthru_attributes_go_to_subscribers_as_they_are"),
            *_of(WIRE, "passthru_payloads_go_both_ways"),
        ),
        NEITHER,
    ),
    Feature(
        "payload_passthru_mode",
        "dealer",
        (
            *_of(CALLS, "passthru_attributes_go_both_ways_as_they_are", "passthru_to_a_callee_without_it_is_refused"),
            *_of(WIRE, "passthru_payloads_go_both_ways"),
        ),
        ENDS,
    ),
    Feature(
        "payload_transparency",
        "broker",
        _of(WIRE, "payloads_of_autobahn_s_older_form_go_both_ways"),
        NEITHER,
        remark="Autobahn's older form (`enc_*`)",
    ),
    Feature(
        "payload_transparency",
        "dealer",
        _of(WIRE, "payloads_of_autobahn_s_older_form_go_both_ways"),
        ENDS,
        remark="likewise",
    ),
    Feature(
        "progressive_call_results",
        "dealer",
        (
            *_of(
                CALLS, "results_on_the_way_come_in_order_and_before_the_last", "an_error_may_follow_results_on_the_way"
            ),
            *_of(CALLS, "a_callee_without_the_feature_or_canceling_is_not_asked_for_progress"),
            *_of(WIRE, "progressive_results"),
            *_of(LIBRARIES, "options_on_one_node", "options_across_nodes"),
        ),
        ENDS,
    ),
    Feature(
        "progressive_call_invocations",
        "dealer",
        (
            *_of(CALLS, "parts_of_a_call_go_to_one_invocation_in_order", "parts_and_results_flow_both_ways_at_once"),
            *_of(CALLS, "parts_that_come_after_the_end_are_ignored"),
            *_of(WIRE, "progressive_invocations"),
        ),
        ENDS,
    ),
    Feature(
        "call_timeout",
        "dealer",
        (
            *_of(CALLS, "a_call_ends_when_its_milliseconds_are_over"),
            *_of(CALLS, "each_progressive_result_gives_the_call_its_whole_time_again"),
            *_of(WIRE, "a_timeout_is_counted_in_milliseconds_and_interrupts_the_callee"),
            *_of(LIBRARIES, "options_on_one_node", "options_across_nodes"),
        ),
        (
            *_of(CALLS, "the_caller_s_home_keeps_the_time_though_the_callee_s_node_hangs"),
            *_of(WIRE, "a_timeout_is_kept_while_the_node_of_the_callee_stands_still"),
        ),
    ),
    Feature(
        "call_canceling",
        "dealer",
        (
            *_of(CALLS, "cancel_ends_the_call_at_once_and_what_the_callee_says_is_dropped"),
            *_of(CALLS, "kill_leaves_the_answer_to_the_callee", "a_callee_that_did_not_announce_it_gets_no_interrupt"),
            *_of(WIRE, "cancel"),
            *_of(LIBRARIES, "options_on_one_node", "options_across_nodes"),
        ),
        _of(CALLS, "the_callee_learns_that_the_caller_s_node_is_lost"),
    ),
    Feature(
        "caller_identification",
        "dealer",
        (
            *_of(CALLS, "a_caller_is_known_if_it_asks_for_it", "a_callee_may_ask_to_know_every_caller"),
            *_of(CALLS, "a_permission_may_disclose_every_caller_and_say_how_far_it_is_trusted"),
            *_of(WIRE, "caller_identification"),
        ),
        ENDS,
        remark="on request of either side, or by `disclose.caller` of a permission",
    ),
    Feature(
        "call_trustlevels",
        "dealer",
        _of(CALLS, "a_permission_may_disclose_every_caller_and_say_how_far_it_is_trusted"),
        ENDS,
        remark="where a permission states a `trustlevel`",
    ),
    Feature(
        "pattern_based_registration",
        "dealer",
        (
            *_of(CALLS, "a_call_goes_to_the_most_specific_registration_and_is_told_its_procedure"),
            *_of(CALLS, "a_pattern_gives_way_while_something_more_specific_is_registered"),
            *_of(WIRE, "pattern_based_registration"),
        ),
        _of(CLUSTER, "the_procedures_of_a_dead_node_are_free_again"),
    ),
    *(
        Feature(
            "session_meta_api",
            role,
            (
                *_of(SESSIONS, "sessions_are_counted_and_listed_by_role"),
                *_of(SESSIONS, "a_session_is_told_of_with_the_details_of_the_specification"),
                *_of(SESSIONS, "an_unknown_session_and_one_of_another_realm_are_no_such_session"),
                *_of(SESSIONS, "a_killed_session_is_told_why_and_everybody_that_it_left", "nobody_kills_himself"),
                *_of(SESSIONS, "sessions_are_killed_by_authid", "sessions_are_killed_by_role_on_every_node"),
                *_of(SESSIONS, "kill_all_spares_the_caller_and_other_realms_and_tells_nobody"),
                *_of(SESSIONS, "a_killed_session_answers_nobody_and_gets_nothing_from_then_on"),
                *_of(SESSIONS, "on_join_and_on_leave_are_told_once_on_every_node_with_equal_publication_ids"),
                *_of(WIRE_SESSIONS, "sessions_are_found_described_and_counted", "joining_and_leaving_are_told_once"),
                *_of(WIRE_SESSIONS, "a_killed_session_gets_goodbye_and_answers_nobody", "details_are_modified"),
                *_of(LIBRARIES, "sessions_and_testaments_on_one_node", "sessions_and_testaments_across_nodes"),
            ),
            (
                *_of(SESSIONS, "the_death_of_a_node_is_on_leave_for_each_of_its_sessions_once"),
                *_of(WIRE_SESSIONS, "a_killed_node_s_sessions_leave_once_with_their_testaments"),
            ),
            remark="see [meta.md](meta.md)",
        )
        for role in ("broker", "dealer")
    ),
    Feature(
        "testament_meta_api",
        "dealer",
        (
            *_of(TESTAMENTS, "a_testament_is_published_when_the_session_is_gone_however_it_went"),
            *_of(TESTAMENTS, "the_event_is_the_same_on_every_node_and_comes_once"),
            *_of(TESTAMENTS, "they_come_by_scope_and_in_order_before_on_leave", "testaments_are_flushed_by_scope"),
            *_of(TESTAMENTS, "publish_options_say_who_gets_it", "lists_of_sessions_are_respected"),
            *_of(WIRE_SESSIONS, "testaments_come_by_scope_before_on_leave"),
            *_of(LIBRARIES, "sessions_and_testaments_on_one_node", "sessions_and_testaments_across_nodes"),
        ),
        (
            *_of(TESTAMENTS, "it_survives_the_death_of_its_home_node"),
            *_of(WIRE_SESSIONS, "a_killed_node_s_sessions_leave_once_with_their_testaments"),
        ),
        remark="bounded by `limits.testament_bytes_max` and others; see [guarantees.md](guarantees.md)",
    ),
    Feature(
        "event_history",
        "broker",
        (
            *_of(HISTORY, "an_event_is_told_as_the_specification_has_it"),
            *_of(HISTORY, "each_subscription_has_the_history_of_what_it_matches"),
            *_of(HISTORY, "limit_and_reverse", "times", "publications"),
            *_of(HISTORY, "lists_of_names_are_respected_and_what_was_for_certain_sessions_is_not_kept"),
            *_of(HISTORY, "a_subscription_that_is_none_and_one_without_history_have_errors_of_their_own"),
            *_of(KEPT, "history", "bad_questions_for_history", "library_on_one_node", "library_across_nodes"),
        ),
        (
            *_of(HISTORY, "every_node_gives_the_same_answer_and_a_late_one_too"),
            *_of(KEPT, "what_is_kept_survives_its_node_and_reaches_late_joiners"),
        ),
        remark="of the topics in a realm's `history`; see [guarantees](guarantees.md)",
    ),
    Feature(
        "event_retention",
        "broker",
        (
            *_of(RETAINED, "a_new_subscriber_gets_the_last_retained_event_right_behind_subscribed"),
            *_of(RETAINED, "live_events_are_not_marked_and_follow"),
            *_of(RETAINED, "a_pattern_gets_the_event_of_every_topic_in_the_order_in_which_they_were_kept"),
            *_of(RETAINED, "lists_are_respected_and_who_is_left_out_gets_the_last_that_was_for_all"),
            *_of(KEPT, "the_last_retained_event", "retained_events_of_a_pattern_and_of_lists"),
            *_of(KEPT, "library_on_one_node", "library_across_nodes"),
        ),
        (
            *_of(RETAINED, "it_outlives_its_publisher_and_the_publisher_s_node"),
            *_of(KEPT, "what_is_kept_survives_its_node_and_reaches_late_joiners"),
        ),
        remark="events of at most `limits.kept_event_bytes_max`; see [guarantees](guarantees.md)",
    ),
    Feature(
        "shared_registration",
        "dealer",
        (
            *_of(SHARED, "first_and_last_are_exact_and_the_next_stands_by"),
            *_of(
                SHARED, "round_robin_goes_through_all_in_the_order_of_the_log", "random_calls_everybody_about_as_often"
            ),
            *_of(SHARED, "conflicting_policies_are_refused_and_change_nothing"),
            *_of(SHARED, "a_callee_has_no_more_calls_at_once_than_it_wants"),
            *_of(SHARED, "calls_wait_in_order_for_a_place_and_no_more_than_may"),
            *_of(SHARED, "force_takes_the_procedure_and_who_had_it_is_told"),
            *_of(SHARING, "first_and_last", "calls_are_shared", "conflicting_and_unknown_policies", "concurrency"),
            *_of(SHARING, "calls_wait_for_a_callee"),
            *_of(LIBRARIES, "shared_procedures_on_one_node", "shared_procedures_across_nodes"),
        ),
        _of(SHARED, "the_callees_of_a_dead_node_are_gone_in_one_entry_and_the_others_stay"),
        remark="Crossbar's `concurrency` and `force_reregister`, too: [shared.md](shared.md)",
    ),
    Feature(
        "call_reroute",
        "dealer",
        (
            *_of(SHARED, "who_is_unavailable_is_passed_over_by_the_rules_of_the_policy"),
            *_of(SHARED, "random_gives_it_to_each_of_the_others_before_it_gives_up"),
            *_of(SHARED, "a_single_callee_that_is_unavailable_leaves_nobody"),
            *_of(SHARING, "rerouting", "a_callee_that_is_lost"),
        ),
        _of(SHARED, "a_call_to_a_node_that_is_lost_is_repeated_only_if_it_may_be"),
        remark="after the loss of a callee or its node only with `_repeatable`: [shared.md](shared.md)",
    ),
    Feature(
        "registration_meta_api",
        "dealer",
        (
            *_of(
                REGISTRATIONS, "list_has_the_ids_by_match_policy", "lookup_finds_a_registration_by_its_uri_and_policy"
            ),
            *_of(REGISTRATIONS, "match_finds_the_registration_that_a_call_would_go_to"),
            *_of(REGISTRATIONS, "get_tells_all_about_a_registration", "callees_are_listed_and_counted"),
            *_of(REGISTRATIONS, "every_node_gives_the_same_answers", "an_unknown_registration_is_an_error"),
            *_of(REGISTRATIONS, "the_life_of_a_registration_is_told_once_on_every_node_in_order"),
            *_of(META, "registrations_are_found_described_and_counted", "the_life_of_a_registration_is_told"),
            *_of(LIBRARIES, "meta_api_on_one_node", "meta_api_across_nodes"),
        ),
        (
            *_of(REGISTRATIONS, "the_death_of_a_node_is_told_for_each_of_its_callees"),
            *_of(META, "deaths_and_returns_of_nodes_are_told"),
        ),
        remark="see [meta.md](meta.md)",
    ),
    Feature(
        "subscription_meta_api",
        "broker",
        (
            *_of(SUBSCRIPTIONS, "list_has_the_ids_by_match_policy"),
            *_of(SUBSCRIPTIONS, "lookup_finds_a_subscription_by_its_uri_and_policy"),
            *_of(SUBSCRIPTIONS, "match_finds_every_subscription_that_an_event_would_go_to"),
            *_of(SUBSCRIPTIONS, "get_tells_all_about_a_subscription"),
            *_of(SUBSCRIPTIONS, "subscribers_of_all_nodes_are_listed_and_counted"),
            *_of(SUBSCRIPTIONS, "every_node_gives_the_same_answers", "an_unknown_subscription_is_an_error"),
            *_of(SUBSCRIPTIONS, "the_life_of_a_subscription_is_told_once_on_every_node_in_order"),
            *_of(META, "subscriptions_are_found_described_and_counted", "the_life_of_a_subscription_is_told"),
            *_of(LIBRARIES, "meta_api_on_one_node", "meta_api_across_nodes"),
        ),
        (
            *_of(SUBSCRIPTIONS, "the_death_of_a_node_is_told_without_names"),
            *_of("tests/model/test_meta.py", "each_event_comes_once_and_in_the_same_order_on_every_node"),
        ),
        remark="see [meta.md](meta.md)",
    ),
    Feature(
        "registration_revocation",
        "dealer",
        (
            *_of(SHARED, "force_takes_the_procedure_and_who_had_it_is_told"),
            *_of(SHARING, "force_reregister"),
            *_of(REGISTRATIONS, "a_callee_can_be_removed_and_is_told_if_it_understands_that"),
            *_of(META, "registration_revocation"),
        ),
        _of(SHARED, "who_was_put_out_while_its_node_slept_does_not_come_back_by_a_snapshot"),
        remark="by `force_reregister` and `wamp.registration.remove_callee`",
    ),
    Feature(
        "sharded_registration",
        "dealer",
        (),
        NOT_YET,
        announced=False,
        remark="the specification has no text for it yet: [shared.md](shared.md)",
    ),
    Feature(
        "subscription_revocation",
        "broker",
        (
            *_of(SUBSCRIPTIONS, "a_subscriber_can_be_removed_and_is_told_if_it_understands_that"),
            *_of(META, "subscription_revocation"),
        ),
        "who is gone is told nothing",
        remark="by `wamp.subscription.remove_subscriber`",
    ),
    Feature(
        "x_resumable_sessions",
        "session",
        _of(
            RESUMING,
            "resumed_on_one_node_with_nothing_lost_twice_or_out_of_order",
            "resumed_on_one_node_over_another_transport",
            "calls_and_registrations_go_on_on_one_node",
            "the_old_connection_is_closed_when_its_session_is_resumed_on_one_node",
            "tokens_are_refused_on_one_node_when_wrong_used_or_late",
            "autobahn_resumes_on_one_node",
            "resumed_across_nodes_under_load_with_nothing_lost_twice_or_out_of_order",
            "tokens_are_refused_across_nodes_when_wrong_used_or_late",
            "of_many_that_resume_at_once_across_nodes_exactly_one_wins",
            "autobahn_resumes_across_nodes",
        ),
        _of(RESUMING, "when_the_home_node_died_the_session_goes_on_and_is_told_what_is_lost"),
        remark="in realms with `resumable_sessions`; not in the specification, see resumable-sessions.md",
    ),
    *(Feature(name, role, (), NOT_YET, announced=False) for role, name in _MISSING),
)


@dataclass(frozen=True)
class Way:
    """One row of how clients connect: the tests of it are those of `tests` whose parameters `pattern` matches.

    Without a pattern it is not there, and the remark says why.
    """

    name: str
    pattern: str
    remark: str = "-"
    tests: tuple[str, ...] = _of(
        LIBRARIES, "library_on_one_node", "library_across_nodes", "options_on_one_node", "options_across_nodes"
    )


_FEWER: Final = _of(LIBRARIES, "fewer_options_on_one_node", "fewer_options_across_nodes")
_BATCHED: Final = (
    *Way.tests,
    *_of(BATCHES, "batches_of_events_arrive_whole_and_in_order", "a_batch_of_calls_is_answered"),
)

TRANSPORTS: Final[tuple[Way, ...]] = (
    *(Way(f"WebSocket, `wamp.2.{name}`", rf"websocket-{name}\]") for name in ("json", "msgpack", "cbor")),
    Way(
        "WebSocket, `wamp.2.json.batched`",
        r"json\.batched\]",
        "ends messages with 0x1e, or with 0x18 for a client that does so",
        _BATCHED,
    ),
    Way("WebSocket, `wamp.2.msgpack.batched`", r"msgpack\.batched\]", tests=_BATCHED),
    Way("WebSocket, `wamp.2.cbor.batched`", r"cbor\.batched\]", "framed like MessagePack", _BATCHED),
    *(
        Way(f"RawSocket, {name}", rf"rawsocket-{serializer}\]")
        for name, serializer in (("JSON", "json"), ("MessagePack", "msgpack"), ("CBOR", "cbor"))
    ),
    Way(
        "HTTP long-poll",
        "",
        "the one client of it that is kept, in Autobahn JS, runs in browsers only, and no test here has a browser",
    ),
)

CLIENTS: Final[tuple[Way, ...]] = (
    Way("Autobahn Python", r"\[autobahn-python-"),
    Way("Autobahn JS", r"\[autobahn-js-"),
    Way("wampy.js", r"\[wampy-"),
    Way("xconn (Python)", r"\[xconn-", "has neither progressive results nor CANCEL", (*Way.tests, *_FEWER)),
    Way(
        "wampy (Python)",
        "",
        "1.1.0 of 2021 is the last; it demands `attrs` 20.3.0, and Twisted a newer one, so both cannot be installed",
    ),
)
