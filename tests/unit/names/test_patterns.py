"""PatternIndex: advanced profile, "Pattern-based Subscription"."""

import pytest

from wampha.names.patterns import PatternIndex
from wampha.names.uri import EXACT, PREFIX, WILDCARD


def index_of(*patterns: tuple[str, str]) -> PatternIndex[str]:
    index: PatternIndex[str] = PatternIndex()
    for match, uri in patterns:
        index.add(match, uri, f"{match} {uri}")
    return index


def test_the_specification_s_prefix_example() -> None:
    index = index_of((PREFIX, "com.myapp.topic.emergency"))
    for topic in ["emergency.11", "emergency-low", "emergency.category.severe", "emergency"]:
        assert index.match(f"com.myapp.topic.{topic}")
    assert not index.match("com.myapp.topic.emerge")


def test_the_specification_s_wildcard_example() -> None:
    index = index_of((WILDCARD, "com.myapp..userevent"))
    for topic in ["com.myapp.foo.userevent", "com.myapp.bar.userevent", "com.myapp.a12.userevent"]:
        assert index.match(topic)
    for topic in ["com.myapp.foo.userevent.bar", "com.myapp.foo.user", "com.myapp2.foo.userevent"]:
        assert not index.match(topic)


def test_matches_come_from_the_most_to_the_least_specific() -> None:
    index = index_of(
        (WILDCARD, "..c"),
        (WILDCARD, "a.b."),
        (PREFIX, ""),
        (WILDCARD, "a..c"),
        (PREFIX, "a.b"),
        (PREFIX, "a."),
        (EXACT, "a.b.c"),
    )
    assert index.match("a.b.c") == (
        "exact a.b.c",
        "prefix a.b",
        "prefix a.",
        "prefix ",
        "wildcard a.b.",
        "wildcard a..c",
        "wildcard ..c",
    )


@pytest.mark.parametrize("match", [EXACT, PREFIX, WILDCARD])
def test_what_is_remembered_follows_every_change(match: str) -> None:
    index = index_of()
    assert index.match("a.b") == ()
    index.add(match, "a.b", "new")
    assert index.match("a.b") == ("new",)
    index.remove(match, "a.b")
    assert index.match("a.b") == ()
    assert index.get(match, "a.b") is None


def test_removing_a_wildcard_keeps_the_branches_of_others() -> None:
    index = index_of((WILDCARD, "a..c"), (WILDCARD, "a."), (WILDCARD, "a..c.d"))
    index.remove(WILDCARD, "a..c")
    assert index.match("a.b") == ("wildcard a.",)
    assert index.match("a.b.c.d") == ("wildcard a..c.d",)
    assert index.match("a.b.c") == ()
    index.remove(WILDCARD, "a.")
    index.remove(WILDCARD, "a..c.d")
    assert not index._tree.next


def test_a_pattern_that_was_not_added_cannot_be_removed() -> None:
    with pytest.raises(KeyError):
        index_of().remove(EXACT, "a")


def test_memory_of_matches_is_bounded() -> None:
    index = index_of((PREFIX, ""))
    for number in range(25_000):
        index.match(f"topic{number}")
    assert len(index._remembered) <= 10_000


def test_a_deep_uri_among_many_wildcards_visits_each_pattern_at_most_once_per_component() -> None:
    index = index_of(*((WILDCARD, ".".join(["x"] * n + [""] * (20 - n))) for n in range(20)))
    assert len(index.match(".".join(["x"] * 20))) == 20


def test_many_are_taken_away_at_once_as_one_by_one() -> None:
    patterns = [
        ("exact", "a.b"),
        ("exact", "a.c"),
        ("prefix", "a."),
        ("prefix", "a"),
        ("wildcard", "a..c"),
        ("wildcard", ".b"),
    ]
    at_once: PatternIndex[int] = PatternIndex()
    for value, (match, pattern) in enumerate(patterns):
        at_once.add(match, pattern, value)
    assert at_once
    assert at_once.match("a.b") == (0, 2, 3, 5)
    at_once.remove_all(patterns[::2])
    assert at_once.match("a.b") == (3, 5)
    assert list(at_once) == [1, 3, 5]
    at_once.remove_all(patterns[1::2])
    assert at_once.match("a.b") == ()
    assert not at_once
