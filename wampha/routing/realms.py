"""The realms of this node: which there are may change while it runs.

Those of the configuration are always there, and those of a template as long as somebody is in them. Such a realm *is*
as soon as a session, a subscription, a registration or a kept event is in it, on whatever node: the replicated tables
say so. An object for it has only who needs it: a node whose client joins, comes back, or has an authenticator there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from wampha.counters import Counters
from wampha.errors import InvalidUri, SessionRefused, Unavailable
from wampha.limits import Limits
from wampha.names.patterns import PatternIndex
from wampha.names.uri import EXACT, UriRules, is_reserved
from wampha.routing.permissions import RealmRules, RealmTemplate
from wampha.routing.ports import Clock, Ledger
from wampha.routing.realm import Realm

NO_SUCH_REALM: Final = "wamp.error.no_such_realm"
NO_SUCH_ROLE: Final = "wamp.error.no_such_role"
_LOOK_S: Final = 1.0  # between two looks for realms that are empty


class Realms:
    """Those that are open, and those that are closed until nothing of them is left."""

    def __init__(
        self, *, make: Callable[[RealmRules], Realm], limits: Limits, counters: Counters, clock: Clock
    ) -> None:
        self._make: Final = make
        self._limits: Final = limits
        self._counters: Final = counters
        self._clock: Final = clock
        self.by_name: Final[dict[str, Realm]] = {}  # always the same object
        self._templates: PatternIndex[RealmTemplate] = PatternIndex()
        self._names = UriRules(strict=False, bytes_max=limits.uri_bytes_max, components_max=limits.uri_components_max)
        self._empty: Final[dict[Realm, float]] = {}  # may go: of a template, or closed; when
        self._look_at = clock.now()
        self._received: Final[dict[str, int]] = {}  # type of message -> how many came in realms that are gone
        self._ledger: Ledger
        self._born: Callable[[Realm], None]
        self._gone: Callable[[str], None]
        self._asks: Callable[[str], bool]

    def attach(
        self,
        *,
        ledger: Ledger,
        born: Callable[[Realm], None],
        gone: Callable[[str], None],
        asks: Callable[[str], bool],
    ) -> None:
        """Once, before anything else: whom to tell of a new realm, and of the name of one that is there no longer.

        `asks`: whether the router waits for an answer of a procedure in the realm of this name.
        """
        self._ledger, self._born, self._gone, self._asks = ledger, born, gone, asks

    # ---- who comes

    def check(self, name: str) -> None:
        """Raise SessionRefused if nobody can join a realm of this name."""
        realm = self.by_name.get(name)
        if (realm is None and self._template(name) is None) or (realm is not None and not realm.open):
            raise _no_such_realm(name)

    def room(self, name: str, role: str) -> Realm:
        """The realm for a session with this role, which may come to be by that; raises SessionRefused."""
        self.check(name)
        realm = self.by_name.get(name)
        if realm is not None:
            return realm
        template = self._template(name)
        assert template is not None, "it was there just now"
        if role not in template.rules.roles:
            raise SessionRefused(NO_SUCH_ROLE, f"Realm {name!r} has no role {role!r}.")
        known = self._dynamic()
        if name not in known and len(known) >= self._limits.dynamic_realms_max:
            self._counters.add("dynamic_realms_refused")
            raise SessionRefused(Unavailable.uri, "There are too many realms of this kind; try again later.")
        return self._open(template.named(name))

    def find(self, name: str) -> Realm | None:
        """The realm, if it is there; one of a template also if only other nodes have somebody in it."""
        realm = self.by_name.get(name)
        if realm is not None:
            return realm if realm.open else None
        template = self._template(name)
        return self._open(template.named(name)) if template is not None and name in self._dynamic() else None

    def dynamic(self) -> int:
        """How many realms of templates there are, on all nodes."""
        return len(self._dynamic())

    def _open(self, rules: RealmRules) -> Realm:
        realm = self.by_name[rules.name] = self._make(rules)
        if rules.linger_s is not None:
            self._counters.add("dynamic_realms_opened")
            self._empty[realm] = self._clock.now() + rules.linger_s
        self._born(realm)
        return realm

    def _template(self, name: str) -> RealmTemplate | None:
        """The most specific template for a name that a realm may have."""
        if not self._templates or is_reserved(name):
            return None
        try:
            self._names.check_pattern(EXACT, name)
        except InvalidUri:
            return None
        return next(iter(self._templates.matching(name)), None)

    def _dynamic(self) -> set[str]:
        """The names of all realms that are by a template."""
        tables = self._ledger.tables
        names = {*tables.routes, *tables.registrations, *tables.roll.realms(), *tables.kept.realms(), *self.by_name}
        return {name for name in names if self._is_dynamic(name)}

    def _is_dynamic(self, name: str) -> bool:
        realm = self.by_name.get(name)
        return self._template(name) is not None if realm is None else realm.open and realm.rules.linger_s is not None

    # ---- another configuration

    def adapt(
        self, rules: Iterable[RealmRules], templates: Iterable[RealmTemplate] = ()
    ) -> dict[Realm, frozenset[str]]:
        """These are the realms from now on, and the templates of others.

        Returns those that were there already and have changed, each with the roles of which something else is said.
        """
        self._templates = PatternIndex()
        for template in templates:
            self._templates.add(template.match, template.pattern, template)
        wanted = {each.name: each for each in rules}
        changed = {}
        for name, realm in list(self.by_name.items()):
            each = wanted.pop(name, None) or self._by_template(name)
            if each is not None:
                changed[realm] = realm.adapt(each)
            elif realm.open:
                changed[realm] = frozenset(realm.rules.roles)
                realm.close()
            self.emptied(realm)
        for each in wanted.values():
            self._open(each)
        return {realm: roles for realm, roles in changed.items() if roles}

    def _by_template(self, name: str) -> RealmRules | None:
        template = self._template(name)
        return None if template is None else template.named(name)

    # ---- who goes

    def emptied(self, realm: Realm) -> None:
        """The realm may have no session any more."""
        if realm.open and realm.rules.linger_s is None:
            self._empty.pop(realm, None)
        elif not realm.sessions:
            self._empty[realm] = self._clock.now() + ((realm.rules.linger_s or 0.0) if realm.open else 0.0)

    def ticked(self) -> None:
        """Drop what is empty, and has been for long enough."""
        now = self._clock.now()
        if now < self._look_at or not self._empty:
            return
        self._look_at = now + _LOOK_S
        for realm, at in list(self._empty.items()):
            if realm.sessions and realm.open:
                del self._empty[realm]  # it is told of again when they have left
            elif at <= now and realm.idle and not self._asks(realm.name):
                self._drop(realm)

    def _drop(self, realm: Realm) -> None:
        del self._empty[realm]
        del self.by_name[realm.name]
        if realm.open:
            self._counters.add("dynamic_realms_closed")
        self._received.update(self.received(realm))
        self._gone(realm.name)

    def received(self, *realms: Realm) -> dict[str, int]:
        """How many messages of each type have come in these realms, and in those that are gone."""
        received = dict(self._received)
        for realm in realms:
            for kind, count in realm.received().items():
                received[kind] = received.get(kind, 0) + count
        return received


def _no_such_realm(name: str) -> SessionRefused:
    return SessionRefused(NO_SUCH_REALM, f"There is no realm {name!r} here.")
