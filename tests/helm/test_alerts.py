"""The alerts and the dashboard: Prometheus accepts and fires them, and wampha exports what they ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from helm import generate
from tests.helm.charts import CHART, render
from tests.helm.pods import of_kind
from tests.helm.prometheus import check_alerts, check_rules, need_promtool
from wampha.observe.exposition import COUNTERS, GAUGES, HISTOGRAMS, LINK_HISTOGRAM

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
JOB: Final = "infra/router-wampha"
NODE: Final = {"job": JOB, "instance": "router-wampha-1"}
OTHERS: Final = ({"job": JOB, "instance": "router-wampha-0"}, {"job": JOB, "instance": "router-wampha-2"})
OF_PROMETHEUS: Final = {"up"}


@pytest.fixture(scope="module")
def rules() -> dict[str, Any]:
    values = {"monitoring": {"rules": {"enabled": True, "alertLabels": {"team": "messaging"}}}}
    (rule,) = of_kind(render(values), "PrometheusRule")
    spec: dict[str, Any] = rule["spec"]
    return spec


@pytest.fixture(autouse=True)
def needs_promtool(request: pytest.FixtureRequest) -> None:
    if "promtool" in request.keywords:
        need_promtool()


def alerts(rules: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}


# ---- what there is to ask for


def exported() -> set[str]:
    """The names of all series of a node."""
    plain = {family.name for family in (*GAUGES, *COUNTERS)}
    return plain | {
        f"{name}_{end}" for name in (*HISTOGRAMS, LINK_HISTOGRAM.name) for end in ("bucket", "sum", "count")
    }


def asked_for(query: str) -> set[str]:
    """The names of series in a query: what stands before braces."""
    return set(re.findall(r"\b([a-z_:][a-z0-9_:]*)\{", query))


def test_alerts_ask_for_metrics_that_there_are(rules: dict[str, Any]) -> None:
    for name, rule in alerts(rules).items():
        assert asked_for(rule["expr"]), name
        assert asked_for(rule["expr"]) <= exported() | OF_PROMETHEUS, name


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    queries += [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert len(queries) > 40
    for query in queries:
        names = asked_for(query) | set(re.findall(r"label_values\((\w+)", query))
        assert names, query
        assert names <= exported(), query


def test_labels_of_the_dashboard_are_those_of_the_metrics() -> None:
    known = {label for family in (*GAUGES, *COUNTERS, LINK_HISTOGRAM) for label in family.labels}
    text = (CHART / "files" / "dashboard.json").read_text()
    used = {label for labels in re.findall(r"by \(([^)]*)\)", text) for label in labels.split(", ")}
    used |= set(re.findall(r"\{\{(\w+)\}\}", text))
    assert used <= known | {"job", "instance", "le"}


def test_the_dashboard_is_that_of_the_table() -> None:
    assert (CHART / "files" / "dashboard.json").read_text() == generate.dashboard_text(), "run: make chart"


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in generate.dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


# ---- what they say


def test_every_alert_has_a_section_that_says_what_to_do(rules: dict[str, Any]) -> None:
    sections = re.findall(r"^### (Wampha\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == list(alerts(rules))
    for rule in alerts(rules).values():
        assert rule["annotations"]["action"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["labels"]["team"] == "messaging"


def test_alerts_are_of_their_release_alone(rules: dict[str, Any]) -> None:
    for name, rule in alerts(rules).items():
        selectors = re.findall(r"\w\{([^}]*)\}", rule["expr"])
        assert selectors, name
        assert all(f'job="{JOB}"' in selector for selector in selectors), name


# ---- whether they fire


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    shown = ",".join(f'{key}="{value}"' for key, value in {**NODE, **labels}.items())
    return {"series": f"{name}{{{shown}}}", "values": values}


# By alert: series of a node, one sample each 15 s, that must fire it within ten minutes, and such that must not.
CAUSES: Final[dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]]] = {
    "WamphaAbsent": ([], [series("wampha_build_info", "1x60")]),
    "WamphaNodeDown": ([series("up", "0x60")], [series("up", "1x20 0x2 1x40")]),
    "WamphaNoLeader": ([series("wampha_raft_has_leader", "0x60")], [series("wampha_raft_has_leader", "1x30 0x1 1x30")]),
    "WamphaNodeSuspended": ([series("wampha_serving", "0x60")], [series("wampha_serving", "1x20 0x2 1x40")]),
    "WamphaVoterRecovering": (
        [series("wampha_raft_recovering", "1x60")],
        [series("wampha_raft_recovering", "1x4 0x60")],
    ),
    "WamphaLeaderChanges": (
        [series("wampha_raft_leader_changes_total", "0+1x60")],
        [series("wampha_raft_leader_changes_total", "1x30 2x30")],
    ),
    "WamphaCommitLag": (
        [series("wampha_raft_barrier_lag_entries", "20000x60"), series("wampha_raft_commit_lag_entries", "0x60")],
        [series("wampha_raft_barrier_lag_entries", "900x60"), series("wampha_raft_commit_lag_entries", "900x60")],
    ),
    "WamphaFenced": ([series("wampha_fences_total", "0x20 1x40")], [series("wampha_fences_total", "3x60")]),
    "WamphaInvariantViolated": (
        [series("wampha_log_conflicts_total", "0x20 1x40")],
        [series("wampha_invariants_violated_total", "0x60"), series("wampha_log_conflicts_total", "0x60")],
    ),
    "WamphaEventsDropped": (
        [series("wampha_events_dropped_total", "0+50x60", reason="drop_oldest")],
        [series("wampha_events_dropped_total", "7x60", reason="drop_oldest")],
    ),
    "WamphaSlowClients": (
        [series("wampha_slow_sessions_cut_total", "0+2x60", bound="client")],
        [series("wampha_slow_sessions_cut_total", "0x30 1x30", bound="client"), series("wampha_slow_clients", "3x60")],
    ),
    "WamphaReactorLag": (
        [series("wampha_turns_long_total", "0+15x60")],
        [series("wampha_turns_long_total", "0x20 1x20 2x20")],
    ),
    "WamphaLinkGaps": ([series("wampha_link_gaps_total", "0x20 1x40")], [series("wampha_link_gaps_total", "2x60")]),
    "WamphaLinkDown": (
        [series("wampha_link_up", "0x60", peer="router-wampha-2")],
        [series("wampha_link_up", "1x20 0x4 1x40", peer="router-wampha-2")],
    ),
    "WamphaLinksRefused": (
        [series("wampha_links_refused_total", "0+2x60")],
        [series("wampha_links_refused_total", "0x20 3x40")],
    ),
    "WamphaCertificateExpires": (
        [series("wampha_certificate_expiry_timestamp_seconds", "1200000x60", use="links")],
        [series("wampha_certificate_expiry_timestamp_seconds", "1300000x60", use="links")],
    ),
    "WamphaConfigDiffers": (
        [series("wampha_config_differing_nodes", "2x60")],
        [series("wampha_config_differing_nodes", "0x20 2x30 0x10")],
    ),
    "WamphaConfigRefused": (
        [series("wampha_config_reload_failures_total", "0x20 1x40")],
        [series("wampha_config_reload_failures_total", "4x60")],
    ),
    "WamphaFilesShort": (
        [series("process_open_fds", "900x60"), series("process_max_fds", "1000x60")],
        [series("process_open_fds", "500x60"), series("process_max_fds", "1000x60")],
    ),
    "WamphaAuthFailures": (
        [series("wampha_auth_failures_total", "0+300x60", method="ticket")],
        [series("wampha_auth_failures_total", "0+15x60", method="ticket")],
    ),
}


def test_every_alert_is_tried(rules: dict[str, Any]) -> None:
    assert list(CAUSES) == list(alerts(rules))


@pytest.mark.promtool
def test_prometheus_accepts_the_rules(rules: dict[str, Any], tmp_path: Path) -> None:
    check_rules(rules, tmp_path)


@pytest.mark.promtool
def test_alerts_fire_for_what_they_are_for_and_for_nothing_less(rules: dict[str, Any], tmp_path: Path) -> None:
    tests = []
    for name, rule in alerts(rules).items():
        causes, harmless = CAUSES[name]
        fired = {"exp_labels": _labels(rule, causes)}
        tests.append(_test(causes, name, [fired]))
        tests.append(_test(harmless, name, []))
    check_alerts(_without_annotations(rules), tests, tmp_path)


@pytest.mark.promtool
def test_an_alert_names_the_node(rules: dict[str, Any], tmp_path: Path) -> None:
    rule = alerts(rules)["WamphaNodeSuspended"]
    annotations = {**rule["annotations"], "summary": "router-wampha-1 runs, but does not serve its clients"}
    fired = {"exp_labels": {**NODE, **rule["labels"]}, "exp_annotations": annotations}
    check_alerts(rules, [_test([series("wampha_serving", "0x60")], "WamphaNodeSuspended", [fired])], tmp_path)


@pytest.mark.promtool
def test_a_cluster_that_is_well_is_silent(rules: dict[str, Any], tmp_path: Path) -> None:
    """Nodes that have just started, as a real one shows itself; see test_monitoring.py for the numbers."""
    values = {
        "up": 1, "wampha_ready": 1, "wampha_serving": 1, "wampha_raft_has_leader": 1, "wampha_link_up": 1,
        "wampha_certificate_expiry_timestamp_seconds": 2000000000, "process_max_fds": 20000, "wampha_build_info": 1,
    }  # fmt: skip
    names = sorted(set().union(*(asked_for(rule["expr"]) for rule in alerts(rules).values())))
    calm = [series(name, f"{values.get(name, 0)}x80", **node) for name in names for node in (NODE, *OTHERS)]
    check_alerts(rules, [_test(calm, name, []) for name in alerts(rules)], tmp_path)


def _labels(rule: dict[str, Any], causes: list[dict[str, str]]) -> dict[str, str]:
    """The labels that the alert has: those of its series which the expression leaves."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', causes[0]["series"])) if causes else {"job": JOB}
    kept = re.search(r"^(?:sum|max) by \(([^)]*)\)", rule["expr"])
    names = kept[1].split(", ") if kept else list(given)
    return {**{name: given[name] for name in names if name in given}, **rule["labels"]}


def _test(given: list[dict[str, str]], name: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    checks = [{"eval_time": "14m", "alertname": name, "exp_alerts": expected}]
    return {"interval": "15s", "input_series": given, "alert_rule_test": checks}


def _without_annotations(rules: dict[str, Any]) -> dict[str, Any]:
    """promtool compares annotations with what is expected; here only the labels matter."""
    groups = [{**group, "rules": [{**rule, "annotations": {}} for rule in group["rules"]]} for group in rules["groups"]]
    return {"groups": groups}
