"""`docs/reliability.md` says what was measured, and names tests that exist."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.chaos.matrix import ROWS
from tests.chaos.report import PAGE, page, runs
from tests.chaos.results import FILE, Figure, Report

pytestmark = pytest.mark.needs_no_hosts
ROOT = Path(__file__).parents[2]
ASKED_FOR = {*range(1, 12), *range(15, 29), 38, 40}  # by the issue; 12 to 14 are told to not apply


def test_the_page_is_what_the_results_say() -> None:
    assert PAGE.read_text() == page(runs(FILE.read_text().splitlines())), "run: make reliability"


def test_every_row_that_is_asked_for_is_there_once_and_has_a_test() -> None:
    numbers = [row.number for row in ROWS]
    assert len(numbers) == len(set(numbers)) and set(numbers) >= ASKED_FOR
    assert [row.number for row in ROWS if not row.tests and row.number in ASKED_FOR] == []


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.tests}))
def test_every_test_that_is_named_exists(test: str) -> None:
    file, *names = test.split("::")
    tree = ast.parse((ROOT / file).read_text())
    assert names[-1] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_last_run_of_a_case_counts(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for value in (7.0, 3.0):
        Report("kills", "leader", [Figure((1,), "worst", value, "s", 2.0)]).record(file)
    Report("kills", "follower", [Figure((2,), "worst", 1.0, "s", 2.0)]).record(file)
    found = runs(file.read_text().splitlines())
    assert [(run["case"], run["figures"][0]["value"]) for run in found] == [("leader", 3.0), ("follower", 1.0)]
    text = page(found)
    assert "worst: 3 s (at most 2 s: MISSED)" in text and "worst: 7 s" not in text
    assert json.loads(file.read_text().splitlines()[0])["cores"] > 0
