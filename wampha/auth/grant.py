"""What authentication yields, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Grant(msgspec.Struct, frozen=True):
    """Who the client is, under which role, and how and by what this was established (WELCOME.Details)."""

    authid: str
    authrole: str
    authmethod: str
    authprovider: str
    authextra: Mapping[str, Any] = {}
    standing: bytes = b""  # of the principal (`cookie.standing`), if it may come again by a cookie
