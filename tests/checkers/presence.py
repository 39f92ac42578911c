"""P8: who joined and left, and what sessions leave behind, is told once to everybody who wants to know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.checkers.excuses import Excuses
from tests.checkers.history import ENDED, OK, History, Notice, Violation

ON_JOIN, ON_LEAVE, LAST_WORDS = "wamp.session.on_join", "wamp.session.on_leave", "last.words"
PATIENCE_S = 12.0  # until the last fault is over, its node is declared dead, and everybody has heard of that


def check_presence(history: History, excuses: Excuses) -> Iterator[Violation]:
    """Each watcher hears of each session: on_join, testaments in their order, on_leave, and nothing twice."""
    told: dict[int, dict[int, list[Notice]]] = defaultdict(lambda: defaultdict(list))  # watcher -> session -> notices
    for notice in history.notices:
        told[notice.session][notice.about].append(notice)
    left_behind = defaultdict(list)  # session -> its testaments that were acknowledged
    for operation in history.of("bequeath"):
        if operation.outcome == OK:
            left_behind[operation.session].append(operation)
    for watcher, about in told.items():
        for session, notices in about.items():
            yield from _check_order(watcher, session, notices)
            if _must_have_left(watcher, session, notices, excuses):
                last = notices[-1]
                if last.what != ON_LEAVE:
                    yield Violation(last.time, "P8", f"{last.client} was never told that {session} left")
            if notices[-1].what == ON_LEAVE and notices[0].what == ON_JOIN:
                heard = {notice.number for notice in notices if notice.what == LAST_WORDS}
                for operation in left_behind[session]:
                    if operation.number not in heard and not _was_behind(notices, excuses):
                        sentence = f"{notices[-1].client} missed testament {operation.number} of {session}"
                        yield Violation(notices[-1].time, "P8", sentence)
    yield from _check_publications(history)


def _check_order(watcher: int, session: int, notices: list[Notice]) -> Iterator[Violation]:
    """By their rank; equal ones only if they are different testaments, in the order in which they were added."""
    ranks = {ON_JOIN: 0, LAST_WORDS: 1, ON_LEAVE: 2}
    places = [(ranks[notice.what], notice.number) for notice in notices]
    for before, after, notice in zip(places, places[1:], notices[1:], strict=False):
        if before >= after:
            what = "twice" if before == after else "too late"
            yield Violation(notice.time, "P8", f"{notice.client} was told {notice.what} of {session} {what}")


def _must_have_left(watcher: int, session: int, notices: list[Notice], excuses: Excuses) -> bool:
    """Whether the watcher stayed until the end of the test, long after the session had ended."""
    ending = excuses.endings.get(watcher)
    if ending is None or ending.cause != ENDED or session not in excuses.endings:
        return False
    if excuses.over(watcher) < ending.time:  # its node has died, and nobody told the client
        return False
    return max(excuses.over(session), excuses.held(session)) + PATIENCE_S < ending.time


def _was_behind(notices: list[Notice], excuses: Excuses) -> bool:
    """A node that was behind may have taken a snapshot in place of what told of the testament."""
    first, last = notices[0], notices[-1]
    return any(fault.begin <= last.time and fault.end + PATIENCE_S >= first.time for fault in excuses.faults)


def _check_publications(history: History) -> Iterator[Violation]:
    """All nodes publish the same event under the same id, and no other under it."""
    ids: dict[tuple[str, int, int], int] = {}
    for notice in history.notices:
        event = (notice.what, notice.about, notice.number)
        if ids.setdefault(event, notice.publication) != notice.publication:
            yield Violation(notice.time, "P8", f"{notice.what} of {notice.about} has two publication ids")
