"""Roles whose permissions a procedure of the user's decides, called as Crossbar calls it.

    authorize(session: dict, uri: str, action: str, options: dict) -> bool | dict

`session` has `realm`, `session`, `authid`, `authrole`, `authmethod` and `authprovider`; `options` has `match` for a
pattern. A dict may have `allow`, `disclose` and `cache`. While it is asked, the client's message waits and nothing
behind it is read (`errors.Undecided`): so nothing is overtaken. An error, nonsense, or no answer in time means no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from wampha.auth.grant import Grant
from wampha.auth.steps import Ask, Asked
from wampha.counters import Counters
from wampha.errors import NotAuthorized, Undecided
from wampha.names.uri import EXACT
from wampha.routing.permissions import PLAIN, Authorizer, Verdict
from wampha.routing.ports import Clock, Outbox

_VERDICTS_MAX: Final = 1000  # remembered per session; more empty the memory
_REFUSED: Final = Verdict(allowed=False)
_DISCLOSED: Final = Verdict(allowed=True, disclose=True)


class _Said(msgspec.Struct):
    """The answer of an authorizer; keys that are not known here are passed over."""

    allow: bool
    disclose: bool = False
    cache: bool = False


class _Key(NamedTuple):
    action: str
    match: str
    uri: str


class Decision:
    """One that is awaited."""

    __slots__ = ("_waiting", "made")

    def __init__(self) -> None:
        self.made = False
        self._waiting: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Call when it has been made, once; it has not been made yet."""
        self._waiting.append(call)

    def make(self) -> None:
        """It has been made: go on."""
        self.made = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


class _Verdict(NamedTuple):
    verdict: Verdict
    until: float  # by the clock
    once: bool  # it may not be cached: it holds for the message that waited


class Authorization:
    """What one session may do, as the authorizer says: in the place of `Permissions`."""

    def __init__(
        self,
        *,
        authorizer: Authorizer,
        realm: str,
        session: int,
        grant: Grant,
        ask: Callable[[Ask, Callable[[Asked], None]], None],
        outbox: Outbox,
        waiting_s: float,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """`ask` tells what the authorizer answered, within `waiting_s` seconds."""
        self._authorizer: Final = authorizer
        self._realm: Final = realm
        self._subject: Final = {
            "realm": realm,
            "session": session,
            "authid": grant.authid,
            "authrole": grant.authrole,
            "authmethod": grant.authmethod,
            "authprovider": grant.authprovider,
        }
        self._ask: Final = ask
        self._outbox: Final = outbox
        self._waiting_s: Final = waiting_s
        self._clock: Final = clock
        self._counters: Final = counters
        self._verdicts: Final[dict[_Key, _Verdict]] = {}
        self._awaited: Final[dict[_Key, Decision]] = {}

    def require(self, action: str, uri: str) -> Verdict:
        """As `Permissions.require`; raises Undecided while the authorizer is asked."""
        return self._require(_Key(action, EXACT, uri))

    def require_pattern(self, action: str, match: str, pattern: str) -> None:
        """As `Permissions.require_pattern`, likewise."""
        self._require(_Key(action, match, pattern))

    def require_meant(self, action: str, uri: str) -> None:
        """As `Permissions.require_meant`: the authorizer knows what it allows."""
        self._require(_Key(action, EXACT, uri))

    def purge(self) -> None:
        """Forget all decisions, those included that are awaited: whatever waits for one asks again."""
        self._verdicts.clear()
        self._awaited.clear()

    def _require(self, key: _Key) -> Verdict:
        found = self._verdicts.get(key)
        if found is None or found.until < self._clock.now():
            self._begin(key)
            found = self._verdicts[key]  # it was answered at once
        if found.once:
            del self._verdicts[key]
        if not found.verdict.allowed:
            raise NotAuthorized(f"This session is not allowed to {key.action} {key.uri!r}.")
        return found.verdict

    def _begin(self, key: _Key) -> None:
        decision = self._awaited.get(key)
        if decision is None:
            self._counters.add("authorizations_asked")
            decision = self._awaited[key] = Decision()
            options = {} if key.match == EXACT else {"match": key.match}
            args = (self._subject, key.uri, key.action, options)
            asking = Ask(self._realm, self._authorizer.procedure, args)
            awaited = decision
            self._ask(asking, lambda asked: self._told(key, awaited, asked))
        if not decision.made:
            raise Undecided(decision)

    def _told(self, key: _Key, decision: Decision, asked: Asked) -> None:
        if self._awaited.get(key) is decision:
            del self._awaited[key]
            self._decide(key, asked)
        decision.make()
        self._outbox.relieved(decision)

    def _decide(self, key: _Key, asked: Asked) -> None:
        said = _read(asked)
        if said is None:
            self._counters.add("authorizations_failed")
            said = _Said(allow=False)
        if len(self._verdicts) >= _VERDICTS_MAX:
            self._verdicts.clear()
        verdict = _REFUSED if not said.allow else _DISCLOSED if said.disclose else PLAIN
        holds_s = self._authorizer.cache_s if said.cache else self._waiting_s
        self._verdicts[key] = _Verdict(verdict, self._clock.now() + holds_s, once=not said.cache)


def _read(asked: Asked) -> _Said | None:
    if asked.error is not None:
        return None
    if isinstance(asked.value, bool):
        return _Said(allow=asked.value)
    try:
        return msgspec.convert(asked.value, _Said) if isinstance(asked.value, Mapping) else None
    except msgspec.ValidationError:
        return None
