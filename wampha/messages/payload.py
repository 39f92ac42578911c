"""The payload of a message: `args` and `kwargs` as the bytes of one serializer family."""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Family(enum.IntEnum):
    """A family of serializers that write payloads alike."""

    JSON = 0
    MSGPACK = 1
    CBOR = 2


class Payload(msgspec.Struct, frozen=True, gc=False):
    """`count` elements (0: none, 1: args, 2: args and kwargs) encoded in `family`.

    `data` holds the elements as they stood in the message: for MessagePack and CBOR one behind the other, for JSON
    with the comma between them. It is well-formed, of the right types and within the nesting bound: the parser of the
    client wire, or the link's handshake with a member of the cluster, vouches for it.
    """

    family: Family
    count: int
    data: bytes


NOTHING: Final = Payload(Family.JSON, 0, b"")
