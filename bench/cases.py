"""What is measured, and what wampha is to reach: a table, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

WS_JSON = "ws/json"
RAWSOCKET_MSGPACK = "rawsocket/msgpack"
TRANSPORTS = (WS_JSON, RAWSOCKET_MSGPACK)

JOIN = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of load.

    `options` are those of `load.c`. `goals` has, per transport, the part of Crossbar's CPU time that wampha is to stay
    below. `receivers_on` is the node of a cluster that has the receivers; None means a single node.
    """

    name: str
    title: str
    mode: str
    options: Mapping[str, int] = field(default_factory=dict)
    goals: Mapping[str, Fraction] = field(default_factory=dict)
    receivers_on: int | None = None


def _pubsub(
    name: str,
    title: str,
    goals: Mapping[str, Fraction] | None = None,
    *,
    receivers: int = 1,
    window: int = 256,
    payload: int = 16,
) -> Case:
    options = {"receivers": receivers, "window": window, "payload": payload}
    return Case(name=name, title=title, mode="pubsub", options=options, goals=goals or {})


# One router process, used by all of these in turn.
SHARED = (
    _pubsub(
        "p16",
        "1 publisher, 1 subscriber, 16 B, 256 in flight",
        {WS_JSON: Fraction(1, 15), RAWSOCKET_MSGPACK: Fraction(1, 8)},
    ),
    _pubsub("p1k", "1 publisher, 1 subscriber, 1 KiB, 256 in flight", payload=1024),
    _pubsub("p64k", "1 publisher, 1 subscriber, 64 KiB, 256 in flight", payload=65536),
    _pubsub(
        "f100",
        "1 publisher, 100 subscribers, 16 B, 4 publications in flight",
        {WS_JSON: Fraction(1, 5), RAWSOCKET_MSGPACK: Fraction(1, 3)},
        receivers=100,
        window=4,
    ),
    _pubsub(
        "f100w256",
        "1 publisher, 100 subscribers, 16 B, 256 publications in flight",
        {WS_JSON: Fraction(1, 20)},
        receivers=100,
    ),
    _pubsub("f1000", "1 publisher, 1000 subscribers, 16 B, 4 publications in flight", receivers=1000, window=4),
    Case(name="rpc1", title="1 caller, 1 callee, 16 B, 1 call in flight", mode="rpc", options={"window": 1}),
    Case(
        name="rpc64",
        title="1 caller, 1 callee, 16 B, 64 calls in flight",
        mode="rpc",
        options={"window": 64},
        goals={WS_JSON: Fraction(1, 10)},
    ),
    Case(
        name="sub64",
        title="SUBSCRIBE, every topic new, 8 sessions, 64 in flight",
        mode="subscribe",
        options={"sessions": 8, "window": 64, "operations": 100_000},
        goals={WS_JSON: Fraction(1, 6), RAWSOCKET_MSGPACK: Fraction(1, 6)},
    ),
)

# A router of its own for each measurement: the memory of the sessions is measured too.
FRESH = (
    Case(
        name=JOIN,
        title="sessions join, 32 in handshake",
        mode="join",
        options={"sessions": 2000, "handshakes": 32, "warm-sessions": 500},
        goals={WS_JSON: Fraction(6, 10), RAWSOCKET_MSGPACK: Fraction(1, 3)},
    ),
)

# A cluster of three wampha nodes; Crossbar has nothing like it.
CLUSTER = (
    Case(
        name="local",
        title="publisher and subscriber on node 1 of 3",
        mode="pubsub",
        options={"window": 256},
        receivers_on=0,
    ),
    Case(
        name="forward",
        title="publisher on node 1, subscriber on node 2 of 3",
        mode="pubsub",
        options={"window": 256},
        receivers_on=1,
    ),
)

ALL = SHARED + FRESH + CLUSTER

# Absolute goals.
SESSION_KIB_GOAL = {WS_JSON: 8.0, RAWSOCKET_MSGPACK: 3.0}
IDLE_MB_GOAL = 60.0
START_S_GOAL = 1.0
