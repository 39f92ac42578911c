"""The load source must notice what a router does wrong, and read what a correct one may send."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from bench import load
from bench.errors import BenchError

# Test folders are no packages, so a helper beside a test is loaded by its place.
_spec = importlib.util.spec_from_file_location("bench_fake_router", Path(__file__).with_name("fake_router.py"))
assert _spec and _spec.loader
fake_router = importlib.util.module_from_spec(_spec)
sys.modules["bench_fake_router"] = fake_router
_spec.loader.exec_module(fake_router)

pytestmark = pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="needs a C compiler")

TRANSPORTS = ["ws/json", "ws/msgpack", "rawsocket/json", "rawsocket/msgpack"]
Message = list[Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return load.build(tmp_path_factory.mktemp("load"))


def run(
    program: Path, port: int, *, transport: str = "rawsocket/msgpack", mode: str = "pubsub", **options: float
) -> load.Reading:
    limits = {"window": 8, "warmup": 0, "seconds": 2, "operations": 150, "drain": 0.2, **options}
    return load.run(program, mode=mode, transport=transport, port=port, pids=[os.getpid()], cpu=None, options=limits)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mode", ["pubsub", "rpc"])
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_ids_of_every_length_and_frames_in_any_pieces_are_read(
    program: Path, transport: str, mode: str, piece: int
) -> None:
    with fake_router.FakeRouter(transport, piece=piece) as router:
        reading = run(program, router.port, transport=transport, mode=mode)
    assert reading.faults() == ""
    assert reading.operations >= 150


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("payload", [1000, 70_000])
def test_large_payloads_are_verified_whole(program: Path, transport: str, payload: int) -> None:
    with fake_router.FakeRouter(transport) as router:
        reading = run(program, router.port, transport=transport, payload=payload, operations=10, seconds=30)
    assert reading.faults() == ""
    assert reading.operations >= 10


def at(chosen: int, change: Callable[[Message], Iterable[Message]]) -> Callable[[int, Message], Iterable[Message]]:
    return lambda number, message: change(message) if number == chosen else [message]


def swap(first: int) -> Callable[[int, Message], Iterable[Message]]:
    held: list[Message] = []

    def mischief(number: int, message: Message) -> Iterable[Message]:
        if number == first:
            held.append(message)
            return []
        return [message, held.pop()] if held else [message]

    return mischief


def with_payload(change: Callable[[str], str]) -> Callable[[Message], list[Message]]:
    return lambda message: [[*message[:4], [change(message[4][0])]]]


@pytest.mark.parametrize(
    ("mischief", "faults"),
    [
        (at(20, lambda message: []), "1 lost"),
        (at(20, lambda message: [message, message]), "1 duplicated"),
        (swap(20), "1 reordered"),
        (at(20, with_payload(lambda text: text[:-1] + "!")), "1 lost, 1 damaged"),
        (at(20, with_payload(lambda text: "!" + text[1:])), "1 lost, 1 damaged"),
        (at(20, with_payload(lambda text: text + "!")), "1 lost, 1 damaged"),
        (at(20, lambda message: [[36, 5, *message[2:]]]), "1 lost, 1 damaged"),
    ],
    ids=["lost", "duplicated", "reordered", "end", "beginning", "longer", "another subscription"],
)
@pytest.mark.parametrize("transport", ["ws/json", "rawsocket/msgpack"])
def test_each_fault_of_a_router_is_named(
    program: Path, transport: str, mischief: Callable[[int, Message], Iterable[Message]], faults: str
) -> None:
    with fake_router.FakeRouter(transport, mischief) as router:
        reading = run(program, router.port, transport=transport, payload=40, seconds=0.3)
    assert reading.faults() == faults


def test_a_router_that_hangs_up_ends_the_run_with_a_reason(program: Path) -> None:
    def abort(message: Message) -> list[Message]:
        return [[3, {}, "wamp.error.no_such_realm"]]

    with fake_router.FakeRouter("ws/json", at(20, abort)) as router:
        reading = run(program, router.port, transport="ws/json")
    assert "the router ended a session: [3, {}, 'wamp.error.no_such_realm']" in reading.faults()


def test_a_run_ends_by_time_when_nothing_else_ends_it(program: Path) -> None:
    with fake_router.FakeRouter("rawsocket/json") as router:
        reading = run(program, router.port, transport="rawsocket/json", seconds=0.2, operations=1 << 30)
    assert reading.faults() == ""
    assert 0.2 <= reading.seconds < 1


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("10.0.0.1:80", "only loopback addresses"),
        ("localhost:80", "not an IPv4 address"),
        ("127.0.0.1:0", "not an IPv4"),
    ],
)
def test_only_loopback_addresses_are_accepted(program: Path, to: str, sentence: str) -> None:
    refused = subprocess.run([program, "--to", to], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert sentence in refused.stderr


def test_a_missing_compiler_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BenchError, match="no C compiler 'no-such-compiler': install one"):
        load.build(tmp_path)
