"""The check of expositions notices what it is there for."""

from __future__ import annotations

import pytest

from tests.support.promlint import complaints, value

GOOD = """# HELP wampha_things_total things that were done
# TYPE wampha_things_total counter
wampha_things_total{type="A"} 3.0
wampha_things_total{type="B"} 4.0
# HELP wampha_wait_seconds how long it took
# TYPE wampha_wait_seconds histogram
wampha_wait_seconds_bucket{le="0.1"} 1.0
wampha_wait_seconds_bucket{le="+Inf"} 3.0
wampha_wait_seconds_count 3.0
wampha_wait_seconds_sum 2.5
"""


def test_a_good_one_passes() -> None:
    assert complaints(GOOD) == []
    assert value(GOOD, "wampha_things_total", type="B") == 4.0


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("# HELP wampha_things_total things that were done\n", "", "no help"),
        ('{type="B"}', '{type="A"}', "is there 2 times"),
        ('{type="B"}', '{topic="com.example.1"}', "not known to have few values"),
        ("wampha_", "other_", "no name of ours"),
        ("_seconds", "_ms", "base unit"),
        ("things_total counter", "things_total gauge", "only counters end with _total"),
        ('_bucket{le="0.1"} 1.0', '_bucket{le="0.1"} 5.0', "buckets do not rise"),
        ("_count 3.0", "_count 4.0", "the last bucket is not the count"),
        ("} 3.0\nwampha_things", "} -3.0\nwampha_things", "below zero"),
    ],
)
def test_what_is_wrong_is_noticed(right: str, wrong: str, complaint: str) -> None:
    assert right in GOOD
    assert any(complaint in found for found in complaints(GOOD.replace(right, wrong)))
