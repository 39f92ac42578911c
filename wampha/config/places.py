"""Where one listens and where one is reached: Twisted endpoint strings and host:port addresses."""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from zope.interface.exceptions import Invalid

# What a client or a peer can connect to; Twisted has more kinds (stdio, ...), which make no listener.
_KINDS: Final = ("tcp", "tcp6", "unix", "ssl", "systemd")
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9.])?)):(?P<port>[0-9]{1,5})"
)
_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class Place:
    """What an endpoint string binds: a port of an interface ("" is all of them), or a path."""

    port: int | None = None
    interface: str = ""
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.path is not None or is_loopback(self.interface)


class _Recorder:
    """Stands in for the reactor, and notes what an endpoint would have bound."""

    place: Place | None = None

    def listenTCP(  # noqa: N802 - Twisted's name
        self, port: int, factory: object, backlog: int = 50, interface: str = ""
    ) -> None:
        self.place = Place(port=port, interface=interface)

    def listenSSL(  # noqa: N802 - Twisted's name
        self, port: int, factory: object, context: object, backlog: int = 50, interface: str = ""
    ) -> None:
        self.place = Place(port=port, interface=interface)

    def listenUNIX(self, address: str, factory: object, **_options: Any) -> None:  # noqa: N802 - Twisted's name
        self.place = Place(path=address)


def place_of(endpoint: str) -> Place | None:
    """Return what a Twisted endpoint string binds (None: only its environment knows, as for `systemd:`).

    Nothing is bound; an `ssl:` endpoint has its certificate files read. Raises ValueError with a sentence that begins
    with a verb, as a continuation of the key's name.
    """
    kind = endpoint.partition(":")[0]
    if kind not in _KINDS:
        raise ValueError(_unknown_kind(endpoint, kind))
    if kind == "systemd":
        return None
    recorder = _Recorder()
    parse: Any = serverFromString
    try:
        failed = parse(recorder, endpoint).listen(None).result
    except (ValueError, TypeError, LookupError, OSError, Invalid) as error:
        raise ValueError(f"is no usable endpoint: {_words(error)}") from None
    place = recorder.place
    if place is None:
        raise ValueError(f"is no usable endpoint: {failed}")
    if place.port is not None and not 0 <= place.port <= _PORT_MAX:
        raise ValueError(f"has port {place.port}; ports go from 0 to {_PORT_MAX}")
    if place.path == "":
        raise ValueError("should name the path of the socket, as in unix:/run/wampha.sock")
    return place


def _unknown_kind(endpoint: str, kind: str) -> str:
    if near := difflib.get_close_matches(kind, _KINDS, n=1):
        return f'begins with "{kind}", which is no kind of endpoint. Did you mean "{near[0]}"?'
    if kind.isdigit() and kind == endpoint:
        return f'should be a Twisted endpoint string. Did you mean "tcp:{kind}"?'
    if found := _ADDRESS.fullmatch(endpoint):
        version, host = ("6", found["ipv6"].replace(":", "\\:")) if found["ipv6"] else ("", found["host"])
        return f'should be a Twisted endpoint string. Did you mean "tcp{version}:{found["port"]}:interface={host}"?'
    return f'begins with "{kind}", which is no kind of endpoint ({", ".join(_KINDS)})'


def _words(error: Exception) -> str:
    """Say what Twisted's parser, which calls its functions with what it read, means by its exceptions."""
    if isinstance(error, TypeError):
        if wrong := re.search(r"keyword argument '(\w+)'", str(error)):
            return f'it has no parameter "{wrong[1]}"'
        return "it lacks a parameter, or has too many; the form is tcp:PORT:interface=ADDRESS"
    if wrong := re.search(r"invalid literal for int\(\).*: (.*)", str(error)):
        return f"{wrong[1]} is not a port number"
    return str(error)


def check_endpoint(endpoint: str) -> str:
    """Return a usable endpoint string unchanged; raises ValueError."""
    place_of(endpoint)
    return endpoint


def host_of(address: str) -> str:
    """Return the host of a `host:port` address, without the brackets of IPv6; raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) <= _PORT_MAX:
        raise ValueError(f"should be host:port with a port from 1 to {_PORT_MAX}, e.g. 127.0.0.1:8071 or [::1]:8071")
    return found["ipv6"] or found["host"]


def check_address(address: str) -> str:
    """Return a well-formed `host:port` unchanged; raises ValueError."""
    host_of(address)
    return address


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine; names other than localhost are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
