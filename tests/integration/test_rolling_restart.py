"""A rolling restart under load costs no acknowledged operation, and each session one interruption, by its own node."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.integration.rolling_restart import restart_all, use_code
from tests.support.nodes import Cluster
from wampha import __version__

ROOT = Path(__file__).parents[2]


def test_all_nodes_are_restarted_in_turn_and_nothing_acknowledged_is_lost(
    fresh_cluster: Callable[[], Cluster],
) -> None:
    cluster = fresh_cluster()
    for node in cluster:
        run_dir = node.log_path.parent / f"{node.name}.run"
        run_dir.mkdir()
        node.settings["node"]["run_dir"] = str(run_dir)
    outcome = restart_all(cluster.start(), clients=9)
    problems = outcome.problems()
    assert not problems, "\n".join([*outcome.report(), *problems[:20]])
    assert sum(len(life.heard) for life in outcome.lives) > 1000
    assert len(outcome.lives) >= 9 + 9, "every client was interrupted"


def agents(cluster: Cluster) -> set[str]:
    found = set()
    for node in cluster:
        session = node.session()
        found.add(session.welcome["agent"])
        session.leave()
    return found


def test_nodes_of_two_versions_serve_together_while_they_are_upgraded_in_turn(
    fresh_cluster: Callable[[], Cluster], tmp_path: Path
) -> None:
    cluster = fresh_cluster()
    for package in ("wampha", "twisted"):
        shutil.copytree(ROOT / package, tmp_path / package)
    about = tmp_path / "wampha" / "__init__.py"
    about.write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.1"', about.read_text()))
    use_code(cluster, tmp_path)
    cluster.start()
    assert agents(cluster) == {"wampha-0.0.1"}
    outcome = restart_all(cluster, clients=3, earlier=tmp_path)
    assert not outcome.problems(), "\n".join([*outcome.report(), *outcome.problems()[:20]])
    assert agents(cluster) == {f"wampha-{__version__}"}
