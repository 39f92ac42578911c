"""Take docs/status-page.png: three nodes, some traffic, a headless browser: `make screenshot`."""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from examples.nodes import CLIENT_PORTS, Nodes, page
from tests.support.browser import browser
from tests.support.wampclient import CALL, EVENT, PUBLISH, ConnectionEndedError, Session

PICTURE: Final = Path(__file__).parent / "status-page.png"
WATCHED_S: Final = 45.0
WIDTH, HEIGHT = 1240, 940
TOPICS: Final = 4
PUBLISH_EVERY_S: Final = 0.008


class Traffic:
    """Subscribers, publishers whose zeal changes, and a caller, until the end."""

    def __init__(self) -> None:
        self._stop: Final = threading.Event()
        ports = list(CLIENT_PORTS.values())
        self._sessions: Final = [Session(port) for port in ports * 9] + [Session(ports[0]) for _ in range(5)]
        for number, session in enumerate(self._sessions):
            session.subscribe(f"demo.topic{number % TOPICS}")
        self._callee: Final = Session(ports[2])
        self._callee.register("demo.echo")
        loops = [lambda session=session: self._read(session) for session in self._sessions]
        loops += [self._answer, lambda: self._call(Session(ports[1]))]
        loops += [lambda port=port: self._publish(Session(port)) for port in ports]
        for loop in loops:
            threading.Thread(target=loop, daemon=True).start()

    def stop(self) -> None:
        """Leave the connections to the end of this process."""
        self._stop.set()

    def _read(self, session: Session) -> None:
        with suppress(ConnectionEndedError, OSError):  # the nodes end before this process
            while not self._stop.is_set():
                session.next(EVENT)

    def _answer(self) -> None:
        with suppress(ConnectionEndedError, OSError):
            while not self._stop.is_set():
                self._callee.answer_invocation([1])

    def _call(self, session: Session) -> None:
        with suppress(ConnectionEndedError, OSError):
            while not self._stop.wait(0.01):
                session.answer(session.start(CALL, {}, "demo.echo", [1]))

    def _publish(self, session: Session) -> None:
        began, number = time.monotonic(), 0
        while not self._stop.wait(PUBLISH_EVERY_S * (1.6 + math.sin((time.monotonic() - began) / 4))):
            number += 1
            session.start(PUBLISH, {}, f"demo.topic{number % TOPICS}", [number])


def main() -> int:
    """Take the picture."""
    with Nodes() as nodes, tempfile.TemporaryDirectory() as folder:
        nodes.wait_until_serving()
        traffic = Traffic()
        with browser(Path(folder)) as tab, tab() as shown:
            shown.show(page("node1"), WIDTH, HEIGHT)
            end = time.monotonic() + WATCHED_S
            while time.monotonic() < end:
                shown.value("1")  # take what it tells
                time.sleep(0.5)
            shown.screenshot(PICTURE, HEIGHT)
        traffic.stop()
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
