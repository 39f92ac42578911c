"""What Autobahn keeps or does for every WebSocket connection and a router with many of them leaves out."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.logger import Logger


class Silent:
    """Stands in for Autobahn's log: what it reports there is counted by us, and a client must not fill our log.

    What it logs as an error is a fault of ours or its own, and is passed on.
    """

    _log = Logger(namespace="wampha.transport.autobahn")

    def _nothing(self, *_: Any, **__: Any) -> None:
        pass

    debug = trace = info = warn = warning = _nothing

    def error(self, *args: Any, **values: Any) -> None:
        self._log.error(*args, **values)

    critical = error

    def failure(self, *args: Any, **values: Any) -> None:
        self._log.failure(*args, **values)


class Nobody:
    """In place of two Deferreds and a set of counters per connection, that nobody ever looks at."""

    def callback(self, _: Any) -> None:
        """Called by Autobahn for `is_open` and `is_closed`."""

    def __getattr__(self, name: str) -> int:
        return 0

    def __setattr__(self, name: str, value: Any) -> None:
        pass


NOBODY: Final = Nobody()


# Autobahn's options. It copies those that the class lacks into every instance, and formats them all for its log:
# as class attributes, and with nothing left to copy, a session is 1.8 kB smaller and opens sooner.
OPTIONS: Final[dict[str, Any]] = {
    "CONFIG_ATTRS": (),  # what is still to be copied
    "logOctets": False,
    "logFrames": False,
    "trackTimings": False,
    "utf8validateIncoming": False,  # `Serializer.parse` checks it
    "applyMask": True,
    "autoFragmentSize": 0,
    "failByDrop": False,
    "echoCloseCodeReason": False,
    "openHandshakeTimeout": 0,  # `ClientConnection.tick` keeps all deadlines
    "closeHandshakeTimeout": 0,
    "tcpNoDelay": True,
    "autoPingInterval": 0,
    "autoPingTimeout": 0,
    "autoPingSize": 12,
    "autoPingRestartOnAnyTraffic": True,
    "versions": (8, 13),
    "webStatus": False,  # Autobahn's page redirects to whatever address the request names
    "requireMaskedClientFrames": True,
    "maskServerFrames": False,
    "serveFlashSocketPolicy": False,
    "flashSocketPolicy": "",
    "allowedOrigins": ("*",),
    "allowedOriginsPatterns": (re.compile(".*"),),
    "allowNullOrigin": True,
    "maxConnections": 0,
    "trustXForwardedFor": 0,
}

# What it keeps of the request for the connection's life: about 1 kB of text.
REQUEST_ATTRIBUTES: Final = (
    "http_request_data",
    "http_status_line",
    "http_headers",
    "http_request_uri",
    "http_request_path",
    "http_request_params",
    "http_request_host",
    "http_response_data",
    "websocket_protocols",
    "websocket_origin",
    "websocket_extensions",
    "websocket_extensions_in_use",
    "_wskey",
)
