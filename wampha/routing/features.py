"""What a client announced in HELLO, as far as the router treats it differently for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True)
class ClientFeatures:
    """The features of one client, by the role that has them; equal ones are one object."""

    caller_streams: bool = False  # progressive_call_invocations
    caller_passthru: bool = False  # payload_passthru_mode
    callee_cancels: bool = False  # call_canceling
    callee_progresses: bool = False  # progressive_call_results, which by the specification needs call_canceling
    callee_streams: bool = False  # progressive_call_invocations, likewise
    callee_passthru: bool = False
    callee_reroutes: bool = False  # call_reroute
    callee_revocable: bool = False  # registration_revocation
    publisher_passthru: bool = False
    subscriber_revocable: bool = False  # subscription_revocation

    @classmethod
    def of(cls, roles: Mapping[str, Any], *, lenient: bool = False) -> ClientFeatures:
        """From the roles of a HELLO: role -> an object with an attribute per feature.

        `lenient`: whoever uses a feature is taken to have announced it. What would make the router send something that
        the client may not understand (INTERRUPT, INVOCATIONs in parts, UNREGISTERED that it did not ask for) must be
        announced all the same.
        """

        def has(role: str, *names: str) -> bool:
            features = roles.get(role)
            return any(getattr(features, name, None) is True for name in names)

        # Two chapters of the advanced profile spell this one differently.
        cancels = has("callee", "call_canceling", "call_cancelling")
        return _shared(
            lenient or has("caller", "progressive_call_invocations"),
            lenient or has("caller", "payload_passthru_mode"),
            cancels,
            lenient or (cancels and has("callee", "progressive_call_results")),
            (lenient or cancels) and has("callee", "progressive_call_invocations"),
            lenient or has("callee", "payload_passthru_mode"),
            lenient or has("callee", "call_reroute"),
            has("callee", "registration_revocation"),
            lenient or has("publisher", "payload_passthru_mode"),
            has("subscriber", "subscription_revocation"),
        )


@cache
def _shared(*flags: bool) -> ClientFeatures:
    return ClientFeatures(*flags)


NO_FEATURES = ClientFeatures.of({})
