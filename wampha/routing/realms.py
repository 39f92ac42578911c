"""The realms of this node: which there are may change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from wampha.errors import SessionRefused
from wampha.routing.permissions import RealmRules
from wampha.routing.realm import Realm

NO_SUCH_REALM: Final = "wamp.error.no_such_realm"


class Realms:
    """Those of the configuration, and those that it has no longer until their sessions have ended."""

    def __init__(self, make: Callable[[RealmRules], Realm]) -> None:
        self._make: Final = make
        self.by_name: Final[dict[str, Realm]] = {}  # always the same object
        self._received: Final[dict[str, int]] = {}  # type of message -> how many came in realms that are gone
        self._born: Callable[[Realm], None]
        self._gone: Callable[[str], None]

    def attach(self, *, born: Callable[[Realm], None], gone: Callable[[str], None]) -> None:
        """Once, before anything else: whom to tell of a new realm, and of the name of one that is there no longer."""
        self._born, self._gone = born, gone

    def room(self, name: str) -> Realm:
        """The realm, if sessions can be opened in it; raises SessionRefused."""
        realm = self.by_name.get(name)
        if realm is None or not realm.open:
            raise SessionRefused(NO_SUCH_REALM, f"There is no realm {name!r} here.")
        return realm

    def adapt(self, rules: Iterable[RealmRules]) -> dict[Realm, frozenset[str]]:
        """These are the realms from now on.

        Returns those that were there already and have changed, each with the roles of which something else is said.
        """
        wanted = {each.name: each for each in rules}
        changed = {}
        for name, realm in list(self.by_name.items()):
            each = wanted.pop(name, None)
            if each is not None:
                changed[realm] = realm.adapt(each)
            elif realm.open:
                changed[realm] = frozenset(realm.rules.roles)
                realm.close()
                self.emptied(realm)
        for each in wanted.values():
            realm = self.by_name[each.name] = self._make(each)
            self._born(realm)
        return {realm: roles for realm, roles in changed.items() if roles}

    def received(self, *realms: Realm) -> dict[str, int]:
        """How many messages of each type have come in these realms, and in those that are gone."""
        received = dict(self._received)
        for realm in realms:
            for kind, count in realm.received().items():
                received[kind] = received.get(kind, 0) + count
        return received

    def emptied(self, realm: Realm) -> None:
        """The realm may have no session any more: if it is closed, it is gone then."""
        if not realm.open and not realm.sessions and self.by_name.get(realm.name) is realm:
            del self.by_name[realm.name]
            self._received.update(self.received(realm))
            self._gone(realm.name)
