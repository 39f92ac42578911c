"""A node reads its configuration again: what it says, what it changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import capturedLogs

from wampha.config.load import Loaded
from wampha.config.schema import Settings
from wampha.counters import Counters
from wampha.errors import ConfigError
from wampha.reloading import NO_FILE, Reloaded, Reloading
from wampha.tls import CertificateError


def settings_of(level: str = "info", name: str = "a") -> Settings:
    return Settings.model_validate(
        {
            "node": {"name": name},
            "realms": [{"name": "realm1"}],
            "listeners": [{"endpoint": "tcp:8080"}],
            "log": {"level": level},
        }
    )


class Late:
    """A thread that works when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.full = False

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        if not self.full:
            self.waiting.append((work, done))
        return not self.full

    def work(self) -> None:
        work, done = self.waiting.pop(0)
        done(work())


class Bench:
    """A reloading whose file the test writes: settings, or an error."""

    def __init__(self, *, file: bool = True) -> None:
        self.settings = settings_of()
        self.file: Loaded | ConfigError = Loaded(self.settings)
        self.workers = Late()
        self.counters = Counters()
        self.audit: list[tuple[str, dict[str, Any]]] = []
        self.steps: list[str] = []
        self.unfit: CertificateError | None = None
        self.reloading = Reloading(
            read=self._read if file else None,
            settings=lambda: self.settings,
            parts=(self._first, self._second),
            workers=self.workers,
            counters=self.counters,
            audit=lambda kind, fields: self.audit.append((kind, dict(fields))),
        )

    def _read(self) -> Loaded:
        if isinstance(self.file, ConfigError):
            raise self.file
        return self.file

    def _first(self, settings: Settings) -> Callable[[], None]:
        return lambda: self.steps.append(f"first {settings.log.level}")

    def _second(self, settings: Settings) -> Callable[[], None]:
        if self.unfit is not None:
            raise self.unfit

        def use() -> None:
            self.settings = settings

        return use

    def reload(self) -> tuple[Reloaded, list[str]]:
        """What came of it, and the lines of the log."""
        told: list[Reloaded] = []
        with capturedLogs() as events:
            self.reloading.reload().addCallback(told.append)
            if self.workers.waiting:
                self.workers.work()
        (reloaded,) = told
        return reloaded, [event["log_format"].format(**event) for event in events]


def test_a_file_that_says_nothing_new_changes_nothing_and_is_told() -> None:
    bench = Bench()
    assert bench.reload() == (Reloaded(), ["the configuration was read again; changed: nothing"])
    assert bench.counters["config_reloads"] == 1


def test_what_has_changed_is_taken_over_as_a_whole_and_named() -> None:
    bench = Bench()
    bench.file = Loaded(settings_of("debug"), ("a.yaml:1:1: x: warning: hm",))
    reloaded, lines = bench.reload()
    assert reloaded == Reloaded(changed=("log.level",), warnings=("a.yaml:1:1: x: warning: hm",))
    assert bench.settings == settings_of("debug")
    assert bench.steps == ["first debug"]
    assert lines == ["a.yaml:1:1: x: warning: hm", "the configuration was read again; changed: log.level"]
    assert bench.audit == [("configuration_changed", {"changed": "log.level", "restart": ""})]


def test_what_needs_a_restart_stays_and_is_named_each_time() -> None:
    bench = Bench()
    bench.file = Loaded(settings_of(name="b"))
    for _ in range(2):
        reloaded, lines = bench.reload()
        assert reloaded == Reloaded(restart=("node.name",))
        assert lines == [
            "the configuration was read again; changed: nothing",
            "changed in the file, stays as it was until this node starts again: node.name",
        ]
        assert bench.settings == settings_of()


def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_with_its_lines() -> None:
    bench = Bench()
    bench.file = ConfigError(["a.yaml:3:1: realms: is missing", "a.yaml:9:2: log.levle: unknown key"])
    reloaded, lines = bench.reload()
    assert reloaded == Reloaded(problems=("a.yaml:3:1: realms: is missing", "a.yaml:9:2: log.levle: unknown key"))
    assert not reloaded.done
    assert lines == ["the configuration stays as it was; problems: 2", *reloaded.problems]
    assert bench.steps == []
    assert (bench.counters["config_reloads"], bench.counters["config_reload_failures"]) == (0, 1)
    assert bench.audit == [("configuration_refused", {"problems": 2})]


def test_nothing_has_changed_if_one_part_cannot() -> None:
    bench = Bench()
    bench.file, bench.unfit = Loaded(settings_of("debug")), CertificateError("key", "a.key does not fit")
    reloaded, _ = bench.reload()
    assert reloaded.problems == ("a.key does not fit",)
    assert (bench.steps, bench.settings) == ([], settings_of())


def test_who_asks_while_the_file_is_read_is_told_what_the_next_reading_brings() -> None:
    bench = Bench()
    told: list[tuple[int, Reloaded]] = []
    bench.reloading.reload().addCallback(lambda reloaded: told.append((1, reloaded)))
    for number in (2, 3):
        bench.reloading.reload().addCallback(lambda reloaded, n=number: told.append((n, reloaded)))
    assert len(bench.workers.waiting) == 1
    bench.workers.work()
    assert told == [(1, Reloaded())]
    bench.file = Loaded(settings_of("debug"))
    bench.workers.work()
    changed = Reloaded(changed=("log.level",))
    assert told[1:] == [(2, changed), (3, changed)]
    assert not bench.workers.waiting


def test_without_a_file_there_is_nothing_to_read() -> None:
    reloaded, _ = Bench(file=False).reload()
    assert reloaded.problems == (NO_FILE,)


def test_who_is_too_busy_to_read_says_so_and_can_be_asked_again() -> None:
    bench = Bench()
    bench.workers.full = True
    reloaded, _ = bench.reload()
    assert "try again" in reloaded.problems[0]
    bench.workers.full = False
    assert bench.reload()[0].done


def test_it_can_be_told_as_json() -> None:
    assert Reloaded(restart=("node.name",)).as_dict() == {
        "done": True,
        "changed": (),
        "restart": ("node.name",),
        "problems": (),
        "warnings": (),
    }


def test_many_paths_make_no_endless_line() -> None:
    bench = Bench()
    data = settings_of().model_dump()
    data["realms"] = [{"name": f"realm{number}"} for number in range(60)]
    bench.file = Loaded(Settings.model_validate(data))
    reloaded, lines = bench.reload()
    assert len(reloaded.changed) == 59
    assert lines[-1].endswith("and 9 more")
