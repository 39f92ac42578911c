"""Which lines the log shows, how they look, and that repeats are told as a number."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import twisted.logger
from twisted.logger import InvalidLogLevelError, Logger, LogLevel, LogPublisher, textFileLogObserver
from twisted.python.failure import Failure

from wampha.observe.logs import AUTO, JSON, TEXT, Logs
from wampha.observe.repeats import _KINDS_MAX, LINES_MAX, PERIOD_S, Repeats

MOMENT = 1764063000.1234


class Bench:
    """A process that logs to a file in memory."""

    def __init__(self, level: str = "info", form: str = JSON, out: io.StringIO | None = None) -> None:
        self.logs = Logs(level, form, "node-0")
        self.out = out or io.StringIO()
        publisher = LogPublisher(self.logs.observer(self.out))
        self.log = Logger(observer=publisher, namespace="test.place")
        self._publisher = publisher

    def tell(self, form: str, *, at: float = MOMENT, namespace: str = "test.place", **values: Any) -> None:
        """One event of that time."""
        level = LogLevel.info
        event = {"log_format": form, "log_time": at, "log_namespace": namespace, "log_level": level, **values}
        self._publisher(event)

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return list(map(json.loads, self.lines))


def each_level(log: Logger) -> None:
    log.debug("d")
    log.info("i")
    log.warn("w")
    log.error("e")


def test_lines_below_the_level_are_left_out_and_it_may_change_while_the_process_runs() -> None:
    bench = Bench("warn")
    each_level(bench.log)
    assert [line["level"] for line in bench.objects] == ["warn", "error"]
    bench.logs.set("error")
    each_level(bench.log)
    assert [line["level"] for line in bench.objects[2:]] == ["error"]
    with pytest.raises(InvalidLogLevelError):
        bench.logs.set("loud")
    assert bench.logs.level == "error"


def test_debug_is_switched_on_and_off_again() -> None:
    bench = Bench("warn")
    for level, shown in (("debug", 4), ("warn", 2)):
        bench.logs.toggle_debug()
        assert bench.logs.level == level
        before = len(bench.lines)
        each_level(bench.log)
        assert len(bench.lines) - before == shown


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(InvalidLogLevelError):
        Logs("loud")


def test_a_line_for_machines_has_each_value_by_its_name() -> None:
    bench = Bench()
    bench.tell("cut {client}: {reason}", client="tcp4:192.0.2.1", reason="ü\n", level=3, what=[1])
    (line,) = bench.objects
    assert line == {
        "time": "2025-11-25T09:30:00.123Z",
        "level": "info",
        "namespace": "test.place",
        "message": "cut tcp4:192.0.2.1: ü\n",
        "node": "node-0",
        "client": "tcp4:192.0.2.1",
        "reason": "ü\n",
        "level_": 3,
        "what": "[1]",
    }
    assert bench.out.getvalue().isascii()


def test_a_line_for_people_is_one_line_with_the_time_in_utc() -> None:
    bench = Bench(form=TEXT)
    bench.tell("it was\n{what}", what="long")
    assert bench.out.getvalue() == "2025-11-25T09:30:00.123Z [test.place#info] it was\n\tlong\n"


def test_a_failure_has_its_traceback_in_the_same_line() -> None:
    for form in (JSON, TEXT):
        bench = Bench(form=form)
        try:
            raise ValueError("broken")
        except ValueError:
            bench.log.failure("it failed", failure=Failure())
        assert "Traceback" in bench.out.getvalue() and "ValueError: broken" in bench.out.getvalue()
        if form == JSON:
            (line,) = bench.objects
            assert (line["level"], line["message"]) == ("critical", "it failed")
        else:
            assert all(line.startswith("\t") for line in bench.lines[1:])


def test_audit_events_have_their_fields() -> None:
    bench = Bench()
    bench.log.info("{audit} {fields}", audit="denied", fields="...", audit_realm="realm1", audit_session=7)
    (line,) = bench.objects
    assert (line["audit"], line["realm"], line["session"]) == ("denied", "realm1", 7)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "out", "text"),
    [(AUTO, Terminal, True), (AUTO, io.StringIO, False), (JSON, Terminal, False), (TEXT, io.StringIO, True)],
)
def test_people_sit_at_terminals(form: str, out: type[io.StringIO], text: bool) -> None:
    bench = Bench(form=form, out=out())
    bench.log.info("hello")
    assert bench.out.getvalue().startswith("{") is not text


def test_twistd_makes_its_observer_by_the_name_that_we_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twisted.logger, "textFileLogObserver", textFileLogObserver)
    from twisted.scripts._twistd_unix import UnixAppLogger

    logs = Logs("info", JSON)
    logs.take_over()
    observer: Any = UnixAppLogger({"nodaemon": True, "logfile": "-"})._getLogObserver()
    assert type(observer) is type(logs.observer(io.StringIO()))


def test_observers_of_others_get_only_what_is_shown() -> None:
    seen: list[str] = []
    logs, out = Logs("warn", TEXT), io.StringIO()
    publisher = LogPublisher(lambda event: seen.append(event["log_level"].name), logs.observer(out))
    logs.hold(publisher)
    each_level(Logger(observer=publisher, namespace="test"))
    assert seen == ["warn", "error"]
    assert len(out.getvalue().splitlines()) == 2


# ---- repeats


def test_too_many_lines_of_a_kind_are_told_as_a_number_and_others_are_not_lost() -> None:
    bench = Bench(form=TEXT)
    for number in range(LINES_MAX + 50):
        bench.tell("cut {client}", client=number)
        if number % 50 == 0:
            bench.tell("of another kind")
    assert len(bench.lines) == LINES_MAX + 3
    bench.tell("of another kind", at=MOMENT + PERIOD_S)
    assert bench.lines[-2].endswith(f"50 more lines like this were left out: cut {LINES_MAX + 49}")
    bench.tell("cut {client}", client="again", at=MOMENT + PERIOD_S)
    assert bench.lines[-1].endswith("cut again")


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    bench = Bench(form=TEXT)
    for _ in range(LINES_MAX + 1):
        bench.tell("cut")
    bench.tell("cut", at=MOMENT - 3600)
    assert len(bench.lines) == LINES_MAX + 2


def test_memory_of_kinds_is_bounded() -> None:
    repeats = Repeats()
    for number in range(_KINDS_MAX + 50):
        repeats.told({"log_format": str(number), "log_time": MOMENT})
    assert len(repeats._periods) <= _KINDS_MAX
    for _ in range(LINES_MAX + 1):
        repeats.told({"log_format": "often", "log_time": MOMENT})
    others = ({"log_format": f"x{number}", "log_time": MOMENT} for number in range(_KINDS_MAX))
    told = [event for other in others for event in repeats.told(other)]
    assert [event["suppressed"] for event in told if "suppressed" in event] == [1], "what goes is told before"


def test_what_was_asked_for_and_what_has_its_own_bound_is_no_repeat() -> None:
    bench = Bench()
    for _ in range(LINES_MAX + 10):
        bench.tell("status {status}", status="{}", asked=True)
        bench.tell("{audit}", audit="denied", namespace="wampha.audit")
    assert len(bench.lines) == 2 * (LINES_MAX + 10)
    assert "asked" not in bench.objects[0]


def test_a_value_is_bounded() -> None:
    bench = Bench()
    bench.log.info("{long}", long="x" * 5000)
    assert len(bench.objects[0]["long"]) < 1100
