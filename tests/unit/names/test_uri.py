"""URIs: basic profile, "URIs"."""

import pytest

from wampha.errors import InvalidUri
from wampha.names.uri import EXACT, PREFIX, WILDCARD, UriRules, check_not_reserved

LOOSE = UriRules(strict=False, bytes_max=100, components_max=5)
STRICT = UriRules(strict=True, bytes_max=100, components_max=5)


@pytest.mark.parametrize("uri", ["a", "com.myapp.topic", "Com.My-App.Tópic", "0.1", "a.b.c.d.e", "_"])
def test_loose_rules_accept(uri: str) -> None:
    LOOSE.check(uri)


@pytest.mark.parametrize(
    "uri",
    ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\n", "a.b\n", "a#b", "a\u2003b", "a.b.c.d.e.f", "a" * 101, "é" * 51],
)
def test_loose_rules_refuse_empty_components_whitespace_hashes_and_what_is_too_long(uri: str) -> None:
    with pytest.raises(InvalidUri):
        LOOSE.check(uri)


@pytest.mark.parametrize("uri", ["Com.myapp", "com.my-app", "com.mÿapp", "com.myapp.Ünd"])
def test_strict_rules_refuse_what_loose_ones_accept(uri: str) -> None:
    LOOSE.check(uri)
    with pytest.raises(InvalidUri):
        STRICT.check(uri)


def test_a_surrogate_is_no_character_of_a_uri() -> None:
    with pytest.raises(InvalidUri):
        LOOSE.check("a\ud800")


@pytest.mark.parametrize("rules", [LOOSE, STRICT])
def test_a_wildcard_pattern_may_leave_out_any_component(rules: UriRules) -> None:
    for pattern in ["a..b", ".", "", ".a", "a.", "..", "a"]:
        rules.check_pattern(WILDCARD, pattern)
    with pytest.raises(InvalidUri):
        rules.check_pattern(WILDCARD, "a b")


@pytest.mark.parametrize("rules", [LOOSE, STRICT])
def test_a_prefix_may_end_in_a_dot_or_be_empty_but_leaves_out_nothing_inside(rules: UriRules) -> None:
    for pattern in ["", "a", "a.", "a.b."]:
        rules.check_pattern(PREFIX, pattern)
    for pattern in ["a..b", ".", "a..", ".a"]:
        with pytest.raises(InvalidUri):
            rules.check_pattern(PREFIX, pattern)


def test_exact_patterns_follow_the_rules_of_topics() -> None:
    with pytest.raises(InvalidUri):
        LOOSE.check_pattern(EXACT, "a..b")


@pytest.mark.parametrize("uri", ["wamp", "wamp.error.x", "wamp.session.on_join", "wampha", "wampha.link.on_gap"])
def test_names_below_wamp_and_wampha_are_reserved(uri: str) -> None:
    with pytest.raises(InvalidUri):
        check_not_reserved(uri)


def test_names_that_only_begin_like_wamp_are_free() -> None:
    check_not_reserved("wampham.test")


def test_memory_of_valid_uris_is_bounded() -> None:
    rules = UriRules(strict=False, bytes_max=100, components_max=5)
    for number in range(25_000):
        rules.check(f"topic{number}")
    assert len(rules._known) <= 10_000
