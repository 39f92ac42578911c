"""Questions to a running node over HTTP: its monitoring port, or the socket by which its operator changes it."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from wampha.cli.exits import CommandFailed, Exit

ANSWER_S: Final = 10.0  # a node waits one second for the others
ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path: Final = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def status_of(url: str) -> dict[str, Any]:
    """The cluster as the node sees it whose monitoring port is at `url`. Raises CommandFailed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 9180
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme != "http" or not host:
        raise CommandFailed(Exit.USAGE, f'"{url}" should be http://HOST:PORT')
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    code, body = _ask(connection, "GET", "/status", f"no node at {url}", _DEAD)
    try:
        status: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        status = None
    if code != http.client.OK or not isinstance(status, dict) or "nodes" not in status:
        raise CommandFailed(Exit.UNREACHABLE, f"what answers at {url} is no wampha node; its monitoring port is 9180")
    return status


_DEAD: Final = "start it, or name another one by --url; a node listens at its monitoring.endpoint"
_NO_SOCKET: Final = (
    "a running node has it in node.run_dir; name it by --socket PATH, or the configuration by -c, as the node's user"
)


def told(path: Path, request: str) -> str:
    """What a node answers that is told something by its socket, e.g. `/drain`. Raises CommandFailed."""
    code, body = _ask(_UnixConnection(path), "POST", request, f"no node at {path}", _NO_SOCKET)
    sentence = body.decode(errors="replace").strip()
    if code >= http.client.BAD_REQUEST:
        raise CommandFailed(Exit.FAILED, sentence or f"the node answered {code}")
    return sentence


def _ask(
    connection: http.client.HTTPConnection, method: str, request: str, nobody: str, advice: str
) -> tuple[int, bytes]:
    try:
        connection.request(method, request)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX)
    except TimeoutError:
        raise CommandFailed(Exit.TIMEOUT, f"{nobody} answers within {ANSWER_S:g} s") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandFailed(Exit.UNREACHABLE, f"{nobody}: {why[:1].lower()}{why[1:]}; {advice}") from None
    except http.client.HTTPException as error:
        raise CommandFailed(Exit.UNREACHABLE, f"{nobody} that speaks HTTP: {error!r}; {advice}") from None
    finally:
        connection.close()
