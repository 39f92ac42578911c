"""Who may serve (P7), whose sessions may end, and ids that are the same everywhere (P9); quantities in bounds (P10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.checkers.delivery import interests
from tests.checkers.excuses import BLAME_S, Excuses
from tests.checkers.history import KILLED, OK, History, Violation

MINORITY_S = 1.7  # F / (1 - rho), one ping and a tick
STEADY_S = 8.0  # a session that lives on for so long was not a dead incarnation's


def check_minority(history: History) -> Iterator[Violation]:
    """P7: a node without a majority answers nothing that was asked when its lease must have been over."""
    for fault in history.faults:
        if fault.kind != "isolate":
            continue
        for operation in history.operations:
            if (
                operation.node in fault.nodes
                and operation.invoke > fault.begin + MINORITY_S
                and operation.returned is not None
                and operation.returned < fault.end
                and operation.outcome == OK
                and (operation.op != "publish" or operation.acknowledge)
            ):
                sentence = f"{operation.node} has no majority since {fault.begin:.4f}, and answered {operation.op}"
                yield Violation(operation.invoke, "P7", f"{sentence} of {operation.client}")


def check_sessions(history: History, excuses: Excuses) -> Iterator[Violation]:
    """No session is interrupted while all is well."""
    for ending in history.endings:
        if ending.reason == KILLED:  # by another client
            continue
        over = excuses.over(ending.session)
        if excuses.involuntary(ending.session) and not excuses.any_fault(over - BLAME_S, over):
            sentence = f"the session of {ending.client} at {ending.node} was interrupted ({ending.cause})"
            yield Violation(ending.time, "P7", f"{sentence} without any fault")


def check_ids(history: History, excuses: Excuses) -> Iterator[Violation]:
    """P9: two sessions subscribed to the same at the same time have the same subscription id."""
    held = defaultdict(list)
    for interest in interests(history):
        end = min(interest.end, excuses.end(interest.session) - STEADY_S)
        if end > interest.begin:
            held[interest.match, interest.topic].append((interest.begin, end, interest))
    for several in held.values():
        several.sort(key=lambda item: item[0])
        for place, (_, end, one) in enumerate(several):
            for begin, other_end, other in several[place + 1 :]:
                if begin >= end:
                    break
                shaken = excuses.touching(one.node, other.node)
                unsure = any(each.begin < min(end, other_end) + STEADY_S and each.end > one.begin for each in shaken)
                if one.id != other.id and not unsure:
                    sentence = f"{one.match} {one.topic} is {one.id} at {one.node} and {other.id} at {other.node}"
                    yield Violation(begin, "P9", sentence)


def check_bounds(history: History) -> Iterator[Violation]:
    """P10: nothing bounded is above its bound."""
    for sample in history.samples:
        if sample.value > sample.bound:
            sentence = f"{sample.node}: {sample.what} was {sample.value:g}, the bound is {sample.bound:g}"
            yield Violation(sample.time, "P10", sentence)
