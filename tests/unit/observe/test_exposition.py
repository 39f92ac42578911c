"""What Prometheus is told: well-formed, complete, documented, and without labels that grow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.promlint import complaints, families, value
from wampha.counters import CATALOGUE, Counters
from wampha.distributions import Distribution
from wampha.observe.exposition import COUNTERS, GAUGES, HISTOGRAMS, LINK_HISTOGRAM, Exposition, Reading
from wampha.observe.turns import Turns

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def status(**changes: Any) -> dict[str, Any]:
    return {
        "version": "0.1",
        "role": "voter",
        "stage": "serving",
        "ready": True,
        "serving": True,
        "uptime_s": 12.5,
        "started_s": 1.7e9,
        "connections": 7,
        "sessions": 6,
        "detached": {"sessions": 1, "bytes": 20},
        "slow": {"clients": 1, "bytes": 100, "largest_bytes": [100]},
        "routes": 3,
        "registrations": 2,
        "nodes": 3,
        "has_leader": True,
        "leading": False,
        "term": 4,
        "recovering": False,
        "applied": 100,
        "log_entries": 50,
        "lag": 0,
        "barrier_lag": 2,
        "lease_left_s": 1.1,
        "links": {
            "b": {"up": True, "queue_bytes": 10, "behind": False, "round_trip_s": 0.001},
            "c": {"up": False, "queue_bytes": 0, "behind": False, "round_trip_s": None},
        },
        "config": {"digest": "0123", "differing": {"c": ["realms"]}},
        "certificates": {"listeners": 1.8e9, "links": None},
        "resident_bytes": 1 << 26,
        "file_descriptors": 30,
        "descriptors_max": 20000,
        **changes,
    }


def reading(counters: Counters | None = None, **changes: Any) -> Reading:
    counters = counters or Counters()
    round_trip = Distribution((0.001, 0.01))
    round_trip.add(0.002)
    return Reading(
        status=status(**changes),
        counters=counters,
        turns=Turns(counters).distribution(),
        round_trips={"b": round_trip},
        sessions={("realm1", "websocket", "json"): 5, ("realm1", "", ""): 1},
        figures={"received": {"PUBLISH": 8, "CALL": 2}, "failures": {"ticket": 1}},
        cpu_s=3.5,
    )


def text(of: Reading) -> str:
    body, kind = Exposition(of).encode("")
    assert kind.startswith("text/plain; version=0.0.4")
    return body.decode()


def test_it_is_well_formed_and_holds_every_family() -> None:
    counters = Counters()
    for name in CATALOGUE:
        counters.add(name, 3)
    for distribution in counters.distributions.values():
        distribution.add(0.5)
    told = text(reading(counters))
    assert complaints(told) == []
    names = {family.name for family in (*GAUGES, *COUNTERS, LINK_HISTOGRAM)} | set(HISTOGRAMS)
    assert {name if found.type != "counter" else f"{name}_total" for name, found in families(told).items()} == names
    assert all(value(told, f"wampha_{name}_total") == counters[name] >= 3 for name in CATALOGUE)


def test_values_and_labels_are_those_of_the_reading() -> None:
    counters = Counters()
    counters.add("events_dropped_oldest", 4)
    counters.add("clients_cut_crowded", 2)
    counters.distributions["publish_fanout"].add(3)
    counters.distributions["publish_fanout"].add(40)
    told = text(reading(counters))
    assert value(told, "wampha_sessions", realm="realm1", transport="websocket", serializer="json") == 5
    assert value(told, "wampha_sessions", transport="") == 1
    assert value(told, "wampha_messages_received_total", type="PUBLISH") == 8
    assert value(told, "wampha_events_dropped_total", reason="drop_oldest") == 4
    assert value(told, "wampha_slow_sessions_cut_total", bound="node") == 2
    assert value(told, "wampha_auth_failures_total", method="ticket") == 1
    assert value(told, "wampha_link_up", peer="c") == 0
    assert value(told, "wampha_link_queue_bytes", peer="b") == 10
    assert value(told, "wampha_link_rtt_seconds_count", peer="b") == 1
    assert value(told, "wampha_certificate_expiry_timestamp_seconds", use="listeners") == 1.8e9
    assert len(families(told)["wampha_certificate_expiry_timestamp_seconds"].samples) == 1, "links have none"
    assert value(told, "wampha_config_differing_nodes") == 1
    assert value(told, "wampha_stage", stage="serving") == 1 and value(told, "wampha_stage", stage="draining") == 0
    assert value(told, "wampha_build_info", version="0.1", role="voter") == 1
    assert value(told, "wampha_publish_fanout_bucket", le="5") == 1
    assert value(told, "wampha_publish_fanout_bucket", le="50") == 2
    assert value(told, "wampha_publish_fanout_sum") == 43
    assert value(told, "process_cpu_seconds_total") == 3.5


def test_what_a_node_on_its_own_has_not_is_left_out() -> None:
    alone = reading(links={})
    for name in ("term", "recovering", "log_entries", "lease_left_s"):
        del alone.status[name]  # type: ignore[attr-defined]
    told = text(alone)
    assert complaints(told) == []
    assert families(told)["wampha_raft_term"].samples == []


def test_the_format_is_the_one_that_is_asked_for() -> None:
    body, kind = Exposition(reading()).encode(OPENMETRICS)
    assert kind.startswith("application/openmetrics-text") and body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x.y", "text/plain;version=", ";;,,==", "*/*"])
def test_a_strange_wish_gets_the_plain_format(accept: str) -> None:
    body, _ = Exposition(reading()).encode(accept)
    assert b"wampha_build_info" in body
