"""Looks now and then whether files have changed, for whoever cannot send a signal when they do (a ConfigMap, a Secret).

A look is one `stat` of each file, in another thread: a file system that hangs holds up nothing. A change counts when
two looks in a row have seen the same, so that a file is not read while somebody writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from wampha.routing.ports import Cancellable, Clock, Workers

SETTLE_S: Final = 1.0

# By file, what changes with its content; None for one that cannot be seen. Links lead to what they name: Kubernetes
# brings new content as another file behind the same link.
Marks = dict[Path, tuple[int, int, int] | None]


class FileWatch:
    """One per node."""

    def __init__(
        self,
        *,
        files: Callable[[], Iterable[Path]],
        changed: Callable[[], Any],
        every_s: float,
        clock: Clock,
        workers: Workers,
        known: Marks | None = None,
        marks: Callable[[Iterable[Path]], Marks] | None = None,
    ) -> None:
        """`files` are those of the moment; `changed` is called once for each change. `marks` is for tests.

        `known` is what was there before the files were read first, of those of which that was looked at.
        """
        self._files: Final = files
        self._changed: Final = changed
        self._every_s: Final = every_s
        self._clock: Final = clock
        self._workers: Final = workers
        self._look_at: Final = marks or marks_of
        self._known: Marks = known or {}  # what was there when the files were read last
        self._seen: Marks | None = None  # what the look before this one saw, if that was something else
        self._next: Cancellable | None = None
        self._stopped = False

    def start(self) -> None:
        """Look from now on; a file of which nothing is known counts as read."""
        self._look()

    def stop(self) -> None:
        """Look no more; what a look that is under way sees does not count."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        files = tuple(self._files())
        if not self._workers.run(lambda: self._look_at(files), self._judge):
            self._again(self._every_s)  # much else is being calculated

    def _judge(self, marks: Marks) -> None:
        if self._stopped:
            return
        # A file that nobody asked for before is no change: it was read when its name was.
        if all(self._known.get(file, mark) == mark for file, mark in marks.items()):
            self._known, self._seen = marks, None
        elif marks != self._seen:
            self._seen = marks
            self._again(SETTLE_S)
            return
        else:
            self._known, self._seen = marks, None
            self._changed()
        self._again(self._every_s)

    def _again(self, delay_s: float) -> None:
        self._next = self._clock.call_later(delay_s, self._look)


def marks_of(files: Iterable[Path]) -> Marks:
    """What is there."""
    return {file: _mark(file) for file in files}


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
