"""Takes pickle out of pysyncobj: what it would pickle is written as MessagePack.

The library calls the functions of its own module `pysyncobj.pickle` by name, so replacing them suffices; `journal`
imports two of them. Replaced for the whole process, once, when this module is imported. Reading with
`use_list=False` matters: the library needs log entries to be tuples.
"""

from __future__ import annotations

from typing import IO, Any

import msgpack  # type: ignore[import-untyped]  # it has no types
import pysyncobj.journal
import pysyncobj.pickle
from pysyncobj.node import Node


def dumps(value: Any, protocol: int | None = None) -> bytes:
    """`value` as MessagePack; a set becomes a list and a Node its id, since nobody reads them back."""
    packed: bytes = msgpack.packb(value, default=_plain)
    return packed


def loads(data: bytes) -> Any:
    """The value; raises ValueError and nothing else, runs nothing."""
    try:
        return msgpack.unpackb(data, use_list=False)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(f"not MessagePack: {error}") from None


def dump(value: Any, file: IO[bytes], protocol: int | None = None) -> None:
    """Write `dumps(value)`."""
    file.write(dumps(value))


def load(file: IO[bytes]) -> Any:
    """`loads` of the rest of the file."""
    return loads(file.read())


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(str(each) for each in value)
    if isinstance(value, Node):
        return value.id
    raise TypeError(f"nothing of type {type(value).__name__} belongs into a log or snapshot")


def _install() -> None:
    for name, function in {"dumps": dumps, "loads": loads, "dump": dump, "load": load}.items():
        setattr(pysyncobj.pickle, name, function)
    pysyncobj.journal.dumps = dumps
    pysyncobj.journal.loads = loads


_install()
