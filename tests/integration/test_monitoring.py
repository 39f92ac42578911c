"""Health, metrics and the overview of real nodes, in each state in which a node can be."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.prometheus import ALERTS, PROMTOOL, check_alarms, need_promtool
from tests.integration.test_start import somebody_on
from tests.support.nodes import START_S, NodeProcess, eventually, free_ports
from tests.support.promlint import complaints, families, value
from tests.support.wampclient import CALL, EVENT, AnsweredError
from tests.support.watched import Watched
from tests.support.web import Answer, ask


def reasons(answer: Answer) -> dict[str, str]:
    """The checks that fail."""
    return {check["name"]: check["reason"] for check in answer.json["checks"] if not check["ok"]}


def measured(watched: Watched, name: str) -> set[str]:
    """The peers whose round trip has been looked at."""
    samples = families(watched.metrics(name))["wampha_link_rtt_seconds"].samples
    return {sample.labels["peer"] for sample in samples if sample.name.endswith("_count") and sample.value}


def test_a_node_that_serves_is_alive_started_and_ready(watched: Watched) -> None:
    for path in ("/livez", "/startupz", "/readyz", "/healthz"):
        assert watched.get("a", path).text == "ok\n"
        answer = watched.get("a", f"{path}?verbose")
        assert (answer.status, answer.json["ok"], reasons(answer)) == (200, True, {})


def test_a_suspended_node_is_alive_and_not_ready_and_says_why_and_alarms_fire(watched: Watched, tmp_path: Path) -> None:
    others = ("b", "c")
    for name in others:
        watched.cluster[name].pause()
    try:
        answer = watched.becomes("a", "/readyz?verbose", 503)
        assert set(reasons(answer)) & {"lease", "caught_up"}
        eventually(
            lambda: "no link to b, c" in watched.get("a", "/readyz").text, 10.0, "the reason", watched.cluster["a"].log
        )
        assert watched.get("a", "/livez").status == watched.get("a", "/startupz").status == 200
        assert value(watched.metrics("a"), "wampha_ready") == 0
        overview = watched.get("a", "/status").json
        assert [report["name"] for report in overview["nodes"]] == ["a"]
        assert overview["nodes"][0]["reasons"] and overview["voters"] == ["a", "b", "c"]
        with pytest.raises(OSError):  # whose reactor does not turn: no answer at all
            watched.get("b", "/livez", timeout=0.5)
        if PROMTOOL:
            check_alarms(
                {"a": watched.metrics("a"), "b": None, "c": None},
                {
                    "WamphaNoLeader": [{}],
                    "WamphaNodeSuspended": [{"instance": "a"}],
                    "WamphaNodeDown": [{"instance": name} for name in others],
                    "WamphaLinkDown": [{"instance": "a", "peer": name} for name in others],
                    "WamphaAbsent": [],
                    "WamphaVoterRecovering": [],
                },
                tmp_path,
            )
    finally:
        for name in others:
            watched.cluster[name].resume()
    watched.becomes("a", "/readyz", 200)


def test_metrics_tell_what_clients_have_done(watched: Watched) -> None:
    before = watched.metrics("a")
    with watched.cluster["a"].session() as one, watched.cluster["a"].session("rawsocket", "cbor") as other:
        one.subscribe("test.metrics")
        other.subscribe("test.metrics")
        one.register("test.metrics.echo")
        with watched.cluster["b"].session() as publisher:
            for number in range(5):
                publisher.publish("test.metrics", [number])
        for session in (one, other):
            for _ in range(5):
                session.next(EVENT)
        now = watched.metrics("a")
        assert complaints(now) == []
        assert value(now, "wampha_sessions", realm="realm1", transport="websocket", serializer="json") >= 1
        assert value(now, "wampha_sessions", transport="rawsocket", serializer="cbor") == 1

        def more(name: str, **labels: str) -> float:
            return value(now, name, **labels) - value(before, name, **labels)

        assert more("wampha_events_delivered_total") == 10
        assert more("wampha_publish_fanout_sum") == 10
        assert more("wampha_publish_fanout_bucket", le="1") < more("wampha_publish_fanout_bucket", le="2")
        assert more("wampha_messages_received_total", type="SUBSCRIBE") == 2
    assert sum(value(watched.metrics(name), "wampha_raft_is_leader") for name in "abc") == 1
    for name in "abc":
        told = watched.metrics(name)
        assert value(told, "wampha_raft_has_leader") == value(told, "wampha_ready") == 1
        assert value(told, "wampha_raft_commit_seconds_count") > 0
        assert value(told, "wampha_raft_apply_seconds_count") > 0
        assert value(told, "wampha_reactor_lag_seconds_count") > 100
        peers = {sample.labels["peer"] for sample in families(told)["wampha_link_up"].samples if sample.value}
        assert peers == set("abc") - {name}
        eventually(lambda name=name, peers=peers: measured(watched, name) == peers, 5.0, "a round trip to each peer")
    assert all(report["counters"]["raft_leader_changes"] >= 1 for report in watched.get("a", "/status").json["nodes"])
    (leader,) = [name for name in "abc" if value(watched.metrics(name), "wampha_raft_is_leader")]
    follower = next(name for name in "abc" if name != leader)
    assert value(watched.metrics(follower), "wampha_lease_round_trip_seconds_count") > 0
    assert value(watched.metrics(leader), "wampha_raft_applied_everywhere_seconds_count") > 0


def test_nodes_that_serve_fire_no_alarm(watched: Watched, tmp_path: Path) -> None:
    need_promtool()
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    check_alarms({name: watched.metrics(name) for name in "abc"}, {rule["alert"]: [] for rule in rules}, tmp_path)


def test_calls_are_timed_at_the_caller_s_home(watched: Watched) -> None:
    before = value(watched.metrics("a"), "wampha_call_duration_seconds_count")
    with watched.cluster["a"].session() as caller:
        caller.call("wampha.cluster.nodes")
        with pytest.raises(AnsweredError):
            caller.call("test.nobody.has.this")
    assert value(watched.metrics("a"), "wampha_call_duration_seconds_count") - before == 2


def test_every_node_shows_the_whole_cluster_and_nothing_secret(watched: Watched) -> None:
    for name in "abc":
        answer = watched.get(name, "/status")
        overview = answer.json
        assert overview["node"] == name and overview["cluster"] == "test" and not overview["partial"]
        assert overview["leader"] in ("a", "b", "c") and overview["term"] >= 1
        assert [report["name"] for report in overview["nodes"]] == ["a", "b", "c"]
        for report in overview["nodes"]:
            assert report["ready"] and report["reasons"] == []
            assert set(report["links"]) == set("abc") - {report["name"]}
            assert any(event["kind"] == "leader" for event in report["events"])
        assert b"loopback only" not in answer.body, "the secret of the cluster"


def test_the_log_level_changes_by_the_admin_socket_and_the_port_changes_nothing(watched: Watched) -> None:
    assert ask(watched.socket("a"), "/log-level?level=debug", "POST").status == 200
    watched.cluster["a"].wait_for_log("the log shows debug and above")
    assert ask(watched.socket("a"), "/log-level?level=info", "POST").status == 200
    for path in ("/drain", "/reload", "/log-level?level=debug"):
        assert watched.get("a", path, method="POST").status == 404
    assert ask(watched.socket("a"), "/readyz").text == "ok\n"
    reloaded = ask(watched.socket("a"), "/reload", "POST")
    assert (reloaded.status, reloaded.json) == (
        200,
        {"done": True, "changed": [], "restart": [], "problems": [], "warnings": []},
    )


def test_a_hundred_silent_connections_keep_no_probe_out(watched: Watched) -> None:
    silent = [socket.create_connection(("127.0.0.1", watched.ports["a"])) for _ in range(100)]
    try:
        assert watched.get("a", "/livez").status == 200
        assert value(watched.metrics("a"), "wampha_monitoring_connections_displaced_total") >= 30
    finally:
        for each in silent:
            each.close()


def test_a_node_that_drains_is_alive_and_not_ready_until_it_ends(watched: Watched) -> None:
    """The last test that uses these nodes: `c` starts anew."""
    node = watched.cluster["c"]
    seen: set[tuple[Any, ...]] = set()
    with node.session() as callee, watched.cluster["a"].session() as caller:
        callee.register("test.slow")
        caller.start(CALL, {}, "test.slow")  # in progress, so that the node cannot go at once
        assert ask(watched.socket("c"), "/drain", "POST").status == 202
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                answer = watched.get("c", "/readyz?verbose", timeout=2)
                seen.add((answer.status, *reasons(answer)))
                assert watched.get("c", "/livez", timeout=2).status == 200
                assert "c" in [node["name"] for node in watched.get("c", "/status", timeout=2).json["nodes"]]
            except OSError:
                break
    assert any(status == 503 and "staying" in names for status, *names in seen), seen
    assert node.exit_status() in (0, -signal.SIGTERM)
    assert not watched.socket("c").exists()
    assert watched.get("a", "/readyz").status == 200
    assert "opened" in until_ready(watched, node), "it votes again a second after it serves"


def until_ready(watched: Watched, node: NodeProcess) -> set[str]:
    """Start the node again; gives the checks that have failed until it was ready."""
    node.launch()
    failed: set[str] = set()

    def ready() -> bool:
        with contextlib.suppress(OSError):  # it does not listen yet
            answer = watched.get(node.name, "/readyz?verbose")
            failed.update(reasons(answer))
            return answer.status == 200
        return False

    eventually(ready, START_S, f"{node.name} is ready", node.log)
    return failed


def test_a_monitoring_port_in_use_is_said_in_one_line(fresh_node: Callable[..., NodeProcess]) -> None:
    (port,) = free_ports(1)
    node = fresh_node(monitoring={"endpoint": f"tcp:{port}:interface=127.0.0.1"})
    with somebody_on(port):
        assert node.launch().exit_status() == 1
    node.expect_log("wampha cannot start")
    assert f"monitoring.endpoint: cannot listen on `tcp:{port}" in node.log()
    assert "switch monitoring off by `monitoring: null`" in node.log() and "Traceback" not in node.log()


def test_an_admin_socket_in_use_is_said_in_one_line(fresh_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    node = fresh_node()
    node.settings["node"]["run_dir"] = str(tmp_path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "admin.sock"))
        other.listen()
        assert node.launch().exit_status() == 1
    node.expect_log("cannot start")
    assert "another node listens on" in node.log()


def test_monitoring_is_on_by_default_at_loopback(fresh_node: Callable[..., NodeProcess]) -> None:
    """What the README says; it needs that port."""
    node = fresh_node()
    del node.settings["monitoring"]
    node.launch().wait_until_serving()
    assert ask(9180, "/readyz").text == "ok\n"
    told = ask(9180, "/metrics").text
    assert complaints(told) == []
    overview = ask(9180, "/status").json
    assert overview["cluster"] is None and [report["name"] for report in overview["nodes"]] == ["node"]
    os.kill(node.pid, signal.SIGTERM)
    assert node.exit_status() in (0, -signal.SIGTERM)
