"""Whether clients should be sent to a node, and if not, why. Pure: it reads the status and nothing else.

/livez      the process answers, so its reactor turns; nothing that other nodes do or do not can change that
/startupz   the process and its port for other nodes are up; a node that waits for the others has started
/readyz     all checks below hold
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from wampha.stages import Stage

_STOPPING: Final = (Stage.DRAINING.value, Stage.LEAVING.value)


class Check(NamedTuple):
    """One condition, and if it does not hold, a sentence that says why."""

    name: str
    reason: str | None

    @property
    def ok(self) -> bool:
        return self.reason is None


def checks(status: Mapping[str, Any]) -> list[Check]:
    """What must hold of a node that clients are sent to, by its status."""
    stage = status["stage"]
    failures = {
        "staying": stage in _STOPPING and "it is being stopped",
        "lease": not status["serving"] and (status["waits_for"] or "it holds no lease from a leader"),
        "caught_up": stage == Stage.JOINING.value and "it has not caught up with the cluster yet",
        "opened": status.get("recovering", False)
        and "it has restarted without memory, and the leader has not let it vote again yet",
        "listening": not status["listening"] and "its ports for clients are not open",
    }
    return [Check(name, reason or None) for name, reason in failures.items()]


def verdict(found: list[Check]) -> dict[str, Any]:
    """The checks as JSON has them."""
    return {
        "ok": all(check.ok for check in found),
        "checks": [{"name": check.name, "ok": check.ok, "reason": check.reason} for check in found],
    }


def in_words(found: list[Check]) -> str:
    """One line: `ok`, or what does not hold."""
    reasons = [f"{check.name}: {check.reason}" for check in found if not check.ok]
    return "; ".join(reasons) or "ok"
