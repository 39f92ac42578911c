"""What static permissions cost: `python -m bench.permissions`.

One process of wampha has a role with a single permission that allows everything, the other one a role with 200
permissions of all kinds, few of which have anything to do with what is published and called. They are measured as
`bench.pair` does it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.pair import add_options, compare
from bench.routers import ALLOW_ALL, Wampha

COUNT = 200


def permissions() -> list[dict[str, Any]]:
    """The role with many; its clients may do what the load does by one that is neither the first nor the shortest."""
    return list(_permissions())


def _permissions() -> Iterator[dict[str, Any]]:
    nothing = dict.fromkeys(ALLOW_ALL, False)
    yield {"uri": "", "match": "prefix", "allow": nothing}
    yield {"uri": "bench.", "match": "prefix", "allow": ALLOW_ALL}
    yield {"uri": "..", "match": "wildcard", "allow": nothing}
    for number in range(COUNT - 3):
        match = ("exact", "prefix", "wildcard")[number % 3]
        middle = "" if match == "wildcard" else "area"
        yield {
            "uri": f"com.example.{middle}.thing{number}",
            "match": match,
            "allow": {**nothing, "subscribe": number % 2 == 0, "call": True},
        }


def run(argv: Sequence[str]) -> int:
    """Many permissions against one."""
    parser = argparse.ArgumentParser(prog="python -m bench.permissions", description=__doc__)
    add_options(parser)
    options = parser.parse_args(argv)
    python = Path(sys.executable)
    compare(Wampha(python), Wampha(python, permissions=permissions()), options, f"{COUNT} permissions / 1")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
