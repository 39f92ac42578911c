"""The image: what is in it, as whom and on which file systems it runs, how it stops, and that three make a cluster."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.helm.balancer import Balancer, Target
from tests.helm.containers import START_S, Container, Network, podman, run_once
from tests.helm.images import compressed_bytes
from tests.support.nodes import ALL_RIGHTS, error_lines, eventually
from tests.support.wampclient import EVENT, GOODBYE, ConnectionEndedError
from wampha import __version__

COMPRESSED_BYTES_MAX: Final = 30_000_000
UNCHECKED: Final = 0b01  # in the head of a .pyc: hash-based, and its source is never looked at
NAMES: Final = ("node-0", "node-1", "node-2")
GRACE_S: Final = 30
RESTRICTED: Final = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges")


# ---- what is in it


@pytest.fixture(scope="module")
def root(image: str) -> Iterator[Path]:
    """The file system of the image."""
    yield Path(podman("image", "mount", image))
    podman("image", "unmount", image)


def test_it_is_small(image: str) -> None:
    assert compressed_bytes(image) <= COMPRESSED_BYTES_MAX


def test_it_says_what_it_is_and_how_it_runs(image: str) -> None:
    (told,) = json.loads(podman("image", "inspect", image))
    config = told["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/opt/wampha/bin/twistd", "-n", "--pidfile=", "wampha"]
    assert config["Cmd"] == ["-c", "/etc/wampha/config.yaml"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert told["HealthCheck" if "HealthCheck" in told else "Healthcheck"]["Test"][0] == "CMD"  # and not CMD-SHELL


def test_it_has_no_shell_no_pip_no_compiler_and_no_tests(root: Path) -> None:
    files = [path.relative_to(root) for path in root.rglob("*") if not path.is_dir()]
    commands = {path.name for path in files if path.parent.name in ("bin", "sbin")}
    assert {name for name in commands if not name.startswith("python")} == {"twistd", "wampha"}
    assert [path for path in files if path.parts[-2:-1] in (("test",), ("tests",))] == []
    modules = {path.parts[-2] for path in files if path.name == "__init__.py"}
    assert modules & {"pip", "ensurepip", "setuptools", "pytest", "trial"} == set()
    sources = {path.name for path in files if path.suffix in (".c", ".cpp", ".h", ".a")}
    assert sources <= {"_utf8validator.c", "_xormasker.c"}  # Autobahn reads them when it is imported


def test_nobody_can_change_it_but_root(root: Path) -> None:
    changeable = [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert sorted(map(str, (path.relative_to(root) for path in changeable))) == ["run/wampha", "tmp"]
    assert {path.stat().st_mode & 0o7777 for path in (root / "tmp", root / "run/wampha")} == {0o1777}


def test_every_module_is_compiled_for_good(root: Path) -> None:
    sources = list(root.rglob("*.py"))
    assert len(sources) > 1000
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"
        flags = struct.unpack("<I", compiled.read_bytes()[4:8])[0]
        assert flags == UNCHECKED, source


def test_what_the_licences_ask_for_is_there(root: Path) -> None:
    packages = next(root.glob("opt/wampha/lib/python3*/site-packages"))
    licences = list(packages.glob("*.dist-info/licenses/**/*")) + list(packages.glob("*.dist-info/LICENSE*"))
    assert {path.name.split(".dist-info")[0] for path in packages.glob("wampha-*")} == {f"wampha-{__version__}"}
    assert len(licences) > 10


# ---- a node alone


@pytest.fixture(scope="module")
def clients(network: Network) -> Iterator[Callable[[Container], Balancer]]:
    """Makes a way for clients into a container."""
    with ExitStack() as stack:

        def way(container: Container) -> Balancer:
            return stack.enter_context(
                Balancer(network.host, lambda: [Target(container.name, container.address(), 8080)])
            )

        yield way


Ways = Callable[[Container], Balancer]


@pytest.fixture
def alone(image: str, network: Network) -> Iterator[Container]:
    """A node with the image's own configuration, on a read-only file system, as a user whom nobody has foreseen."""
    container = network.run("alone", image, *RESTRICTED, "--user", "1234567:7654321")
    yield container
    log = container.logs()
    container.remove()
    assert error_lines(log) == []
    assert "Unable to write" not in log


def joins(way: Balancer, container: Container) -> Any:
    """A session, as soon as there can be one."""

    def attempt() -> Any:
        assert container.state()["Running"], container.logs()
        try:
            return way.session("websocket")
        except (OSError, ConnectionEndedError):
            return None

    return eventually(attempt, START_S, f"a session on {container.name}", container.logs)


def test_it_serves_read_only_as_any_user_in_one_process(alone: Container, clients: Ways) -> None:
    with joins(clients(alone), alone) as session:
        session.subscribe("test.topic")
        session.publish("test.topic", [1], exclude_me=False)
        assert session.next(EVENT)[4] == [1]
    assert len(alone.podman("top", alone.name, "pid").splitlines()) == 2  # a heading, and one process
    with pytest.raises(AssertionError):
        alone.exec("sh", "-c", "true")


