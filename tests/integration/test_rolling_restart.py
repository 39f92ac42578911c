"""A rolling restart under load costs no acknowledged operation, and each session one interruption, by its own node."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.rolling_restart import restart_all
from tests.support.nodes import Cluster


def test_all_nodes_are_restarted_in_turn_and_nothing_acknowledged_is_lost(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster()
    for node in cluster:
        node.settings["node"]["run_dir"] = str(node.log_path.parent)
    outcome = restart_all(cluster.start(), clients=9)
    problems = outcome.problems()
    assert not problems, "\n".join([*outcome.report(), *problems[:20]])
    assert sum(len(life.heard) for life in outcome.lives) > 1000
    assert len(outcome.lives) >= 9 + 9, "every client was interrupted"
