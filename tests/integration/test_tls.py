"""TLS for clients: what is offered and what refused, client certificates, and new certificates while sessions go on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.nodes import ALL_RIGHTS, START_S, NodeProcess, eventually, free_ports
from tests.support.tlsoffers import (
    FORWARD_SECRET_AEAD,
    HANDSHAKE_FAILURE,
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
from tests.support.wampclient import (
    HELLO,
    ROLES,
    TRANSPORTS,
    Connection,
    ConnectionEndedError,
    RawSocketConnection,
    WebSocketConnection,
)
from wampha.certs import CA, Authority, write

WELCOME, ABORT = 2, 3
KINDS: Final = {"websocket": WebSocketConnection, "rawsocket": RawSocketConnection}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the server, of clients that are known, unknown, expired, and of another authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority.new(30), Authority.new(30, "another CA")
    write(folder, CA, authority.key, authority.certificate)
    write(folder, "other-ca", stranger.key, stranger.certificate)
    write(folder, "server", *authority.sign("localhost", ["127.0.0.1"], 30))
    write(folder, "joe", *authority.sign("joe", [], 30))
    write(folder, "eva", *authority.sign("eva", [], 30))
    write(folder, "late", *authority.sign("late", [], 0))
    write(folder, "foreign", *stranger.sign("foreign", [], 30))
    write(folder, "rsa", *with_rsa_key(authority))
    return folder


def with_rsa_key(authority: Authority) -> tuple[Any, x509.Certificate]:
    """A server's certificate for which all the old key exchanges would do."""
    key, model = rsa.generate_private_key(65537, 2048), authority.sign("localhost", [], 30)[1]
    builder = x509.CertificateBuilder(model.issuer, model.subject, key.public_key(), model.serial_number)
    builder = builder.not_valid_before(model.not_valid_before_utc).not_valid_after(model.not_valid_after_utc)
    return key, builder.sign(authority.key, hashes.SHA256())


