"""Chaos tests need network namespaces: CI must run them, and where they cannot run it is said why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.namespaces import clear_away, why_impossible


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder as what it is."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("chaos")


@pytest.fixture(scope="session")
def _permitted() -> Iterator[str | None]:
    yield why_impossible()
    clear_away()


@pytest.fixture(autouse=True)
def namespaces_are_permitted(request: pytest.FixtureRequest, _permitted: str | None) -> None:
    """Skip with the reason where a test with real hosts cannot run; in CI that is a failure."""
    if _permitted is None or request.node.get_closest_marker("needs_no_hosts"):
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must run the chaos tests, but {_permitted}")
    pytest.skip(_permitted)
