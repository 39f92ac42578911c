"""HTTP to a node's monitoring port or admin socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE_S = 10.0


class Answer(NamedTuple):
    """What came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("node", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(where: int | Path, path: str, method: str = "GET", timeout: float = PATIENCE_S, **headers: str) -> Answer:
    """One request to a port of loopback or to a socket; OSError if nobody answers in time."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", where, timeout=timeout)
        if isinstance(where, int)
        else _UnixConnection(where, timeout)
    )
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    except http.client.HTTPException as cut:
        raise ConnectionResetError(str(cut)) from cut
    finally:
        connection.close()
