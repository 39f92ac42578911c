"""Where clients are let in or not: from HELLO to the steps of an authentication, and what is noted of its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wampha.auth.anonymous import Anonymous
from wampha.auth.cookie import CookieFirst
from wampha.auth.doorway import Doorway
from wampha.auth.grant import Grant
from wampha.auth.steps import AUTHENTICATION_FAILED, Ask, Asked, Chance, Claim, Steps
from wampha.auth.throttle import Throttle, household
from wampha.counters import Counters
from wampha.errors import SessionRefused
from wampha.limits import Limits
from wampha.messages.model import NO_OPTIONS
from wampha.routing.authorizer import Authorization
from wampha.routing.cookies import KnownCookies
from wampha.routing.insider import Insiders
from wampha.routing.permissions import Permissions
from wampha.routing.ports import Audit, Client, Clock, Outbox, Workers
from wampha.routing.realm import Realm
from wampha.routing.session import Session

_IDENTITY_PER_MINUTE: Final = 10  # failures that are forgiven
_ADDRESS_PER_MINUTE: Final = 60
_FORGET_S: Final = 60.0  # how often buckets that are full again are dropped


class Entrance:
    """One per node."""

    def __init__(
        self,
        *,
        workers: Workers,
        chance: Chance,
        insiders: Insiders,
        cookies: KnownCookies,
        outbox: Outbox,
        clock: Clock,
        limits: Limits,
        counters: Counters,
        audit: Audit,
        session_id: Callable[[], int],
    ) -> None:
        self.workers: Final = workers
        self._chance: Final = chance
        self._insiders: Final = insiders
        self._cookies: Final = cookies
        self._outbox: Final = outbox
        self._waiting_s: Final = limits.authenticator_timeout_s
        self._clock: Final = clock
        self._counters: Final = counters
        self._audit: Final = audit
        self._session_id: Final = session_id
        self._identities: Final = Throttle(burst=limits.identity_failures_max, per_minute=_IDENTITY_PER_MINUTE)
        self._addresses: Final = Throttle(burst=limits.address_failures_max, per_minute=_ADDRESS_PER_MINUTE)
        self._forgotten_at = clock.now()
        self.failures: Final[dict[str, int]] = {}  # kind of method -> clients that could not prove who they are

    def begin(self, hello: Any, client: Client, doorway: Doorway) -> tuple[Claim, Steps]:
        """What HELLO claims, and the steps that prove it.

        Raises SessionRefused if no method fits, or too many attempts by that name or from that address have failed.
        """
        cookie = client.cookie()
        identity = self._cookies.identity(cookie, hello.realm)
        method = doorway.choose(hello.authmethods, identity is not None)
        claim = Claim(
            realm=hello.realm,
            authid=hello.authid,
            extra=hello.authextra or NO_OPTIONS,
            session=self._session_id(),
            peer=client.describe(),
            certificate=client.certificate(),
            method=_kind(method),
            channel_id=client.channel_id,
            cookie=cookie,
            identity=identity,
        )
        if not isinstance(method, Anonymous):
            self._check_failures(claim)
        return claim, method.steps(claim, self._chance)

    def _check_failures(self, claim: Claim) -> None:
        now = self._clock.now()
        wait_s = self._addresses.wait_s(_address(claim), now)
        if claim.authid is not None:
            wait_s = max(wait_s, self._identities.wait_s(_identity(claim), now))
        if wait_s:
            self._counters.add("authentications_throttled")
            raise SessionRefused(AUTHENTICATION_FAILED, f"Too many attempts have failed; try again in {wait_s} s.")

    def ask(self, ask: Ask, told: Callable[[Asked], None]) -> None:
        """Call a procedure of the user's; `told` is called once, perhaps at once."""
        self._insiders.ask(ask, told)

    def permissions(self, realm: Realm, session: int, grant: Grant) -> Permissions | Authorization:
        """What a session with this grant may do; raises SessionRefused if the realm has no such role."""
        role = realm.permissions_of(grant.authrole)
        if role is None:
            raise SessionRefused("wamp.error.no_such_role", f"Realm {realm.name!r} has no role {grant.authrole!r}.")
        if isinstance(role, Permissions):
            return role
        return Authorization(
            authorizer=role,
            realm=realm.name,
            session=session,
            grant=grant,
            ask=self._insiders.ask,
            outbox=self._outbox,
            waiting_s=self._waiting_s,
            clock=self._clock,
            counters=self._counters,
        )

    def granted(self, claim: Claim, grant: Grant, session: Session) -> None:
        """The client is in."""
        self._cookies.came_in(session, claim, grant)
        fields = {"session": claim.session, "authid": grant.authid, "authrole": grant.authrole}
        self._audit("authenticated", {**_who(claim), **fields, "authmethod": grant.authmethod})

    def refused(self, claim: Claim, refused: SessionRefused) -> None:
        """The client could not prove who it is."""
        if refused.reason == AUTHENTICATION_FAILED:
            self._counters.add("authentications_failed")
            self.failures[claim.method] = self.failures.get(claim.method, 0) + 1
            now = self._clock.now()
            if claim.authid is not None:
                self._identities.failed(_identity(claim), now)
            self._addresses.failed(_address(claim), now)
            self._forget(now)
        fields = {"authid": claim.authid, "reason": refused.reason, "cause": refused.cause or str(refused)}
        self._audit("authentication_failed", {**_who(claim), **fields})

    def _forget(self, now: float) -> None:
        if now - self._forgotten_at >= _FORGET_S:
            self._forgotten_at = now
            self._identities.forget(now)
            self._addresses.forget(now)


def _who(claim: Claim) -> dict[str, Any]:
    return {"realm": claim.realm, "peer": claim.peer}


def _kind(method: object) -> str:
    """What failures are counted under: of two methods the one that decides."""
    return type(method.other if isinstance(method, CookieFirst) else method).__name__.lower()


def _identity(claim: Claim) -> tuple[str, str | None]:
    return (claim.realm, claim.authid)


def _address(claim: Claim) -> str:
    """`claim.peer` is like `tcp4:192.0.2.1:50000 websocket json`."""
    place = claim.peer.partition(" ")[0]
    return household(place.partition(":")[2].rpartition(":")[0].strip("[]"))
