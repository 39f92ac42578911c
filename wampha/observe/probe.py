"""Ask a node whether it lives, for images without a shell: `python -m wampha.observe.probe [URL]`.

Ends with 0 if the answer is 200; else, or if there is none, with 1 and a sentence. It imports next to nothing, since it
is started every few seconds.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

LIVEZ: Final = "http://127.0.0.1:9180/livez"
WAIT_S: Final = 4.0  # for each step; less than the image's health check allows
_HEAD_BYTES_MAX: Final = 4096


def ask(url: str) -> str | None:
    """None if `url` (http://host:port/path) answers 200, else what is wrong, in one line."""
    place, slash, path = url.removeprefix("http://").partition("/")
    host, colon, port = place.rpartition(":")
    if not (url.startswith("http://") and host and colon and port.isdecimal()):
        return f"{url} should be http://host:port/path"
    request = f"GET {slash}{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), WAIT_S) as connection:
            connection.sendall(request.encode())
            line = connection.makefile("rb").readline(_HEAD_BYTES_MAX).decode("latin-1").rstrip()
    except OSError as error:
        return f"{url} does not answer: {error}"
    status = line.split(" ")[1:2]
    return None if status == ["200"] else f"{url} answers {line!r}"


def main() -> None:
    """Ask the URL of the command line."""
    trouble = ask(sys.argv[1] if len(sys.argv) > 1 else LIVEZ)
    if trouble:
        sys.exit(trouble)


if __name__ == "__main__":
    main()
