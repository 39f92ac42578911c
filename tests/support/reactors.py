"""A reactor of its own, in a thread, for tests that block on their sockets.

pytest-twisted runs every test in the thread of the global reactor: a test that blocks there would wait for itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.threads import blockingCallFromThread

reactor: Final = EPollReactor()
_running: Final = threading.Lock()


def in_reactor(call: Callable[..., Any], *args: Any, **values: Any) -> Any:
    """Run `call` in the reactor's thread, wait for its Deferred if it returns one, and return or raise the outcome."""
    if _running.acquire(blocking=False):  # never released: the thread lives as long as the tests
        threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True).start()
    return blockingCallFromThread(reactor, call, *args, **values)
