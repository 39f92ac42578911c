"""Probes and hooks of a pod's container, asked from the node's side as a kubelet does."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

from tests.helm.containers import Container
from tests.helm.store import Object

_GOOD: Final = range(200, 400)


@dataclass
class Inside:
    """A running container as probes reach it."""

    container: Container
    address: str
    ports: dict[str, int]

    def port(self, given: int | str) -> int:
        """A port by its name, or as a number."""
        return given if isinstance(given, int) else self.ports[given]


def succeeds(handler: Object, inside: Inside, timeout_s: float) -> bool:
    """Do once what a probe or hook says, and tell whether it went well."""
    if "exec" in handler:
        return inside.container.exec_status(*handler["exec"]["command"], timeout_s=timeout_s) == 0
    if "sleep" in handler:
        time.sleep(handler["sleep"]["seconds"])
        return True
    try:
        if "tcpSocket" in handler:
            with inside.container.reach(inside.address, inside.port(handler["tcpSocket"]["port"]), timeout_s):
                return True
        return _get(handler["httpGet"], inside, timeout_s) in _GOOD
    except (OSError, http.client.HTTPException):
        return False


def _get(given: Object, inside: Inside, timeout_s: float) -> int:
    plain = inside.container.reach(inside.address, inside.port(given["port"]), timeout_s)
    connected: socket.socket = plain
    if given.get("scheme") == "HTTPS":  # a kubelet does not look at certificates either
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connected = context.wrap_socket(plain)
    connection = http.client.HTTPConnection(inside.address, timeout=timeout_s)
    connection.sock = connected
    try:
        connection.request("GET", given.get("path", "/"))
        return connection.getresponse().status
    finally:
        connection.close()


class Probe:
    """One probe of one container, with its thresholds."""

    def __init__(self, spec: Object, inside: Inside, *, passes: bool) -> None:
        """`passes` is what holds until it was asked often enough."""
        self.passes = passes
        self.failed = False  # as often in a row as its threshold says
        self._spec: Final = spec
        self._inside: Final = inside
        self._due = time.monotonic() + spec.get("initialDelaySeconds", 0)
        self._last = False
        self._row = 0  # how often in a row the answer was `_last`

    def ask(self) -> None:
        """Ask if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._spec.get("periodSeconds", 10)
        good = succeeds(self._spec, self._inside, self._spec.get("timeoutSeconds", 1))
        self._row = self._row + 1 if good == self._last else 1
        self._last = good
        if good and self._row >= self._spec.get("successThreshold", 1):
            self.passes, self.failed = True, False
        elif not good and self._row >= self._spec.get("failureThreshold", 3):
            self.passes, self.failed = False, True