def test_its_health_check_asks_whether_it_lives(alone: Container, clients: Ways) -> None:
    joins(clients(alone), alone).leave()
    probe = ("python3", "-m", "wampha.observe.probe")
    assert alone.podman("healthcheck", "run", alone.name) == ""
    assert alone.exec_status(*probe, timeout_s=START_S) == 0
    assert alone.exec_status(*probe, "http://127.0.0.1:9180/nothing", timeout_s=START_S) == 1


def test_sigterm_sends_clients_away_and_ends_well(alone: Container, clients: Ways) -> None:
    with joins(clients(alone), alone) as session:
        assert alone.stop(GRACE_S) in (0, 143)
        assert session.next(GOODBYE)[2] == "wamp.close.system_shutdown"
    assert "has stopped" in alone.logs()


def test_a_start_writes_nothing(image: str, network: Network, clients: Ways) -> None:
    """Neither the plugin cache nor a compiled module, though it could."""
    container = network.run("writable", image, "--user", "0:0")
    try:
        joins(clients(container), container).leave()
        changed = [line for line in podman("diff", container.name).splitlines() if line.startswith(("A", "C"))]
        places = {line.split()[1] for line in changed}
        assert {place for place in places if not re.match(r"/(etc|run)(/|$)", place)} == set()
    finally:
        container.remove()


def test_the_command_line_is_there(image: str) -> None:
    assert run_once(image, "--entrypoint", '["wampha", "--version"]').output == f"wampha {__version__}"


def test_a_configuration_that_cannot_be_used_is_told_in_one_sentence(image: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("realms: []\nlisteners: []\n")
    tmp_path.chmod(0o755)
    ended = run_once(image, "--volume", f"{tmp_path}:/etc/wampha:ro")
    assert ended.status == 1
    assert "/etc/wampha/config.yaml:1:9: realms:" in ended.output


# ---- three nodes


def settings(name: str) -> dict[str, Any]:
    """A voter that knows the others by name."""
    return {
        "node": {"name": name, "run_dir": "/run/wampha", "drain": {"spread_s": 1.0}},
        "cluster": {
            "name": "containers",
            "listen": "tcp:8071",
            "advertise": f"{name}:8071",
            "secret": {"env": "WAMPHA_SECRET"},
            "voters": [{"name": each, "address": f"{each}:8071"} for each in NAMES],
        },
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [{"endpoint": "tcp:8080", "auth": {"anonymous": {"role": ALL_RIGHTS["name"]}}}],
        "limits": {"ping_timeout_s": 600.0},  # sessions that wait for a restarted node read nothing meanwhile
    }


@pytest.fixture(scope="module")
def three(image: str, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """Three nodes that find each other by name."""
    nodes: dict[str, Container] = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        folder.chmod(0o755)
        (folder / "config.yaml").write_text(json.dumps(settings(name)))
        nodes[name] = network.run(
            *(name, image, *RESTRICTED, "--user", "10001:10001", "--tmpfs", "/run/wampha:mode=1777"),
            *("-e", "WAMPHA_SECRET=only for containers that nobody reaches", "-v", f"{folder}:/etc/wampha:ro"),
        )
    yield nodes
    logs = {name: node.logs() for name, node in nodes.items()}
    for node in nodes.values():
        node.remove()
    for name, log in logs.items():
        assert error_lines(log) == [], name


def leader(nodes: dict[str, Container]) -> str:
    """Who leads, by the logs of all."""
    told = [re.findall(r"([\w.-]+) leads the cluster in term (\d+)", node.logs()) for node in nodes.values()]
    return max((int(term), name) for found in told for name, term in found)[1]


def hears(publisher: Any, subscriber: Any, topic: str) -> None:
    """What the one publishes reaches the other."""
    subscriber.subscribe(topic)
    publisher.publish(topic, ["told"])
    assert subscriber.next(EVENT)[4] == ["told"]


def revive(node: Container) -> None:
    """Start what was killed, until the others have found it at its new address.

    A node waits for its links for three seconds, and then serves clients without.
    """

    def links() -> int:
        return len(re.findall(r"data link to \S+ at \S+ is up", node.logs()))

    before = links()
    node.start()
    eventually(lambda: links() >= before + len(NAMES) - 1, START_S, f"{node.name} is linked again", node.logs)


def test_three_make_a_cluster_and_survive_the_death_of_the_leader(three: dict[str, Container], clients: Ways) -> None:
    ways = {name: clients(node) for name, node in three.items()}
    first = [joins(ways[name], three[name]) for name in NAMES]
    hears(first[0], first[2], "test.before")
    dead = leader(three)
    survivors = [session for session, name in zip(first, NAMES, strict=True) if name != dead]
    before = three[dead].address()
    three[dead].kill()
    hears(*survivors, "test.without")
    revive(three[dead])
    assert three[dead].address() != before
    eventually(lambda: "votes again" in three[dead].logs(), START_S, f"{dead} votes again", three[dead].logs)
    with joins(ways[dead], three[dead]) as again:
        hears(again, survivors[0], "test.again")
        hears(survivors[1], again, "test.back")
        # And once more with another node, since the first two now know the third at an address of its second life.
        other = next(name for name in NAMES if name != dead)
        three[other].kill()
        revive(three[other])
        with joins(ways[other], three[other]) as newer:
            hears(newer, again, "test.newer")
    for session in first:
        session.close()
