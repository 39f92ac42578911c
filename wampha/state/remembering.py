"""How the cluster comes to know cookies, and forgets them.

A cookie is for who proved something with it first, and once forgotten for nobody: what has come too late, twice or in
another order, as after the death of a leader, lets nobody in who has logged out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wampha.state.changes import CookieForgotten
from wampha.state.commands import Command, EndPeriod, ForgetCookie, Outcome, Owner, RememberCookie
from wampha.state.cookies import IDENTITY_COOKIES_MAX, Cookie
from wampha.state.ground import Ground, Handler


class Remembering:
    """The rules of the table of cookies."""

    def __init__(self, ground: Ground) -> None:
        self._ground: Final = ground
        self.handlers: Final[Mapping[type[Command], Handler]] = {
            RememberCookie: self._remember,
            ForgetCookie: self._forget,
            EndPeriod: self._end_period,
        }

    def bury(self, owner: Owner) -> None:
        """Cookies stay: they are the cluster's, and not the node's."""

    def _remember(self, index: int, command: RememberCookie) -> Outcome:
        ground, cookies = self._ground, self._ground.tables.cookies
        if command.owner not in ground.tables.up:
            return ground.dead()
        if cookies.get(command.digest) is not None:
            return Outcome.REFUSED
        self._put(Cookie(command.digest, command.identity, cookies.period + command.periods), command.cookies_max)
        return Outcome.OK

    def _forget(self, index: int, command: ForgetCookie) -> Outcome:
        """It stays for as long as a browser may have it, and a command on its way that would let it in."""
        ground, cookies = self._ground, self._ground.tables.cookies
        if command.owner not in ground.tables.up:
            return ground.dead()
        void = Cookie(command.digest, command.identity, cookies.period + command.periods, True)
        self._put(void, command.cookies_max)
        ground.changes.append(CookieForgotten(command.digest))
        return Outcome.OK

    def _end_period(self, index: int, command: EndPeriod) -> Outcome:
        ground, cookies = self._ground, self._ground.tables.cookies
        if command.owner not in ground.tables.up:
            return ground.dead()
        if command.period != cookies.period:
            return Outcome.REFUSED  # another node was faster
        cookies.period += 1
        for cookie in [cookie for cookie in cookies if cookie.ends <= cookies.period]:
            cookies.drop(cookie.digest)
        return Outcome.OK

    def _put(self, cookie: Cookie, cookies_max: int) -> None:
        cookies = self._ground.tables.cookies
        cookies.put(cookie)
        same = cookies.of(cookie.identity.realm, cookie.identity.name)
        if len(same) > IDENTITY_COOKIES_MAX:
            self._crowd_out(same[0])
        while len(cookies) > cookies_max:
            self._crowd_out(cookies.oldest().digest)

    def _crowd_out(self, digest: bytes) -> None:
        self._ground.counters.add("cookies_crowded_out")
        self._ground.tables.cookies.drop(digest)
