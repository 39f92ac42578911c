"""WELCOME: who the client is, and what this router can do (basic profile, "WELCOME")."""

from __future__ import annotations

from typing import Any, Final

from wampha.auth.grant import Grant
from wampha.messages.model import Options
from wampha.routing.realm import Realm
from wampha.routing.resumption import OFFERED

# WELCOME.Details.roles: only what a test proves is announced.
_BROKER_FEATURES: Final = (
    "event_history",
    "event_retention",
    "pattern_based_subscription",
    "payload_passthru_mode",
    "payload_transparency",
    "publication_trustlevels",
    "publisher_exclusion",
    "publisher_identification",
    "session_meta_api",
    "subscriber_blackwhite_listing",
    "subscription_meta_api",
    "subscription_revocation",
)
_DEALER_FEATURES: Final = (
    "call_canceling",
    "call_reroute",
    "call_timeout",
    "call_trustlevels",
    "caller_identification",
    "pattern_based_registration",
    "payload_passthru_mode",
    "payload_transparency",
    "progressive_call_invocations",
    "progressive_call_results",
    "registration_meta_api",
    "registration_revocation",
    "session_meta_api",
    "shared_registration",
    "testament_meta_api",
)
_ROLES: Final[Options] = {
    "broker": {"features": dict.fromkeys(_BROKER_FEATURES, True)},
    "dealer": {"features": dict.fromkeys(_DEALER_FEATURES, True)},
}


def details_of(realm: Realm, grant: Grant, agent: str) -> dict[str, Any]:
    """WELCOME.Details, but for what belongs to one session only; `agent` names the software."""
    details: dict[str, Any] = {
        "realm": realm.name,
        "authid": grant.authid,
        "authrole": grant.authrole,
        "authmethod": grant.authmethod,
        "authprovider": grant.authprovider,
        "roles": _ROLES,
        "agent": agent,
    }
    if grant.authextra:
        details["authextra"] = grant.authextra
    if realm.resumption:
        details[OFFERED] = realm.resumption.grace_s
    return details
