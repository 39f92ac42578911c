"""What a node tells about itself when it is asked: one line of JSON in the log for each SIGUSR2."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from wampha.routing.ports import Clock
from wampha.state.machine import Machine
from wampha.state.snapshot import Encoder
from wampha.state.tables import Tables

_PROCESS: Final = Path("/proc/self")
_PIECES_MAX: Final = 10  # of a snapshot that one turn digests: less than 10 ms


def of_tables(tables: Tables) -> dict[str, Any]:
    """How many rows there are; costs nothing."""
    return {
        "routes": sum(len(index) for index in tables.routes.values()),
        "registrations": sum(len(index) for index in tables.registrations.values()),
    }


class Inquiry:
    """The status with a digest of the tables, for who wants to know whether nodes agree.

    The digest is equal on nodes that applied the same log up to the same index. Of large tables it takes many turns.
    """

    def __init__(self, *, status: Callable[[], dict[str, Any]], machine: Callable[[], Machine], clock: Clock) -> None:
        """`machine` gives what holds the tables that `status` tells of."""
        self._status: Final = status
        self._machine: Final = machine
        self._clock: Final = clock
        self._asking: Final[deque[Callable[[dict[str, Any]], None]]] = deque()

    def ask(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Tell the status, in this turn or a later one; who asks meanwhile is told the next one."""
        self._asking.append(tell)
        if len(self._asking) == 1:
            self._begin()

    def _begin(self) -> None:
        encoder = self._machine().begin_snapshot("digest")
        self._go_on(self._status(), encoder, hashlib.blake2b(digest_size=8))

    def _go_on(self, status: dict[str, Any], encoder: Encoder, digest: hashlib.blake2b) -> None:
        for _ in range(_PIECES_MAX):
            piece = encoder.piece()
            if piece is None:
                self._end({**status, "digest": digest.hexdigest()})
                return
            digest.update(piece)
        self._clock.call_later(0, self._go_on, status, encoder, digest)

    def _end(self, status: dict[str, Any]) -> None:
        self._asking.popleft()(status)
        if self._asking:
            self._begin()


def of_process() -> dict[str, Any]:
    """Resident memory and open file descriptors, where the system tells them."""
    if not _PROCESS.exists():
        return {}
    pages = int((_PROCESS / "statm").read_text().split()[1])
    return {
        "pid": os.getpid(),
        "resident_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "file_descriptors": _descriptors(),
    }


def _descriptors() -> int:
    """Linux tells their number as the size of the folder since 6.2; to list thousands of them takes milliseconds."""
    folder = _PROCESS / "fd"
    return folder.stat().st_size or len(os.listdir(folder))


def as_line(status: dict[str, Any]) -> str:
    """`status` as one line of JSON."""
    return msgspec.json.encode(status).decode()
