"""Three nodes with mutual TLS and no secret: they serve, refuse whoever is not one of them, and change certificates."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509

from tests.support.nodes import SECRET, Cluster, NodeProcess, eventually
from tests.support.tlsoffers import (
    NEW_SUITES,
    OLD_SUITES,
    PROTOCOL_VERSION,
    SSL3,
    TLS10,
    TLS11,
    TLS12,
    TLS13,
    ask,
    client_hello,
    suites_of,
)
from tests.support.wampclient import EVENT
from wampha.certs import CA, Authority, write
from wampha.cluster.handshake import Channel, Handshake, Membership, Refusal
from wampha.limits import Limits

HOSTS: Final = count(2)  # a line about the same host and reason comes once a minute: each stranger has its own
TLS: Final = {"certificate": "{}.pem", "key": "{}.key", "ca": f"{CA}.pem"}


def tls_of(name: str) -> dict[str, str]:
    """The section `cluster.tls` that shows the certificate of that name."""
    return {key: path.format(name) for key, path in TLS.items()}


def encrypted(folder: Path) -> Cluster:
    """A cluster with certificates, as an operator makes it; not started."""
    wampha = str(Path(sys.executable).with_name("wampha"))
    subprocess.run([wampha, "certs", str(folder), "a", "b", "c"], check=True, capture_output=True)
    made = Cluster(folder)
    for node in made:
        del node.settings["cluster"]["secret"]
        node.settings["cluster"]["tls"] = tls_of(node.name)
    return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for all that is refused, with the certificates that it is refused with."""
    folder = tmp_path_factory.mktemp("encrypted")
    cluster = encrypted(folder)
    authority, stranger = Authority.load(folder), Authority.new(30, "another CA")
    write(folder, "d", *authority.sign("d", [], 30))
    write(folder, "late", *authority.sign("d", [], 0))
    write(folder, "foreign", *stranger.sign("d", [], 30))
    try:
        yield cluster.start()
    finally:
        cluster.end()


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """The cluster, which must go on as ever."""
    yield shared
    check_undisturbed(shared)
    shared.check_logs()


def folder_of(cluster: Cluster) -> Path:
    return cluster["a"].log_path.parent


def check_undisturbed(cluster: Cluster) -> None:
    """What is published on one node arrives on the others."""
    with cluster["a"].session() as one, cluster["c"].session() as two, cluster["b"].session() as publisher:
        one.subscribe("test.undisturbed")
        two.subscribe("test.undisturbed")
        publisher.publish("test.undisturbed", ["as ever"])
        assert one.next(EVENT)[4] == two.next(EVENT)[4] == ["as ever"]


def links_of(node: NodeProcess) -> tuple[int, int]:
    """How many links of the node have come up, and been lost."""
    counters = node.status()["counters"]
    return counters.get("link_connects", 0), counters.get("link_losses", 0)


def test_nodes_serve_over_encrypted_links_alone(cluster: Cluster) -> None:
    assert all(links_of(node)[0] >= 4 for node in cluster)


# ---- who is refused


