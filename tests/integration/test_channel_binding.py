"""Method cryptosign with a proof that is bound to the TLS channel, for each version of TLS and over both transports."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL

from tests.support.nodes import ALL_RIGHTS, START_S, NodeProcess, eventually, free_ports
from tests.support.wampclient import HELLO, ROLES, TRANSPORTS, Connection, RawSocketConnection, WebSocketConnection
from wampha.certs import CA, Authority, write

WELCOME, ABORT, CHALLENGE, AUTHENTICATE = 2, 3, 4, 5
KINDS: Final = {"websocket": WebSocketConnection, "rawsocket": RawSocketConnection}
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SCRIPT: Final = Path(__file__).parent / "clients" / "authentication.py"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Its first port speaks TLS, its second one does not."""
    folder = tmp_path_factory.mktemp("bound")
    authority = Authority.new(1)
    write(folder, CA, authority.key, authority.certificate)
    write(folder, "server", *authority.sign("localhost", ["127.0.0.1"], 1))
    port, plain = free_ports(2)
    keys = [KEY.public_key().public_bytes_raw().hex()]
    auth = {"cryptosign": {"principals": {"joe": {"authorized_keys": keys, "role": "anonymous"}}}}
    files = {"certificate": "server.pem", "key": "server.key"}
    settings = {
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [
            {"endpoint": f"tcp:{port}:interface=127.0.0.1", "tls": files, "auth": auth},
            {"endpoint": f"tcp:{plain}:interface=127.0.0.1", "auth": auth},
        ],
        "limits": {"identity_failures_max": 0, "address_failures_max": 0},
    }
    node = NodeProcess(folder, "bound", port, settings)
    try:
        node.launch()
        eventually(lambda: node.log().count("accepts") == 2, START_S, "both listeners", node.log)
        yield node
        node.check_log()
    finally:
        node.end()


class _Exporting(SSL.Connection):
    """OpenSSL on a blocking socket: it knows no time-outs but the system's."""

    def settimeout(self, _: float) -> None: ...


class Channel:
    """A TLS connection to a node, by Python's `ssl`, or by OpenSSL, which can export keys."""

    def __init__(self, node: NodeProcess, version: str, transport: str, *, exporting: bool = False) -> None:
        plain = socket.create_connection(("127.0.0.1", node.port), timeout=10)
        self._secure: Any
        if exporting:
            plain.settimeout(None)
            self._secure = _Exporting(SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
            self._secure.set_connect_state()
            self._secure.do_handshake()
        else:
            context = ssl.create_default_context(cafile=str(node.log_path.parent / "ca.pem"))
            context.minimum_version = context.maximum_version = VERSIONS[version]
            self._secure = context.wrap_socket(plain, server_hostname="localhost")
        self.connection: Connection = KINDS[transport](node.port, transport, "json", self._secure)

    def unique(self) -> bytes:
        return hashlib.sha256(self._secure.get_channel_binding("tls-unique")).digest()

    def exporter(self) -> bytes:
        exported: bytes = self._secure.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        return exported

    def hello(self, binding: Any) -> list[Any]:
        return hello(self.connection, binding)

    def prove(self, challenge: dict[str, Any], channel: bytes) -> list[Any]:
        mixed = bytes(a ^ b for a, b in zip(bytes.fromhex(challenge["challenge"]), channel, strict=True))
        self.connection.send([AUTHENTICATE, KEY.sign(mixed).hex() + mixed.hex(), {}])
        return self.connection.receive()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def hello(connection: Connection, binding: Any) -> list[Any]:
    extra = {"pubkey": KEY.public_key().public_bytes_raw().hex(), "channel_binding": binding}
    details = {"roles": ROLES, "authmethods": ["cryptosign"], "authid": "joe", "authextra": extra}
    connection.send([HELLO, "realm1", details])
    return connection.receive()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tls_unique_binds_to_a_channel_of_tls_1_2(node: NodeProcess, transport: str) -> None:
    with Channel(node, "1.2", transport) as channel:
        code, _, challenge = channel.hello("tls-unique")
        assert (code, challenge["channel_binding"]) == (CHALLENGE, "tls-unique")
        assert channel.prove(challenge, channel.unique())[0] == WELCOME


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tls_exporter_binds_to_a_channel_of_tls_1_3(node: NodeProcess, transport: str) -> None:
    with Channel(node, "1.3", transport, exporting=True) as channel:
        code, _, challenge = channel.hello("tls-exporter")
        assert (code, challenge["channel_binding"]) == (CHALLENGE, "tls-exporter")
        assert channel.prove(challenge, channel.exporter())[0] == WELCOME


def test_a_proof_for_another_channel_and_one_for_none_are_refused(node: NodeProcess) -> None:
    """Between client and router sits somebody with a certificate that the client believes."""
    with Channel(node, "1.2", "rawsocket") as to_him, Channel(node, "1.2", "rawsocket") as to_router:
        assert to_him.unique() != to_router.unique()
        assert to_router.prove(to_router.hello("tls-unique")[2], to_him.unique())[0] == ABORT
    with Channel(node, "1.2", "rawsocket") as channel:
        assert channel.prove(channel.hello("tls-unique")[2], bytes(32))[0] == ABORT


@pytest.mark.parametrize(
    ("version", "binding", "sentence"),
    [
        ("1.3", "tls-unique", "tls-unique is not defined for TLS 1.3; ask for tls-exporter"),
        ("1.2", "tls-exporter", "tls-exporter needs TLS 1.3; ask for tls-unique"),
        ("1.3", "tls-server-end-point", "it may be tls-unique or tls-exporter"),
        ("1.2", {"a": 1}, "it may be tls-unique or tls-exporter"),
    ],
)
def test_what_cannot_be_bound_is_refused_and_said(node: NodeProcess, version: str, binding: Any, sentence: str) -> None:
    with Channel(node, version, "rawsocket") as channel:
        code, details, reason = channel.hello(binding)
        assert (code, reason) == (ABORT, "wamp.error.authentication_failed")
        assert sentence in details["message"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_without_tls_or_behind_a_proxy_that_ends_it_there_is_no_binding(node: NodeProcess, transport: str) -> None:
    endpoint = node.settings["listeners"][1]["endpoint"]
    port = int(endpoint.split(":")[1])
    connection = KINDS[transport](port, transport, "json")
    code, details, _ = hello(connection, "tls-unique")
    assert code == ABORT
    assert "needs TLS between client and router, with no proxy" in details["message"]
    connection.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_autobahn_s_client_is_let_in_with_its_channel_binding(node: NodeProcess, transport: str) -> None:
    secret = (b"1" * 32).hex()
    command = [sys.executable, str(SCRIPT), "autobahn-tls-unique", str(node.port), "cryptosign", "joe", secret]
    done = subprocess.run([*command, transport], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "joe cryptosign", done.stderr
