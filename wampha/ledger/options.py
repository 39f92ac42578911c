"""What only tests change about an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REPAIRS: Final = frozenset({"known", "next", "answer-term", "tail", "recovering", "steps", "compaction", "elections"})


@dataclass(frozen=True)
class Options:
    """Repairs that are on, and sizes."""

    repairs: frozenset[str] = REPAIRS
    log_entries_max: int = 50_000  # then its older half goes; who needs that gets a snapshot
    log_bytes_max: int = 32 << 20  # likewise; kept events make entries of up to COMMAND_BYTES_MAX
    batch_bytes_max: int = 1 << 19  # of one append_entries; some thousand entries, which take some milliseconds
