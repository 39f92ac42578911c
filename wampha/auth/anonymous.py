"""Authentication method `anonymous` (advanced profile, "Authentication Methods"): nobody proves anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wampha.auth.grant import Grant

METHOD: Final = "anonymous"


def grant(*, authid: str, role: str) -> Grant:
    """Let the client in under `role`; the authid is drawn by the router, never the client's claim."""
    return Grant(authid=authid, authrole=role, authmethod=METHOD, authprovider="static")


def offered(authmethods: Sequence[str] | None) -> bool:
    """Whether HELLO asks for this method: by name, or by naming none."""
    return not authmethods or METHOD in authmethods
