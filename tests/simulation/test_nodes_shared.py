"""Seeded runs of whole nodes in which procedures have several callees: who is called (`checkers/shared.py`, P6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.simulation.nodes.run import FoundViolationsError, Setting, run
from tests.simulation.nodes.world import World
from wampha.routing import choice
from wampha.routing.dealer import Dealer

Patch = pytest.MonkeyPatch
QUIET = Setting(shares=True, faults=1e-9, seconds=10.0, rate=60.0)


def callees(world: World) -> dict[str, int]:
    """How many sessions were called for each shared procedure."""
    called = defaultdict(set)
    for invocation in world.history.invocations:
        called[invocation.procedure].add(invocation.session)
    return {procedure: len(sessions) for procedure, sessions in called.items() if procedure.startswith("s.")}


@pytest.mark.parametrize("seed", range(4))
def test_without_faults_calls_go_exactly_to_whom_the_policy_says(seed: int) -> None:
    called = callees(run(seed, QUIET))
    assert max(called.values()) > 2


@pytest.mark.parametrize("seed", range(10))
def test_with_faults_only_who_offers_it_is_called_and_once(seed: int) -> None:
    called = callees(run(seed, Setting(shares=True)))
    assert max(called.values()) > 2


# ---- the checkers notice


def calls_the_last_for_the_first(patch: Patch) -> None:
    original = choice.choose

    def choose(policy: str, *args: Any, **kwargs: Any) -> Any:
        return original("last" if policy == "first" else policy, *args, **kwargs)

    patch.setattr(choice, "choose", choose)


def repeats_what_may_have_been_done(patch: Patch) -> None:
    """P6: a call whose callee was lost is given to the next one, who did not say that it may be."""
    original = Dealer.declined

    def declined(self: Any, pending: Any, why: Any) -> None:
        pending.target = msgspec.structs.replace(pending.target, repeatable=True)
        original(self, pending, why)

    patch.setattr(Dealer, "declined", declined)


@pytest.mark.parametrize(
    ("broken", "rule", "setting"),
    [
        (calls_the_last_for_the_first, "P1", QUIET),
        (repeats_what_may_have_been_done, "P6", Setting(shares=True, kinds=("client_unread", "restart_observer"))),
    ],
)
def test_a_broken_node_is_noticed(
    broken: Callable[[Patch], None], rule: str, setting: Setting, monkeypatch: Patch
) -> None:
    broken(monkeypatch)
    for seed in range(6):
        try:
            run(seed, setting)
        except FoundViolationsError as found:
            seen = {violation.rule for violation in found.world.violations}
            assert rule in seen, str(found)
            assert "log" not in seen, str(found)
            return
    pytest.fail("nobody noticed")
