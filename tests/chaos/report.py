"""Write `docs/reliability.md` from the fault matrix and the figures that chaos commands have recorded.

    python -m tests.chaos.report

Of each command and case the last recorded run counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.chaos.matrix import ROWS, Row
from tests.chaos.results import FILE, Figure

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_INTRODUCTION: Final = """\
# What happens when things break

The faults that a data centre can produce, the test that makes each, and the figure that was reached. This page is
written by `make reliability` from `tests/chaos/matrix.py` and from `tests/chaos/results.jsonl`, where the commands
append what they measure; nothing here is written by hand, and `tests/chaos/test_report.py` holds it to that.
Promises (P1 to P12) are those of [design.md](design.md), rules those of [protocol.md](protocol.md).

Real nodes run in network namespaces: kills and stops are signals, cuts and losses are rules of a bridge, delays and
half-open connections come from a proxy. Random clients on all nodes write down what they ask for and see, and the
checkers (`tests/checkers`) read that for P1 to P7, P9 and P10. `make chaos` measures everything anew, in about two
hours; `make test` runs each fault once. `tests/simulation` makes the faults inside one process, some thousand times
over.
"""


def runs(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The last run of each command and case, in the order of their first ones."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        run = json.loads(line)
        last[run["command"], run["case"]] = run
    return list(last.values())


def page(found: list[dict[str, Any]]) -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_table(found), "", *_runs(found)]) + "\n"


def _table(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Faults"
    yield ""
    yield "| row | fault | tests | figures |"
    yield "| --- | --- | --- | --- |"
    for row in ROWS:
        tests = "<br>".join(f"`{test}`" for test in row.tests) or "none"
        yield f"| {row.number} | {row.fault} | {tests} | {'<br>'.join(_cell(row, found))} |"


def _cell(row: Row, found: list[dict[str, Any]]) -> Iterator[str]:
    if row.note:
        yield row.note
    for run in found:
        told = [str(figure) for figure in map(_figure, run["figures"]) if row.number in figure.rows]
        if told:
            yield f"**{run['command']}{', ' if run['case'] else ''}{run['case']}**: {'; '.join(told)}"


def _figure(fields: dict[str, Any]) -> Figure:
    return Figure(**{**fields, "rows": tuple(fields["rows"])})


def _runs(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Runs"
    yield ""
    yield "`load` is that of the machine in the minute before the end of the run; `+` after a commit: with changes."
    yield ""
    yield "| command | case | date | commit | machine | load | verdict |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for run in found:
        command = " ".join(["python -m tests.chaos." + run["command"], *run["arguments"]])
        machine = f"{run['cores']} cores, {run['memory_gib']} GiB, Python {run['python']}"
        yield (
            f"| `{command}` | {run['case']} | {run['date'][:16]} | {run['commit']} | {machine} | {run['load'][0]} "
            f"| {run['verdict']} |"
        )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(runs(FILE.read_text().splitlines() if FILE.exists() else [])))
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
