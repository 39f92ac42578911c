"""What the tests with real processes share: a single node and a cluster for all of them, and fresh ones to break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.nodes import Cluster, NodeProcess, client_settings, free_ports
from tests.support.wampclient import Session
from tests.support.watched import Watched

RUNNING_ROUTER: Final = "WAMP_ROUTER_PORT"  # names a router that runs already, to hold the tests against another one


@dataclass(frozen=True)
class Router:
    """What most tests need of the router: where it listens."""

    port: int

    @property
    def url(self) -> str:
        """The WebSocket URL for clients."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def session(self, transport: str = "websocket", serializer: str = "json", realm: str = "realm1") -> Session:
        """A new session."""
        return Session(self.port, transport, serializer, realm)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder as what it is."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("integration")


@pytest.fixture(scope="session")
def _single_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    (port,) = free_ports(1)
    node = NodeProcess(tmp_path_factory.mktemp("single"), "single", port, client_settings(port))
    try:
        node.launch().wait_until_serving()
        yield node
    finally:
        node.end()


@pytest.fixture
def node(_single_node: NodeProcess) -> Iterator[NodeProcess]:
    """The single node that most tests share; it must outlive each of them without an error in its log."""
    yield _single_node
    _single_node.check_log()
    assert _single_node.running(), "the node did not survive the test"


@pytest.fixture
def router(request: pytest.FixtureRequest) -> Router:
    """Where the router under test listens: the shared node, or one that runs already (see RUNNING_ROUTER)."""
    if port := os.environ.get(RUNNING_ROUTER):
        return Router(int(port))
    shared: NodeProcess = request.getfixturevalue("node")
    return Router(shared.port)


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.end()


@pytest.fixture
def cluster(_shared_cluster: Cluster) -> Iterator[Cluster]:
    """Three nodes that many tests share: use fresh topics, and break nothing."""
    yield _shared_cluster
    _shared_cluster.check_logs()
    assert all(node.running() for node in _shared_cluster), "a node did not survive the test"


@pytest.fixture(scope="session")
def _watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    cluster = Cluster(folder)
    watched = Watched(cluster, folder)
    try:
        cluster.start()
        yield watched
    finally:
        cluster.end()


@pytest.fixture
def watched(_watched: Watched) -> Iterator[Watched]:
    """Three nodes with monitoring, each ready before and after each test, which may suspend or restart them."""
    for name in _watched.ports:
        _watched.becomes(name, "/readyz", 200)
    yield _watched
    _watched.cluster.check_logs()


@pytest.fixture
def fresh_cluster(tmp_path: Path) -> Iterator[Callable[[], Cluster]]:
    """Makes clusters (not started) that the test may break; they are ended, and their logs checked, after it."""
    made: list[Cluster] = []

    def make() -> Cluster:
        folder = tmp_path / f"cluster{len(made)}"
        folder.mkdir()
        made.append(Cluster(folder))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()
    for cluster in made:
        cluster.check_logs()


@pytest.fixture
def fresh_node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Makes single nodes (not started) with settings of the test's own; they are ended and checked after it."""
    made: list[NodeProcess] = []

    def make(name: str = "node", **settings: object) -> NodeProcess:
        (port,) = free_ports(1)
        made.append(NodeProcess(tmp_path, name, port, {**client_settings(port), **settings}))
        return made[-1]

    yield make
    for node in made:
        node.end()
    for node in made:
        node.check_log()
