"""Nesting: how deep lists and maps stand in each other, and cheap ways to know that they do not stand too deep.

A scalar has depth 0, an empty list or map 1, and a container one more than its deepest content.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, chain
from typing import Any, Final

_MSGPACK_CONTAINERS: Final = bytes((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, one level up, as signed bytes
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def json_exceeds(data: bytes, depth_max: int) -> bool:
    """Whether a JSON text nests deeper than `depth_max`; `data` is valid JSON.

    Each level writes one opening bracket, so few brackets settle it. Otherwise the brackets outside of strings are
    kept, as steps down and up: the depth is the largest sum that they reach.
    """
    if len(data) <= 2 * depth_max or data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = b"".join(data.split(b'"')[::2]).translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(array("b", steps)), default=0) > depth_max


def msgpack_may_exceed(data: bytes, depth_max: int) -> bool:
    """False if `data` surely nests at most `depth_max` deep: no more of its bytes than that could open a container."""
    return len(data) > depth_max and len(data) - len(data.translate(None, _MSGPACK_CONTAINERS)) > depth_max


def tree_exceeds(value: Any, depth_max: int) -> bool:
    """Whether decoded lists and maps nest deeper than `depth_max`; goes level by level, without recursion."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth_max):
        if not level:
            return False
        below = chain.from_iterable(item.values() if type(item) is dict else item for item in level)
        level = [child for child in below if type(child) in _CONTAINERS]
    return bool(level)


_CONTAINERS: Final = frozenset((list, dict))
