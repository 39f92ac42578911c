"""What happened lately is remembered, with the wall clock's time."""

from __future__ import annotations

from wampha.observe.chronicle import EVENTS_MAX, Chronicle


def test_memory_of_events_is_bounded_and_keeps_the_last() -> None:
    now = iter(range(1000))
    chronicle = Chronicle(lambda: next(now))
    for term in range(EVENTS_MAX + 3):
        chronicle.add("leader", name="a", term=term)
    events = chronicle.events()
    assert len(events) == EVENTS_MAX
    assert events[0] == {"at_ms": 3, "kind": "leader", "name": "a", "term": 3}
    assert events[-1]["term"] == EVENTS_MAX + 2
