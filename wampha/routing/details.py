"""Details of EVENT and INVOCATION: what belongs to the payload, and what the router says of the session behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wampha.errors import FeatureNotSupported, ProtocolViolation
from wampha.messages.model import NO_OPTIONS, Options
from wampha.messages.relayed import Originator
from wampha.names.uri import EXACT
from wampha.routing.permissions import Verdict
from wampha.routing.replies import carried

if TYPE_CHECKING:
    from wampha.routing.offers import Offer
    from wampha.routing.session import Session


def event_details(options: Options, verdict: Verdict, publisher: Originator) -> Options:
    """EVENT.Details of a publication, but for what differs between its subscriptions."""
    details = dict(carried(options))
    if verdict.disclose or options.get("disclose_me") is True:
        details |= publisher_of(publisher)
    if verdict.trustlevel is not None:
        details["trustlevel"] = verdict.trustlevel
    return details or NO_OPTIONS


def publisher_of(originator: Originator) -> dict[str, Any]:
    """Who published (advanced profile, "Publisher Identification")."""
    return {
        "publisher": originator.session,
        "publisher_authid": originator.authid,
        "publisher_authrole": originator.authrole,
    }


def call_details(caller: Session, options: Options, verdict: Verdict) -> Options:
    """INVOCATION.Details of a call, as far as they do not depend on the callee.

    Raises ProtocolViolation for the use of a feature that the caller must announce and did not.
    """
    features = caller.features
    streams = options.get("progress") is True
    if streams and not features.caller_streams:
        raise ProtocolViolation("CALL with progress by a caller that did not announce progressive_call_invocations.")
    if options.get("ppt_scheme") and not features.caller_passthru:
        raise ProtocolViolation("CALL with ppt_scheme by a caller that did not announce payload_passthru_mode.")
    details = dict(carried(options))
    if options.get("receive_progress") is True:
        details["receive_progress"] = True
    if streams:
        details["progress"] = True
    if verdict.disclose or options.get("disclose_me") is True:
        details |= caller_of(caller.originator)
    if verdict.trustlevel is not None:
        details["trustlevel"] = verdict.trustlevel
    return details or NO_OPTIONS


def fitted(details: Options, offer: Offer, caller: Originator, procedure: str) -> Options:
    """INVOCATION.Details of a call for the one callee that gets it.

    Raises FeatureNotSupported if this callee cannot take the call.
    """
    features = offer.session.features
    if "progress" in details and not features.callee_streams:
        raise FeatureNotSupported("The callee does not take progressive calls.")
    if details.get("ppt_scheme") and not features.callee_passthru:
        raise FeatureNotSupported("The callee does not support payload passthru mode.")
    fitting = dict(details)
    if not features.callee_progresses:
        fitting.pop("receive_progress", None)
    if offer.discloses:
        fitting |= caller_of(caller)
    if offer.key.match != EXACT:  # advanced profile, "Pattern-based Registrations": the concrete procedure called
        fitting["procedure"] = procedure
    return fitting or NO_OPTIONS


def caller_of(originator: Originator) -> dict[str, Any]:
    """Who calls (advanced profile, "Caller Identification")."""
    return {
        "caller": originator.session,
        "caller_authid": originator.authid,
        "caller_authrole": originator.authrole,
    }
