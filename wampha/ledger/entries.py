"""What a follower makes of the entries in an append_entries, given those that it has (repair 1)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wampha.ledger.frames import Append, Entry


def contiguous(append: Append) -> bool:
    """Whether each entry follows the one before it."""
    previous = append.previous_index
    return previous is None or all(entry[1] == index for index, entry in enumerate(append.entries, start=previous + 1))


def connects(append: Append, log: Sequence[Entry]) -> bool:
    """Whether the entry before those of the message is in `log` (never empty), with the same term."""
    previous, first, last = append.previous_index, log[0][1], log[-1][1]
    return previous is not None and first <= previous <= last and log[previous - first][2] == append.previous_term


def first_doubtful(append: Append, log: Sequence[Entry], committed: int) -> int | None:
    """Where the leader should begin again if the message does not connect, for another term stands in its place.

    That is the first entry of that term which is not committed: what is committed is in the leader's log. One step back
    for each message, as the library would have it, takes as many of them as a deposed leader took commands (D19).
    """
    previous, first = append.previous_index, log[0][1]
    if previous is None or not first <= previous <= log[-1][1]:
        return None
    index = previous
    while index > max(first, committed + 1) and log[index - 1 - first][2] == log[previous - first][2]:
        index -= 1
    return index


def without_known(append: Append, log: Sequence[Entry]) -> Append:
    """The same message, which connects, without the entries that `log` holds already.

    The library cuts its log behind the previous entry of a message, always, and takes the whole log that results for
    verified. So it gets, as the previous entry, the last one that both have; and the commit index of the message
    reaches no further than the message itself, since a tail that stays in the log is verified by nothing.
    """
    known = 0
    while known < len(append.entries) and _holds(log, append.entries[known]):
        known += 1
    fresh = append.entries[known:]
    index, term = append.entries[known - 1][1:] if known else (append.previous_index, append.previous_term)
    verified = fresh[-1][1] if fresh else index or 0
    return msgspec.structs.replace(
        append, previous_index=index, previous_term=term, entries=fresh, commit=min(append.commit, verified)
    )


def _holds(log: Sequence[Entry], entry: Entry) -> bool:
    # Equal index and term mean equal commands, and equal logs before them (Raft section 5.3).
    place = entry[1] - log[0][1]
    return place < len(log) and log[place][2] == entry[2]
