"""Ids of the global scope: basic profile, "IDs"."""

import random

from wampha.names.ids import ID_MAX, Ids


class Fixed:
    def __init__(self, bit: int) -> None:
        self._bit = bit

    def getrandbits(self, bits: int) -> int:
        return (1 << bits) - 1 if self._bit else 0


def test_ids_span_one_to_two_to_the_53() -> None:
    assert Ids(Fixed(0)).session() == Ids(Fixed(0)).publication() == 1
    assert Ids(Fixed(1)).session() == Ids(Fixed(1)).publication() == ID_MAX


def test_the_same_seed_gives_the_same_ids() -> None:
    ours, theirs = Ids(random.Random(7)), Ids(random.Random(7))
    assert [ours.session(), ours.publication()] == [
        theirs.session(),
        theirs.publication(),
    ]
