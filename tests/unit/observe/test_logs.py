"""The level in the configuration decides what the log shows."""

from __future__ import annotations

import pytest
from twisted.logger import InvalidLogLevelError, Logger, LogPublisher

from wampha.observe.logs import show_from


def _shown(level: str) -> list[str]:
    seen: list[str] = []
    publisher = LogPublisher(lambda event: seen.append(event["log_level"].name))
    show_from(level, publisher)
    log = Logger(observer=publisher, namespace="test")
    log.debug("d")
    log.info("i")
    log.warn("w")
    log.error("e")
    return seen


def test_lines_below_the_level_are_left_out() -> None:
    assert _shown("warn") == ["warn", "error"]
    assert _shown("debug") == ["debug", "info", "warn", "error"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(InvalidLogLevelError):
        show_from("loud", LogPublisher())
