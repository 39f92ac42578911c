"""The audit log: structured, and repeats are cut short but told."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from wampha.observe.audit import LINES_MAX, PERIOD_S, Audit


def test_an_event_is_one_line_with_its_fields_and_repeats_are_summed_up() -> None:
    clock, lines = Clock(), list[LogEvent]()
    globalLogPublisher.addObserver(lines.append)
    try:
        audit = Audit(clock.seconds)
        for number in range(LINES_MAX + 7):
            audit.add("denied", {"authid": "joe", "number": number})
        audit.add("authenticated", {"authid": "eva"})
        clock.advance(PERIOD_S)
        audit.add("denied", {"authid": "joe", "number": 0})
    finally:
        globalLogPublisher.removeObserver(lines.append)
    texts = [formatEvent(line) for line in lines]
    assert texts[0] == "denied authid='joe' number=0"
    assert lines[3]["audit_number"] == 3
    assert texts[LINES_MAX:] == [
        "authenticated authid='eva'",
        "denied 7 more within 1.0 s",
        "denied authid='joe' number=0",
    ]
    assert {line["log_namespace"] for line in lines} == {"wampha.audit"}
