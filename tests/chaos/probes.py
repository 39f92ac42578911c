"""What stands still, and for how long: threads that do one thing over and over while something is broken.

Each is a context manager; what it found is complete when it has been left.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Final

from tests.chaos.nodes import HostNode
from tests.support.wampclient import (
    CALL,
    ERROR,
    GOODBYE,
    INVOCATION,
    PUBLISH,
    PUBLISHED,
    SUBSCRIBED,
    AnsweredError,
    ConnectionEndedError,
    Session,
)

_numbers: Final = itertools.count()
LATE_S: Final = 10.0  # longest wait for what was sent before the end


class Probe:
    """A thread that works until it is told to stop; a failure in it is raised when the probe is left."""

    def __init__(self) -> None:
        self._stopping: Final = threading.Event()
        self._failure: BaseException | None = None
        self._threads: Final = [threading.Thread(target=self._guarded, args=(work,)) for work in self._work()]

    def _work(self) -> list[Any]:
        raise NotImplementedError

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> Any:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._close()
        if self._failure and kind is None:
            raise self._failure

    def _close(self) -> None:
        raise NotImplementedError


class Acknowledgements(Probe):
    """One subscription to a fresh topic after the other on a node; each waits for its SUBSCRIBED."""

    def __init__(self, node: HostNode, pause_s: float = 0.005) -> None:
        self.acknowledged: Final[list[tuple[float, float]]] = []  # (asked, SUBSCRIBED)
        self.refused: Final[list[tuple[float, float, str]]] = []  # (asked, answered, URI)
        self.ended: float | None = None  # when the session was ended from the other side
        self._pause_s: Final = pause_s
        self._session: Final = node.session()
        self._stem: Final = f"test.fresh{next(_numbers)}"
        super().__init__()

    def _work(self) -> list[Any]:
        return [self._subscribe]

    def _subscribe(self) -> None:
        for number in itertools.count():
            if self._stopping.wait(self._pause_s):
                return
            asked = time.monotonic()
            try:
                message = self._session.ask(32, {}, f"{self._stem}.{number}")
            except AnsweredError as refusal:
                self.refused.append((asked, time.monotonic(), refusal.uri))
            except (ConnectionEndedError, OSError):
                self.ended = time.monotonic()
                return
            else:
                assert message[0] == SUBSCRIBED
                self.acknowledged.append((asked, time.monotonic()))
                self._session.unsubscribe(message[2])

    def _close(self) -> None:
        self._session.close()

    def stall_s(self, since: float) -> float:
        """The longest time that a subscription waited after `since`."""
        return max((end - max(asked, since) for asked, end in self.acknowledged if end > since), default=float("inf"))

    def last_before_stall(self, since: float) -> float:
        """When the longest wait after `since` was over."""
        return max((end - max(asked, since), end) for asked, end in self.acknowledged if end > since)[1]


class Stream(Probe):
    """Numbered events from a client of one node to a client of another, some 2,000 a second."""

    BATCH: Final = 20
    PAUSE_S: Final = 0.01

    def __init__(self, publishes: HostNode, hears: HostNode) -> None:
        self.published = 0
        self.ended = False  # whether a session of it was ended from the other side
        self.heard: Final[list[int]] = []
        self.times: Final[list[float]] = []
        self._topic: Final = f"test.stream{next(_numbers)}"
        self._publisher: Final = publishes.session("rawsocket", "msgpack")
        self._subscriber: Final = hears.session("rawsocket", "msgpack")
        self._subscriber.subscribe(self._topic)
        super().__init__()

    def _work(self) -> list[Any]:
        return [self._publish, self._hear]

    def _publish(self) -> None:
        send = self._publisher.connection.send_many
        try:
            while not self._stopping.wait(self.PAUSE_S):
                numbers = range(self.published, self.published + self.BATCH)
                send([PUBLISH, 1 + number, {}, self._topic, [number]] for number in numbers)
                self.published += self.BATCH
            send([[PUBLISH, 1 + self.published, {}, self._topic, [-1]]])
        except OSError:
            self.ended = True

    def _hear(self) -> None:
        while True:
            try:
                message = self._subscriber.connection.receive(LATE_S)
            except TimeoutError:
                return
            except (ConnectionEndedError, OSError):
                message = [GOODBYE]
            if message[0] == GOODBYE:
                self.ended = True
                return
            number = message[4][0]
            if number < 0:
                return
            self.heard.append(number)
            self.times.append(time.monotonic())

    def _close(self) -> None:
        self._publisher.close()
        self._subscriber.close()

    def pause_s(self, since: float) -> float:
        """The longest time without an event after `since`."""
        times = [since, *(at for at in self.times if at > since)]
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))

    @property
    def lost(self) -> int:
        """How many events did not come."""
        return self.published - len(set(self.heard))

    @property
    def wrong(self) -> int:
        """How many came twice or out of order."""
        return sum(after <= before for before, after in itertools.pairwise(self.heard))


class Calls(Probe):
    """Calls of procedures whose callees, on another node, take them and never answer."""

    def __init__(self, caller: HostNode, callee: HostNode, count: int = 200) -> None:
        self.answered: Final[dict[int, list[tuple[float, list[Any]]]]] = {}  # request -> (when, RESULT or ERROR)
        self._callee: Final = callee.session()
        self._caller: Final = caller.session()
        procedure = f"test.silent{next(_numbers)}"
        self._callee.register(procedure)
        self.requests: Final = [self._caller.start(CALL, {}, procedure, [number]) for number in range(count)]
        for _ in self.requests:
            self._callee.next(INVOCATION)
        super().__init__()

    def _work(self) -> list[Any]:
        return [self._wait, self._go_when_told]

    def _go_when_told(self) -> None:
        """Be polite: a callee that is told to go does."""
        while not self._stopping.is_set():
            try:
                message = self._callee.connection.receive(0.05)
            except TimeoutError:
                continue
            except (ConnectionEndedError, OSError):
                return
            if message[0] == GOODBYE:
                self._callee.close()
                return

    def _wait(self) -> None:
        deadline: float | None = None
        while deadline is None or time.monotonic() < deadline:
            if deadline is None and self._stopping.is_set():
                deadline = time.monotonic() + (0.0 if self.complete else LATE_S)
            try:
                message = self._caller.connection.receive(0.05)
            except TimeoutError:
                if self.complete and self._stopping.is_set():
                    return
                continue
            request = message[2] if message[0] == ERROR else message[1]
            self.answered.setdefault(request, []).append((time.monotonic(), message))

    @property
    def complete(self) -> bool:
        """Whether every call was answered."""
        return len(self.answered) == len(self.requests)

    def violations(self) -> list[str]:
        """Calls that did not end exactly once."""
        ended = [len(self.answered.get(request, ())) for request in self.requests]
        return [f"P6: {times} answers to a call" for times in ended if times != 1]

    def answered_after_s(self, since: float) -> list[float]:
        """How long each call waited for its answer."""
        return [answers[0][0] - since for answers in self.answered.values()]

    def _close(self) -> None:
        self._callee.close()
        self._caller.close()


class Publishes(Probe):
    """Acknowledged publications on a node, one after the other."""

    def __init__(self, node: HostNode, pause_s: float = 0.002) -> None:
        self.times: Final[list[float]] = []  # of each PUBLISHED
        self.ended: float | None = None
        self._pause_s: Final = pause_s
        self._session: Final[Session] = node.session()
        super().__init__()

    def _work(self) -> list[Any]:
        return [self._publish]

    def _publish(self) -> None:
        waiting = None
        while not self._stopping.wait(self._pause_s):
            try:
                if waiting is None:
                    waiting = self._session.start(PUBLISH, {"acknowledge": True}, "test.minority")
                message = self._session.connection.receive(0.1)
            except TimeoutError:
                continue
            except (ConnectionEndedError, OSError):
                self.ended = time.monotonic()
                return
            if message[0] == PUBLISHED:
                self.times.append(time.monotonic())
                waiting = None

    def _close(self) -> None:
        self._session.close()

    def last_before(self, end: float) -> float:
        """When the last publication before `end` was acknowledged."""
        return max(at for at in self.times if at < end)
