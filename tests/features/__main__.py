"""Run the tests of every feature and write `docs/features.md` from what they said.

python -m tests.features
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.features.rows import CLIENTS, FEATURES, NOT_YET, TRANSPORTS, Feature, Way

PAGE: Final = Path(__file__).parents[2] / "docs/features.md"
NEAR: Final = re.compile(r"one-node|one_node|a-to-a|\[a\]")
FAR: Final = re.compile(r"across-nodes|across_nodes|a-to-b|c-to-a|\[b\]")
HEAD: Final = """# Features of the advanced profile

Written by `make features` from the results of the tests that `tests/features/rows.py` names;
`tests/unit/test_features.py` compares it with what WELCOME announces. A number says how many tests hold the feature
there, with raw messages or a client library.

| feature | announced by | on one node | across nodes | when a home node dies | remark |
| --- | --- | --- | --- | --- | --- |
"""
WAYS_HEAD: Final = """
## {}

| {} | on one node | across nodes | remark |
| --- | --- | --- | --- |
"""
NOT_THERE: Final = "not there"


class Outcomes:
    """Collects how each test ended: by its id, whether it passed."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of each test."""
        if report.when == "call" or not report.passed:
            self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and report.passed


def page(passed: dict[str, bool]) -> str:
    """The whole page."""
    return (
        HEAD
        + "".join(f"{_row(feature, passed)}\n" for feature in FEATURES)
        + WAYS_HEAD.format("Transports and serializers", "way to connect")
        + "".join(f"{_way_row(way, passed)}\n" for way in TRANSPORTS)
        + WAYS_HEAD.format("Client libraries that the tests connect with", "library")
        + "".join(f"{_way_row(way, passed)}\n" for way in CLIENTS)
    )


def _way_row(way: Way, passed: dict[str, bool]) -> str:
    if not way.pattern:
        return f"| {way.name} | {NOT_THERE} | {NOT_THERE} | {way.remark} |"
    ran = [test for test in passed if _names(test, way.tests) and re.search(way.pattern, test)]
    near, far = (_cell([test for test in ran if side.search(test)], passed) for side in (NEAR, FAR))
    return f"| {way.name} | {near} | {far} | {way.remark} |"


def _row(feature: Feature, passed: dict[str, bool]) -> str:
    if not feature.announced:
        return f"| `{feature.name}` | {feature.role} | {NOT_YET} | {NOT_YET} | {NOT_YET} | {feature.remark or '-'} |"
    ran = [test for test in passed if _names(test, feature.tests)]
    near = _cell([test for test in ran if NEAR.search(test)], passed)
    far = _cell([test for test in ran if FAR.search(test)], passed)
    death = feature.after_death
    if not isinstance(death, str):
        death = _cell([test for test in passed if _names(test, death)], passed)
    return f"| `{feature.name}` | {feature.role} | {near} | {far} | {death} | {feature.remark or '-'} |"


def _names(test: str, names: Iterable[str]) -> bool:
    return test.partition("[")[0] in names


def _cell(tests: list[str], passed: dict[str, bool]) -> str:
    failed = [test for test in tests if not passed[test]]
    if failed:
        return f"**{len(failed)} of {len(tests)} tests fail**"
    return f"{len(tests)} test{'s' * (len(tests) > 1)}" if tests else "**no test**"


def main() -> int:
    """Run, write, and give pytest's exit status."""
    outcomes = Outcomes()
    named = dict.fromkeys(
        test
        for feature in FEATURES
        for tests in (feature.tests, feature.after_death)
        if not isinstance(tests, str)
        for test in tests
    )
    named.update(dict.fromkeys(test for way in (*TRANSPORTS, *CLIENTS) for test in way.tests))
    status = pytest.main(["-q", "--no-header", *named], plugins=[outcomes])
    PAGE.write_text(page(outcomes.passed))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
