"""What a node tells about itself when it is asked: one line of JSON in the log for each SIGUSR2."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from wampha.state import snapshot
from wampha.state.tables import Tables

_PROCESS: Final = Path("/proc/self")


def of_tables(tables: Tables) -> dict[str, Any]:
    """How many rows there are, and a digest that is equal on nodes which applied the same log up to the same index.

    Reads all tables at once: some 30 ms for 100,000 rows, in which the reactor stands still.
    """
    return {
        "routes": sum(len(index) for index in tables.routes.values()),
        "registrations": sum(len(index) for index in tables.registrations.values()),
        "digest": hashlib.blake2b(b"".join(snapshot.encode(tables)), digest_size=8).hexdigest(),
    }


def of_process() -> dict[str, Any]:
    """Resident memory and open file descriptors, where the system tells them."""
    if not _PROCESS.exists():
        return {}
    pages = int((_PROCESS / "statm").read_text().split()[1])
    return {
        "pid": os.getpid(),
        "resident_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "file_descriptors": len(os.listdir(_PROCESS / "fd")),
    }


def as_line(status: dict[str, Any]) -> str:
    """`status` as one line of JSON."""
    return msgspec.json.encode(status).decode()
