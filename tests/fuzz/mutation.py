"""Inputs that are nearly right: what was right, with a few octets changed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

_CHANGES_MAX: Final = 4
# What formats give a meaning: lengths, types, brackets, and numbers at their ends.
_TELLING: Final = (
    *(b"[", b"]", b"{", b'"', b"\\u0000", b"-0", b"1e999", b"null"),
    *(b"\x00", b"\x7f", b"\x80", b"\x9f", b"\xbf", b"\xc1", b"\xc4", b"\xd8\x1c", b"\xdf", b"\xff"),
    *(b"\x00" * 4, b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\x00" * 7),
)


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """`data` with one to four changes; `others` are inputs from which pieces may come."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, _CHANGES_MAX)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(7)
        if kind == 0:
            changed[at : at + 1] = bytes((chance.randrange(256),))
        elif kind == 1:
            del changed[at : at + chance.randint(1, 4)]
        elif kind == 2:
            changed[at:at] = chance.randbytes(chance.randint(1, 3))
        elif kind == 3:
            changed[at:at] = changed[at : at + chance.randint(1, 12)]
        elif kind == 4:
            changed[at:at] = chance.choice(_TELLING)
        elif kind == 5 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        else:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            changed[at:at] = other[begin : begin + chance.randint(1, 32)]
    return bytes(changed)


def mutations(corpus: Sequence[bytes], seed: str) -> Iterator[bytes]:
    """Without end, and the same ones each time for the same seed."""
    chance = random.Random(seed)
    while True:
        yield mutated(chance.choice(corpus), chance, corpus)
