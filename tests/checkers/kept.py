"""Retained events: what a new subscriber gets, and that what comes live goes on from there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from tests.checkers.delivery import Interest, interests
from tests.checkers.history import Event, History, Violation


class Kept(NamedTuple):
    """A publication that is retained."""

    topic: str
    publisher: int  # session
    number: int


def check_kept(history: History, logs: list[list[Kept]]) -> Iterator[Violation]:
    """`logs`: what was retained, in the order of the log of each cluster that there was.

    Of each topic at most one retained event comes, before all others of it; then only what the log has behind it (P4),
    and in a run without faults and gaps all of that (P5).
    """
    calm = not history.faults and not history.gaps
    orders = [{kept: place for place, kept in enumerate(log)} for log in logs]
    received: dict[tuple[int, int], list[Event]] = {}
    for event in history.events:
        received.setdefault((event.session, event.subscription), []).append(event)
    for interest in interests(history):
        if interest.retained:
            events = received.get((interest.session, interest.id), [])
            mine = [event for event in events if interest.begin <= event.time <= interest.closed]
            for topic in sorted({event.topic for event in mine}):
                of_topic = [event for event in mine if event.topic == topic]
                yield from _check_topic(interest, of_topic, orders, calm=calm)


def _check_topic(
    interest: Interest, events: list[Event], orders: list[dict[Kept, int]], *, calm: bool
) -> Iterator[Violation]:
    first, *others = events
    for event in others:
        if event.retained:
            yield Violation(event.time, "kept", f"{_told(interest, event)} is retained, and not the first")
    if not first.retained:
        return
    order = next((each for each in orders if _kept(first) in each), None)
    if order is None:
        yield Violation(first.time, "kept", f"{_told(interest, first)} is retained, and not in the log")
        return
    begin = order[_kept(first)]
    for event in others:
        if order.get(_kept(event), math.inf) <= begin:
            yield Violation(event.time, "kept", f"{_told(interest, event)} is no newer than what was retained")
    if calm and interest.end == math.inf:
        seen = {_kept(event) for event in events}
        behind = [kept for kept, place in order.items() if place > begin and kept.topic == first.topic]
        for kept in behind:
            if kept not in seen and kept.publisher != interest.session:
                yield Violation(first.time, "kept", f"{_told(interest, first)} is not followed by {kept}")


def _kept(event: Event) -> Kept:
    return Kept(event.topic, event.publisher, event.number)


def _told(interest: Interest, event: Event) -> str:
    return (
        f"{event.client} at {event.node}, {interest.match} {interest.topic}: event {event.number} of {event.publisher} "
        f"on {event.topic}"
    )
