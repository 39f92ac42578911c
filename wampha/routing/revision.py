"""What a change of the configuration means for sessions that are there.

A session ends if its realm or role is there no longer. One whose role may do something else keeps its id, and loses
what its role may not have any more, as if the meta API had taken it away; also what it has asked for and not got yet.
All others notice nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from wampha.errors import NotAuthorized, SessionRefused, Undecided
from wampha.routing.authorizer import Authorization
from wampha.routing.holding import Holding
from wampha.routing.permissions import Permissions
from wampha.routing.ports import Clock
from wampha.routing.realm import Realm
from wampha.routing.resumption import Permitting
from wampha.routing.session import Session
from wampha.state.facts import Kill

CLOSE_REALM: Final = "wamp.close.close_realm"
NO_SUCH_ROLE: Final = "wamp.error.no_such_role"
_LOOKED_AT_MAX: Final = 500  # subscriptions and registrations per reactor turn: some 10 ms if all are taken away
_ASKED_MAX: Final = 100  # of which authorizers are asked at once
_NOTHING: Final = Permissions(())
_KNOWN_MAX: Final = 10_000  # answers of permissions that are remembered while one looks; more empty the memory


class Revision:
    """One per node."""

    def __init__(
        self,
        *,
        sessions: Mapping[int, Session],
        permissions: Permitting,
        expel: Callable[[Sequence[tuple[Session, Kill]]], None],
        clock: Clock,
    ) -> None:
        """`sessions` are those of the node; `expel` ends some of them."""
        self._sessions: Final = sessions
        self._permissions: Final = permissions
        self._expel: Final = expel
        self._clock: Final = clock
        self._holdings: Final[deque[Iterator[Holding]]] = deque()  # that have not been looked at
        self._told: Final[deque[Holding]] = deque()  # that an authorizer was asked about, and has answered
        self._asked = 0  # that it has not answered
        self._looking = False  # in this turn or a later one
        self._known: Final[dict[tuple[Permissions, str, str, str], NotAuthorized | None]] = {}

    def revise(self, changed: Mapping[Realm, Collection[str]]) -> None:
        """The configuration has changed; these are the realms with their roles of which something else is said.

        No decision of an authorizer outlives this.
        """
        for session in self._sessions.values():
            if isinstance(session.permissions, Authorization):
                session.permissions.purge()
        ended = []
        for realm, roles in changed.items():
            for session in self._present(realm):
                if session.authrole in roles and (kill := self._judge(realm, session)) is not None:
                    ended.append((session, kill))
            if realm.open:
                self._look_at(_of_roles(realm.holdings(), frozenset(roles)))
        self._expel(ended)

    def arrived(self, realm: Realm, session: Session) -> None:
        """The session comes from another node, where another configuration may have held."""
        kill = self._judge(realm, session)
        if kill is not None:
            self._expel([(session, kill)])
        elif isinstance(session.permissions, Permissions):
            self._look_at(realm.holdings(session))

    def _present(self, realm: Realm) -> list[Session]:
        """Its sessions, but for those that are still on their way here."""
        return [session for session in realm.sessions if self._sessions.get(session.id) is session]

    def _judge(self, realm: Realm, session: Session) -> Kill | None:
        """Let the present permissions of its role be the session's; why it must end if there are none."""
        session.permissions = _NOTHING
        if not realm.open:
            return _kill(CLOSE_REALM, f"Realm {realm.name!r} is closed: the configuration has it no longer.")
        try:
            session.permissions = self._permissions(realm, session.id, session.grant)
        except SessionRefused as refused:
            return _kill(refused.reason, f"{refused} The configuration has changed.")
        return None

    # ---- what they have

    def _look_at(self, holdings: Iterator[Holding]) -> None:
        self._holdings.append(holdings)
        if not self._looking:
            self._look_at_some()

    def _look_at_some(self) -> None:
        self._looking = False
        for _ in range(_LOOKED_AT_MAX):
            if self._asked >= _ASKED_MAX and not self._told:
                return  # an answer goes on
            holding = self._told.popleft() if self._told else self._next()
            if holding is None:
                self._known.clear()
                return
            self._look(holding)
        self._looking = True
        self._clock.call_later(0, self._look_at_some)

    def _next(self) -> Holding | None:
        while self._holdings:
            holding = next(self._holdings[0], None)
            if holding is not None:
                return holding
            self._holdings.popleft()
        return None

    def _look(self, holding: Holding) -> None:
        if not holding.session.open:
            return
        try:
            refused = self._refusal(holding)
        except Undecided as undecided:
            self._asked += 1
            undecided.awaited.then(lambda: self._answered(holding))
        else:
            if refused is not None:
                holding.take(refused)

    def _refusal(self, holding: Holding) -> NotAuthorized | None:
        """What the session's permissions say; of those of the configuration it is remembered. May raise Undecided."""
        permissions, action, match, uri = holding.session.permissions, holding.action, holding.match, holding.uri
        if not isinstance(permissions, Permissions):
            return _refusal(permissions, action, match, uri)
        key = (permissions, action, match, uri)
        if key not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = _refusal(permissions, action, match, uri)
        return self._known[key]

    def _answered(self, holding: Holding) -> None:
        self._asked -= 1
        self._told.append(holding)
        if not self._looking:
            self._looking = True
            self._clock.call_later(0, self._look_at_some)


def _of_roles(holdings: Iterator[Holding], roles: Collection[str]) -> Iterator[Holding]:
    return (holding for holding in holdings if holding.session.authrole in roles)


def _refusal(permissions: Permissions | Authorization, action: str, match: str, uri: str) -> NotAuthorized | None:
    try:
        permissions.require_pattern(action, match, uri)
    except NotAuthorized as refused:
        return refused
    return None


def _kill(reason: str, sentence: str) -> Kill:
    return Kill("", "", 0, 0, reason, sentence)
