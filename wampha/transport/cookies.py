"""The cookies of one listener: what browsers bring with their WebSocket requests, and what they are given."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from wampha.auth.steps import BrowserCookie

_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")


class BrowserCookies:
    """Draws cookies, and finds them again in requests."""

    def __init__(
        self, settings: Any, *, encrypted: bool, knows: Callable[[str], bool], draw: Callable[[int], bytes]
    ) -> None:
        """`settings`: a `config.authentication.CookieAuth`. `encrypted`: the listener speaks TLS.

        `knows`: whether somebody has proved something with a cookie; `draw` gives random bytes.
        """
        self._name: Final[str] = settings.name
        self._length: Final[int] = settings.length
        self._lifetime_s: Final = float(settings.max_age)
        self._knows: Final = knows
        self._draw: Final = draw
        attributes = ["Path=/", f"Max-Age={settings.max_age}", "HttpOnly", f"SameSite={settings.same_site.title()}"]
        if encrypted or settings.secure:
            attributes.append("Secure")
        self._attributes: Final = "; ".join(attributes)

    def of(self, headers: Mapping[str, str]) -> tuple[BrowserCookie, dict[str, str]]:
        """The cookie of a request, and the headers that give it to the browser, if it is a new one.

        `headers`: those of the request, with names in lower case.
        """
        value = self._brought(headers.get("cookie", ""))
        if value is not None and self._knows(value):
            return BrowserCookie(value, self._lifetime_s), {}
        fresh = base64.urlsafe_b64encode(self._draw(self._length)).decode()[: self._length]
        return BrowserCookie(fresh, self._lifetime_s), {"Set-Cookie": f"{self._name}={fresh}; {self._attributes}"}

    def _brought(self, header: str) -> str | None:
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self._name:
                return value if _VALUE.fullmatch(value) else None
        return None
