"""Figures of chaos runs: told in lines, and kept as JSON lines for `docs/reliability.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("results.jsonl")
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Figure:
    """One thing that was measured or counted.

    `rows` are those of the fault matrix that it speaks of; `goal` is a bound on `value` (None: there is none), an upper
    one unless `least`.
    """

    rows: tuple[int, ...]
    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the goal was reached."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.least else self.value <= self.goal

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        told = f"{self.name}: {number(self.value)}{unit}"
        if self.goal is None:
            return told
        bound = "at least" if self.least else "at most"
        return f"{told} ({bound} {number(self.goal)}{unit}{'' if self.kept else ': MISSED'})"


def number(value: float) -> str:
    """Three significant places, and never fewer than the whole part has."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def times(
    rows: tuple[int, ...], name: str, seconds: Sequence[float], goal: float, median: float | None = None
) -> list[Figure]:
    """Median and worst of durations, each with its goal."""
    if not seconds:
        return []
    return [
        Figure(rows, f"{name}, median of {len(seconds)}", statistics.median(seconds), "s", median),
        Figure(rows, f"{name}, worst of {len(seconds)}", max(seconds), "s", goal),
    ]


@dataclass
class Report:
    """What one run of a command has found."""

    command: str
    case: str = ""
    figures: list[Figure] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)  # of promises; there must be none

    def add(self, *figures: Figure) -> None:
        """Add figures."""
        self.figures.extend(figures)

    @property
    def verdict(self) -> str:
        """In one line."""
        missed = [figure.name for figure in self.figures if not figure.kept]
        if self.violations:
            return f"BROKEN: {len(self.violations)} violations of promises"
        return "kept: every promise and every goal" if not missed else f"every promise kept; {len(missed)} goals missed"

    def print(self) -> None:
        """Tell all."""
        for violation in self.violations[:20]:
            print(f"  VIOLATION {violation}")
        for figure in self.figures:
            print(f"  {figure}")
        print(f"{self.command} {self.case}: {self.verdict}".replace(" :", ":"), flush=True)

    def record(self, file: Path = FILE) -> None:
        """Append this run to the results, with what it ran on."""
        line = {
            "command": self.command,
            "case": self.case,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **_circumstances(),
            "verdict": self.verdict,
            "violations": self.violations[:20],
            "figures": [asdict(figure) for figure in self.figures],
        }
        with file.open("a") as results:
            results.write(json.dumps(line) + "\n")


def _circumstances() -> dict[str, Any]:
    return {
        "arguments": sys.argv[1:],
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "wampha") else ""),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()


def options(description: str | None) -> argparse.ArgumentParser:
    """What all commands have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help=f"append the figures to {FILE.relative_to(_ROOT)}")
    return parser


def finish(reports: Sequence[Report], record: bool) -> None:
    """Tell all reports again, keep them if asked to, and end with 1 if a promise was broken."""
    print()
    for report in reports:
        report.print()
        if record:
            report.record()
    sys.exit(any(report.violations for report in reports))
