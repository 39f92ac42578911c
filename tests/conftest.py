"""What all tests share: Twisted as txaio's framework, settings of hypothesis, and no failure in the log unnoticed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import txaio

txaio.use_twisted()

from hypothesis import HealthCheck, settings  # noqa: E402 - txaio comes first
from twisted.logger import LogEvent, LogLevel, globalLogPublisher  # noqa: E402

# A shell that starts the tests in the background ignores SIGINT for them, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two shared cores: how long an example takes says nothing. In CI the same examples run every time.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def no_failure_in_the_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if a failure or a critical event reached the log, unless it is marked `logs_errors`."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None or event.get("log_level") is LogLevel.critical:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield
    globalLogPublisher.removeObserver(observe)
    if seen and request.node.get_closest_marker("logs_errors") is None:
        pytest.fail("the log has failures:\n" + "\n".join(map(_shown, seen)))


def _shown(event: dict[str, Any]) -> str:
    failure = event.get("log_failure")
    return failure.getTraceback() if failure is not None else str(event.get("log_format"))
