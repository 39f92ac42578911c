"""Who may do what: static permissions of the roles of a realm, in Crossbar's words.

Denied unless allowed. For a concrete URI the most specific permission decides: an exact one before the longest prefix
before the wildcards; of two wildcards, the one that is literal where they first differ. A pattern subscription
receives whatever its pattern matches, so it needs one permission that covers the whole pattern and allows it, and none
inside the pattern that denies. The decisive permission also says whether the session's identity is disclosed, and how
far it is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wampha.errors import NotAuthorized
from wampha.limits import RoleLimits
from wampha.names.patterns import PatternIndex, overlap
from wampha.names.uri import EXACT, PREFIX, WILDCARD
from wampha.routing.resumption import ResumptionRules
from wampha.routing.slow import SlowPolicy
from wampha.state.commands import Ring

ACTIONS: Final = ("call", "register", "publish", "subscribe")
_DISCLOSED: Final = (("call", "caller"), ("publish", "publisher"))  # action -> who does it
_OURS: Final = ("wamp.", "wampha.")
_VERDICTS_MAX: Final = 10_000  # verdicts remembered per role and action; more empty the memory


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role may do with the URIs that match; `allow` and `disclose` hold some of `ACTIONS`."""

    uri: str
    match: str
    allow: frozenset[str]
    disclose: frozenset[str] = frozenset()
    trustlevel: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a role may do with one URI, and what the router says of the session that does it."""

    allowed: bool
    disclose: bool = False  # the identity goes along, whether asked for or not
    trustlevel: int | None = None


PLAIN: Final = Verdict(allowed=True)  # the one that adds nothing
_REFUSED: Final = Verdict(allowed=False)


class Permissions:
    """The permissions of one role; verdicts are remembered, so that the hot path asks one dictionary."""

    __slots__ = ("_index", "_stated", "_verdicts")

    def __init__(self, permissions: Iterable[Permission]) -> None:
        """If a pattern is stated twice, the later statement holds."""
        self._index: Final[PatternIndex[Permission]] = PatternIndex()
        self._stated: Final = {(each.match, each.uri): each for each in permissions}
        for permission in self._stated.values():
            self._index.add(permission.match, permission.uri, permission)
        self._verdicts: Final[dict[str, dict[str, Verdict]]] = {action: {} for action in ACTIONS}

    def same_as(self, other: Permissions | Authorizer) -> bool:
        """Whether the other says the same."""
        return isinstance(other, Permissions) and self._stated == other._stated

    def require(self, action: str, uri: str) -> Verdict:
        """Raise NotAuthorized unless the role may do `action` of `ACTIONS` with a concrete URI.

        Returns `PLAIN` itself if the router has nothing to add.
        """
        verdict = self._verdicts[action].get(uri)
        if verdict is None:
            verdict = self._decide(action, uri)
        if verdict is _REFUSED:
            raise NotAuthorized(f"This session's role does not allow to {action} {uri!r}.")
        return verdict

    def require_pattern(self, action: str, match: str, pattern: str) -> None:
        """Raise NotAuthorized unless the role may do `action` with everything that the pattern matches."""
        if match == EXACT:
            self.require(action, pattern)
        elif not self._pattern_allowed(action, match, pattern):
            raise NotAuthorized(
                f"This session's role does not allow to {action} everything that {match} pattern {pattern!r} matches."
            )

    def require_meant(self, action: str, uri: str) -> None:
        """Raise NotAuthorized unless a permission that was meant for the router's own procedures allows `action`.

        Its pattern begins below a reserved name: who may call everything may not yet end other sessions.
        """
        decisive = self._index.first(uri)
        if decisive is None or action not in decisive.allow or not _beginning(decisive).startswith(_OURS):
            raise NotAuthorized(
                f"To {action} {uri!r}, a role needs a permission whose pattern begins with 'wamp.' or 'wampha.'."
            )

    def _decide(self, action: str, uri: str) -> Verdict:
        verdict = _verdict(self._index.first(uri), action)
        verdicts = self._verdicts[action]
        if len(verdicts) >= _VERDICTS_MAX:
            verdicts.clear()
        verdicts[uri] = verdict
        return verdict

    def _pattern_allowed(self, action: str, match: str, pattern: str) -> bool:
        covering = [each for each in self._index if _covers(each, match, pattern)]
        if not covering or action not in max(covering, key=_specificity).allow:
            return False
        return all(
            action in each.allow
            for each in self._index
            if each not in covering and overlap(each.match, each.uri, match, pattern)
        )


def _verdict(decisive: Permission | None, action: str) -> Verdict:
    if decisive is None or action not in decisive.allow:
        return _REFUSED
    if action not in decisive.disclose and decisive.trustlevel is None:
        return PLAIN
    return Verdict(allowed=True, disclose=action in decisive.disclose, trustlevel=decisive.trustlevel)


def _beginning(permission: Permission) -> str:
    """What everything begins with that the permission matches."""
    return _literal(permission.uri) if permission.match == WILDCARD else permission.uri


def _specificity(permission: Permission) -> tuple[int, ...]:
    """The order of `PatternIndex` among permissions that all match some URI; the larger comes first there."""
    if permission.match == EXACT:
        return (2,)
    if permission.match == PREFIX:
        return (1, len(permission.uri))
    return (0, *(component != "" for component in permission.uri.split(".")))


def _literal(wildcard: str) -> str:
    """What every match of a wildcard pattern begins with."""
    components = wildcard.split(".")
    if "" not in components:
        return wildcard
    return "".join(f"{component}." for component in components[: components.index("")])


def _covers(permission: Permission, match: str, pattern: str) -> bool:
    """Whether the permission matches all that the prefix or wildcard pattern matches."""
    if permission.match == PREFIX:
        return (pattern if match == PREFIX else _literal(pattern)).startswith(permission.uri)
    if match == PREFIX:
        return False
    if permission.match == EXACT:
        return permission.uri == pattern
    mine, theirs = permission.uri.split("."), pattern.split(".")
    return len(mine) == len(theirs) and all(a in ("", b) for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A procedure of the user's that decides instead (`authorizer.py`)."""

    procedure: str
    cache_s: float = 60.0  # how long a decision holds that may be cached

    def same_as(self, other: Permissions | Authorizer) -> bool:
        """Whether the other is the same."""
        return self == other


