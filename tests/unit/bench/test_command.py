"""The command: choosing what to measure, and leaving no router behind."""

import os
import re
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import report
from bench.cases import ALL
from bench.errors import BenchError
from bench.process import Launch, RouterProcess, free_ports
from bench.routers import Wampha
from wampha.config.schema import Settings

BENCH = Path(command.__file__).parent


def launch(directory: Path, *shell: str) -> Launch:
    (port,) = free_ports(1)
    return Launch(name="fake", command=["sh", "-c", *shell], directory=directory, port=port, environment={})


def test_a_router_is_ended_with_its_workers_when_measuring_is_interrupted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pids")
    started = launch(tmp_path, "sleep 60 & echo $! $$ > pids; wait")
    with pytest.raises(KeyboardInterrupt), RouterProcess(started, cpu=None):
        pids = (tmp_path / "pids").read_text().split()
        raise KeyboardInterrupt
    assert len(pids) == 2
    for pid in pids:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or " Z " in state.read_text()


def test_a_router_that_ends_at_its_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    started = launch(tmp_path, "echo port in use; exit 3")
    expected = pytest.raises(BenchError, match=r"fake ended; the end of .*:\nport in use")
    with RouterProcess(started, cpu=None) as router, expected:
        router.wait_until_ready()


def test_an_unknown_case_or_router_or_transport_is_told_with_those_there_are() -> None:
    for arguments, sentence in (
        (["--cases", "p17"], "No case is called 'p17'; there are p16, "),
        (["--routers", "nexus"], "No router is called 'nexus'"),
        (["--transports", "wss"], "No transport is called 'wss'; there are ws/json, rawsocket/msgpack"),
    ):
        with pytest.raises(BenchError, match=sentence):
            command.run(arguments)


def test_the_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [case.name for case in ALL]


def test_the_readme_has_one_place_for_results() -> None:
    text = (BENCH / "README.md").read_text()
    assert (text.count(report.BEGIN), text.count(report.END)) == (1, 1)


def test_the_configurations_for_wampha_are_valid(tmp_path: Path) -> None:
    router = Wampha(Path("python"))
    launches = [router.launch(tmp_path), *router.launch_cluster(tmp_path, 3)]
    for each in launches:
        settings = Settings.model_validate_json((each.directory / "wampha.yaml").read_text())
        assert re.search(rf"^tcp:{each.port}:interface=127\.0\.0\.1", settings.listeners[0].endpoint)
    assert len({each.port for each in launches}) == len(launches)


def test_pinning_chooses_two_processors_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 4})
    assert command.pinning() == (3, 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert command.pinning() == (None, None)
