"""Commands as bytes."""

import pytest

from wampha.state.codec import UnreadableError, decode, encode
from wampha.state.commands import AddRegistration, Command, Lead, Leave, Owner, Up

OWNER = Owner("node1", 2**63 - 1)


def test_the_bytes_of_version_1_stay_readable() -> None:
    """Pinned: logs and snapshots of running nodes hold these bytes during an upgrade."""
    pinned = bytes.fromhex("01 9407 92a16101 02 a172 ".replace(" ", ""))
    with pytest.raises(UnreadableError):
        decode(pinned)  # too few fields
    assert encode(Lead(3, "n")) == bytes.fromhex("01930103a16e")
    assert decode(bytes.fromhex("01930103a16e")) == Lead(3, "n")
    assert encode(Leave(Owner("n", 7))) == bytes.fromhex("01920492a16e07")


@pytest.mark.parametrize(
    "command",
    [
        Up(OWNER, (1, 2), "host:1", "1.0"),
        AddRegistration(OWNER, 5, "r", "exact", "p", "single", 2**53),
    ],
)
def test_a_command_survives_its_bytes(command: Command) -> None:
    assert decode(encode(command)) == command


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x03" + encode(Lead(1, "n"))[1:],
        b"\x01\xc1",
        b"\x01\x93\x01\x03\xc0",
        b"\x01\x93\x01\x03\xa2\xa6\xff",
    ],
)
def test_other_bytes_are_unreadable_and_nothing_else(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(data)
