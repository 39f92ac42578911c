"""What `wampha status` shows of a cluster: a line for each node, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from wampha.cli.values import shown

LAG_ENTRIES: Final = 1000  # of the log, that a node may be behind for a moment without a word

_COLUMNS: Final = (
    *("NODE", "ROLE", "STAGE", "LAG", "SESSIONS", "ROUTES", "PROCEDURES", "MESSAGES/S", "EVENTS/S", "DROPPED", "CUT"),
    *("MEMORY", "UP"),
)
_TO_THE_LEFT: Final = 3  # columns; numbers stand to the right
_DROPPED: Final = ("events_dropped_newest", "events_dropped_oldest", "resumable_events_dropped", "events_undeliverable")
_CUT: Final = ("clients_cut_slow", "clients_cut_crowded", "clients_cut_silent")

Status = Mapping[str, Any]


def lines(status: Status, earlier: Status | None) -> list[str]:
    """The whole overview; rates are those since `earlier`, if there is one."""
    before = {node["name"]: node for node in (earlier or {}).get("nodes", ())}
    rows = [_row(node, before.get(node["name"]), status.get("leader")) for node in status["nodes"]]
    rows += [[name, "", "missing"] for name in absent(status)]
    wrong = problems(status)
    return [_head(status), "", *_table(rows), "", *(wrong or ["All is well."])]


def _head(status: Status) -> str:
    cluster = f"cluster {status['cluster']}" if status.get("cluster") else "a node on its own"
    leader = f", {status['leader']} leads in term {status['term']}" if status.get("leader") else ""
    return _plain(f"{cluster}, as {status['node']} sees it{leader}")


def absent(status: Status) -> list[str]:
    """Voters and other nodes that should be there and are not."""
    there = {node["name"] for node in status["nodes"]}
    return sorted({*status.get("missing", ()), *status.get("voters", ())} - there)


def _row(node: Status, before: Status | None, leader: str | None) -> list[str]:
    counters = node.get("counters", {})
    return [
        f"{node['name']} (leads)" if node["name"] == leader else node["name"],
        node.get("role", ""),
        node.get("stage", "") if node.get("ready") else f"{node.get('stage', '')}, not ready",
        str(node.get("lag", "")),
        str(node.get("sessions", "")),
        str(node.get("routes", "")),
        str(node.get("registrations", "")),
        _rate(node, before, lambda each: sum(each.get("received", {}).values())),
        _rate(node, before, lambda each: each.get("counters", {}).get("events_delivered", 0)),
        str(sum(counters.get(name, 0) for name in _DROPPED)),
        str(sum(counters.get(name, 0) for name in _CUT)),
        f"{node['resident_bytes'] / 2**20:.0f} MiB" if "resident_bytes" in node else "",
        _span(node.get("uptime_s", 0.0)),
    ]


def _rate(node: Status, before: Status | None, count: Any) -> str:
    """Per second since `before`, which must be of the same life of the node."""
    if before is None or before.get("started_s") != node.get("started_s"):
        return ""
    seconds = node["uptime_s"] - before["uptime_s"]
    return f"{(count(node) - count(before)) / seconds:.0f}" if seconds > 0 else ""


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [list(_COLUMNS), *([_plain(cell) for cell in row] + [""] * (len(_COLUMNS) - len(row)) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
    return [
        "  ".join(
            cell.ljust(width) if column < _TO_THE_LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _plain(text: str) -> str:
    """Harmless on a terminal, whoever answered."""
    return shown(text)[1:-1]


def problems(status: Status) -> list[str]:
    """One sentence for each thing that is not as it should be; none if all is well."""
    return [_plain(sentence) for sentence in (*_of_cluster(status), *_of_nodes(status["nodes"]))]


def _of_cluster(status: Status) -> Iterable[str]:
    voters = status.get("voters", ())
    for name in absent(status):
        if name in status.get("missing", ()):
            yield f"{name}: did not answer in time"
        else:
            yield f"{name}: is a voter, and is not there; start it"
    missing = [voter for voter in voters if voter in absent(status)]
    if voters and len(missing) >= len(voters) - len(voters) // 2:
        yield f"{len(missing)} of {len(voters)} voters are missing: nothing can be decided until a majority is back"
    elif status.get("cluster") and not status.get("leader"):
        yield "nobody leads: nothing can be decided until somebody is elected"
    if len(versions := sorted({node["version"] for node in status["nodes"] if "version" in node})) > 1:
        yield f"nodes have different versions: {', '.join(versions)}"
    yield from _differences(status["nodes"])


def _differences(nodes: Iterable[Status]) -> Iterable[str]:
    """Each pair of nodes that have different configurations, once, though both say so."""
    found: dict[frozenset[str], str] = {}
    for node in nodes:
        for other, parts in sorted((node.get("config") or {}).get("differing", {}).items()):
            sentence = f"{node['name']} and {other} have different configurations: {', '.join(sorted(parts))}"
            found.setdefault(frozenset((node["name"], other)), sentence)
    return found.values()


def _of_nodes(nodes: Iterable[Status]) -> Iterable[str]:
    for node in nodes:
        name = node["name"]
        for reason in node.get("reasons", ()):
            yield f"{name}: {reason}"
        if (node.get("lag") or 0) > LAG_ENTRIES:
            yield f"{name}: is {node['lag']} entries of the log behind"
        for peer, link in sorted(node.get("links", {}).items()):
            if not link.get("up"):
                yield f"{name}: has no link to {peer}"
            elif link.get("behind"):
                yield f"{name}: {peer} does not keep up with what it is sent"
        slow = node.get("slow", {})
        if slow.get("clients"):
            who = "1 client does" if slow["clients"] == 1 else f"{slow['clients']} clients do"
            yield f"{name}: {who} not keep up; {slow['bytes']} bytes wait"
