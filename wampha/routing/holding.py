"""What a session has, or has asked for, by a permission that it had."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wampha.errors import WampError
from wampha.routing.session import Session


class Holding(NamedTuple):
    """A subscription or registration."""

    session: Session
    action: str  # "subscribe" or "register"
    match: str
    uri: str
    take: Callable[[WampError], None]  # take it away and tell the session, unless it has given it up meanwhile
