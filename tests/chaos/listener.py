"""A session whose every message is written down as it comes, by a thread; it answers its INVOCATIONs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from tests.chaos.nodes import HostNode
from tests.support.wampclient import (
    ERROR,
    GOODBYE,
    INVOCATION,
    REPLIES,
    YIELD,
    AnsweredError,
    ConnectionEndedError,
)

LOOK_S: Final = 0.05
WAIT_S: Final = 12.0  # longest wait for an answer: the cluster decides within 10 s, or refuses


class Listener:
    """One session. Use as a context manager: it ends the thread and drops the connection."""

    def __init__(self, node: HostNode) -> None:
        self.node: Final = node
        self.messages: Final[list[tuple[float, list[Any]]]] = []  # (when, message)
        self.ended: float | None = None  # when the router ended the session
        self._session: Final = node.session()
        self.id: Final = self._session.id
        self._requests: Final = itertools.count(1)
        self._news: Final = threading.Condition()
        self._closing = False
        self._thread: Final = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._thread.join()
        self._session.close()

    def send(self, code: int, *rest: Any) -> int:
        """Send a request and give its number."""
        request = next(self._requests)
        self._session.connection.send([code, request, *rest])
        return request

    def ask(self, code: int, *rest: Any) -> list[Any]:
        """Send a request and wait for its answer; raises AnsweredError, ConnectionEndedError or TimeoutError."""
        return self.answer(self.send(code, *rest))

    def answer(self, request: int, within_s: float = WAIT_S) -> list[Any]:
        """Wait for the answer to a request, likewise."""
        answer = self.wait_for(lambda message: _answers(message, request), within_s)
        if answer[0] == ERROR:
            raise AnsweredError(answer)
        return answer

    def wait_for(self, wanted: Callable[[list[Any]], bool], within_s: float = WAIT_S) -> list[Any]:
        """The first message that fits, whenever it came; raises ConnectionEndedError or TimeoutError."""
        deadline = time.monotonic() + within_s
        with self._news:
            while not (found := self.heard(wanted)):
                if self.ended is not None:
                    raise ConnectionEndedError(None, "the session has ended")
                if not self._news.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"no such message within {within_s} s")
        return found[0]

    def heard(self, wanted: Callable[[list[Any]], bool]) -> list[list[Any]]:
        """All messages that fit, so far."""
        return [message for _, message in self.messages if wanted(message)]

    def _listen(self) -> None:
        try:
            while not self._closing:
                try:
                    self._note(self._session.connection.receive(LOOK_S))
                except TimeoutError:
                    continue
        except (ConnectionEndedError, OSError):
            with self._news:
                self.ended = self.ended or time.monotonic()
                self._news.notify_all()

    def _note(self, message: list[Any]) -> None:
        with self._news:
            self.messages.append((time.monotonic(), message))
            if message[0] == GOODBYE:
                self.ended = time.monotonic()
            self._news.notify_all()
        if message[0] == INVOCATION:
            self._session.connection.send([YIELD, message[1], {}, [self.id]])
        elif message[0] == GOODBYE:
            self._session.connection.send([GOODBYE, {}, "wamp.close.goodbye_and_out"])


def _answers(message: list[Any], request: int) -> bool:
    return message[2] == request if message[0] == ERROR else message[0] in REPLIES and message[1] == request
