"""The command that measures turns works, and sees them; how long they last is for a quiet machine to say."""

from __future__ import annotations

import pytest

from tests.integration.turns import fan_out, forwarded, mass_leave, measure


@pytest.mark.parametrize("case", [fan_out, forwarded, mass_leave])
def test_turns_of_a_real_node_are_measured(case: object) -> None:
    line = measure(case, 80)  # type: ignore[arg-type]
    assert "longest turn" in line
    assert "longest turn 0 ms" not in line
