"""Publications: who must have got them (P2, P5), in which order (P3), how often (P4), and who must not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.checkers.excuses import Excuses
from tests.checkers.history import OK, Event, History, Operation, Violation


@dataclass(frozen=True, slots=True)
class Interest:
    """One subscription of one session, from SUBSCRIBED to UNSUBSCRIBE (or UNSUBSCRIBED: `closed`)."""

    client: str
    session: int
    node: str
    match: str
    topic: str
    id: int
    begin: float
    end: float
    closed: float
    retained: bool = False  # it asked for what is retained


def matches(match: str, pattern: str, topic: str) -> bool:
    """Whether a topic is one of the pattern's (advanced profile, "Pattern-based Subscription")."""
    if match == "exact":
        return topic == pattern
    if match == "prefix":
        return topic.startswith(pattern)
    ours, theirs = pattern.split("."), topic.split(".")
    return len(ours) == len(theirs) and all(one in ("", two) for one, two in zip(ours, theirs, strict=True))


def interests(history: History) -> list[Interest]:
    """What each session was subscribed to, and when."""
    leaving: dict[tuple[int, str, str], list[Operation]] = defaultdict(list)
    for operation in history.of("unsubscribe"):
        leaving[operation.session, operation.match, operation.uri].append(operation)
    found = []
    for operation in history.of("subscribe"):
        if operation.outcome != OK or operation.returned is None:
            continue
        later = [
            each
            for each in leaving[operation.session, operation.match, operation.uri]
            if each.invoke >= operation.returned
        ]
        first = min(later, key=lambda each: each.invoke, default=None)
        found.append(
            Interest(
                client=operation.client,
                session=operation.session,
                node=operation.node,
                match=operation.match,
                topic=operation.uri,
                id=operation.id,
                begin=operation.returned,
                end=math.inf if first is None else first.invoke,
                closed=math.inf if first is None or first.returned is None else first.returned,
                retained=operation.retained,
            )
        )
    return found


def check_order(history: History) -> Iterator[Violation]:
    """P3 and P4: per publisher and subscriber ascending numbers, each once per subscription.

    What is retained comes when somebody subscribes, and is none of these; see `kept.py`.
    """
    last: dict[tuple[int, int], int] = {}
    seen: set[tuple[int, int, int, int]] = set()
    for event in (each for each in history.events if not each.retained):
        pair = event.publisher, event.session
        key = (*pair, event.number, event.subscription)
        if key in seen:
            yield Violation(event.time, "P4", f"{_told(event)} came twice for subscription {event.subscription}")
        elif event.number < last.get(pair, 0):
            yield Violation(event.time, "P3", f"{_told(event)} came after number {last[pair]}")
        seen.add(key)
        last[pair] = max(last.get(pair, 0), event.number)


def check_invocation_order(history: History) -> Iterator[Violation]:
    """P3: per caller and callee ascending numbers."""
    last: dict[tuple[int, int], int] = {}
    for invocation in history.invocations:
        pair = invocation.caller, invocation.session
        if invocation.number < last.get(pair, 0):
            sentence = f"{invocation.client}: call {invocation.number} of {pair[0]} came after {last[pair]}"
            yield Violation(invocation.time, "P3", sentence)
        last[pair] = max(last.get(pair, 0), invocation.number)


def check_uninvited(history: History) -> Iterator[Violation]:
    """No event without a subscription: none before SUBSCRIBED, none after UNSUBSCRIBED, none of another topic."""
    by_id: dict[tuple[int, int], list[Interest]] = defaultdict(list)
    for interest in interests(history):
        by_id[interest.session, interest.id].append(interest)
    for event in history.events:
        open_ = [each for each in by_id[event.session, event.subscription] if each.begin <= event.time <= each.closed]
        if not any(matches(each.match, each.topic, event.topic) for each in open_):
            yield Violation(event.time, "P2", f"{_told(event)} came without a subscription to it")


def check_received(history: History, excuses: Excuses) -> Iterator[Violation]:
    """P2 and P5: whoever was SUBSCRIBED before a PUBLISH was sent gets it, unless a fault or a gap excuses that."""
    got = {(event.publisher, event.number, event.session, event.subscription) for event in history.events}
    for publish, handled, interest in due(history, excuses):
        key = (publish.session, publish.number, interest.session, interest.id)
        if key not in got and not _excused(publish, handled, interest, excuses):
            yield Violation(publish.invoke, "P2/P5", _lost(publish, interest))


def power(history: History, excuses: Excuses) -> float:
    """The share of all deliveries that were due whose loss would have been noticed: what a pass is worth."""
    verdicts = [_excused(*each, excuses) for each in due(history, excuses)]
    return verdicts.count(False) / max(1, len(verdicts))


def due(history: History, excuses: Excuses) -> Iterator[tuple[Operation, float, Interest]]:
    """Each publication with each interest that had begun before it and had not ended when it was handled."""
    by_topic: dict[str, list[Interest]] = {}
    everything = interests(history)
    for publish, handled in _handled(history):
        if publish.uri not in by_topic:
            by_topic[publish.uri] = [each for each in everything if matches(each.match, each.topic, publish.uri)]
        for interest in by_topic[publish.uri]:
            excluded = publish.excludes_me and interest.session == publish.session
            end = min(interest.end, excuses.over(interest.session))
            if interest.begin <= publish.invoke and end > handled and not excluded:
                yield publish, handled, interest


def _handled(history: History) -> Iterator[tuple[Operation, float]]:
    """The publications that a router has handled for certain, and by when: a later answer proves earlier requests."""
    answered: dict[int, list[tuple[float, float]]] = defaultdict(list)  # session -> (invoke, returned)
    for operation in history.operations:
        if operation.returned is not None and (operation.op != "publish" or operation.acknowledge):
            answered[operation.session].append((operation.invoke, operation.returned))
    keepers = {operation.session for operation in history.of("publish") if operation.retained}
    for operation in history.of("publish"):
        if operation.acknowledge and operation.outcome != OK:
            continue
        if operation.session in keepers:  # other requests overtake what waits to be kept
            if operation.acknowledge and operation.returned is not None:
                yield operation, operation.returned
            continue
        proofs = [back for invoked, back in answered[operation.session] if invoked >= operation.invoke]
        if proofs:
            yield operation, min(proofs)


def _excused(publish: Operation, handled: float, interest: Interest, excuses: Excuses) -> bool:
    end = min(interest.end, excuses.over(interest.session))
    concerned = (publish.node, interest.node, interest.client)
    limit = excuses.settled(publish.invoke, excuses.touching(*concerned), handled - publish.invoke + 1.0)
    if end <= limit:
        return True
    if publish.node == interest.node:
        return False
    gap = excuses.gap(publish.node, interest.node, publish.invoke, handled)
    return gap or excuses.node_died(publish.node, publish.invoke, limit)


def _told(event: Event) -> str:
    return f"{event.client} at {event.node}: event {event.number} of {event.publisher} on {event.topic}"


def _lost(publish: Operation, interest: Interest) -> str:
    return (
        f"{interest.client} at {interest.node}, subscribed to {interest.match} {interest.topic} since "
        f"{interest.begin:.4f}, never got number {publish.number} of {publish.session} on {publish.uri}, sent "
        f"by {publish.client} at {publish.node}"
    )
