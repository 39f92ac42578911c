"""Files are looked at now and then, and a change is told once, when it is complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from wampha.filewatch import SETTLE_S, FileWatch, Marks, marks_of

EVERY_S = 10.0
A, B = Path("a"), Path("b")


class Time:
    """`routing.ports.Clock` on a clock of the test."""

    def __init__(self) -> None:
        self.clock = Clock()

    def now(self) -> float:
        return self.clock.seconds()

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> Any:
        return self.clock.callLater(delay_s, call, *args)


class Threads:
    """Works at once, unless it is busy or hangs."""

    def __init__(self) -> None:
        self.busy = self.hangs = False
        self.waiting: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        if self.busy:
            return False
        self.waiting.append(lambda: done(work()))
        if not self.hangs:
            self.waiting.pop()()
        return True


class Bench:
    def __init__(self, *files: Path, known: Marks | None = None) -> None:
        self.files: list[Path] = list(files)
        self.there: dict[Path, int] = dict.fromkeys(files, 0)  # file -> version of its content
        self.changes = 0
        self.looks = 0
        self.time = Time()
        self.threads = Threads()
        self.watch = FileWatch(
            files=lambda: self.files,
            changed=self.changed,
            every_s=EVERY_S,
            clock=self.time,
            workers=self.threads,
            known=known,
            marks=self.marks,
        )
        self.watch.start()

    def changed(self) -> None:
        self.changes += 1

    def marks(self, files: Iterable[Path]) -> Marks:
        self.looks += 1
        return {file: (self.there[file], 0, 0) if file in self.there else None for file in files}

    def after(self, seconds: float) -> int:
        """How many changes were told by then."""
        self.time.clock.advance(seconds)
        return self.changes


def test_what_stays_is_no_change() -> None:
    bench = Bench(A, B)
    assert [bench.after(EVERY_S) for _ in range(5)] == [0] * 5
    assert bench.looks == 6


def test_a_change_is_told_once_when_it_has_settled() -> None:
    bench = Bench(A, B)
    bench.there[B] = 1
    assert bench.after(EVERY_S) == 0
    assert bench.after(SETTLE_S) == 1
    assert bench.after(EVERY_S) == 1


def test_a_file_that_is_being_written_is_not_read() -> None:
    bench = Bench(A)
    bench.after(EVERY_S - SETTLE_S)
    for version in range(1, 6):
        bench.there[A] = version
        assert bench.after(SETTLE_S) == 0
    assert bench.after(SETTLE_S) == 1


def test_what_comes_back_as_it_was_is_no_change() -> None:
    bench = Bench(A)
    del bench.there[A]
    assert bench.after(EVERY_S) == 0
    bench.there[A] = 0
    assert bench.after(SETTLE_S) == bench.after(EVERY_S) == 0


def test_a_file_that_goes_and_comes_is_a_change_each_time() -> None:
    bench = Bench(A)
    del bench.there[A]
    bench.after(EVERY_S)
    assert bench.after(SETTLE_S) == 1
    bench.there[A] = 0
    bench.after(EVERY_S)
    assert bench.after(SETTLE_S) == 2


def test_a_file_that_is_named_newly_is_watched_from_then_on() -> None:
    bench = Bench(A)
    bench.files.append(B)
    bench.there[B] = 0
    assert bench.after(EVERY_S) == bench.after(SETTLE_S) == 0
    bench.there[B] = 1
    bench.after(EVERY_S)
    assert bench.after(SETTLE_S) == 1


def test_a_file_that_is_not_named_any_more_is_forgotten() -> None:
    bench = Bench(A, B)
    bench.files.remove(B)
    bench.there[B] = 1
    assert bench.after(EVERY_S) == bench.after(SETTLE_S) == 0


def test_a_change_between_the_first_reading_and_the_first_look_is_seen() -> None:
    bench = Bench(A, B, known={A: (-1, 0, 0)})
    assert bench.after(SETTLE_S) == 1
    assert bench.after(EVERY_S) == 1


def test_threads_that_are_busy_are_asked_again() -> None:
    bench = Bench(A)
    bench.threads.busy = True
    bench.there[A] = 1
    assert bench.after(EVERY_S) == 0
    bench.threads.busy = False
    bench.after(EVERY_S)
    assert bench.after(SETTLE_S) == 1


def test_who_has_stopped_looks_no_more() -> None:
    bench = Bench(A)
    bench.watch.stop()
    bench.watch.stop()
    assert bench.time.clock.getDelayedCalls() == []


def test_a_look_that_hangs_is_the_only_one_and_does_not_outlive_a_stop() -> None:
    bench = Bench(A)
    bench.threads.hangs = True
    bench.there[A] = 1
    assert bench.after(20 * EVERY_S) == 0
    assert len(bench.threads.waiting) == 1
    bench.watch.stop()
    bench.threads.waiting.pop()()
    assert bench.after(EVERY_S) == 0
    assert bench.time.clock.getDelayedCalls() == []


def test_another_file_behind_the_same_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes brings a new ConfigMap: the times of both may be equal."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("same length")
        os.utime(tmp_path / name / "config.yaml", ns=(0, 0))
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    before = marks_of([tmp_path / "config.yaml"])
    assert marks_of([tmp_path / "config.yaml"]) == before
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(tmp_path / "..data")
    assert marks_of([tmp_path / "config.yaml"]) != before
    assert marks_of([tmp_path / "missing"]) == {tmp_path / "missing": None}
