"""Commands as bytes: one version byte, then MessagePack. Old versions stay readable."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Command,
    Down,
    EndPeriod,
    ForgetCookie,
    Keep,
    Lead,
    Leave,
    RememberCookie,
    RemoveRegistration,
    RemoveRoute,
    Report,
    Up,
)

VERSION: Final = 2  # the newest that this release reads
# Commands that came with a later version than 1 -> that version.
SINCE: Final[dict[type[Command], int]] = {RememberCookie: 2, ForgetCookie: 2, EndPeriod: 2}

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(
    Lead
    | Up
    | Down
    | Leave
    | AddRoute
    | RemoveRoute
    | AddRegistration
    | RemoveRegistration
    | Report
    | Keep
    | RememberCookie
    | ForgetCookie
    | EndPeriod
)


class UnreadableError(ValueError):
    """The bytes are no command and no snapshot."""


class UnsupportedError(UnreadableError):
    """The bytes are of a version that this release does not know."""


def encode(command: Command) -> bytes:
    """The bytes of a command for the log, in the oldest version that has it."""
    return bytes([version_of(command)]) + _ENCODER.encode(command)


def version_of(command: Command) -> int:
    """The oldest version that has the command; it is for the log only when every node that is up reads that version."""
    return SINCE.get(type(command), 1)


def decode(data: bytes) -> Command:
    """The command of these bytes; raises UnreadableError and nothing else, whatever they are."""
    if not data or not 1 <= data[0] <= VERSION:
        raise UnreadableError(f"A command of version {data[:1].hex() or 'none'}; this release reads {VERSION}.")
    try:
        command: Command = _DECODER.decode(memoryview(data)[1:])
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, as that of UTF-8 is
        raise UnreadableError(str(error)) from None
    return command
