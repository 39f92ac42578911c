"""Tests whose clients block, beside the reactor that pytest-twisted runs in the main thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest_twisted
from twisted.internet import defer, reactor
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.python.threadable import isInIOThread


def in_reactor(call: Callable[..., Any], *args: Any, **values: Any) -> Any:
    """Run `call` in the reactor's thread, wait for its Deferred if it returns one, and return or raise the outcome."""
    if isInIOThread():
        return pytest_twisted.blockon(defer.maybeDeferred(call, *args, **values))
    return blockingCallFromThread(reactor, call, *args, **values)


def beside_reactor(call: Callable[..., Any], **values: Any) -> Any:
    """Run `call` in a thread of its own while the reactor goes on, and wait for it."""
    return pytest_twisted.blockon(deferToThread(call, **values))
