"""PatternIndex against a linear scan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wampha.names.patterns import PatternIndex
from wampha.names.uri import EXACT, MATCHES, PREFIX

component = st.sampled_from(["", "a", "b", "ab", "c"])
pattern = st.lists(component, min_size=1, max_size=4).map(".".join)
topic = st.lists(component.filter(bool), min_size=1, max_size=4).map(".".join)
key = st.tuples(st.sampled_from(MATCHES), pattern)
step = st.one_of(st.tuples(st.just("toggle"), key), st.tuples(st.just("match"), topic))


def fits(match: str, pattern: str, topic: str) -> bool:
    if match == EXACT:
        return pattern == topic
    if match == PREFIX:
        return topic.startswith(pattern)
    wanted, given_ = pattern.split("."), topic.split(".")
    return len(wanted) == len(given_) and all(a in ("", b) for a, b in zip(wanted, given_, strict=True))


def rank(match: str, pattern: str) -> tuple[object, ...]:
    """The fixed order: exact, longest prefix, wildcard whose first difference is a literal."""
    if match == PREFIX:
        return (1, -len(pattern))
    return (MATCHES.index(match), [component == "" for component in pattern.split(".")])


@given(st.lists(step, min_size=10, max_size=60))
def test_the_index_finds_what_a_linear_scan_finds_in_the_fixed_order(steps: list[tuple[str, object]]) -> None:
    index: PatternIndex[tuple[str, str]] = PatternIndex()
    model: dict[tuple[str, str], None] = {}
    for action, subject in steps:
        if action == "match":
            expected = sorted((each for each in model if fits(*each, subject)), key=lambda each: rank(*each))
            assert list(index.match(subject)) == expected
            assert index.first(subject) == next(iter(expected), None)
        elif subject in model:
            del model[subject]
            index.remove(*subject)
        else:
            model[subject] = None
            index.add(*subject, subject)
    assert len(index) == len(model)
    assert sorted(index) == sorted(model)
    for match, uri in model:
        index.remove(match, uri)
    assert not index._lengths
    assert not index._tree.next, "nothing stays behind"
