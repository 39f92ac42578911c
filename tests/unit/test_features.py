"""`docs/features.md` says what WELCOME announces, and names only tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.features.__main__ import page
from tests.features.rows import CLIENTS, FEATURES, TRANSPORTS
from tests.support.core import Node
from wampha.messages.model import Welcome

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/features.md").read_text()


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("role", ["broker", "dealer"])
def test_what_is_announced_has_a_row_and_nothing_else_is_announced(role: str) -> None:
    welcome = Node().join().opening[0]
    assert isinstance(welcome, Welcome)
    announced = {name for name, on in welcome.details["roles"][role]["features"].items() if on}
    assert announced == {each.name for each in FEATURES if each.role == role and each.announced}


def test_every_test_of_a_feature_exists() -> None:
    for feature in FEATURES:
        assert bool(feature.tests) is feature.announced
        for tests in (feature.tests, feature.after_death):
            for test in () if isinstance(tests, str) else tests:
                file, _, name = test.partition("::")
                assert name in names_in(file), test


def test_every_way_to_connect_has_tests_that_exist_or_a_sentence() -> None:
    for way in (*TRANSPORTS, *CLIENTS):
        assert way.pattern or way.remark != "-"
        for test in way.tests:
            file, _, name = test.partition("::")
            assert name in names_in(file), test
        (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {way.name} |"))
        assert "**" not in row, row


def test_the_page_has_every_feature_and_no_empty_or_failing_cell() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [re.findall(r"^\| `(\w+)` \| (\w+)", row)[0] for row in rows] == [
        (each.name, each.role) for each in FEATURES
    ]
    for row in rows:
        assert all(cell.strip() for cell in row.split("|")[1:-1]), row
        assert "**" not in row, row


def test_a_failing_or_missing_test_is_seen_on_the_page() -> None:
    feature = FEATURES[0]
    assert "**no test**" in page({})
    assert "**1 of 1 tests fail**" in page({f"{feature.tests[0]}[one-node]": False})
