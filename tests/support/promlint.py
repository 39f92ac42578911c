"""What `promtool check metrics` would say of an exposition, and that no label has many values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

_NAME: Final = re.compile(r"(wampha|process)_[a-z0-9]+(_[a-z0-9]+)*")
_NO_BASE_UNIT: Final = re.compile(
    r"_(ms|us|ns|milliseconds|microseconds|nanoseconds|minutes?|hours?|days?|kb|kib|mb|mib|gb|gib|kilobytes|megabytes"
    r"|bits|percent)(_|$)"
)
# Each has few values: those of the configuration, of the protocol, of the code, or the members of the cluster.
LABELS: Final = frozenset(
    {
        "realm",
        "transport",
        "serializer",
        "peer",
        "type",
        "reason",
        "bound",
        "method",
        "stage",
        "version",
        "python",
        "role",
        "use",
    }
)
SERIES_MAX: Final = 2000


def families(text: str) -> dict[str, Any]:
    """The families of an exposition by name, as prometheus-client's own parser reads them."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name with those labels among its own."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return found[0]


def complaints(text: str) -> list[str]:
    """Everything that is wrong with it."""
    return list(_complaints(text))


def _complaints(text: str) -> Iterator[str]:
    yield from _twice("HELP of", re.findall(r"^# HELP (\S+) ", text, re.MULTILINE))
    yield from _twice("TYPE of", re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    yield from _twice("series", lines)
    if len(lines) > SERIES_MAX:
        yield f"{len(lines)} series are too many"
    for family in text_string_to_metric_families(text):
        yield from _of_family(family)


def _twice(what: str, found: list[str]) -> Iterator[str]:
    yield from (f"{what} {each} is there {count} times" for each, count in Counter(found).items() if count > 1)


def _of_family(family: Any) -> Iterator[str]:
    name = family.name
    if not _NAME.fullmatch(name):
        yield f"{name}: no name of ours"
    if len(family.documentation) < 10:
        yield f"{name}: no help"
    if family.type not in ("counter", "gauge", "histogram"):
        yield f"{name}: type {family.type}"
    if _NO_BASE_UNIT.search(name):
        yield f"{name}: the unit should be a base unit"
    if family.type != "counter" and name.endswith("_total"):
        yield f"{name}: only counters end with _total"
    if family.type == "gauge" and re.search(r"_(count|sum|bucket)$", name):
        yield f"{name}: ends like a part of a histogram"
    if family.type in name.split("_"):
        yield f"{name}: has its type in its name"
    for sample in family.samples:
        if family.type == "counter" and not sample.name.endswith("_total"):
            yield f"{sample.name}: a counter ends with _total"
        if family.type == "counter" and sample.value < 0:
            yield f"{sample.name}: a counter below zero"
        strange = set(sample.labels) - LABELS - ({"le"} if family.type == "histogram" else set())
        if strange:
            yield f"{sample.name}: labels {sorted(strange)} are not known to have few values"
    if family.type == "histogram":
        yield from _of_histogram(family)


def _of_histogram(family: Any) -> Iterator[str]:
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = tuple(sorted((key, each) for key, each in sample.labels.items() if key != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    for labels, found in buckets.items():
        if found != sorted(found) or [count for _, count in found] != sorted(count for _, count in found):
            yield f"{family.name} {labels}: buckets do not rise"
        if found[-1] != (float("inf"), counts.get(labels)):
            yield f"{family.name} {labels}: the last bucket is not the count"
