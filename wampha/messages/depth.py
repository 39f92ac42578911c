"""Nesting: how deep lists and maps stand in each other, and cheap ways to know that they do not stand too deep.

A scalar has depth 0, an empty list or map 1, and a container one more than its deepest content.
"""

from __future__ import annotations

from typing import Any, Final

_MSGPACK_CONTAINERS: Final = bytes((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def json_exceeds(data: bytes, depth_max: int) -> bool:
    """Whether a JSON text nests deeper than `depth_max`; `data` is valid JSON.

    Each level writes one opening bracket, so few brackets settle it. Otherwise only brackets outside of strings are
    kept, and each round removes all innermost pairs: a text of depth n is gone after exactly n rounds.
    """
    if len(data) <= 2 * depth_max or data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.split(b'"')[::2]).translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(depth_max):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return bool(brackets)


def msgpack_may_exceed(data: bytes, depth_max: int) -> bool:
    """False if `data` surely nests at most `depth_max` deep: no more of its bytes than that could open a container."""
    return len(data) > depth_max and len(data) - len(data.translate(None, _MSGPACK_CONTAINERS)) > depth_max


def tree_exceeds(value: Any, depth_max: int) -> bool:
    """Whether decoded lists and maps nest deeper than `depth_max`; goes level by level, without recursion."""
    level = [value] if type(value) in (list, dict) else []
    for _ in range(depth_max):
        if not level:
            return False
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is list or type(child) is dict
        ]
    return bool(level)
