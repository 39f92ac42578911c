"""How a stream of octets is cut."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(data: bytes) -> Iterator[bytes]:
    """The stream behind the first octet; that is the length of each chunk, or 0 if it comes in one."""
    if len(data) > 1:
        size = data[0] or len(data)
        for at in range(1, len(data), size):
            yield data[at : at + size]
