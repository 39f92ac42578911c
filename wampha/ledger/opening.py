"""When the leader lets a voter without memory vote again (rules 42, 43)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Note:
    """What was true of the leader when a new life first asked."""

    life: int
    at: float  # on the leader's clock
    last_index: int  # end of the leader's log


class Openings:
    """The lives that asked one leader in one term; thrown away with its lease book.

    A majority without the voter has to confirm the leader after the note: then no vote that a former life gave away
    elects anybody else. And the voter has to hold all that the leader's log held: then nothing that was decided with
    the help of a former life can be decided otherwise with the help of the new one.
    """

    def __init__(self) -> None:
        self._notes: Final[dict[str, Note]] = {}  # voter -> its present life

    def asked(
        self, voter: str, life: int, applied: int, *, last_index: int, quorum_time: float, now: float
    ) -> int | None:
        """A ping with `wants_open` has come at `now`: the life to be opened, or None as long as it has to wait.

        `applied` is the voter's index, `last_index` the end of the leader's log, `quorum_time` is Tq, in which no
        recovering voter counts.
        """
        note = self._notes.get(voter)
        if note is None or note.life != life:
            note = self._notes[voter] = Note(life, now, last_index)
        return life if quorum_time > note.at and applied >= note.last_index else None
