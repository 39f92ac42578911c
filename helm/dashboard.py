"""The Grafana dashboard as a table of plots; `helm/generate.py` writes it to the chart's files.

`$job` is the cluster and `$instance` the nodes that are chosen above the plots.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

CHOSEN: Final = '{job="$job",instance=~"$instance"}'
CLUSTER: Final = '{job="$job"}'
COLUMNS: Final = 24
HEIGHT: Final = 7


class Plot(NamedTuple):
    """One panel: queries by legend."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    text: str = ""


def _rate(name: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({name}{CHOSEN}[$__rate_interval]))"


def _quantile(name: str, share: float, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({name}_bucket{CHOSEN}[$__rate_interval])))"


def _lost(name: str) -> str:
    return f"sum(increase({name}{CLUSTER}[$__range]))"


def _state(name: str, text: str, query: str) -> Plot:
    return Plot(name, "none", {"": query}, "stat", 4, text)


ROWS: Final[dict[str, tuple[Plot, ...]]] = {
    "Is it well?": (
        _state("nodes ready", "Nodes to which clients are sent.", f"sum(wampha_ready{CLUSTER})"),
        _state(
            "nodes not serving", "Without a lease; should be 0.", f"count(wampha_serving{CLUSTER} == 0) or vector(0)"
        ),
        _state("leaders", "Should be 1.", f"sum(wampha_raft_is_leader{CLUSTER})"),
        _state("sessions", "Of all nodes.", f"sum(wampha_sessions{CLUSTER})"),
        _state("events lost", "In the time shown.", _lost("wampha_events_dropped_total")),
        _state("gaps", "Losses between nodes, likewise.", _lost("wampha_link_gaps_total")),
    ),
    "Traffic": (
        Plot("sessions", "short", {"{{instance}}": f"sum by (instance) (wampha_sessions{CHOSEN})"}),
        Plot("messages received by type", "ops", {"{{type}}": _rate("wampha_messages_received_total", "type")}),
        Plot("events delivered", "ops", {"{{instance}}": _rate("wampha_events_delivered_total")}),
        Plot(
            "sessions that come and go",
            "ops",
            {
                "opened": _rate("wampha_sessions_opened_total", "job"),
                "closed": _rate("wampha_sessions_closed_total", "job"),
            },
        ),
        Plot("calls", "ops", {"{{instance}}": _rate("wampha_calls_total")}),
        Plot(
            "call duration",
            "s",
            {
                "median": _quantile("wampha_call_duration_seconds", 0.5),
                "99 %": _quantile("wampha_call_duration_seconds", 0.99),
            },
        ),
        Plot(
            "subscribers per publication",
            "short",
            {
                "median": _quantile("wampha_publish_fanout", 0.5),
                "99 %": _quantile("wampha_publish_fanout", 0.99),
            },
        ),
        Plot("requests refused", "ops", {"{{instance}}": _rate("wampha_requests_refused_total")}),
        Plot("failed authentications by method", "ops", {"{{method}}": _rate("wampha_auth_failures_total", "method")}),
    ),
    "Clients that do not read": (
        Plot("events dropped by reason", "ops", {"{{reason}}": _rate("wampha_events_dropped_total", "reason")}),
        Plot("slow clients", "short", {"{{instance}}": f"wampha_slow_clients{CHOSEN}"}),
        Plot("bytes that wait for them", "bytes", {"{{instance}}": f"wampha_slow_clients_bytes{CHOSEN}"}),
    ),
    "Cluster": (
        Plot("leader", "none", {"{{instance}}": f"wampha_raft_is_leader{CHOSEN}"}),
        Plot(
            "changes of leader",
            "short",
            {"{{instance}}": f"increase(wampha_raft_leader_changes_total{CHOSEN}[$__rate_interval])"},
        ),
        Plot("lease left", "s", {"{{instance}}": f"wampha_lease_left_seconds{CHOSEN}"}),
        Plot("entries not applied", "short", {"{{instance}}": f"wampha_raft_commit_lag_entries{CHOSEN}"}),
        Plot(
            "entries not known to be everywhere", "short", {"{{instance}}": f"wampha_raft_barrier_lag_entries{CHOSEN}"}
        ),
        Plot(
            "routes and registrations",
            "short",
            {
                "routes": f"max(wampha_routes{CHOSEN})",
                "registrations": f"max(wampha_registrations{CHOSEN})",
            },
        ),
    ),
    "Links between nodes": (
        Plot("round trip, 99 %", "s", {"to {{peer}}": _quantile("wampha_link_rtt_seconds", 0.99, "le, peer")}),
        Plot("bytes that wait", "bytes", {"{{instance}} to {{peer}}": f"wampha_link_queue_bytes{CHOSEN}"}),
        Plot(
            "lost, resumed, gaps",
            "short",
            {
                "lost": _rate("wampha_link_losses_total", "job"),
                "resumed": _rate("wampha_link_resumes_total", "job"),
                "gaps": _rate("wampha_link_gaps_total", "job"),
            },
        ),
    ),
    "Processes": (
        Plot(
            "turns of the reactor, 99 %",
            "s",
            {"{{instance}}": _quantile("wampha_reactor_lag_seconds", 0.99, "le, instance")},
        ),
        Plot("CPU", "percentunit", {"{{instance}}": f"rate(process_cpu_seconds_total{CHOSEN}[$__rate_interval])"}),
        Plot("memory", "bytes", {"{{instance}}": f"process_resident_memory_bytes{CHOSEN}"}),
        Plot("open files", "short", {"{{instance}}": f"process_open_fds{CHOSEN}"}),
        Plot("turns longer than 100 ms", "ops", {"{{instance}}": _rate("wampha_turns_long_total")}),
        Plot(
            "certificates end in",
            "s",
            {"{{instance}} {{use}}": f"wampha_certificate_expiry_timestamp_seconds{CHOSEN} - time()"},
        ),
        Plot("nodes with another configuration", "short", {"{{instance}}": f"wampha_config_differing_nodes{CHOSEN}"}),
        Plot("versions", "short", {"{{version}}": f"count by (version) (wampha_build_info{CHOSEN})"}),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    x = y = 0
    for row, plots in ROWS.items():
        y, x = y + (HEIGHT if x else 0), 0
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})  # fmt: skip
        y += 1
        for plot in plots:
            if x + plot.width > COLUMNS:
                x, y = 0, y + HEIGHT
            panels.append(_panel(len(panels) + 1, plot, x, y))
            x += plot.width
    return {
        "uid": "wampha",
        "title": "wampha",
        "description": "A cluster of WAMP routers. What each alarm means: docs/operations.md.",
        "tags": ["wamp"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _variable("job", "wampha_build_info", False), _instances()]},
        "panels": panels,
    }


def _panel(number: int, plot: Plot, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
        for index, (legend, query) in enumerate(plot.queries.items())
    ]
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if plot.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}
    return {
        "id": number,
        "type": plot.kind,
        "title": plot.title,
        "description": plot.text,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": plot.width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": plot.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "data source", "type": "datasource", "query": "prometheus"}


def _variable(name: str, of: str, multi: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": {"query": f"label_values({of}, {name})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
    }


def _instances() -> dict[str, Any]:
    nodes = _variable("instance", f"wampha_build_info{CLUSTER}", True)
    return {**nodes, "label": "node", "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
