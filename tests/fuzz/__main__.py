"""Look for inputs that do harm: `python -m tests.fuzz --runs 1000000 json`.

With atheris installed (`make fuzz`) the search is guided by coverage; without it, inputs are mutations at random. What
was interesting stays in `.fuzz/TARGET`, from where the next run goes on; `--keep` chooses from there, and from what is
kept, the few inputs that together reach all lines and branches that all of them reach, for `corpus/`. An input that
does harm ends the run; it is in `.fuzz/TARGET-crash-*`, or printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fuzz.mutation import mutations

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

FOUND: Final = Path(".fuzz")
SLOW_S: Final = 10  # an input that takes longer is one that does harm
MEMORY_MIB: Final = 2048


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="one of tests/fuzz/targets.py")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=0, help="end after so many; 0: never (default)")
    parser.add_argument("--keep", action="store_true", help="do not look for any, choose from those that were found")
    return parser.parse_args(argv)


def watched(target: Target) -> Callable[[bytes], None]:
    """What runs one input, and raises if it does harm."""
    from twisted.logger import globalLogPublisher

    from tests.fuzz.targets import Watch

    watch = Watch()
    globalLogPublisher.addObserver(watch)

    def one(data: bytes) -> None:
        watch.run(target, data)

    return one


def start(folder: Path, name: str, target: Target) -> list[bytes]:
    """The inputs from which the search begins; they are put into the folder."""
    from tests.fuzz.corpus import kept

    folder.mkdir(parents=True, exist_ok=True)
    for data in (*target.seeds(), *kept(name)):
        (folder / sha256(data).hexdigest()[:24]).write_bytes(data)
    return found(folder)


def found(folder: Path) -> list[bytes]:
    """All inputs that are there, shortest first."""
    return sorted((path.read_bytes() for path in folder.iterdir()), key=lambda data: (len(data), data))


def guided(name: str, runs: int, seconds: int) -> None:
    """Search with atheris, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["wampha", "autobahn"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = FOUND / name
    start(folder, name, target)
    flags = {
        "runs": runs,
        "max_total_time": seconds,
        "max_len": target.bytes_max,
        "timeout": SLOW_S,
        "rss_limit_mb": MEMORY_MIB,
        "artifact_prefix": f"{FOUND / name}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    atheris.Setup([sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(folder)], watched(target))
    atheris.Fuzz()


def unguided(name: str, runs: int, seconds: int) -> None:
    """Mutations at random."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    corpus, run, began, done = start(FOUND / name, name, target), watched(target), time.monotonic(), 0
    for data in islice(mutations(corpus, f"{name} {time.time_ns()}"), runs):
        try:
            run(data)
        except BaseException:
            print(f"this input does harm: {data.hex()}", file=sys.stderr)
            raise
        done += 1
        if seconds and time.monotonic() - began > seconds:
            break
    print(f"{name}: {done} inputs in {time.monotonic() - began:.0f} s, not guided")


def choose(name: str) -> None:
    """Keep the shortest inputs that together reach what all do."""
    from tests.fuzz.corpus import keep, kept, least
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    seeds = target.seeds()
    chosen = least(target, seeds=seeds, found=[*found(FOUND / name), *kept(name)])
    keep(name, chosen)
    print(f"{name}: {len(chosen)} inputs are kept beside {len(seeds)} seeds")


def main(argv: Sequence[str]) -> None:
    options = arguments(argv)
    if options.keep:
        choose(options.target)
        return
    try:
        import atheris  # noqa: F401 - only whether it is there
    except ImportError:
        unguided(options.target, options.runs, options.seconds)
    else:
        guided(options.target, options.runs, options.seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
