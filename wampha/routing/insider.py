"""The router as a caller of its users' procedures, e.g. of an authenticator: a session without a client."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from wampha.auth.grant import Grant
from wampha.auth.steps import Ask, Asked, no_channel
from wampha.errors import Unavailable, WampError
from wampha.messages.model import Call, Error
from wampha.messages.payload import Payload, Untranscodable
from wampha.names.ids import Ids
from wampha.routing.calls import Calls
from wampha.routing.permissions import ACTIONS, Permission, Permissions
from wampha.routing.ports import Client
from wampha.routing.realm import Realm
from wampha.routing.session import Session

_EVERYTHING: Final = Permissions([Permission(uri="", match="prefix", allow=frozenset(ACTIONS))])
_GRANT: Final = Grant("wampha", "wampha", "internal", "internal")


class Insider(Client):
    """Calls procedures of one realm, on whatever node they are; `routing.ports.Client` of its own session."""

    def __init__(self, realm: Realm, session_id: int) -> None:
        """`session_id`: what callees see as the caller, if they ask."""
        self._realm: Final = realm
        self._requests: Final = itertools.count(1)
        self._waiting: Final[dict[int, Callable[[Asked], None]]] = {}  # CALL.Request -> whom to tell
        self.session: Final = Session(
            session_id=session_id, realm=realm.name, grant=_GRANT, permissions=_EVERYTHING, client=self
        )

    def call(self, procedure: str, args: Sequence[Any], timeout_s: float, told: Callable[[Asked], None]) -> None:
        """Call a procedure; `told` is called once, with its first result or the URI of an error, perhaps at once.

        It is called within `timeout_s`, whatever becomes of the callee and its node.
        """
        request = next(self._requests)
        self._waiting[request] = told
        options = {"timeout": max(1, round(timeout_s / self._realm.timeout_unit_s))}
        try:
            self._realm.dealer.call(self.session, Call(request, options, procedure, Payload.of(args)))
        except WampError as error:
            self._tell(request, Asked(error=error.uri))

    @property
    def waits(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._waiting)

    # ---- the client of the session

    def send(self, message: Any) -> None:
        """A RESULT or an ERROR has come for one of the calls."""
        if isinstance(message, Error):
            self._tell(message.request, Asked(error=message.error))
            return
        try:
            args = message.payload.args()
        except Untranscodable:
            self._tell(message.request, Asked(error=Unavailable.uri))
        else:
            self._tell(message.request, Asked(value=args[0] if args else None))

    @property
    def slow(self) -> bool:
        """It takes everything at once."""
        return False

    @property
    def group(self) -> None:
        """It subscribes to nothing: no event is framed for it."""
        return None

    def pass_on(self, frames: list[bytes]) -> None:
        """Nor passed on to it."""

    def failed(self) -> None:
        """There is nothing to write."""

    def finish(self) -> None:
        """There is no connection to close."""

    def certificate(self) -> None:
        """Nobody has shown one."""
        return None

    def channel_id(self, binding: str) -> bytes:
        """Nor is there a channel."""
        return no_channel(binding)

    def cookie(self) -> None:
        """Nor a browser."""
        return None

    @property
    def kind(self) -> tuple[str, str]:
        """It has no connection."""
        return ("", "")

    def describe(self) -> str:
        """What stands where clients have their address."""
        return "the router itself"

    def _tell(self, request: int, asked: Asked) -> None:
        told = self._waiting.pop(request, None)
        if told is not None:
            told(asked)


class Insiders:
    """Those of all realms, each made when it is first needed."""

    def __init__(self, *, find: Callable[[str], Realm | None], ids: Ids, calls: Calls, timeout_s: float) -> None:
        self._find: Final = find
        self._ids: Final = ids
        self._calls: Final = calls
        self._timeout_s: Final = timeout_s
        self._by_realm: Final[dict[str, Insider]] = {}

    def ask(self, ask: Ask, told: Callable[[Asked], None]) -> None:
        """Call the procedure; `told` is called once, within the time, perhaps before this returns."""
        realm = self._find(ask.realm)
        if realm is None:
            told(Asked(error="wamp.error.no_such_realm"))
            return
        insider = self._by_realm.get(ask.realm)
        if insider is None:
            insider = self._by_realm[ask.realm] = Insider(realm, self._ids.session())
        insider.call(ask.procedure, ask.args, self._timeout_s, told)

    def waits(self, realm: str) -> bool:
        """Whether an answer is awaited in the realm of this name."""
        insider = self._by_realm.get(realm)
        return insider is not None and insider.waits

    def forget(self, realm: str) -> None:
        """The realm is there no longer: errors answer what was asked there."""
        insider = self._by_realm.pop(realm, None)
        if insider is not None:
            self._calls.caller_dismissed(insider.session)
            insider.session.open = False

    def reset(self) -> None:
        """This node's incarnation has ended: errors answer what was asked, and new sessions ask what follows."""
        for realm in list(self._by_realm):
            self.forget(realm)
