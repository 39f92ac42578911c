"""What `wampha status` shows of a cluster, and what it takes for wrong."""

from __future__ import annotations

from typing import Any

import pytest

from wampha.cli.overview import LAG_ENTRIES, lines, problems


def node(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "uptime_s": 7200.0,
        "started_s": 5.0,
        "role": "voter",
        "stage": "serving",
        "ready": True,
        "reasons": [],
        "lag": 0,
        "links": {peer: {"up": True, "behind": False} for peer in "abc" if peer != name},
        "sessions": 3,
        "routes": 4,
        "registrations": 5,
        "resident_bytes": 2**26,
        "slow": {"clients": 0, "bytes": 0},
        "counters": {"events_delivered": 100, "events_dropped_newest": 6, "clients_cut_slow": 7},
        "received": {"PUBLISH": 50},
        **changes,
    }


def cluster(*nodes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = list(nodes) or [node(name) for name in "abc"]
    about = {"node": "a", "cluster": "test", "voters": ["a", "b", "c"], "leader": "b", "term": 2, "missing": []}
    return {**about, "nodes": given, **changes}


def test_a_cluster_that_is_well_has_a_line_for_each_node_and_no_problem() -> None:
    assert problems(cluster()) == []
    head, _, columns, *nodes, _, verdict = lines(cluster(), None)
    assert head == "cluster test, as a sees it, b leads in term 2"
    assert columns.split()[:5] == ["NODE", "ROLE", "STAGE", "LAG", "SESSIONS"]
    assert nodes[1].split() == ["b", "(leads)", "voter", "serving", *"0345", "6", "7", "64", "MiB", "2", "h"]
    assert verdict == "All is well."


def test_rates_are_those_between_two_looks_at_the_same_life_of_a_node() -> None:
    later = cluster(
        node("a", uptime_s=7202.0, received={"PUBLISH": 50, "CALL": 20}, counters={"events_delivered": 300}),
        node("b", uptime_s=7300.0, started_s=9.0),
        node("c", uptime_s=7200.0),
    )
    _, _, columns, a, b, c, *_ = lines(later, cluster())
    start, end = columns.index("PROCEDURES") + len("PROCEDURES"), columns.index("EVENTS/S") + len("EVENTS/S")
    assert a[start:end].split() == ["10", "100"]
    assert b[start:end].split() == c[start:end].split() == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (cluster(node("a"), node("b"), missing=["c"]), ["c: did not answer in time"]),
        (cluster(node("a"), node("b")), ["c: is a voter, and is not there; start it"]),
        (
            cluster(node("a"), leader=None),
            [
                "b: is a voter, and is not there; start it",
                "c: is a voter, and is not there; start it",
                "2 of 3 voters are missing: nothing can be decided until a majority is back",
            ],
        ),
        (cluster(leader=None), ["nobody leads: nothing can be decided until somebody is elected"]),
        (cluster(node("a"), node("b", version="2"), node("c")), ["nodes have different versions: 1, 2"]),
        (
            cluster(
                node("a", config={"digest": {}, "differing": {"b": ["roles", "realms"]}}),
                node("b", config={"digest": {}, "differing": {"a": ["realms", "roles"]}}),
                node("c", config={"digest": {}, "differing": {}}),
            ),
            ["a and b have different configurations: realms, roles"],
        ),
        (cluster(node("a", reasons=["it is being stopped"]), node("b"), node("c")), ["a: it is being stopped"]),
        (
            cluster(node("a"), node("b"), node("c", lag=LAG_ENTRIES + 1)),
            [f"c: is {LAG_ENTRIES + 1} entries of the log behind"],
        ),
        (
            cluster(node("a", links={"b": {"up": False}, "c": {"up": True, "behind": True}}), node("b"), node("c")),
            ["a: has no link to b", "a: c does not keep up with what it is sent"],
        ),
        (
            cluster(node("a", slow={"clients": 2, "bytes": 9}), node("b"), node("c")),
            ["a: 2 clients do not keep up; 9 bytes wait"],
        ),
    ],
)
def test_each_thing_that_is_wrong_gets_a_sentence(status: dict[str, Any], words: list[str]) -> None:
    assert problems(status) == words
    assert lines(status, None)[-len(words) :] == words


def test_a_node_that_is_missing_has_a_line_and_nobody_s_name_can_change_the_terminal() -> None:
    status = cluster(node("a"), node("b\x1b[2J"), missing=["c"])
    text = "\n".join(lines(status, status))
    assert "\x1b" not in text
    assert any(line.split() == ["c", "missing"] for line in text.splitlines())


def test_a_node_on_its_own_has_neither_voters_nor_a_leader_worth_naming() -> None:
    alone = cluster(node("a", links={}), cluster=None, voters=[], leader=None, term=None)
    assert problems(alone) == []
    assert lines(alone, None)[0] == "a node on its own, as a sees it"
