"""Nothing unpickles: three nodes work in processes where pickle, marshal and shelve are poison.

And their port for other nodes takes garbage, pickles included, from strangers, while bystanders notice nothing.
"""

from __future__ import annotations

import os
import pickle
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.nodes import START_S, Cluster, NodeProcess, eventually
from tests.support.wampclient import CALL, EVENT, PUBLISH, Session
from wampha.cluster.frames import framed
from wampha.cluster.handshake import HANDSHAKE_FRAME_BYTES_MAX, Channel, Handshake, Membership

POISON: Final = Path(__file__).parents[1] / "support/poison"
KEPT: Final = bytes(60 * 1024)  # of an event that every node keeps
LOG_BYTES_MAX: Final = 32 << 20  # then the older half of the log goes


def poisoned(node: NodeProcess) -> None:
    node.environment["PYTHONPATH"] = os.pathsep.join([str(POISON), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("poisoned"))
    for node in cluster:
        poisoned(node)
    try:
        yield cluster.start()
    finally:
        cluster.end()


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """All three nodes, each of which may vote."""
    eventually(lambda: all(node.status()["ready"] for node in _cluster), START_S, "all nodes are ready")
    yield _cluster
    _cluster.check_logs()


@pytest.mark.parametrize(
    "statement",
    [
        "import pickle; pickle.loads(b'N.')",
        "import pickle; pickle.dumps(1)",
        "import io, pickle; pickle.Unpickler(io.BytesIO(b'N.'))",
        "import io, pickle; pickle.Pickler(io.BytesIO())",
        "from _pickle import loads; loads(b'N.')",
        "import marshal; marshal.dumps(1)",
        "import shelve; shelve.open('nowhere')",
        "import copyreg, multiprocessing.reduction as r; r.ForkingPickler.dumps(1)",
    ],
)
def test_the_poison_works(statement: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(POISON)}
    done = subprocess.run(
        [sys.executable, "-c", statement], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "CRITICAL poisoned: " in done.stderr


def test_a_poisoned_cluster_serves_elects_restarts_and_takes_snapshots(cluster: Cluster) -> None:
    leader = cluster.leader()
    one, two = (node for node in cluster if node is not leader)
    with one.session() as callee, two.session() as caller:
        callee.register("poisoned.procedure")
        works(callee, caller, 1)
        leader.kill()
        eventually(lambda: cluster.leader() is not leader, START_S, "another leader", one.log)
        works(callee, caller, 2)
        fill_the_log(one)
        leader.launch().wait_until_serving()
        with leader.session("rawsocket", "msgpack") as other:
            works(callee, other, 3)
            other.subscribe("kept.t7", get_retained=True)
            assert other.next(EVENT)[3]["retained"] is True


def fill_the_log(node: NodeProcess) -> None:
    """Until its older half goes: who is away gets a snapshot, with the last event of each topic."""
    with node.session("rawsocket", "msgpack") as publisher:
        requests = [
            publisher.start(PUBLISH, {"acknowledge": True, "retain": True}, f"kept.t{number % 10}", [KEPT])
            for number in range(6 * LOG_BYTES_MAX // 5 // len(KEPT))
        ]
        for request in requests:
            publisher.answer(request)


def works(callee: Session, caller: Session, number: int) -> None:
    """An event goes one way, a call and its result both."""
    caller.subscribe(f"poisoned.topic{number}")
    callee.publish(f"poisoned.topic{number}", [number])
    assert caller.next(EVENT)[4] == [number]
    request = caller.start(CALL, {}, "poisoned.procedure", [number])
    callee.answer_invocation()
    assert caller.answer(request)[3] == [number]


# ---- strangers on the port for other nodes


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def hello() -> bytes:
    """The first words of a node that nobody knows."""
    membership = Membership(
        cluster="test", name="d", voters=frozenset("abc"), configuration=bytes(32), address="", secret=b"guessed"
    )
    return Handshake(
        membership=membership, identity=(1, 1), nonce=bytes(32), expects="a", channel=Channel.CONTROL
    ).begin()


def garbage(mark: Path) -> dict[str, list[bytes]]:
    """What strangers say, each in the pieces in which it comes."""
    chance = random.Random(5)
    hostile = [pickle.dumps(Hostile(mark), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    framed_ones = {f"framed pickle {protocol}": [framed(each)] for protocol, each in enumerate(hostile)}
    return {
        **framed_ones,
        "nothing": [],
        "random": [chance.randbytes(70_000)],
        "pickles": hostile,
        "half a length": [b"\0\0"],
        "half a frame": [hello()[:40]],
        "byte by byte": [bytes((byte,)) for byte in hello()],
        "4 GiB announced": [b"\xff\xff\xff\xff" + bytes(1000)],
        "just too long": [struct.pack(">I", HANDSHAKE_FRAME_BYTES_MAX + 1) + bytes(HANDSHAKE_FRAME_BYTES_MAX + 1)],
        "deep nesting": [framed(b"\x91" * HANDSHAKE_FRAME_BYTES_MAX)],
        "keep-alives": [bytes(100_000)],
        "http": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
        "pickle behind a hello": [hello(), *hostile],
    }


def test_the_port_for_other_nodes_takes_garbage_and_bystanders_notice_nothing(cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    nodes = [node.name for node in cluster]
    links = {node.name: links_of(node) for node in cluster}
    with cluster["a"].session() as callee, cluster["c"].session() as caller:
        callee.register("poisoned.procedure")
        for number, (what, said) in enumerate(garbage(mark).items(), 10):
            for name in nodes:
                with socket.create_connection(("127.0.0.1", cluster.peer_ports[name]), timeout=5) as stranger:
                    with suppress(ConnectionError):
                        for piece in said:
                            stranger.sendall(piece)
                    works(callee, caller, number * 10 + nodes.index(name))  # while the stranger is there
            assert not mark.exists(), what
        assert {node.name: links_of(node) for node in cluster} == links, "no link was lost"
    assert all(node.status()["counters"]["links_refused"] >= 8 for node in cluster)


def links_of(node: NodeProcess) -> int:
    """How many links of the node have been lost."""
    losses: int = node.status()["counters"].get("link_losses", 0)
    return losses
