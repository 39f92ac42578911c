"""Seeded runs of whole nodes in which half of all events are retained: what subscribers get (`checkers/kept.py`)."""

from __future__ import annotations

import pytest

from tests.simulation.nodes.run import Setting, run
from tests.simulation.nodes.world import World


def retained(world: World) -> int:
    """How often a new subscriber got a retained event."""
    return sum(event.retained for event in world.history.events)


@pytest.mark.parametrize("seed", range(4))
def test_without_faults_every_subscriber_gets_what_is_retained_and_all_that_follows(seed: int) -> None:
    world = run(seed, Setting(keeps=True, faults=1e-9, seconds=10.0, rate=60.0))
    assert retained(world) > 20


@pytest.mark.parametrize("seed", range(12))
def test_with_faults_nobody_gets_an_event_twice_or_an_older_one(seed: int) -> None:
    world = run(seed, Setting(keeps=True))
    assert retained(world) > 20