class Stranger:
    """A connection to the port for other nodes of `a`, from a host of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.host = f"127.0.0.{next(HOSTS)}"
        self._node = cluster["a"]
        self.socket: Any = socket.create_connection(
            ("127.0.0.1", cluster.peer_ports["a"]), timeout=10, source_address=(self.host, 0)
        )

    def encrypt(self, how: ssl.SSLContext) -> None:
        self.socket = how.wrap_socket(self.socket)

    def until_closed(self) -> bytes:
        """What the node says until it closes."""
        heard = b""
        with suppress(ConnectionResetError, ssl.SSLError):
            while chunk := self.socket.recv(4096):
                heard += chunk
        self.socket.close()
        return heard

    def is_refused(self, why: str) -> None:
        self._node.wait_for_log(rf"#warn\] a peer from {self.host}:\d+ is refused: .*{why}")


@pytest.fixture
def stranger(cluster: Cluster) -> Stranger:
    return Stranger(cluster)


def shows(cluster: Cluster, name: str | None) -> ssl.SSLContext:
    how = ssl.create_default_context(cafile=str(folder_of(cluster) / "ca.pem"))
    how.check_hostname = False
    if name:
        how.load_cert_chain(folder_of(cluster) / f"{name}.pem", folder_of(cluster) / f"{name}.key")
    return how


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (None, "peer did not return a certificate"),
        ("late", "the certificate of 'd' has expired"),
        ("foreign", "the certificate of 'd' is not signed by an authority in cluster.tls.ca"),
    ],
)
def test_a_peer_without_a_good_certificate_is_refused(
    cluster: Cluster, stranger: Stranger, shown: str | None, why: str
) -> None:
    stranger.encrypt(shows(cluster, shown))  # by TLS 1.3, who dials is done before the other side has judged
    assert stranger.until_closed() == b""
    stranger.is_refused(why)


def test_a_version_before_1_3_is_refused(cluster: Cluster, stranger: Stranger) -> None:
    old = shows(cluster, "d")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        stranger.encrypt(old)
    stranger.is_refused("unsupported protocol")


def test_nothing_but_tls_1_3_is_offered(cluster: Cluster) -> None:
    def dial() -> socket.socket:
        return socket.create_connection(("127.0.0.1", cluster.peer_ports["a"]), timeout=10)

    for version in (SSL3, TLS10, TLS11, TLS12):
        assert ask(dial, client_hello(version, (*OLD_SUITES, *NEW_SUITES))).alert == PROTOCOL_VERSION
    assert set(suites_of(dial, TLS13)) >= {0x1301, 0x1302, 0x1303}


@pytest.mark.parametrize("channel", Channel)
def test_a_node_with_the_certificate_of_another_one_is_refused_and_told_so(
    cluster: Cluster, stranger: Stranger, channel: Channel
) -> None:
    stranger.encrypt(shows(cluster, "b"))
    assert stranger.socket.version() == "TLSv1.3"
    stranger.socket.sendall(hello("d", channel))
    assert Refusal.CERTIFICATE.value.encode() in stranger.until_closed()
    stranger.is_refused(r"the certificate is that of another node \(it is for b, localhost, and not for 'd'\)")


def hello(name: str, channel: Channel) -> bytes:
    """The first words of node `name` to node a."""
    membership = Membership(
        cluster="test",
        name=name,
        voters=frozenset("abc"),
        configuration=bytes(32),
        address="",
        secret=b"",
    )
    handshake = Handshake(membership=membership, identity=(1, 1), nonce=bytes(32), expects="a", channel=channel)
    return handshake.begin()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", hello("d", Channel.DATA)], ids=["http", "plain hello"])
def test_who_does_not_speak_tls_is_told_so_in_plain(stranger: Stranger, said: bytes) -> None:
    stranger.socket.sendall(said)
    assert Refusal.ENCRYPTION.value.encode() in stranger.until_closed()
    stranger.is_refused(Refusal.ENCRYPTION.value)


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x00\x05hello", b"\x16\xff\xff\xff\xff" + bytes(70_000), b"\x15\x03\x03\x00\x02\x02\x28"]
)
def test_garbage_that_looks_like_tls_is_refused(stranger: Stranger, said: bytes) -> None:
    with suppress(ConnectionResetError, BrokenPipeError):
        stranger.socket.sendall(said)
    stranger.until_closed()
    stranger.is_refused("TLS handshake failed")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "the beginning of a ClientHello"])
def test_a_tls_handshake_that_is_not_completed_is_ended_in_time(stranger: Stranger, said: bytes) -> None:
    stranger.socket.sendall(said)
    stranger.socket.settimeout(Limits().link_handshake_timeout_s + 5)
    assert stranger.until_closed() == b""
    stranger.is_refused(Refusal.TIMEOUT.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tls": tls_of("late")}, "TLS handshake failed there .*expired"),
        ({"tls": tls_of("foreign")}, "TLS handshake failed there .*unknown ca"),
        ({"secret": SECRET}, Refusal.ENCRYPTION.value),
        ({"tls": tls_of("d"), "secret": SECRET}, Refusal.PROOF.value),
    ],
    ids=["expired", "wrong CA", "no TLS", "a secret that the others do not have"],
)
def test_an_observer_that_must_not_join_is_refused_and_says_why(
    cluster: Cluster, changes: dict[str, Any], why: str
) -> None:
    observer = cluster.observer("d")
    for key in ("secret", "tls"):
        observer.settings["cluster"].pop(key, None)
    observer.settings["cluster"].update(changes)
    observer.log_path.unlink(missing_ok=True)
    refused = cluster["a"].status()["counters"].get("links_refused", 0)
    try:
        observer.launch()
        observer.wait_for_log(rf"#warn\] peer a at .*{why}")
        assert cluster["a"].status()["counters"]["links_refused"] > refused
    finally:
        observer.end()
        del cluster.nodes["d"]


def test_a_node_that_is_shown_the_certificate_of_another_one_than_it_dialled_says_so(cluster: Cluster) -> None:
    observer = cluster.observer("d")
    section = observer.settings["cluster"]
    del section["secret"]
    section["tls"] = tls_of("d")
    for voter, other in zip(section["voters"], "bac", strict=True):
        voter["address"] = f"127.0.0.1:{cluster.peer_ports[other]}"
    observer.log_path.unlink(missing_ok=True)
    try:
        observer.launch()
        observer.wait_for_log(rf"peer a at .* is refused: {Refusal.CERTIFICATE.value} \(it is for b, .* not for 'a'\)")
    finally:
        observer.end()
        del cluster.nodes["d"]


# ---- another side of the handshake, and the life of certificates


def test_an_observer_with_a_certificate_joins(cluster: Cluster) -> None:
    observer = cluster.observer("d")
    del observer.settings["cluster"]["secret"]
    observer.settings["cluster"]["tls"] = tls_of("d")
    try:
        observer.launch().wait_until_serving()
    finally:
        observer.end()
        del cluster.nodes["d"]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Cluster]]:
    """Makes an encrypted cluster that the test may change; not started."""
    made: list[Cluster] = []

    def make() -> Cluster:
        made.append(encrypted(tmp_path))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()
        cluster.check_logs()


def certificate_at(cluster: Cluster, name: str) -> bytes | None:
    """What the node shows now to who dials it."""
    plain = socket.create_connection(("127.0.0.1", cluster.peer_ports[name]), timeout=10)
    with shows(cluster, "a").wrap_socket(plain) as secure:
        shown: bytes | None = secure.getpeercert(binary_form=True)
        return shown


def reload(node: NodeProcess) -> None:
    said = node.log().count("read their certificates again")
    os.kill(node.pid, signal.SIGHUP)
    eventually(lambda: node.log().count("read their certificates again") > said, 5, "the new files", node.log)


def test_certificates_and_even_the_authority_change_by_sighup_and_no_link_is_lost(fresh: Callable[[], Cluster]) -> None:
    cluster = fresh().start()
    folder = folder_of(cluster)
    before = {node.name: (certificate_at(cluster, node.name), links_of(node)) for node in cluster}
    authority = Authority.new(30, "the next CA")
    (folder / "old.pem").write_bytes((folder / "ca.pem").read_bytes())
    (folder / "ca.key").unlink()
    write(folder, CA, authority.key, authority.certificate)
    both = (folder / "old.pem").read_bytes() + (folder / "ca.pem").read_bytes()
    (folder / "ca.pem").write_bytes(both)
    for node in cluster:  # first everybody believes both
        reload(node)
    for node in cluster:
        (folder / f"{node.name}.key").unlink()
        write(folder, node.name, *authority.sign(node.name, ["127.0.0.1"], 30))
        reload(node)
    for node in cluster:
        certificate, links = before[node.name]
        now = certificate_at(cluster, node.name)
        assert now is not None and now != certificate
        end = x509.load_der_x509_certificate(now).not_valid_after_utc.timestamp()
        assert node.status()["certificates"] == {"listeners": None, "links": end}
        assert links_of(node) == links
    cluster["c"].stop()
    cluster["c"].launch().wait_until_serving()  # new links, with the new files
    check_undisturbed(cluster)


def test_files_that_cannot_be_used_change_nothing(fresh: Callable[[], Cluster]) -> None:
    cluster = fresh().start()
    folder, node = folder_of(cluster), cluster["a"]
    before = certificate_at(cluster, "a")
    node.expect_log("the configuration stays as it was")
    node.expect_log('a.yaml:\\d+:\\d+: cluster.tls.certificate: .*a.pem is for b, localhost, and node.name is "a"')
    for suffix in ("pem", "key"):
        shutil.copy(folder / f"a.{suffix}", folder / f"kept.{suffix}")
        shutil.copy(folder / f"b.{suffix}", folder / f"a.{suffix}")
    os.kill(node.pid, signal.SIGHUP)
    node.wait_for_log("the configuration stays as it was")
    for suffix in ("pem", "key"):
        shutil.copy(folder / f"kept.{suffix}", folder / f"a.{suffix}")
    assert certificate_at(cluster, "a") == before
