"""What nodes agree about: frames of the control link, entries of the log, and snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.unit.ledger.test_frames import EACH
from wampha.counters import Counters
from wampha.ledger.frames import BadFrameError, decode, encode
from wampha.state import codec
from wampha.state.codec import UnreadableError
from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Command,
    Down,
    Entrusted,
    Keep,
    KeptEvent,
    Lead,
    Leave,
    Owner,
    RemoveRoute,
    Ring,
    Up,
)
from wampha.state.machine import Machine, Restoring

_A, _B = Owner("a", 1), Owner("b", 2)
_FOUNDED: Final = (Lead(1, "a"), Up(_A, (), "127.0.0.1:1", "0"), Up(_B, (), "127.0.0.1:2", "0"))
_LENGTH: Final = 2  # octets before each record of an input


def control(data: bytes) -> bool:
    """A frame of the control link: read or refused, and what is read can be written again."""
    try:
        frame = decode(data)
    except BadFrameError as error:
        assert str(error)
        return False
    assert decode(encode(frame)) == frame
    return True


def control_seeds() -> list[bytes]:
    return [encode(frame) for frame in EACH]


def records(data: bytes) -> Iterator[bytes]:
    """The pieces of an input, each with its length before it; the last one may be cut short."""
    at = 0
    while at + _LENGTH <= len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        yield data[at + _LENGTH : end]
        at = end


def recorded(pieces: Sequence[bytes]) -> bytes:
    return b"".join(len(piece).to_bytes(_LENGTH, "big") + piece for piece in pieces)


def _founded() -> Machine:
    machine = Machine(Counters())
    for index, command in enumerate(_FOUNDED, 1):
        machine.execute(index, command)
    return machine


def commands(data: bytes) -> bool:
    """Entries of the log: each is applied or refused, and a snapshot of what comes of it is the same tables."""
    machine = _founded()
    before = machine.digest()
    for index, entry in enumerate(records(data), len(_FOUNDED) + 1):
        machine.apply(index, entry)
    machine.take_changes()
    copy = Machine(Counters())
    copy.restore(machine.snapshot())
    assert copy.digest() == machine.digest()
    return machine.digest() != before


def _some() -> list[Command]:
    event = KeptEvent(1, "a.topic", 10, 5, False, b"", b"", 1, 1, b"[1]")
    ring = Ring("prefix", "a.", 10, 1000)
    return [
        AddRoute(_A, 1, "realm1", "exact", "a.topic"),
        AddRoute(_B, 1, "realm1", "wildcard", "a..b"),
        AddRegistration(_A, 2, "realm1", "exact", "a.procedure", "roundrobin", 5, 0, 0, False, False, 0, None),
        Keep(_A, 3, 1, 1, (Entrusted("realm1", event, True, (ring,)),)),
        RemoveRoute(_B, 2, "realm1", "wildcard", "a..b"),
        Up(Owner("b", 7), (2,), "127.0.0.1:2", "0"),
        Lead(2, "b"),
        Down(_B, 2),
        Leave(_A),
    ]


def commands_seeds() -> list[bytes]:
    entries = [codec.encode(command) for command in _some()]
    return [recorded(entries), *(recorded([entry]) for entry in entries)]


def pieces(data: bytes) -> bool:
    """Pieces of a snapshot: read or refused; what is read are tables, which go on."""
    machine = Machine(Counters())
    restoring = Restoring(machine)
    try:
        for piece in records(data):
            restoring.add(piece)
        restoring.install()
    except UnreadableError as error:
        assert str(error)
        return False
    tables = machine.tables
    index = max((*tables.up.values(), *tables._places), default=0) + 1  # ids are those of entries
    for command in _some():
        machine.execute(index, command)
        index += 1
    machine.take_changes()
    machine.digest()
    return True


def pieces_seeds() -> list[bytes]:
    machine = _founded()
    seeds = [recorded(machine.snapshot())]
    for index, command in enumerate(_some()[:5], len(_FOUNDED) + 1):
        machine.execute(index, command)
        seeds.append(recorded(machine.snapshot()))
    return seeds
