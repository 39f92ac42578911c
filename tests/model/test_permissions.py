"""Static permissions against a naive model: every URI there is stands in a list, and nothing is clever.

The universe is small but not poor: it has a component that no permission names, one that goes on behind another, and
one component more than any pattern. So what holds for all its URIs holds for all URIs.
"""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.model.test_patterns import fits
from wampha.errors import NotAuthorized
from wampha.names.uri import EXACT, PREFIX, WILDCARD
from wampha.routing.permissions import ACTIONS, Permission, Permissions

NAMED: Final = ("a", "b", "ab")
UNIVERSE: Final = tuple(
    ".".join(components) for depth in range(1, 5) for components in product((*NAMED, "abz", "z"), repeat=depth)
)


class Pattern(NamedTuple):
    """A match policy and what it is about."""

    match: str
    uri: str


PATTERNS: Final = tuple(
    [Pattern(EXACT, ".".join(some)) for depth in (1, 2, 3) for some in product(NAMED, repeat=depth)]
    + [Pattern(PREFIX, end) for end in ("", *NAMED)]
    + [Pattern(PREFIX, f"{head}.{end}") for head in NAMED for end in ("", *NAMED)]
    + [Pattern(PREFIX, f"{head}.{middle}.{end}") for head in "ab" for middle in NAMED for end in ("", "a")]
    + [Pattern(WILDCARD, ".".join(some)) for depth in (1, 2, 3) for some in product(("", *NAMED), repeat=depth)]
)
MATCHED: Final = {pattern: frozenset(uri for uri in UNIVERSE if fits(*pattern, uri)) for pattern in PATTERNS}
SOME: Final = UNIVERSE[:: len(UNIVERSE) // 30]  # asked in addition to those that the permissions name


class Stated(NamedTuple):
    """One permission."""

    pattern: Pattern
    allow: frozenset[str]


def specificity(pattern: Pattern) -> tuple[object, ...]:
    """The larger, the more specific, of two patterns that match one URI."""
    if pattern.match == EXACT:
        return (3,)
    if pattern.match == PREFIX:
        return (2, len(pattern.uri))
    return (1, *(component != "" for component in pattern.uri.split(".")))


class Model:
    """What a role may do, by looking at everything."""

    def __init__(self, stated: list[Stated]) -> None:
        self.allow = {each.pattern: each.allow for each in stated}  # the later statement of a pattern holds

    def may(self, action: str, uri: str) -> bool:
        """Denied unless the most specific permission that matches allows it."""
        matching = [pattern for pattern in self.allow if fits(*pattern, uri)]
        return bool(matching) and action in self.allow[max(matching, key=specificity)]

    def granted(self, action: str, asked: Pattern) -> bool:
        """Whether one permission that allows it covers the whole pattern."""
        return any(action in allow and MATCHED[pattern] >= MATCHED[asked] for pattern, allow in self.allow.items())

    def denied_inside(self, action: str, asked: Pattern) -> bool:
        """Whether a permission that covers only a part of the pattern denies."""
        return any(
            action not in allow and MATCHED[pattern] & MATCHED[asked] and not MATCHED[pattern] >= MATCHED[asked]
            for pattern, allow in self.allow.items()
        )


def permissions(stated: list[Stated]) -> Permissions:
    return Permissions(Permission(each.pattern.uri, each.pattern.match, each.allow) for each in stated)


def may(rules: Permissions, action: str, uri: str) -> bool:
    try:
        rules.require(action, uri)
    except NotAuthorized:
        return False
    return True


def may_pattern(rules: Permissions, action: str, asked: Pattern) -> bool:
    try:
        rules.require_pattern(action, *asked)
    except NotAuthorized:
        return False
    return True


roles = st.lists(
    st.builds(
        Stated,
        # Half of them are not exact: else few cover anything.
        st.sampled_from(PATTERNS) | st.sampled_from([each for each in PATTERNS if each.match == PREFIX]),
        st.sets(st.sampled_from(ACTIONS)).map(frozenset) | st.just(frozenset(ACTIONS)),
    ),
    max_size=8,
)
BOTH_COVER: Final = [
    Stated(Pattern(WILDCARD, "a.."), frozenset(ACTIONS)),
    Stated(Pattern(WILDCARD, "a..b"), frozenset()),
]


@settings(max_examples=100)
@given(roles)
def test_what_a_role_may_do_with_a_uri_is_what_the_most_specific_permission_says(stated: list[Stated]) -> None:
    model, rules = Model(stated), permissions(stated)
    named = {uri for each in stated for uri in sorted(MATCHED[each.pattern])[:10]}
    for uri, action in product(sorted(named.union(SOME)), ACTIONS):
        expected = model.may(action, uri)
        assert may(rules, action, uri) is expected, uri
        assert may(rules, action, uri) is expected, f"{uri}, once it is remembered"
        assert may_pattern(rules, action, Pattern(EXACT, uri)) is expected


@settings(max_examples=100)
@example(BOTH_COVER, "subscribe")
@example(BOTH_COVER[::-1], "subscribe")
@given(roles, st.sampled_from(("subscribe", "register")))
def test_a_pattern_is_allowed_only_if_all_that_it_matches_is(stated: list[Stated], action: str) -> None:
    model, rules = Model(stated), permissions(stated)
    allowed = {uri for uri in UNIVERSE if model.may(action, uri)}
    for asked in PATTERNS:
        if may_pattern(rules, action, asked):
            assert MATCHED[asked] <= allowed, f"{asked}: {sorted(MATCHED[asked] - allowed)[:3]}"
            assert model.granted(action, asked), f"{asked}: no single permission covers it"
        elif asked.match != EXACT:
            forbidden = not MATCHED[asked] <= allowed or not model.granted(action, asked)
            assert forbidden or model.denied_inside(action, asked), f"{asked} could be allowed"
