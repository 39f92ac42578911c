"""One client in one realm, from WELCOME to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wampha.auth.grant import Grant
from wampha.limits import Limits, SessionBounds
from wampha.messages.relayed import Originator
from wampha.routing.features import NO_FEATURES, ClientFeatures
from wampha.routing.permissions import Permissions
from wampha.routing.ports import Client

if TYPE_CHECKING:
    from wampha.routing.allowance import Allowance
    from wampha.routing.authorizer import Authorization
    from wampha.routing.broker import Subscription
    from wampha.routing.conversation import Conversation
    from wampha.routing.docket import Undecided
    from wampha.routing.offers import Offer
    from wampha.routing.outgoing import Outgoing
    from wampha.routing.places import Places
    from wampha.routing.resumption import Resumption
    from wampha.routing.work import PendingCall, Served
    from wampha.state.roll import Load

_BOUNDS: Final = SessionBounds.of(Limits())


class Session:
    """What the router knows of one session; small, since there are many."""

    __slots__ = (
        "allowance",
        "asked",
        "authid",
        "authrole",
        "bounds",
        "calls",
        "client",
        "conversation",
        "features",
        "grant",
        "id",
        "invocations",
        "invoked",
        "open",
        "originator",
        "outgoing",
        "permissions",
        "places",
        "realm",
        "registrations",
        "removals",
        "resumption",
        "subscriptions",
        "testaments",
        "undecided",
        "unfinished",
    )

    def __init__(
        self,
        *,
        session_id: int,
        realm: str,
        grant: Grant,
        permissions: Permissions | Authorization,
        client: Client,
        features: ClientFeatures = NO_FEATURES,
        resumption: Resumption | None = None,
    ) -> None:
        self.id: Final = session_id
        self.realm: Final = realm
        self.grant: Final = grant
        self.authid: Final = grant.authid
        self.authrole: Final = grant.authrole
        self.permissions = permissions  # others, when the configuration has changed
        self.client: Final = client
        self.features = features
        self.resumption: Final = resumption  # None: it ends with its connection
        self.bounds = _BOUNDS  # those of its role, once it has entered its realm
        self.allowance: Allowance | None = None  # None: it may send as fast as it likes
        self.originator: Final = Originator(session_id, grant.authid, grant.authrole)
        self.open = True
        self.conversation: Conversation | None = None  # None: it has no connection
        self.subscriptions: Final[dict[int, Subscription]] = {}  # id -> those whose SUBSCRIBED was queued
        self.registrations: Final[dict[int, Offer]] = {}  # id -> those whose REGISTERED was queued
        self.removals = 0  # registrations whose removal has not been applied, once the session is being sent away
        self.calls: Final[dict[int, PendingCall]] = {}  # CALL.Request -> calls that wait for their end
        self.asked: dict[int, int] | None = None  # callee's session -> order of the last call there (`Calls.hand`)
        self.invocations: Final[dict[int, PendingCall | Served]] = {}  # INVOCATION.Request -> not answered yet
        self.places: Final[dict[int, Places]] = {}  # INVOCATION.Request -> where it takes a place (`concurrency`)
        self.unfinished: dict[int, None] = {}  # progressive calls that ended before their last part came, oldest first
        self.invoked = 0  # INVOCATION.Request of the last one; they count from 1 (basic profile, "IDs")
        self.testaments: Final[dict[str, Load]] = {}  # scope -> how much it leaves behind, asked for and not taken back
        self.outgoing: Outgoing | None = None  # of its publications, while one of them is being kept
        self.undecided: Final[dict[Undecided, None]] = {}  # requests that wait for the cluster, oldest first

    def leave_place(self, invocation: int) -> None:
        """The session works no longer on this INVOCATION, if it counted for a `concurrency`."""
        places = self.places.pop(invocation, None)
        if places is not None:
            places.leave()


def who(session: Session) -> dict[str, object]:
    """What the audit log says of a session."""
    return {
        "realm": session.realm,
        "session": session.id,
        "authid": session.authid,
        "authrole": session.authrole,
        "peer": session.client.describe(),
    }
