"""Figures of the fault matrix whose commands stand in `tests/integration`, since they need no hosts of their own.

    python -m tests.chaos.borrowed

Rolling restart (`tests.integration.rolling_restart`) and clients that never read (`tests.integration.slow_clients`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.chaos.namespaces import end_on_signals
from tests.chaos.results import Figure, Report, finish, options, times
from tests.integration.rolling_restart import LONG_S, restart_all
from tests.integration.slow_clients import BOUND_BYTES, MIB, POLICIES, measured
from tests.support.nodes import Cluster

STOP_S = 10.0  # a drain is spread over so long
P99_RATIO = 1.5


def rolling_restart(rounds: int, clients: int) -> Report:
    """All nodes are restarted in turn under load."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            outcome = restart_all(cluster.start(), clients=clients, rounds=rounds, period_s=1.0, told=print)
        finally:
            cluster.end()
        cluster.check_logs()
    rows = (22,)
    report = Report("borrowed", "rolling restart", violations=outcome.problems())
    failed = [seconds for client in outcome.clients for seconds in client.failed_s]
    report.add(
        Figure(rows, "restarts", len(outcome.stops)),
        Figure(
            rows,
            f"acknowledged publications of {clients} clients",
            sum(len(life.acknowledged) for life in outcome.lives),
        ),
        Figure(rows, "problems: lost, doubled, refused, interrupted without need", len(report.violations), goal=0),
        Figure(rows, "longest failed attempt of a client", max(failed, default=0.0), "s", LONG_S),
        *times(rows, "a node stops after", [stop.stopped - stop.told for stop in outcome.stops], STOP_S),
    )
    return report


def slow_clients(policy: str, slow: int, seconds: float) -> Report:
    """Clients that never read on a hot topic."""
    found = measured(policy, slow, seconds)
    print(found, flush=True)
    rows = (16,)
    report = Report("borrowed", f"{slow} clients that never read, {policy}")
    report.add(
        Figure(rows, "memory", found.growth.most / MIB, "MiB more", BOUND_BYTES / MIB),
        Figure(rows, "p99 of the others, to that without slow clients", found.p99_ratio, "", P99_RATIO),
    )
    return report


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of restarts of every node (3); 0 for none")
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--slow", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each policy of slow clients (120)")
    parser.add_argument("--policies", default=",".join(POLICIES), help="of slow clients (all)")
    arguments = parser.parse_args()
    end_on_signals()
    reports = [rolling_restart(arguments.rounds, arguments.clients)] if arguments.rounds else []
    reports += [slow_clients(policy, arguments.slow, arguments.seconds) for policy in arguments.policies.split(",")]
    finish(reports, arguments.record)


if __name__ == "__main__":
    main()
