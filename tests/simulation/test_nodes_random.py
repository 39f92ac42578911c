"""Seeded runs of whole nodes and clients with random faults and load: every promise is checked from what clients saw.

`make soak` runs more of them. A seed that once found something stays here, by its number.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.nodes.run import FoundViolationsError, Setting, run
from tests.simulation.nodes.world import World
from tests.simulation.soak import CONFIGURATIONS, FIRST, main, next_seed

ROOT = Path(__file__).parents[2]
FIVE = Setting(voters=5, observers=2)


@pytest.mark.parametrize("seed", range(36))
def test_three_voters_and_an_observer(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", range(100, 112))
def test_five_voters_and_two_observers(seed: int) -> None:
    run(seed, FIVE)


@pytest.mark.parametrize("seed", range(200, 206))
def test_many_faults_at_once(seed: int) -> None:
    run(seed, Setting(observers=3, faults=1.5, seconds=15.0))


def test_calls_to_a_callee_that_never_reads_wait_until_its_node_gives_it_up() -> None:
    run(10_171)


def test_a_client_that_sends_nothing_hears_late_that_its_node_lost_its_power() -> None:
    run(400_060, FIVE)


def test_a_search_for_an_order_of_many_registrations_and_calls_that_hang_is_short() -> None:
    run(304)


def test_the_same_seed_gives_the_same_run_whatever_the_hash_seed_is() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation.nodes", "--seed", "3"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.rpartition(", ")[2]
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_violation_is_told_with_the_command_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def end_badly(world: World) -> None:
        world.violated("P0", "something that must not happen")

    monkeypatch.setattr("tests.simulation.nodes.run._end", end_badly)
    with pytest.raises(FoundViolationsError) as found:
        run(7, Setting(observers=2, seconds=0.5, small=True))
    told = str(found.value)
    assert "P0: something that must not happen" in told
    assert "python -m tests.simulation.nodes --seed 7 --observers 2 --seconds 0.5 --small 1" in told
    assert "leads the cluster" in told


def test_a_soak_goes_on_where_its_log_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "soak.log"
    name = CONFIGURATIONS[0].name
    for count in (1, 2):
        assert main(["--seeds", str(count), "--only", name, "--log", str(log)]) == 0
    assert next_seed(log, name) == FIRST + 3
    assert [line.partition(": ")[2] for line in log.read_text().splitlines()] == [
        f"seeds {FIRST}-{FIRST}, no violations",
        f"seeds {FIRST + 1}-{FIRST + 2}, no violations",
    ]
