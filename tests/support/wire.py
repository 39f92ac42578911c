"""The client wire for tests: our serializers, and the plain encoders of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2
import msgpack
import msgspec
import txaio

txaio.use_twisted()

from wampha.counters import Counters  # noqa: E402  Autobahn needs the choice above first
from wampha.limits import Limits  # noqa: E402  likewise
from wampha.messages.payload import Family  # noqa: E402  likewise
from wampha.messages.serializers import Serializer, serializers  # noqa: E402  likewise

FAMILIES: Final = tuple(Family)

ENCODE: Final[dict[Family, Callable[[Any], bytes]]] = {
    Family.JSON: msgspec.json.encode,
    Family.MSGPACK: msgpack.packb,
    Family.CBOR: cbor2.dumps,
}


class Wire:
    """The three serializers of a node by family, with their counters."""

    def __init__(self, depth_max: int = 64, limits: Limits | None = None) -> None:
        self.counters: Final = Counters()
        made = serializers(limits or Limits(nesting_depth_max=depth_max), self.counters)
        self._by_family: Final[dict[Family, Serializer]] = {serializer.family: serializer for serializer in made}

    def __getitem__(self, family: Family) -> Serializer:
        return self._by_family[family]

    def parse(self, family: Family, message: Any) -> Any:
        """What the node reads when a client of `family` sends `message`."""
        return self[family].parse(ENCODE[family](message))
