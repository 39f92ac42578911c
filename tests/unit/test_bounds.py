"""`docs/bounds.md` is complete: every bound, counter and handler has a test there that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from wampha.counters import CATALOGUE
from wampha.limits import Limits
from wampha.routing.broker import Broker
from wampha.routing.callees import Callees
from wampha.routing.dealer import Dealer
from wampha.routing.offers import Offers

ROOT: Final = Path(__file__).parents[2]
SECTIONS: Final = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/bounds.md").read_text(), re.M | re.S))
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SOURCES: Final = {path.relative_to(ROOT): path.read_text() for path in sorted((ROOT / "wampha").rglob("*.py"))}
CONSTANT: Final = re.compile(r"^(_?[A-Z_]+_(?:MAX|MAX_S)|_BATCH|_RETRIES_PER_TICK)\b.*=", re.M)


def rows(section: str) -> dict[str, str]:
    """The rows of the tables of a section by each name that stands in their first cell."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    return {name: line for line in lines for name in re.findall(r"`([\w.]+)`", line.split("|")[1])}


@cache
def texts_of(file: str) -> dict[str, list[str]]:
    """The tests of a file with the texts that stand in each."""
    tree = ast.parse((ROOT / file).read_text())
    return {
        test.name: [node.value for node in ast.walk(test) if isinstance(node, ast.Constant) and type(node.value) is str]
        for test in ast.walk(tree)
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_")
    }


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_names_tests_that_exist(section: str) -> None:
    lines = [line for line in SECTIONS[section].splitlines() if re.match(r"\| (?!---|\w+ \|)", line)]
    assert lines
    for line in lines:
        named = TEST.findall(line)
        assert named, line
        assert [(file, name) for file, name in named if name not in texts_of(file)] == []


def test_every_setting_is_there_and_counted_in_one_of_its_tests() -> None:
    settings = rows("Settings")
    assert set(settings) == set(Limits.model_fields)
    for name, line in settings.items():
        counters = set(re.findall(r"`(\w+)`", line.split("|")[4]))
        assert counters <= set(CATALOGUE)
        assert counters or name == "ping_interval_s"  # who reaches that one is asked, and does not pay
        seen = {text for file, test in TEST.findall(line) for text in texts_of(file)[test]}
        assert counters <= seen, line


def test_every_constant_that_bounds_something_is_there() -> None:
    named = rows("Constants that somebody can reach") | rows("Constants that nobody notices")
    constants = {name for source in SOURCES.values() for name in CONSTANT.findall(source)}
    assert constants <= set(named)
    assert {name for name in named if name.isupper()} <= constants


def test_every_counter_is_seen_by_its_test() -> None:
    counters = rows("Counters")
    assert set(counters) == set(CATALOGUE)
    for name, line in counters.items():
        assert all(name in texts_of(file)[test] for file, test in TEST.findall(line)), name


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_counter_is_counted_somewhere(name: str) -> None:
    assert any(f'"{name}"' in source for path, source in SOURCES.items() if path.name != "counters.py")


def test_every_handler_of_broker_offers_and_dealer_is_there() -> None:
    handlers = {
        f"{each.__name__}.{name}"
        for each in (Broker, Offers, Dealer, Callees)
        for name, value in vars(each).items()
        if callable(value) and not name.startswith("_")
    }
    assert set(rows("Handlers")) == handlers


def test_every_input_of_a_table_row_has_an_answer() -> None:
    lines = [line for line in SECTIONS["Bad input"].splitlines() if "`tests/" in line]
    assert len(lines) >= 13
    assert all(len(line.split("|")) == 5 and all(map(str.strip, line.split("|")[1:4])) for line in lines)
