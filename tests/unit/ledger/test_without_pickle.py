"""Nothing in the ledger reads or writes a pickle (repair 8)."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections.abc import Iterator

import pysyncobj.journal
import pysyncobj.pickle
import pysyncobj.serializer
import pytest
from pysyncobj.node import Node

from wampha.counters import Counters
from wampha.ledger import without_pickle
from wampha.ledger.constants import Timing
from wampha.ledger.engine import Engine
from wampha.ledger.frames import Append, Forwarded, Piece
from wampha.ledger.options import Options
from wampha.state.machine import Machine, Restoring

MARK = "WAMPHA_TEST_EXECUTED"


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (f"import os; os.environ[{MARK!r}] = '1'",)


HOSTILE = [pickle.dumps(Hostile(), protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


@pytest.fixture(autouse=True)
def _nothing_is_executed() -> Iterator[None]:
    os.environ.pop(MARK, None)
    yield
    assert MARK not in os.environ


def test_the_hostile_pickle_is_hostile() -> None:
    pickle.loads(HOSTILE[2])
    assert os.environ.pop(MARK) == "1"


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_the_functions_of_the_library_refuse_a_pickle(data: bytes) -> None:
    for loads in (pysyncobj.pickle.loads, pysyncobj.journal.loads):
        with pytest.raises(ValueError, match="not MessagePack"):
            loads(data)
    with pytest.raises(ValueError, match="not MessagePack"):
        pysyncobj.pickle.load(io.BytesIO(data))


@pytest.mark.logs_errors
@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_no_message_of_a_peer_executes_a_pickle(data: bytes) -> None:
    applied: list[bytes] = []
    counters = Counters()
    machine = Machine(counters)
    engine = Engine(
        name="a",
        voters=("a", "b", "c"),
        timing=Timing.of(),
        now=iter(range(1000, 10**9)).__next__,
        chance=random.Random(1),
        send=lambda peer, body: True,
        apply=lambda index, command: applied.append(command),
        snapshot=machine.begin_snapshot,
        restore=lambda: Restoring(machine),
        counters=counters,
        recovering=False,
        options=Options(),
    )
    engine.peer_up("b")
    for kind in range(5):  # every type of log entry that the library knows, and one that it does not
        engine.received("b", Append(1, 2 + kind, 1 + kind, min(kind, 1), ((bytes([kind]) + data, 2 + kind, 1),)), False)
        engine.tick()
        engine.received("b", Forwarded(bytes([kind]) + data, 1), False)
        engine.tick()
    engine.received("b", Piece(1, 9, 30, 0, data, None), False)
    engine.tick()
    assert applied == [data]  # bytes like any others
    assert counters["snapshots_refused"] == 1
    assert engine.applied == 6


def test_what_the_library_would_write_into_a_file_is_no_pickle_either() -> None:
    file = io.BytesIO()
    pysyncobj.pickle.dump(([{}, b"table"], {Node("b"), Node("a"), None}), file)
    assert without_pickle.loads(file.getvalue()) == (({}, b"table"), ("None", "a", "b"))


def test_what_does_not_belong_into_a_log_is_refused() -> None:
    with pytest.raises(TypeError, match="Hostile"):
        without_pickle.dumps(Hostile())


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ValueError, match="not MessagePack"):
        without_pickle.loads(b"\x91" * 100_000)
