"""What is counted and measured. A name must stand in the catalogue; `observe/exposition.py` tells it to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wampha.distributions import COUNTS, MEASURES, SUMS, Distribution, Sizes

CATALOGUE: Final[Mapping[str, str]] = {
    # configuration
    "config_reloads": "times the configuration was read again and taken over, as far as it may change",
    "config_reload_failures": "times it was read again and could not be used: nothing has changed",
    "config_differences": "times nodes ran different configurations for longer than 10 s",
    # realms of templates
    "dynamic_realms_opened": "realms of a template that came to be on this node",
    "dynamic_realms_closed": "those of which this node had no session any more, and that it has forgotten",
    "dynamic_realms_refused": "clients refused since dynamic_realms_max realms of templates were there",
    # clients
    "sessions_opened": "sessions that got WELCOME",
    "sessions_closed": "sessions that ended, for any reason",
    "hello_refused": "HELLOs answered with ABORT",
    "work_refused": "clients refused because too many were being authenticated",
    "protocol_violations": "connections closed because the client broke the protocol",
    "requests_refused": "requests answered with ERROR by the router",
    "publishes_refused_silently": "unacknowledged PUBLISH that was refused; WAMP sends no ERROR for it",
    "clients_cut_slow": "clients cut because more than client_queue_bytes_max waited for them",
    "clients_cut_crowded": "clients cut because more than clients_queue_bytes_max waited for all clients",
    "clients_queue_full": "times that more than clients_queue_bytes_max waited for all clients",
    "events_dropped_newest": "EVENTs not queued for a client that does not read (slow_clients: drop_newest)",
    "events_dropped_oldest": "EVENTs taken out of the queue of a client that does not read (slow_clients: drop_oldest)",
    "clients_paused": "times nothing was read from a client because a node that it sends to, or the log, was behind, "
    "an authorizer was asked about its message, or it had sent its session_messages_per_s",
    "authentications_failed": "clients that could not prove who they are",
    "authentications_throttled": "clients refused unheard, since their authid or address had failed too often",
    "cookies_remembered": "browsers that are known from now on, since their user was let in by another method",
    "cookies_forgotten": "cookies that let nobody in any more, since their user has logged out or is another one",
    "cookies_crowded_out": "cookies forgotten for lack of room (cookies_max), or since one user had too many",
    "tls_handshakes_failed": "connections of clients that came to nothing in the TLS handshake",
    "authorizations_asked": "times an authorizer was asked whether a session may do something",
    "authorizations_failed": "authorizers' errors, nonsense, or no answer in time: taken for no",
    "clients_cut_silent": "clients cut because they did not answer a ping",
    "opening_timeouts": "connections closed before the opening handshake was complete",
    "close_timeouts": "connections dropped because the client did not answer our close within goodbye_timeout_s",
    "hello_timeouts": "connections closed because no session was opened in time",
    "undecided_refused": "connections whose first bytes were neither WebSocket nor RawSocket",
    "handshakes_refused": "opening handshakes answered with an error",
    "messages_too_large": "messages above message_bytes_max",
    "messages_too_deep": "messages above nesting_depth_max",
    "messages_too_many_elements": "messages above message_elements_max",
    "messages_malformed": "messages that no serializer could read",
    "messages_unsendable": "RESULT, INVOCATION, ERROR or reply that was larger than its receiver accepts",
    "connections_refused_suspended": "connections closed at once because the node was not serving",
    "turns_long": "turns of the reactor that lasted longer than 100 ms",
    "connections_refused_max": "connections refused because there were connections_max",
    "connections_refused_address": "connections refused because there were address_connections_max from that address",
    "origins_refused": "WebSocket handshakes of pages whose origin the listener does not accept",
    "sessions_throttled": "times nothing was read from a session because it had sent its session_messages_per_s",
    "connections_refused_full": "connections closed at once because only descriptors_reserved open files were left",
    # sessions that can be resumed
    "sessions_detached": "sessions that lost their connection and wait to be resumed",
    "sessions_resumed": "sessions that went on with another connection",
    "sessions_moved": "sessions that went on at another node, since their client came back there",
    "sessions_revived": "sessions of a dead node that went on here, with nothing but their identity",
    "sessions_not_kept": "sessions that could have been resumed and ended, since too many waited",
    "resumptions_refused": "HELLOs that wanted to resume a session, with a wrong or used token or too late",
    "resumable_sessions_expired": "sessions that ended because nobody resumed them in time",
    "resumable_sessions_overflowed": "sessions that ended because too much waited for them",
    "resumable_events_dropped": "EVENTs that a session without a connection will not get (slow_clients: drop_...)",
    # routing
    "publications": "PUBLISH accepted",
    "events_delivered": "EVENTs queued to local subscribers",
    "events_undeliverable": "EVENTs left out because the receiver could not be sent this payload",
    "calls": "CALL accepted",
    "calls_ended": "CALLs answered with RESULT or ERROR, or dropped because the caller left",
    "yields": "YIELD of callees of this node",
    "late_yields": "YIELD or ERROR for an invocation that had ended already",
    "late_parts": "CALLs that continue a progressive call which had ended already",
    "progress_unwanted": "progressive YIELDs dropped because the call did not ask for them, or the callee cannot",
    "calls_canceled": "calls ended by CANCEL, or interrupted by it",
    "calls_rerouted": "calls that were offered to one more callee, since one had not taken them or was lost",
    "calls_queued": "calls that waited for a callee whose `concurrency` was reached",
    "callees_full": "times a call was not sent to a callee, since its `concurrency` was reached and it might not wait",
    "call_attempts_reached": "calls refused because call_attempts_max callees had not taken them",
    "callees_refused": "REGISTER refused because its procedure had CALLEES_MAX callees",
    "registrations_revoked": "registrations taken from their callees, by force_reregister or otherwise",
    "calls_timed_out": "calls ended because their `timeout` was over",
    "events_kept": "events of this node's publishers that are retained, or in a history, on every node",
    "events_not_kept": "PUBLISH refused because retained_topics_max or retained_bytes_max was reached",
    "events_too_large_to_keep": "PUBLISH refused because it should be kept and is larger than kept_event_bytes_max",
    "keeps_repeated": "times events to be kept were proposed again because it was not known whether they were applied",
    "retained_events_omitted": "retained events not sent to a new subscriber: beyond retained_events_sent_max",
    "subscriptions_revoked": "subscriptions taken from their subscribers: by the meta API, or since their role may not",
    "meta_calls": "CALLs of procedures that the router itself answers",
    "meta_calls_refused": "those of them that were answered with ERROR",
    "gathers": "questions put to the nodes of the cluster",
    "gathers_partial": "questions that some node did not answer in time",
    "gathers_refused": "questions not put because gathers_max were open",
    "gathers_late": "answers of other nodes to questions that were over",
    "history_answers_cut": "answers to wamp.subscription.get_events that did not hold all events that were asked for",
    "gathers_unanswerable": "questions of other nodes that this one does not know, or too much to answer then",
    "rows_doubted": "rows that are proposed again because it is not known whether they were applied",
    "wants_timed_out": "SUBSCRIBE, REGISTER, UNREGISTER or meta procedures that the cluster did not decide in time",
    "marks_missed": "times that a session's end was told before its events had come, as its node's link is behind",
    "reports_repeated": "reports of this node's sessions that are proposed again: it is not known what became of them",
    "testaments_refused": "testaments refused because a bound of the testament, session or realm was reached",
    "session_bounds_reached": "requests refused because a bound of the session was reached",
    "realm_bounds_reached": "requests refused because realm_topics_max or realm_procedures_max was reached",
    # ledger
    "proposals": "routes and registrations proposed to the ledger, to be added or removed",
    "reports": "reports of joined and ended sessions proposed to the ledger",
    "proposals_unknown": "proposals whose outcome is not known",
    "commands_stale": "commands refused by apply: a later one of the same incarnation was applied before",
    "commands_dead": "commands refused by apply: their incarnation is not up",
    "apply_failures": "commands that apply, or a node that was up, could not read; skipped on every node alike",
    "versions_refused": "times this node ended its membership, since it was too old to read the log",
    "invariants_violated": "times an invariant of the protocol did not hold and this node began without memory again",
    "raft_leader_changes": "times this node learnt that another node leads, or the same one in a new term",
    "elections_won": "times this node became the leader",
    "control_frames_refused": "control frames of a peer that could not be read or must not be sent",
    "log_conflicts": "times a leader contradicted what this node had committed; it was not followed",
    "snapshots_refused": "snapshots of a leader that could not be installed",
    "log_cuts_forced": "times the log was cut although a connected node still needed it; that node gets a snapshot",
    "ledger_failures": "failures inside the ledger or a callback of it; logged, never raised",
    "leases_lost": "times this node was suspended",
    "fences": "times this node was fenced and drew a new incarnation",
    # links
    "lookups_given_up": "names of nodes that were looked up in vain, since the name service did not answer in time",
    "link_connects": "links that completed their handshake",
    "link_losses": "links that were lost",
    "links_refused": "peers refused in the handshake",
    "link_frames_refused": "frames of a peer that could not be read or were too large",
    "link_queue_resets": "links reset because link_queue_bytes_max was reached",
    "link_resumes": "data links that went on after a cut where they had been cut, with nothing lost",
    "link_gaps": "losses of frames between two living nodes that no resume could make good",
    "link_frames_lost": "frames in those losses, as far as known; what a sender cannot know to have arrived is in",
    "forwards_sent": "frames queued for other nodes",
    "forwards_received": "frames received from data links",
    "forwards_misaddressed": "frames dropped because they were addressed to another incarnation",
    "forwards_of_the_dead": "frames dropped because the incarnation that sent them is dead",
    "forwards_unsendable": "frames dropped: too large, or no way to their node was there",
    # monitoring
    "monitoring_requests": "HTTP requests to the monitoring port and the admin socket",
    "monitoring_connections_displaced": "connections to the monitoring port closed in favour of a new one",
    "monitoring_requests_refused": "HTTP requests there with a body beyond the bound; their connections were closed",
}


def _no_time() -> float:
    return 0.0


class Counters:
    """Monotonic counts, and distributions, since the start of the process."""

    def __init__(self, seconds: Callable[[], float] = _no_time) -> None:
        """`seconds` is the clock by which durations are measured; nothing else depends on it."""
        self.values: Final = dict.fromkeys(
            CATALOGUE, 0
        )  # for the hot path, which adds 1 without a call; read `self[name]`
        self.fanout: Final = Sizes(MEASURES["publish_fanout"].bounds)
        self.distributions: Final[Mapping[str, Distribution]] = {
            **{name: Distribution(measure.bounds) for name, measure in MEASURES.items()},
            "publish_fanout": self.fanout,
        }
        self.seconds: Final = seconds
        self.turn_began = 0.0  # by a clock like that: for the hot path, which reads none

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more of `name`; a name outside the catalogue is a KeyError."""
        self.values[name] += amount

    def __getitem__(self, name: str) -> int:
        return self.values[name] + self._measured(name)

    def snapshot(self) -> dict[str, int]:
        """All counts by name, as a copy."""
        return {**self.values, **{name: self[name] for name in (*SUMS, *COUNTS)}}

    def _measured(self, name: str) -> int:
        if name in SUMS:
            return int(self.distributions[SUMS[name]].reading()[1])
        if name in COUNTS:
            return sum(self.distributions[COUNTS[name]].reading()[0])
        return 0
