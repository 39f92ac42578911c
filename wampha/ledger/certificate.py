"""The death certificate of a process's predecessors (docs/protocol.md, rule 27): a file that only one process can hold.

A lock on a file ends with the process that holds it, however it ends. So whoever gets the lock knows that all who wrote
into the file before are dead, and the cluster need not wait until their leases are over. The folder has to be local to
the machine, or of a file system whose locks work between machines.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from wampha.errors import StartError

KEPT: Final = 20  # incarnations that are read; those before them fall by rule 26
LINE_BYTES: Final = 17  # 64 bits in hexadecimal, and the end of the line


class DeathCertificate:
    """Held from its creation until `close`, or until the process ends."""

    _log = Logger(namespace="wampha.ledger")

    def __init__(self, folder: Path, name: str) -> None:
        """Take the lock of the node `name` in `folder`; without it `predecessors` is empty and nothing is written.

        Raises StartError if the file cannot be opened.
        """
        path = folder / f"{name}.incarnations"
        try:
            self._file: Final = path.open("a+b", buffering=0)
        except OSError as error:
            raise StartError(f"{path}: {error.strerror} (node.run_dir)") from None
        self._held: Final = self._lock(path)
        self.predecessors: Final = self._read() if self._held else ()

    def add(self, incarnation: int) -> None:
        """Write down an incarnation of this process, for its successor; never raises OSError."""
        if not self._held or self._file.closed:
            return
        try:
            self._file.write(f"{incarnation:016x}\n".encode())
        except OSError as error:
            self._log.warn("the incarnation was not written down: {reason}", reason=error.strerror)

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()

    def _lock(self, path: Path) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._log.warn(
                "{path} is not locked, so nothing is known of predecessors: {reason}", path=path, reason=error
            )
            return False
        return True

    def _read(self) -> tuple[int, ...]:
        """The youngest incarnations, oldest first; the file is cut down to them. A line that is none is left out."""
        length = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, length - KEPT * LINE_BYTES))
        lines = self._file.read(KEPT * LINE_BYTES).split(b"\n")
        incarnations = tuple(int(line, 16) for line in lines if _is_incarnation(line))
        self._file.truncate(0)
        for incarnation in incarnations:
            self.add(incarnation)
        return incarnations


def _is_incarnation(line: bytes) -> bool:
    return len(line) == LINE_BYTES - 1 and all(digit in b"0123456789abcdef" for digit in line)
