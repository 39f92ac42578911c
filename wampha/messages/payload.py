"""The payload of a message: `args` and `kwargs` as the bytes of one serializer family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cbor2
import msgspec

from wampha.messages.values import Family, Untranscodable, dump, load

__all__ = ["NOTHING", "Family", "Payload", "Transcoder", "Untranscodable"]


class Payload(msgspec.Struct, frozen=True, gc=False):
    """`count` elements (0: none, 1: args, 2: args and kwargs) encoded in `family`; args may be binary (`enc_algo`).

    `data` holds the elements as they stood in the message: for MessagePack and CBOR one behind the other, for JSON
    with the comma between them. It is well-formed, of the right types and within the nesting bound: the parser of the
    client wire, or the link's handshake with a member of the cluster, vouches for it.
    """

    family: Family
    count: int
    data: bytes

    @staticmethod
    def of(args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Payload:
        """A payload that the router makes itself; values as `values.dump` takes them."""
        elements = [list(args), dict(kwargs)] if kwargs else [list(args)]
        return Payload(Family.MSGPACK, len(elements), dump(Family.MSGPACK, elements)[1:])

    def data_in(self, family: Family) -> bytes:
        """The elements encoded in `family`.

        Decodes and encodes if that is another family (`Transcoder` does it once for many receivers). Raises
        `Untranscodable`; see the table in `values.py`.
        """
        if family == self.family or not self.count:
            return self.data
        written = dump(family, self.elements())
        return written[1:-1] if family is Family.JSON else written[1:]

    def elements(self) -> list[Any]:
        """The elements, decoded: [], [args] or [args, kwargs]; raises `Untranscodable` for what Python cannot hold."""
        try:
            elements: list[Any] = load(self.family, self._as_list())
        except (ValueError, RecursionError, cbor2.CBORError) as error:
            raise Untranscodable(f"the payload cannot be decoded: {error}") from None
        return elements

    def args(self) -> list[Any]:
        """The positional arguments, decoded; empty if there are none."""
        args: list[Any] = self.elements()[0] if self.count else []
        return args

    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments, decoded; empty if there are none."""
        kwargs: dict[str, Any] = self.elements()[1] if self.count > 1 else {}
        return kwargs

    def _as_list(self) -> bytes:
        if self.family == Family.JSON:
            return b"[%b]" % self.data
        return bytes((_LIST_OF[self.family] + self.count,)) + self.data


_LIST_OF: Final = {Family.MSGPACK: 0x90, Family.CBOR: 0x80}  # the first byte of a list, plus its length

NOTHING: Final = Payload(Family.JSON, 0, b"")


class Transcoder:
    """Writes one payload for receivers of several kinds: transcodes once per family, whoever asks again.

    It remembers the last payload that it transcoded to each family, and so keeps at most that many alive.
    """

    def __init__(self) -> None:
        self._last: Final[dict[Family, tuple[Payload, bytes]]] = {}

    def data(self, payload: Payload, family: Family) -> bytes:
        """`payload.data_in(family)`, remembered; raises `Untranscodable`."""
        if payload.family == family or not payload.count:
            return payload.data
        last = self._last.get(family)
        if last is not None and last[0] is payload:
            return last[1]
        data = payload.data_in(family)
        self._last[family] = (payload, data)
        return data