@dataclass(frozen=True, slots=True)
class RealmRules:
    """A realm as the configuration states it."""

    name: str
    roles: Mapping[str, Permissions | Authorizer]
    strict_uris: bool = False
    slow_clients: SlowPolicy = SlowPolicy.DISCONNECT
    timeout_unit_s: float = 0.001
    lenient: bool = False  # features may be used that were not announced
    call_queue_max: int = 0  # calls that may wait for one callee with a limited `concurrency`
    histories: tuple[Ring, ...] = ()  # of which topics events are kept for those who ask later
    history_as_list: bool = False  # they are told as Crossbar does it
    resumption: ResumptionRules | None = None  # None: sessions end with their connection
    role_limits: Mapping[str, RoleLimits] = field(default_factory=dict)  # of roles that have some of their own
    linger_s: float | None = None  # of a template: how long an empty realm is remembered; None: it is always there

    @classmethod
    def of(cls, realm: Any) -> RealmRules:
        """From the configuration's `config.schema.Realm`."""
        roles = {
            role.name: Authorizer(role.authorizer, role.authorizer_cache_s)
            if role.authorizer
            else Permissions(
                Permission(
                    uri=each.uri,
                    match=str(each.match),
                    allow=frozenset(action for action in ACTIONS if getattr(each.allow, action)),
                    disclose=frozenset(action for action, role in _DISCLOSED if getattr(each.disclose, role)),
                    trustlevel=each.trustlevel,
                )
                for each in role.permissions
            )
            for role in realm.roles
        }
        return cls(
            name=realm.name,
            roles=roles,
            strict_uris=realm.uri_check == "strict",
            slow_clients=SlowPolicy(realm.slow_clients),
            histories=tuple(Ring(each.match, each.uri, each.limit, each.bytes_max) for each in realm.history),
            history_as_list=realm.history_answer == "list",
            lenient=realm.undeclared_features == "accepted",
            call_queue_max=realm.call_queue_max,
            timeout_unit_s=1.0 if realm.call_timeout_unit == "s" else 0.001,
            resumption=ResumptionRules.of(realm.resumable_sessions),
            role_limits={role.name: role.limits for role in realm.roles if role.limits},
        )


@dataclass(frozen=True, slots=True)
class RealmTemplate:
    """Rules of all realms whose name matches, for those that are not in the configuration themselves."""

    match: str
    pattern: str
    rules: RealmRules  # without a name

    @classmethod
    def of(cls, template: Any) -> RealmTemplate:
        """From the configuration's `config.schema.RealmTemplate`."""
        match, pattern = template.pattern
        return cls(match, pattern, replace(RealmRules.of(template), linger_s=template.linger_s))

    def named(self, name: str) -> RealmRules:
        """The rules of one of them. All share what they remember of their roles."""
        return replace(self.rules, name=name)
