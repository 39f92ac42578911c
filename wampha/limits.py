"""Every bound, with its reason. Reaching one has a named outcome, a counter (`counters.py`) and a test."""

from __future__ import annotations

from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

KIB = 1024
MIB = 1024 * KIB


class Limits(BaseModel):
    """The bounds of one node; a frozen value that is swapped as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_bytes_max: int = Field(
        16 * MIB - 1, ge=512, le=16 * MIB - 1, description="largest WAMP message, in bytes; RawSocket cannot carry more"
    )
    nesting_depth_max: int = Field(
        64, ge=4, le=256, description="deepest nesting of a payload; deeper ones could exhaust a receiver's stack"
    )
    message_elements_max: int = Field(
        1_000_000,
        ge=1000,
        le=16 * MIB,
        description="lists, maps, keys and scalars of a message; decoded, each takes far more memory than on the wire",
    )
    uri_bytes_max: int = Field(1024, ge=64, le=65535, description="longest URI, in bytes of UTF-8")
    uri_components_max: int = Field(64, ge=4, le=1024, description="most components of a URI; bounds wildcard matching")
    client_queue_bytes_max: int = Field(
        16 * MIB, ge=64 * KIB, description="bytes that wait for one client before its realm's `slow_clients` applies"
    )
    clients_queue_bytes_max: int = Field(
        512 * MIB,
        ge=1 * MIB,
        description="bytes that wait for all clients of a node that do not read; beyond it those with most are cut or "
        "lose events. Room for 32 that are full, in a process that is meant to fit 1 GiB",
    )
    detached_sessions_max: int = Field(
        10_000, ge=1, description="sessions of all realms that wait to be resumed; any further one ends"
    )
    detached_bytes_max: int = Field(
        128 * MIB,
        ge=1 * MIB,
        description="bytes that wait for all sessions to be resumed; beyond it those with most lose events or end",
    )
    connections_max: int = Field(
        100_000,
        ge=1,
        description="connections of clients; one that is idle takes some 10 kB, and what it may have waiting comes on "
        "top. Fewer if there are fewer open files",
    )
    address_connections_max: int = Field(
        0,
        ge=0,
        description="connections from one address, or IPv6 network of 64 bits; 0: any number, since behind a balancer "
        "or a translated network very many clients share an address. 1000 suits where none is in between",
    )
    descriptors_reserved: int = Field(
        128,
        ge=16,
        description="open files of the process that clients cannot use, so that links to other nodes come back in any "
        "crowd; at most half of those that there are. Two for each other node, `link_handshakes_max`, ports and files",
    )
    undecided_bytes_max: int = Field(
        8 * KIB, ge=1 * KIB, le=64 * KIB, description="bytes of an opening handshake, WebSocket's HTTP request included"
    )
    opening_timeout_s: float = Field(
        5.0, gt=0, le=300, description="seconds to complete the opening handshake of WebSocket or RawSocket"
    )
    hello_timeout_s: float = Field(10.0, gt=0, le=300, description="seconds from the open transport to a session")
    identity_failures_max: int = Field(
        10,
        ge=0,
        description="failed authentications of one authid before it waits; one is forgiven in 6 s; 0: never",
    )
    address_failures_max: int = Field(
        100,
        ge=0,
        description="failed authentications from one address before it waits; one is forgiven per second; 0: never, as "
        "behind a proxy, where all clients have its address",
    )
    cookies_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="browsers that the cluster knows by a cookie; the oldest is forgotten first, and its user is asked "
        "for a proof again",
    )
    authenticator_timeout_s: float = Field(
        5.0, gt=0, le=60, description="seconds for an authenticator to answer; then the client is not let in"
    )
    goodbye_timeout_s: float = Field(5.0, gt=0, le=300, description="seconds for a client to answer our close")
    ping_interval_s: float = Field(10.0, gt=0, le=3600, description="seconds between our pings to a silent client")
    ping_timeout_s: float = Field(20.0, gt=0, le=3600, description="seconds without an answer before a client is cut")
    session_subscriptions_max: int = Field(100_000, ge=1, description="subscriptions of one session")
    session_registrations_max: int = Field(10_000, ge=1, description="registrations of one session")
    dynamic_realms_max: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="realms of templates that there are at once, on all nodes; each has somebody or something in it",
    )
    options_bytes_max: int = Field(
        1 * MIB, ge=1 * KIB, description="bytes of the options of one message; other clients wait while they are read"
    )
    publish_receivers_max: int = Field(
        10_000,
        ge=1,
        description="entries of all black and white lists of one publication; each node looks at them",
    )
    session_calls_max: int = Field(10_000, ge=1, description="calls of one session that wait for their result")
    session_messages_per_s: float = Field(
        0.0,
        ge=0,
        description="messages of one session per second, in the long run; who sends more is read more slowly. 0: any "
        "number, since a session may well be what a node is there for",
    )
    session_messages_burst: int = Field(
        1000, ge=1, description="messages that a session may send at once before session_messages_per_s holds"
    )
    realm_topics_max: int = Field(
        500_000,
        ge=1,
        description="topics and patterns of one realm that have subscribers; every node holds each, in some 600 bytes",
    )
    realm_procedures_max: int = Field(
        200_000,
        ge=1,
        description="procedures and patterns of one realm that have callees; every node holds each, in some 500 bytes",
    )
    call_attempts_max: int = Field(
        32,
        ge=1,
        le=1000,
        description="callees that one call is offered to, as long as none has taken it; each may be a way to a node",
    )
    session_details_bytes_max: int = Field(
        8 * KIB,
        ge=64,
        le=64 * KIB,
        description="bytes of details that are added to a session; every node has them",
    )
    testament_bytes_max: int = Field(
        16 * KIB,
        ge=64,
        le=128 * KIB,
        description="bytes of a testament: it goes through the log, and every node holds it",
    )
    session_testaments_max: int = Field(100, ge=1, description="testaments of one session")
    session_testaments_bytes_max: int = Field(64 * KIB, ge=64, description="bytes of all testaments of one session")
    realm_testaments_max: int = Field(100_000, ge=1, description="testaments of a realm, on all nodes")
    realm_testaments_bytes_max: int = Field(
        64 * MIB,
        ge=64,
        description="bytes of all testaments of a realm; what is under way on other nodes is not counted",
    )
    decide_timeout_s: float = Field(
        10.0, gt=0, le=300, description="seconds for the cluster to decide a request that changes what it holds"
    )
    kept_event_bytes_max: int = Field(
        64 * KIB,
        ge=1 * KIB,
        le=128 * KIB,
        description="largest event that is retained or enters a history, in bytes; such events travel with the "
        "cluster's log, where a large one would hold up leases",
    )
    retained_topics_max: int = Field(10_000, ge=1, description="topics of one realm that have a retained event")
    retained_bytes_max: int = Field(
        8 * MIB, ge=128 * KIB, description="bytes of all retained events of one realm; every node holds them in memory"
    )
    retained_events_sent_max: int = Field(
        1000, ge=1, description="retained events that one SUBSCRIBE for a pattern gets, the newest; other clients wait"
    )
    history_events_answered_max: int = Field(
        1000, ge=1, description="events in one answer to a question for history; other clients wait"
    )
    history_bytes_answered_max: int = Field(
        1 * MIB, ge=1 * KIB, description="bytes of payload in such an answer; one event is in it in any case"
    )
    meta_list_max: int = Field(
        100_000,
        ge=1,
        description="ids in one list of subscriptions or registrations; other clients wait while it is made",
    )
    gathers_max: int = Field(
        1000, ge=1, description="questions to other nodes that wait for their answers, of one node; each is a call's"
    )
    gather_timeout_s: float = Field(
        2.0, gt=0, le=60, description="seconds for other nodes to answer a question before an answer is partial"
    )
    gather_answer_bytes_max: int = Field(
        4 * MIB, ge=1 * KIB, le=16 * MIB, description="bytes of one node's answer to such a question"
    )
    link_frame_bytes_max: int = Field(
        17 * MIB, ge=1 * MIB, le=256 * MIB, description="largest frame between nodes; a message and its header must fit"
    )
    link_queue_bytes_max: int = Field(
        64 * MIB,
        ge=1 * MIB,
        description="bytes that wait for one peer before its link is reset; from a quarter "
        "on clients that feed it wait, so that it holds two frames at least",
    )
    link_ring_bytes_max: int = Field(
        16 * MIB,
        ge=1 * MIB,
        description="bytes kept of what one peer was sent and has not acknowledged, to resume its link; it does so "
        "every MiB and every 0.5 s, so this is what a fast link carries until a cut is noticed at both ends",
    )
    link_handshake_timeout_s: float = Field(5.0, gt=0, le=60, description="seconds for a peer to prove its membership")
    link_handshakes_max: int = Field(
        64, ge=8, description="peer connections that shake hands at once; the oldest gives way to a new one"
    )


class RoleLimits(BaseModel):
    """What holds for the sessions of one role in the place of the node's limits of the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_subscriptions_max: int | None = Field(None, ge=1, description="subscriptions of one session")
    session_registrations_max: int | None = Field(None, ge=1, description="registrations of one session")
    session_calls_max: int | None = Field(None, ge=1, description="calls of one session that wait for their result")
    session_messages_per_s: float | None = Field(
        None, ge=0, description="messages of one session per second, in the long run; 0: any number"
    )
    session_messages_burst: int | None = Field(
        None, ge=1, description="messages that a session may send at once before session_messages_per_s holds"
    )


