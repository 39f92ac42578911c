"""Fixtures of the link tests: a virtual clock, a network on it, and what was logged."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from tests.unit.cluster.harness import Network


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network(clock: Clock) -> Network:
    return Network(clock)


@pytest.fixture
def logged():
    """The log lines of the links, as a list that grows."""
    lines: list[str] = []

    def observe(event) -> None:
        if event["log_namespace"].startswith("wampha.cluster"):
            lines.append(formatEvent(event))
        assert "log_failure" not in event, formatEvent(event)

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)
