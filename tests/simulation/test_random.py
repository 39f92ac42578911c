"""Seeded runs with random faults and load; the world checks the invariants all the time, and progress in each calm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.runs import SNAPSHOTS, repeat, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(40))
def test_three_voters_and_an_observer(seed: int) -> None:
    repeat(seed)


@pytest.mark.parametrize("seed", range(100, 108))
def test_five_voters_and_two_observers(seed: int) -> None:
    repeat(seed, 5, 2)


def test_snapshots_keep_the_log_short() -> None:
    world = run(11)
    assert max(len(host.engine.entries()) for host in world.alive) < SNAPSHOTS["log_entries_max"] + 20
    assert len(world.commands()) > 2 * SNAPSHOTS["log_entries_max"]


def test_a_failing_seed_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.world.World.check_rest", lambda world: world.hosts["none"])
    with pytest.raises(AssertionError, match=r"python -m tests\.simulation --first 7 --voters 3 --observers 1"):
        repeat(7)


def test_the_same_seed_gives_the_same_run_whatever_the_hash_seed_is() -> None:
    script = "from tests.simulation.runs import trace_of; print(trace_of(5))"
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert len(traces.pop()) > 60
