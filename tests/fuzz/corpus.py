"""The inputs that are kept: one text file for each target, one input a line, in hexadecimal digits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.targets import Target

KEPT_MAX: Final = 150  # inputs per target
_FOLDER: Final = Path(__file__).with_name("corpus")
_CODE: Final = str(Path(__file__).parents[2] / "wampha")

Arc = tuple[str, int, int]  # file, and two lines of which the second was run behind the first


def kept(target: str) -> list[bytes]:
    """The inputs that are kept for a target, shortest first."""
    path = _FOLDER / f"{target}.txt"
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(target: str, inputs: Iterable[bytes]) -> None:
    """Replace what is kept for a target."""
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / f"{target}.txt").write_text("".join(f"{each.hex()}\n" for each in ordered(inputs)))


def ordered(inputs: Iterable[bytes]) -> list[bytes]:
    """Each once, shortest first."""
    return sorted(set(inputs), key=lambda each: (len(each), each))


def least(target: Target, *, seeds: Sequence[bytes], found: Iterable[bytes]) -> list[bytes]:
    """The shortest of those found that together reach, beyond what the seeds reach, what all reach."""
    for data in seeds:
        target.check(data)  # what only happens the first time is nobody's merit
    reached: set[Arc] = set()
    for data in seeds:
        reached |= arcs(target.check, data)
    chosen: list[bytes] = []
    for data in ordered(found):
        news = arcs(target.check, data) - reached
        if news and len(chosen) < KEPT_MAX:
            chosen.append(data)
            reached |= news
    return chosen


def arcs(check: Callable[[bytes], object], data: bytes) -> set[Arc]:
    """The steps from line to line that an input takes in wampha."""
    seen: set[Arc] = set()

    def called(frame: FrameType, event: str, _: Any) -> Any:
        file, last = frame.f_code.co_filename, 0
        if not file.startswith(_CODE):
            return None

        def stepped(inner: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                seen.add((file, last, inner.f_lineno))
                last = inner.f_lineno
            return stepped

        return stepped

    before = sys.gettrace()
    sys.settrace(called)
    try:
        check(data)
    finally:
        sys.settrace(before)
    return seen
