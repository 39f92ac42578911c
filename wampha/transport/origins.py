"""Which web pages may connect by WebSocket (RFC 6455, section 10.2).

A browser lets any page open a WebSocket to any address, from inside the network of whoever looks at the page and with
their cookies and certificates, and says which page it was. Other clients say nothing of the kind, or what they like: so
this protects who browses, and nobody is authenticated by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SAME_HOST: Final = "same-host"
NULL: Final = "null"  # of pages from files or in sandboxes; anybody can make such a page
ANY: Final = "*"

_HOST: Final = r"(\[[0-9a-f:.]+\]|[^\s/@?#:\[\]]+)"
_ORIGIN: Final = re.compile(rf"([a-z][a-z0-9+.-]*)://{_HOST}(?::([0-9]{{1,5}}))?")
_HEADER_HOST: Final = re.compile(rf"{_HOST}(?::[0-9]*)?")
_PATTERN: Final = re.compile(r"[a-z*][a-z0-9+.*-]*://(\[[0-9a-f:.*]+\]|[^\s/@?#:\[\]]+)(?::(?:[0-9]{1,5}|\*))?")
_FILE: Final = "file://"  # how Chrome calls what others call null
_DEFAULT_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


class Origins:
    """The origins that one listener accepts."""

    __slots__ = ("_any", "_null", "_patterns", "_same_host")

    def __init__(self, allowed: Iterable[str] = (SAME_HOST,)) -> None:
        """`allowed`: `same-host`, `null`, `*` for all, or origins in which stars stand for any characters."""
        self.become(allowed)

    def become(self, allowed: Iterable[str]) -> None:
        """Accept these from now on."""
        given = {each.lower() for each in allowed}
        self._any = ANY in given
        self._same_host = SAME_HOST in given
        self._null = NULL in given
        patterns = sorted(given - {ANY, SAME_HOST, NULL})
        self._patterns = tuple(re.compile(re.escape(each).replace(r"\*", ".*")) for each in patterns)

    def allow(self, origin: str, host: str) -> bool:
        """Whether a client may connect whose request has these headers `Origin` (empty: none) and `Host`.

        The port counts in patterns only: cookies and certificates are the same for all ports of a host.
        """
        if not origin or self._any:
            return True
        origin = origin.lower()
        if origin == NULL or origin.startswith(_FILE):
            return self._null
        parts = _ORIGIN.fullmatch(origin)
        if parts is None:
            return False
        scheme, named, port = parts.groups()
        if self._same_host and named == _host_of(host):
            return True
        default = _DEFAULT_PORTS.get(scheme)
        spellings = {
            f"{scheme}://{named}:{port or default}",
            f"{scheme}://{named}" if port in (None, default) else origin,
        }
        return any(pattern.fullmatch(spelling) for pattern in self._patterns for spelling in spellings)


def _host_of(header: str) -> str | None:
    parts = _HEADER_HOST.fullmatch(header.strip().lower())
    return parts[1] if parts else None


def check_pattern(text: str) -> str:
    """Return what a configuration may list; ValueError with a sentence for anything else."""
    if text not in (SAME_HOST, NULL, ANY) and _PATTERN.fullmatch(text.lower()) is None:
        raise ValueError(
            "should be same-host, null, * or an origin such as https://*.example.com, without a path; "
            "stars stand for any characters"
        )
    return text
