"""The reactor in a thread, for tests whose clients block; it starts once and ends with the test run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import blockingCallFromThread

_started = threading.Lock()


def in_reactor(call: Callable[..., Any], *args: Any, **values: Any) -> Any:
    """Run `call` in the reactor's thread, wait for its Deferred if it returns one, and return or raise the outcome."""
    if _started.acquire(blocking=False):
        threading.Thread(target=lambda: reactor.run(installSignalHandlers=False), daemon=True).start()  # type: ignore[attr-defined]
    return blockingCallFromThread(reactor, call, *args, **values)
