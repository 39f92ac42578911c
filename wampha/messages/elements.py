"""Elements: how many lists, maps, keys and scalars a message consists of, counted without building one of them.

A list of one byte costs a Python process 60 of them, so the length of a message does not bound what decoding it takes.
No element is shorter than one byte: callers need not ask about messages that are no longer than the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wampha.messages.values import Family

_WIDTHS: Final = {0: 1, 1: 2, 2: 4, 3: 8}  # the last bits of a head -> bytes of the length that follows it


def exceeds(family: Family, data: bytes, elements_max: int) -> bool:
    """Whether the message `data` has more than `elements_max` elements; malformed messages count up to their fault.

    In JSON an empty list or map counts twice.
    """
    return _EXCEEDS[family](data, elements_max)


def _json_exceeds(data: bytes, elements_max: int) -> bool:
    # All but the first element of a list or map stand behind a comma or a colon, the first behind its bracket.
    if _count_of_signs(data) < elements_max:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _count_of_signs(b"".join(data.split(b'"')[::2])) >= elements_max


def _count_of_signs(data: bytes) -> int:
    return data.count(b",") + data.count(b":") + data.count(b"[") + data.count(b"{")


class _Heads:
    """What the first byte of an element says: the bytes up to the next one, or where its length stands."""

    def __init__(self, fixed: Callable[[int], int], with_length: Mapping[int, tuple[int, int]]) -> None:
        # 0: the length is written behind the head
        self._sizes: Final = [0 if head in with_length else fixed(head) for head in range(256)]
        self._with_length: Final = with_length  # head -> (bytes of the length, bytes before the content)

    def exceed(self, data: bytes, elements_max: int) -> bool:
        """Whether more than `elements_max` heads stand in `data`; content of strings and binary is skipped."""
        sizes, end, at = self._sizes, len(data), 0
        for _ in range(elements_max):
            if at >= end:
                return False
            size = sizes[data[at]]
            at += size or self._size(data, at)
        return at < end

    def _size(self, data: bytes, at: int) -> int:
        width, before = self._with_length[data[at]]
        return before + int.from_bytes(data[at + 1 : at + 1 + width], "big")


def _msgpack_size(head: int) -> int:
    if 0xA0 <= head < 0xC0:  # a short string
        return 1 + head - 0xA0
    return _MSGPACK_SCALARS.get(head, 1)


def _cbor_size(head: int) -> int:
    major, low = head >> 5, head & 31
    if major in (2, 3) and low < 24:  # short binary and strings
        return 1 + low
    return 1 + _WIDTHS[low - 24] if 24 <= low < 28 else 1


# float, uint, int and fixext (MessagePack specification, "Formats"), then the heads of lists and maps
_MSGPACK_SCALARS: Final = {
    **{0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9},
    **{0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18},
    **{0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5},
}
_MSGPACK_BINARY: Final = {0xC4 + step: (_WIDTHS[step], 1 + _WIDTHS[step]) for step in range(3)}
_MSGPACK_EXTENSIONS: Final = {0xC7 + step: (_WIDTHS[step], 2 + _WIDTHS[step]) for step in range(3)}
_MSGPACK_TEXT: Final = {0xD9 + step: (_WIDTHS[step], 1 + _WIDTHS[step]) for step in range(3)}
_CBOR_STRINGS: Final = {
    major << 5 | 24 + step: (width, 1 + width) for major in (2, 3) for step, width in _WIDTHS.items()
}

_EXCEEDS: Final[Mapping[Family, Callable[[bytes, int], bool]]] = {
    Family.JSON: _json_exceeds,
    Family.MSGPACK: _Heads(_msgpack_size, {**_MSGPACK_BINARY, **_MSGPACK_EXTENSIONS, **_MSGPACK_TEXT}).exceed,
    Family.CBOR: _Heads(_cbor_size, _CBOR_STRINGS).exceed,
}