def fingerprint(path: Path) -> str:
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def node(tmp_path: Path, folder: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Makes a node with TLS; its files are copies that the test may change."""
    made: list[NodeProcess] = []

    def make(auth: dict[str, Any] | None = None, **tls: Any) -> NodeProcess:
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        (port,) = free_ports(1)
        settings = {
            "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
            "listeners": [
                {
                    "endpoint": f"tcp:{port}:interface=127.0.0.1",
                    "tls": {"certificate": "server.pem", "key": "server.key", **tls},
                    "auth": auth or {"anonymous": {"role": "anonymous"}},
                }
            ],
        }
        node = NodeProcess(tmp_path, "node", port, settings).launch()
        made.append(node)
        eventually(lambda: "accepts" in node.log(), START_S, "a listener", node.log)
        return node

    yield make
    for each in made:
        each.end()
        each.check_log()


def context(folder: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


class Encrypted:
    """A client over TLS."""

    def __init__(
        self, node: NodeProcess, how: ssl.SSLContext, transport: str = "rawsocket", name: str = "localhost"
    ) -> None:
        kind: Any = KINDS[transport]
        plain = socket.create_connection(("127.0.0.1", node.port), timeout=10)
        secure = how.wrap_socket(plain, server_hostname=name)
        self.version = secure.version()
        self.cipher = secure.cipher()
        self.shown = secure.getpeercert(binary_form=True)
        self.connection: Connection = kind(node.port, transport, "json", secure)

    def join(self, **details: Any) -> list[Any]:
        self.connection.send([HELLO, "realm1", {"roles": ROLES, **details}])
        return self.connection.receive()

    def __enter__(self) -> Encrypted:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def refused(node: NodeProcess, how: ssl.SSLContext, why: str, name: str = "localhost") -> None:
    """The client is refused, and a line of the log says why."""
    before = node.log().count("TLS handshake")
    with pytest.raises((OSError, ConnectionEndedError)), Encrypted(node, how, name=name) as client:
        client.join()
    eventually(lambda: node.log().count("TLS handshake") > before, 5, "a line about the handshake", node.log)
    assert why in node.log().splitlines()[-1], node.log()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_clients_join_over_tls(node: Callable[..., NodeProcess], folder: Path, transport: str) -> None:
    with Encrypted(node(), context(folder), transport) as client:
        assert client.version == "TLSv1.3"
        assert client.join()[0] == WELCOME


def offered(port: int, version: ssl.TLSVersion, ciphers: str | None = None) -> str | None:
    """The cipher that a client of this version alone gets, or None."""
    how = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    how.check_hostname, how.verify_mode = False, ssl.CERT_NONE
    how.minimum_version = how.maximum_version = version
    if ciphers:
        how.set_ciphers(ciphers)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, how.wrap_socket(plain) as secure:
            return secure.cipher()[0]  # type: ignore[index]
    except (ssl.SSLError, ConnectionResetError):
        return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_only_versions_and_ciphers_that_are_safe_are_offered(node: Callable[..., NodeProcess]) -> None:
    port = node().port
    weak = "AES128-SHA:AES256-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384@SECLEVEL=0"
    strong = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    assert offered(port, ssl.TLSVersion.TLSv1_3)
    assert offered(port, ssl.TLSVersion.TLSv1_2, strong) in strong.split(":")
    assert offered(port, ssl.TLSVersion.TLSv1_2, weak) is None
    assert offered(port, ssl.TLSVersion.TLSv1_1, "ALL@SECLEVEL=0") is None
    assert offered(port, ssl.TLSVersion.TLSv1, "ALL@SECLEVEL=0") is None


@pytest.mark.parametrize("shown", ["server", "rsa"])
def test_all_that_is_offered_has_forward_secrecy_and_authenticated_encryption(
    node: Callable[..., NodeProcess], shown: str
) -> None:
    port = node(certificate=f"{shown}.pem", key=f"{shown}.key").port

    def dial() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=10)

    offered = suites_of(dial, TLS12)
    assert len(offered) >= 3 and set(offered) <= FORWARD_SECRET_AEAD
    assert set(suites_of(dial, TLS13)) >= {0x1301, 0x1302, 0x1303}
    weak = [suite for suite in OLD_SUITES if suite not in offered]
    assert ask(dial, client_hello(TLS12, weak)).alert == HANDSHAKE_FAILURE
    for version in (SSL3, TLS10, TLS11):
        assert ask(dial, client_hello(version, OLD_SUITES)).alert == PROTOCOL_VERSION
    compressing = client_hello(TLS12, OLD_SUITES, compressions=b"\1\0")
    assert ask(dial, compressing).suite in offered, "and it does not compress, which `ask` sees to"


def test_only_tls_1_3_is_offered_if_that_is_wanted(node: Callable[..., NodeProcess]) -> None:
    port = node(minimum_version="1.3").port

    def dial() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=10)

    for version in (SSL3, TLS10, TLS11, TLS12):
        assert ask(dial, client_hello(version, (*OLD_SUITES, *NEW_SUITES))).alert == PROTOCOL_VERSION
    assert suites_of(dial, TLS13)


def test_an_older_version_than_wanted_is_refused_with_a_line(node: Callable[..., NodeProcess], folder: Path) -> None:
    running = node(minimum_version="1.3")
    old = context(folder)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    refused(running, old, "unsupported protocol")


@pytest.mark.parametrize(
    ("client", "why"),
    [(None, "did not return a certificate"), ("foreign", "certificate verify failed"), ("late", "verify failed")],
)
def test_a_client_without_a_good_certificate_is_refused_where_one_is_required(
    node: Callable[..., NodeProcess], folder: Path, client: str | None, why: str
) -> None:
    refused(node(client_ca="ca.pem"), context(folder, client), why)


def test_a_client_that_does_not_believe_the_server_is_noticed(node: Callable[..., NodeProcess], folder: Path) -> None:
    how = ssl.create_default_context(cafile=str(folder / "other-ca.pem"))
    refused(node(), how, "unknown ca")


@pytest.mark.parametrize(
    ("shown", "name", "why"),
    [("server", "elsewhere.example.org", "bad certificate"), ("late", "late", "certificate expired")],
    ids=["wrong name", "expired"],
)
def test_a_client_that_is_shown_the_wrong_certificate_is_noticed(
    node: Callable[..., NodeProcess], folder: Path, shown: str, name: str, why: str
) -> None:
    refused(node(certificate=f"{shown}.pem", key=f"{shown}.key"), context(folder), why, name)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_is_known_by_its_certificate(node: Callable[..., NodeProcess], folder: Path, transport: str) -> None:
    joe = {"certificate-sha256": fingerprint(folder / "joe.pem"), "role": "anonymous"}
    auth = {"tls": {"principals": {"joe@example.org": joe}}}
    running = node(auth, client_ca="ca.pem", client_certificate="optional")
    with Encrypted(running, context(folder, "joe"), transport) as client:
        code, _, details = client.join(authmethods=["tls"])
        assert (code, details["authid"], details["authmethod"]) == (WELCOME, "joe@example.org", "tls")
    for who in ("eva", None):
        with Encrypted(running, context(folder, who), transport) as client:
            assert client.join(authmethods=["tls"])[::2] == [ABORT, "wamp.error.authentication_failed"]


def test_new_certificates_are_shown_after_sighup_and_no_session_is_dropped(
    node: Callable[..., NodeProcess], folder: Path, tmp_path: Path
) -> None:
    running = node()
    with Encrypted(running, context(folder)) as before:
        assert before.join()[0] == WELCOME
        authority = Authority.load(folder)
        (tmp_path / "server.key").unlink()
        write(tmp_path, "server", *authority.sign("localhost", ["127.0.0.1"], 60))
        os.kill(running.pid, signal.SIGHUP)
        eventually(lambda: "read their certificates again" in running.log(), 5, "the new files", running.log)
        with Encrypted(running, context(folder)) as after:
            assert after.join()[0] == WELCOME
            assert after.shown != before.shown
        before.connection.send([32, 1, {}, "com.topic"])
        assert before.connection.receive()[0] == 33


def test_files_that_do_not_fit_leave_the_old_ones_in_place(
    node: Callable[..., NodeProcess], folder: Path, tmp_path: Path
) -> None:
    running = node()
    running.expect_log("the configuration stays as it was")
    running.expect_log(r"yaml:\d+:\d+: listeners\[0\].tls.key: .*server.key is no private key")
    shutil.copy(folder / "joe.key", tmp_path / "server.key")
    os.kill(running.pid, signal.SIGHUP)
    eventually(lambda: "stays as it was" in running.log(), 5, "the refusal", running.log)
    with Encrypted(running, context(folder)) as client:
        assert client.join()[0] == WELCOME
