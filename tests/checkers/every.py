"""All checkers at once: `check(history)`.

P1    registrations.py   linearizable `single` registrations, and who is called
      shared.py          who is called of several callees
P2 P5 delivery.py        whoever was SUBSCRIBED gets it; loss only by a fault that touches it, or an announced gap
P3    delivery.py        order of events and invocations
P4    delivery.py        no duplicates
P6    calls.py           every CALL ends once, with at most one INVOCATION
P7    serving.py         a minority serves no longer than its lease; no session is interrupted without a fault
P9    serving.py         equal ids
P8    presence.py        who left is told once, with testaments; the simulation watches the nodes for the rest
P10   serving.py         bounds
"""

from __future__ import annotations

from tests.checkers import calls, delivery, presence, registrations, serving, shared
from tests.checkers.excuses import Excuses
from tests.checkers.history import History, Violation


def check(history: History, *, gaps_excuse: bool = True) -> list[Violation]:
    """The violations of all promises that a history shows, by time. `gaps_excuse`: see `Excuses`."""
    excuses = Excuses(history, gaps_excuse=gaps_excuse)
    found: list[Violation] = []
    found += delivery.check_order(history)
    found += delivery.check_invocation_order(history)
    found += delivery.check_uninvited(history)
    found += delivery.check_received(history, excuses)
    found += registrations.check_registrations(history, excuses)
    found += shared.check_shared(history, excuses)
    found += calls.check_calls(history, excuses)
    found += serving.check_minority(history)
    found += serving.check_sessions(history, excuses)
    found += serving.check_ids(history, excuses)
    found += serving.check_bounds(history)
    found += presence.check_presence(history, excuses)
    return sorted(found)
