"""docker-compose.yml: each node's configuration, what is mounted, and the balancer in front of three real nodes.

Prometheus and Grafana come from a registry that the tests have not; their files are only read here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.helm.balancer import Balancer, Target
from tests.helm.containers import START_S, Container, Network
from tests.support.nodes import error_lines, eventually
from tests.support.wampclient import EVENT, ConnectionEndedError, Session
from wampha.config.load import load

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging" / "compose"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
NODES: Final = {name: service for name, service in COMPOSE["services"].items() if name.startswith("node-")}
CONFIGURATION: Final = (FOLDER / "haproxy.cfg").read_text()


def environment(name: str) -> dict[str, str]:
    """The variables of a node when the user has set none."""
    given: dict[str, str] = NODES[name]["environment"]
    return {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in given.items()}


def test_the_configuration_fits_each_of_three_nodes() -> None:
    found = {name: load(FOLDER / "node.yaml", environment(name)) for name in NODES}
    for name, settings in found.items():
        assert settings.node.name == name and settings.cluster is not None
        voters = {voter.name: voter.address for voter in settings.cluster.voters}
        assert voters[name] == settings.cluster.advertise
        assert set(voters) == set(found)


def test_every_mounted_file_is_there() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    assert len(mounts) == 7
    assert [mount for mount in mounts if not (ROOT / mount.split(":")[0]).exists()] == []


def test_only_this_machine_reaches_the_ports() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert len(set(ports)) == 7
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_a_node_has_time_to_drain() -> None:
    settings = load(FOLDER / "node.yaml", environment("node-0"))
    for service in NODES.values():
        assert int(service["stop_grace_period"].removesuffix("s")) >= settings.node.drain.deadline_s + 3


def test_what_is_scraped_is_where_nodes_listen() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    (targets,) = job["static_configs"]
    settings = load(FOLDER / "node.yaml", environment("node-0"))
    assert settings.monitoring is not None
    port = settings.monitoring.endpoint.split(":")[1]
    assert targets["targets"] == [f"{name}:{port}" for name in NODES]
    servers = re.findall(r"^ +server (\S+) (\S+)$", CONFIGURATION, re.MULTILINE)
    assert servers == [(name, f"{name}:8080") for name in NODES]
    assert f"check port {port}" in CONFIGURATION


# ---- really run


@pytest.fixture(scope="module")
def haproxy() -> str:
    """The balancer's program."""
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail("CI must run the balancer, but `haproxy` is missing")
    if found is None:
        pytest.skip("`haproxy` is missing; on Debian: make container-tools")
    return found


@pytest.fixture(scope="module")
def nodes(image: str, network: Network) -> Iterator[dict[str, Container]]:
    """The three nodes as the file describes them."""
    running = {}
    for name, service in NODES.items():
        variables = [part for pair in environment(name).items() for part in ("--env", "=".join(pair))]
        mount = service["volumes"][0].replace("./", f"{ROOT}/", 1)
        running[name] = network.run(
            # Docker mounts no tmpfs of its own on a read-only file system; podman does, over /run.
            *(name, image, "--read-only", "--read-only-tmpfs=false"),
            *("--cap-drop=all", "--security-opt=no-new-privileges"),
            *("--tmpfs", service["tmpfs"][0], "--volume", mount, *variables),
        )
    yield running
    logs = {name: node.logs() for name, node in running.items()}
    for node in running.values():
        node.remove()
    for name, log in logs.items():
        assert error_lines(log) == [], name


@pytest.fixture(scope="module")
def way(haproxy: str, nodes: dict[str, Container], network: Network, tmp_path_factory: Any) -> Iterator[Balancer]:
    """HAProxy with the file's configuration beside the nodes, and a way for clients to it."""
    place = tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    place.write_text(CONFIGURATION.replace("parse-resolv-conf", f"nameserver pods {network.address(1)}:53"))
    with network.host.inside():
        process = subprocess.Popen([haproxy, "-db", "-f", str(place)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with Balancer(network.host, lambda: [Target("balancer", "127.0.0.1", 8080)]) as found:
            yield found
    finally:
        process.terminate()
        process.wait(START_S)
        if process.stdout:
            process.stdout.close()


def joined(way: Balancer) -> Session:
    """A session, as soon as there can be one."""

    def attempt() -> Session | None:
        try:
            return way.session("websocket")
        except (OSError, ConnectionEndedError):
            return None

    session: Session = eventually(attempt, START_S, "a session through the balancer")
    return session


def test_clients_come_to_nodes_that_serve_and_to_no_other(way: Balancer, nodes: dict[str, Container]) -> None:
    with joined(way) as first, joined(way) as second:
        first.subscribe("test.topic")
        second.publish("test.topic", [1])
        assert first.next(EVENT)[4] == [1]
    before = nodes["node-1"].address()
    assert nodes["node-1"].stop(30) in (0, 143)
    for _ in range(6):
        joined(way).leave()
    nodes["node-1"].start()
    assert nodes["node-1"].address() != before

    def at_its_new_address() -> bool:
        joined(way).leave()
        return _sessions_opened(nodes["node-1"]) > 0

    eventually(at_its_new_address, START_S, "the balancer finds the node at its new address")


def _sessions_opened(node: Container) -> float:
    """How many sessions a node has opened since its start, by its metrics."""
    try:
        with node.reach(node.address(), 9180, START_S) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            told = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    except OSError:  # it does not listen yet
        return 0
    return sum(
        float(value) for value in re.findall(r"^wampha_sessions_opened_total(?:\{.*\})? (\S+)$", told, re.MULTILINE)
    )
