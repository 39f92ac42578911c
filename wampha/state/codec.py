"""Commands as bytes: one version byte, then MessagePack. Old versions stay readable."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wampha.state.commands import (
    AddRegistration,
    AddRoute,
    Command,
    Down,
    Lead,
    Leave,
    RemoveRegistration,
    RemoveRoute,
    Up,
)

VERSION: Final = 1
_HEAD: Final = bytes([VERSION])

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(
    Lead | Up | Down | Leave | AddRoute | RemoveRoute | AddRegistration | RemoveRegistration
)


class UnreadableError(ValueError):
    """The bytes are no command and no snapshot."""


class UnsupportedError(UnreadableError):
    """The bytes are of a version that this release does not know."""


def encode(command: Command) -> bytes:
    """The bytes of a command for the log."""
    return _HEAD + _ENCODER.encode(command)


def decode(data: bytes) -> Command:
    """The command of these bytes; raises UnreadableError and nothing else, whatever they are."""
    if data[:1] != _HEAD:
        raise UnsupportedError(f"A command of version {data[:1].hex() or 'none'}; this release reads {VERSION}.")
    try:
        command: Command = _DECODER.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnreadableError(str(error)) from None
    return command