class SessionBounds(NamedTuple):
    """What one session may have and do."""

    subscriptions: int
    registrations: int
    calls: int
    messages_per_s: float
    messages_burst: int

    @classmethod
    def of(cls, limits: Limits, role: RoleLimits | None = None) -> SessionBounds:
        """Those of a role's sessions, or of all whose role says nothing about it."""
        own = {} if role is None else role.model_dump(exclude_none=True)
        return cls(*(own.get(name, getattr(limits, name)) for name in RoleLimits.model_fields))


class PresentLimits(Limits):
    """The limits of a running node. All its parts share this one, and some read it whenever they need it (`LIVE`)."""

    @classmethod
    def of(cls, limits: Limits) -> PresentLimits:
        """One that begins as these."""
        return cls.model_construct(**dict(limits))

    def become(self, limits: Limits) -> None:
        """Be these from now on, as a whole."""
        self.__dict__.update(limits.__dict__)


# Those that hold as soon as they are changed: nobody keeps a copy. All others wait for a restart.
LIVE: Final = frozenset(
    (
        "detached_sessions_max",
        "detached_bytes_max",
        "undecided_bytes_max",
        "hello_timeout_s",
        "dynamic_realms_max",
        "session_subscriptions_max",
        "session_registrations_max",
        "session_calls_max",
        "session_messages_per_s",
        "session_messages_burst",
        "realm_topics_max",
        "realm_procedures_max",
        "connections_max",
        "address_connections_max",
        "call_attempts_max",
        "session_details_bytes_max",
        "testament_bytes_max",
        "session_testaments_max",
        "session_testaments_bytes_max",
        "realm_testaments_max",
        "realm_testaments_bytes_max",
        "kept_event_bytes_max",
        "retained_topics_max",
        "retained_bytes_max",
        "retained_events_sent_max",
        "history_events_answered_max",
        "history_bytes_answered_max",
        "meta_list_max",
        "gathers_max",
        "gather_timeout_s",
        "gather_answer_bytes_max",
        "link_handshake_timeout_s",
        "link_handshakes_max",
    )
)
