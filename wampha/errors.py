"""What can go wrong, as one tree.

    WamphaError
    |-- WampError             a client asked for something it cannot have: an ERROR message answers it
    |   |-- InvalidUri, NotAuthorized, NoSuchSubscription, NoSuchRegistration, NoSuchSession, NoSuchProcedure,
    |   |   ProcedureAlreadyExists, PolicyConflict, Unavailable, NoAvailableCallee, ConcurrencyReached, Canceled,
    |   |   TimedOut, InvalidArgument, PayloadSizeExceeded, FeatureNotSupported,
    |   |   HistoryUnavailable
    |-- ProtocolViolation     a client broke the protocol: ABORT, then the connection is closed
    |-- SessionRefused        a HELLO that cannot be granted: ABORT with the reason, then the close
    |-- Untranscodable        a payload that another serializer cannot express (messages/values.py)
    |-- TooLarge              a message beyond what its receiver accepts (transport/frames.py)
    |-- Later                 a message that cannot be handled yet: its sender waits
    |   |-- NodeBehind        it is for a node that does not keep up
    |   |-- Undecided         an authorizer is asked whether it is allowed
    |   |-- TooFast           its session has sent what it may for now
    |-- LinkRefused           a peer that must not become a member: one log line, then the close
    |-- ConfigError           a configuration that cannot be used: every problem of the file at once
    `-- StartError            the node cannot start (a port in use, ...): one sentence, exit status 1

All of them are somebody else's fault and carry a sentence for them. Our own faults are assertions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final


class WamphaError(Exception):
    """Somebody else's fault; `str()` is a sentence for them."""


class WampError(WamphaError):
    """Refuses one request; leaves as ERROR with `uri` and the sentence as its only positional argument."""

    uri: ClassVar[str] = "wamp.error.invalid_argument"

    def __init__(self, sentence: str, kwargs: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.sentence: Final = sentence
        self.kwargs: Final = dict(kwargs or {})


class InvalidArgument(WampError):
    """An option of the request has a value that WAMP does not know."""


class InvalidUri(WampError):
    """The URI breaks WAMP's rules for its place (basic profile, "URIs")."""

    uri = "wamp.error.invalid_uri"


class NotAuthorized(WampError):
    """The session's role does not allow the action on this URI."""

    uri = "wamp.error.not_authorized"


class NoSuchSubscription(WampError):
    """UNSUBSCRIBE for an id that is not one of the session's subscriptions, or a question about one that is none."""

    uri = "wamp.error.no_such_subscription"


class NoSuchRegistration(WampError):
    """UNREGISTER for an id that is not one of the session's registrations."""

    uri = "wamp.error.no_such_registration"


class NoSuchSession(WampError):
    """No session with this id, or none that it could be about."""

    uri = "wamp.error.no_such_session"


class NoSuchProcedure(WampError):
    """CALL of a procedure that nobody has registered."""

    uri = "wamp.error.no_such_procedure"


class ProcedureAlreadyExists(WampError):
    """REGISTER of a procedure that has its one owner already."""

    uri = "wamp.error.procedure_already_exists"


class PolicyConflict(WampError):
    """REGISTER of a procedure that is shared by another policy; the URI is that of Autobahn and Crossbar."""

    uri = "wamp.error.procedure_exists_with_different_invocation_policy"


class Unavailable(WampError):
    """The cluster could not decide the request in time, or a bound was reached; trying again may help."""

    uri = "wamp.error.unavailable"


class NoAvailableCallee(WampError):
    """Every callee that was asked has answered `wamp.error.unavailable` (advanced profile, "Call Re-Routing")."""

    uri = "wamp.error.no_available_callee"


class ConcurrencyReached(WampError):
    """Every callee has as many calls as it allows; WAMP has no URI for it, this is Crossbar's."""

    uri = "crossbar.error.max_concurrency_reached"


class Canceled(WampError):
    """The call was canceled, or its callee or the callee's node is gone; kwargs `outcome` says what is known."""

    uri = "wamp.error.canceled"


class TimedOut(WampError):
    """The call had no answer within its `timeout`; kwargs `outcome` says what is known."""

    uri = "wamp.error.timeout"


class PayloadSizeExceeded(WampError):
    """The message would exceed what the receiver accepts (advanced profile, `wamp.error.payload_size_exceeded`)."""

    uri = "wamp.error.payload_size_exceeded"


class HistoryUnavailable(WampError):
    """No events are kept of what the subscription matches; Crossbar's name for it, since WAMP has none."""

    uri = "wamp.error.history_unavailable"


class FeatureNotSupported(WampError):
    """The other side of the call lacks a feature that this call cannot do without."""

    uri = "wamp.error.feature_not_supported"


class ProtocolViolation(WamphaError):
    """The client broke the protocol; answered by ABORT with `uri`, then the connection is closed."""

    uri: ClassVar[str] = "wamp.error.protocol_violation"


class SessionRefused(WamphaError):
    """The HELLO cannot be granted; answered by ABORT with `reason`, then the connection is closed."""

    def __init__(self, reason: str, sentence: str, cause: str = "") -> None:
        """`cause`: what the log says of it, and the client is not told."""
        super().__init__(sentence)
        self.reason: Final = reason
        self.cause: Final = cause


class Later(WamphaError):
    """Nothing was done with the message: it is to be handed in again when what is `awaited` has come."""

    def __init__(self, awaited: Any) -> None:
        super().__init__("The message cannot be handled yet.")
        self.awaited: Final = awaited


class NodeBehind(Later):
    """The message is for a node for which much waits already; awaited: its incarnation (`state.commands.Owner`)."""


class Undecided(Later):
    """It is not known yet whether the message is allowed; awaited: the decision (`routing.authorizer.Decision`)."""


class TooFast(Later):
    """The session has sent as much as it may for now; awaited: its allowance (`routing.allowance.Allowance`)."""


class LinkRefused(WamphaError):
    """The peer on a link is not a member of this cluster, or not the one that was expected."""


class ConfigError(WamphaError):
    """The configuration cannot be used; `problems` holds one line each, with file, line, column and path.

    `files` are those that it names, as far as it could be read: one that is missing may come.
    """

    def __init__(self, problems: Sequence[str], files: Iterable[Path] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems: Final = tuple(problems)
        self.files: Final = frozenset(files)


class StartError(WamphaError):
    """The node cannot start; the sentence says what is in the way and what to do."""
