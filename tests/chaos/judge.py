"""The checkers' word on what random clients saw."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.results import Figure, Report
from tests.checkers.every import check
from tests.checkers.history import History

KEPT: Final = "wampha-history-"  # of the file with a history that shows a violation


def judge(command: str, rows: tuple[int, ...], history: History, case: str = "random clients") -> Report:
    """Let all checkers read the history: what they found, and how much they read. A bad history is kept in a file."""
    violations = [str(violation) for violation in check(history)]
    report = Report(command, case, violations=violations)
    report.add(
        Figure(rows, "operations of random clients that the checkers read", len(history.operations)),
        Figure(rows, "events and invocations", len(history.events) + len(history.invocations)),
        Figure(rows, "violations that they found", len(violations), goal=0),
    )
    if violations:
        with tempfile.NamedTemporaryFile(prefix=KEPT, suffix=".jsonl", delete=False) as file:
            history.write(Path(file.name))
        report.violations.append(f"the history is kept in {file.name}")
    return report
