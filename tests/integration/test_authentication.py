"""Each method of authentication on a real node, over both transports, with raw messages and with client libraries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from autobahn.wamp.auth import compute_wcs, derive_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.nodes import ALL_RIGHTS, START_S, Cluster, NodeProcess, eventually, free_ports
from tests.support.wampclient import (
    ABORT,
    GOODBYE,
    HELLO,
    INVOCATION,
    ROLES,
    TRANSPORTS,
    YIELD,
    Connection,
    ConnectionEndedError,
    Session,
    WebSocketConnection,
    connect,
)
from wampha.auth.ticket import hashed

CHALLENGE, AUTHENTICATE, WELCOME = 4, 5, 2
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
STRANGE_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"2" * 32)
SALT: Final = base64.b64encode(b"0123456789abcdef").decode()
SALTED: Final = derive_key("password", "salt123", 1000, 32).decode()
NONCE: Final = "abcdEFGH"


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def scram_keys(password: str) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(SALT), 4096)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


CLIENT_KEY, SERVER_KEY = scram_keys("pencil")
AUTH: Final[dict[str, Any]] = {
    "ticket": {
        "principals": {
            "joe": {"ticket": "secret!!!", "role": "anonymous"},
            "eva": {"ticket_hash": hashed("geheim", b"s" * 16), "role": "anonymous"},
        }
    },
    "wampcra": {
        "users": {
            "joe": {"secret": "secret2", "role": "anonymous"},
            "peter": {"secret": SALTED, "salt": "salt123", "iterations": 1000, "keylen": 32, "role": "anonymous"},
        }
    },
    "scram": {
        "principals": {
            "joe": {
                "kdf": "pbkdf2",
                "salt": SALT,
                "iterations": 4096,
                "stored-key": hashlib.sha256(CLIENT_KEY).hexdigest(),
                "server-key": SERVER_KEY.hex(),
                "role": "anonymous",
            }
        }
    },
    "cryptosign": {"principals": {"joe": {"authorized_keys": [public(KEY)], "role": "anonymous"}}},
}


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    (port,) = free_ports(1)
    settings = {
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": AUTH}],
        "limits": {"identity_failures_max": 0, "address_failures_max": 0},  # these tests fail often on purpose
    }
    node = NodeProcess(tmp_path_factory.mktemp("guarded"), "guarded", port, settings)
    try:
        node.launch()
        eventually(lambda: "accepts" in node.log(), START_S, "a listener", node.log)
        yield node
    finally:
        node.end()


@pytest.fixture
def guarded(_guarded: NodeProcess) -> Iterator[NodeProcess]:
    """A node that lets nobody in without a proof."""
    yield _guarded
    _guarded.check_log()
    assert _guarded.running()


Signer = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]


def ticket(said: str) -> Signer:
    return lambda extra: (said, {})


def cra(secret: str) -> Signer:
    def sign(extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        key = secret
        if "salt" in extra:
            key = derive_key(secret, extra["salt"], extra["iterations"], extra["keylen"]).decode()
        return compute_wcs(key.encode(), extra["challenge"].encode()).decode(), {}

    return sign


def scram(password: str) -> Signer:
    def sign(extra: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        key, _ = scram_keys(password)
        message = f"n=joe,r={NONCE},r={extra['nonce']},s={extra['salt']},i={extra['iterations']},c=biws"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{message},r={extra['nonce']}".encode(), "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return base64.b64encode(proof).decode(), {"nonce": extra["nonce"], "channel_binding": None, "cbind_data": None}

    return sign


def cryptosign(key: Ed25519PrivateKey) -> Signer:
    return lambda extra: (key.sign(bytes.fromhex(extra["challenge"])).hex() + extra["challenge"], {})


PUBKEY: Final = {"pubkey": public(KEY), "channel_binding": None}
SCRAM: Final = {"nonce": NONCE, "channel_binding": None}
Proof = tuple[str, str, Mapping[str, Any], Signer]  # method, authid, authextra, what signs the challenge
RIGHT: Final[list[Proof]] = [
    ("ticket", "joe", {}, ticket("secret!!!")),
    ("ticket", "eva", {}, ticket("geheim")),
    ("wampcra", "joe", {}, cra("secret2")),
    ("wampcra", "peter", {}, cra("password")),
    ("wamp-scram", "joe", SCRAM, scram("pencil")),
    ("scram", "joe", SCRAM, scram("pencil")),
    ("cryptosign", "joe", PUBKEY, cryptosign(KEY)),
]
WRONG: Final[list[Proof]] = [
    ("ticket", "joe", {}, ticket("secret")),
    ("ticket", "nobody", {}, ticket("secret!!!")),
    ("ticket", "eva", {}, ticket("secret!!!")),
    ("wampcra", "joe", {}, cra("secret")),
    ("wampcra", "nobody", {}, cra("secret2")),
    ("wamp-scram", "joe", SCRAM, scram("pen")),
    ("wamp-scram", "nobody", SCRAM, scram("pencil")),
    ("cryptosign", "joe", PUBKEY, cryptosign(STRANGE_KEY)),
    ("cryptosign", "nobody", PUBKEY, cryptosign(KEY)),
    ("cryptosign", "joe", {"pubkey": public(STRANGE_KEY)}, cryptosign(STRANGE_KEY)),
]


def names(proofs: list[Proof]) -> list[str]:
    """What pytest calls them."""
    return [f"{number}-{method}-{authid}" for number, (method, authid, *_) in enumerate(proofs)]


def hello(connection: Connection, method: str, authid: str, extra: Mapping[str, Any]) -> list[Any]:
    """HELLO, and what comes back."""
    details = {"roles": ROLES, "authmethods": [method], "authid": authid, "authextra": extra}
    connection.send([HELLO, "realm1", details])
    return connection.receive()


def prove(connection: Connection, method: str, authid: str, extra: Mapping[str, Any], sign: Signer) -> list[Any]:
    """HELLO, CHALLENGE, AUTHENTICATE, and what comes back."""
    challenge = hello(connection, method, authid, extra)
    assert challenge[:2] == [CHALLENGE, method]
    signature, details = sign(challenge[2])
    connection.send([AUTHENTICATE, signature, details])
    return connection.receive()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("proof", RIGHT, ids=names(RIGHT))
def test_who_proves_it_is_let_in(guarded: NodeProcess, transport: str, proof: Proof) -> None:
    method, authid, _, _ = proof
    with connect(guarded.port, transport, "msgpack") as connection:
        code, _, details = prove(connection, *proof)
        assert code == WELCOME
        assert (details["authid"], details["authmethod"], details["authprovider"]) == (authid, method, "static")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("proof", WRONG, ids=names(WRONG))
def test_who_does_not_is_told_the_same_whatever_was_wrong(guarded: NodeProcess, transport: str, proof: Proof) -> None:
    with connect(guarded.port, transport) as connection:
        code, details, reason = prove(connection, *proof)
        assert (code, reason) == (ABORT, "wamp.error.authentication_failed")
        assert details == {"message": "The authid is unknown here, or the proof does not fit it."}
        with pytest.raises(ConnectionEndedError):
            connection.receive()


@pytest.mark.parametrize("proof", RIGHT[2:], ids=names(RIGHT[2:]))
def test_a_proof_that_was_seen_is_worth_nothing(guarded: NodeProcess, proof: Proof) -> None:
    method, authid, extra, sign = proof
    with connect(guarded.port) as connection:
        seen = sign(hello(connection, method, authid, extra)[2])
    with connect(guarded.port) as connection:
        assert prove(connection, method, authid, extra, lambda challenge: seen)[0] == ABORT


def test_who_names_no_method_is_refused_since_nobody_is_anonymous_here(guarded: NodeProcess) -> None:
    with connect(guarded.port) as connection:
        connection.send([HELLO, "realm1", {"roles": ROLES}])
        assert connection.receive()[::2] == [ABORT, "wamp.error.no_matching_auth_method"]


def test_a_client_that_goes_before_it_answers_leaves_nothing(guarded: NodeProcess) -> None:
    for method, authid, extra, _ in RIGHT:
        with connect(guarded.port) as connection:
            assert hello(connection, method, authid, extra)[0] == CHALLENGE
    with connect(guarded.port) as connection:
        assert prove(connection, *RIGHT[0])[0] == WELCOME


HERE: Final = Path(__file__).parent
PYTHON: Final = (sys.executable, str(HERE / "clients" / "authentication.py"))
LIBRARIES: Final = {
    "autobahn": (*PYTHON, "autobahn"),
    "autobahn-js": ("node", str(HERE / "js" / "authentication.js")),
    "xconn": (*PYTHON, "xconn"),
}


@pytest.mark.parametrize(
    ("library", "method", "authid", "secret"),
    [
        *[(library, "ticket", "joe", "secret!!!") for library in LIBRARIES],
        *[(library, "wampcra", "joe", "secret2") for library in LIBRARIES],
        *[(library, "wampcra", "peter", "password") for library in LIBRARIES],
        ("xconn", "cryptosign", "joe", (b"1" * 32).hex()),
    ],
)
def test_client_libraries_are_let_in(guarded: NodeProcess, library: str, method: str, authid: str, secret: str) -> None:
    assert said_by(library, guarded.port, method, authid, secret) == f"{authid} {method}"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", ["ticket", "wampcra"])
def test_client_libraries_are_told_why_they_are_not(guarded: NodeProcess, library: str, method: str) -> None:
    assert "wamp.error.authentication_failed" in said_by(library, guarded.port, method, "joe", "wrong")


def said_by(library: str, *words: object) -> str:
    """What the library's script prints."""
    environment = {**os.environ, "NODE_PATH": str(HERE / "js" / "node_modules")}
    command = [*LIBRARIES[library], *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert done.stdout, done.stderr
    return done.stdout.strip()


def dynamic_cluster_settings(port: int) -> list[dict[str, Any]]:
    """One listener where anyone is let in, and none but by the authenticator's word on the same one."""
    auth = {
        "anonymous": {"role": "anonymous"},
        "ticket": {"type": "dynamic", "authenticator": "com.example.authenticate"},
        "wampcra": {"type": "dynamic", "authenticator": "com.example.authenticate"},
        "cryptosign": AUTH["cryptosign"],
        "cookie": {},
    }
    return [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": auth}]


@pytest.fixture(scope="module")
def dynamic_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that ask an authenticator."""
    cluster = Cluster(tmp_path_factory.mktemp("dynamic"))
    for node in cluster:
        node.settings["listeners"] = dynamic_cluster_settings(node.port)
    try:
        yield cluster.start()
        cluster.check_logs()
    finally:
        cluster.end()


def answer(authenticator: Session, value: Any) -> list[Any]:
    """Take the authenticator's invocation, answer it, and give its arguments."""
    invocation = authenticator.next(INVOCATION)
    authenticator.connection.send([YIELD, invocation[1], {}, [value]])
    args: list[Any] = invocation[4]
    return args


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("home", ["a", "b"])
def test_an_authenticator_on_any_node_decides(dynamic_cluster: Cluster, transport: str, home: str) -> None:
    node = dynamic_cluster["a"]
    with dynamic_cluster[home].session() as authenticator:
        authenticator.register("com.example.authenticate")
        with connect(node.port, transport, "cbor") as connection:
            assert hello(connection, "ticket", "joe", {})[0] == CHALLENGE
            connection.send([AUTHENTICATE, "geheim", {}])
            realm, authid, details = answer(authenticator, {"role": "anonymous", "authid": "joe2"})
            assert (realm, authid, details["ticket"], details["authmethod"]) == ("realm1", "joe", "geheim", "ticket")
            code, session, welcome = connection.receive()
            assert (code, session) == (WELCOME, details["session"])
            assert (welcome["authid"], welcome["authprovider"]) == ("joe2", "dynamic")
        with connect(node.port, transport, "cbor") as connection:
            connection.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["wampcra"], "authid": "eva"}])
            answer(authenticator, {"role": "anonymous", "secret": "abc"})
            code, _, extra = connection.receive()
            assert code == CHALLENGE
            connection.send([AUTHENTICATE, cra("abc")(extra)[0], {}])
            assert connection.receive()[0] == WELCOME


def test_when_the_authenticator_s_node_dies_the_client_is_told_no(fresh_cluster: Callable[[], Cluster]) -> None:
    cluster = fresh_cluster()
    for node in cluster:
        node.settings["listeners"] = dynamic_cluster_settings(node.port)
    cluster.start()
    with cluster["b"].session() as authenticator, connect(cluster["a"].port) as connection:
        authenticator.register("com.example.authenticate")
        assert hello(connection, "ticket", "joe", {})[0] == CHALLENGE
        connection.send([AUTHENTICATE, "geheim", {}])
        authenticator.next(INVOCATION)
        cluster["b"].kill()
        code, _, reason = connection.receive()
        assert code == ABORT
        # If the dead node led, this one may stop serving for a moment, and says so first.
        assert reason in ("wamp.error.authentication_failed", "wamp.error.unavailable")


def test_brute_force_is_not_listened_to_and_others_are(fresh_node: Callable[..., NodeProcess]) -> None:
    node = fresh_node(limits={"identity_failures_max": 10, "address_failures_max": 0})
    node.settings["listeners"][0]["auth"] = {**AUTH, "anonymous": {"role": "anonymous"}}
    node.launch().wait_until_serving()
    for number in range(1000):
        with connect(node.port, "rawsocket", "msgpack") as connection:
            answer = hello(connection, "ticket", "joe", {})
            if answer[0] == CHALLENGE:
                connection.send([AUTHENTICATE, f"guess{number}", {}])
                answer = connection.receive()
            assert answer[::2] == [ABORT, "wamp.error.authentication_failed"]
        if number % 100 == 0:
            with connect(node.port) as connection:
                assert prove(connection, *RIGHT[1])[0] == WELCOME
    counters = node.status()["counters"]
    assert counters["authentications_failed"] + counters["authentications_throttled"] == 1000
    assert counters["authentications_failed"] <= 10 + 60  # the burst, and what a slow machine is forgiven meanwhile
    assert "guess" not in node.log()


# ---- browsers


class Browser(WebSocketConnection):
    """A WebSocket client that keeps the cookie it is given."""

    def __init__(self, port: int, cookie: str | None = None) -> None:
        self.cookie = cookie
        super().__init__(port, "websocket", "json")

    def headers(self) -> str:
        return "" if self.cookie is None else f"Cookie: theme=dark; {self.cookie}\r\n"

    def answered(self, head: str) -> None:
        given = re.search(
            r"\r\nSet-Cookie: (cbtid=[\w-]{24}); Path=/; Max-Age=86400; HttpOnly; SameSite=Strict\r\n", head
        )
        if given:
            self.cookie = given[1]


def by_cookie(node: NodeProcess, cookie: str | None) -> list[Any]:
    with Browser(node.port, cookie) as browser:
        browser.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["cookie"]}])
        return browser.receive()


def test_a_browser_is_known_again_on_every_node_until_it_logs_out(dynamic_cluster: Cluster) -> None:
    a, b, c = dynamic_cluster
    with Browser(a.port) as browser, Browser(b.port) as stranger:
        assert stranger.cookie != browser.cookie
        assert prove(browser, "cryptosign", "joe", PUBKEY, cryptosign(KEY))[0] == WELCOME
        for node in (b, c):
            eventually(lambda node=node: by_cookie(node, browser.cookie)[0] == WELCOME, 5, "the cookie", node.log)
            assert by_cookie(node, stranger.cookie)[::2] == [ABORT, "wamp.error.no_matching_auth_method"]
        with Browser(c.port, browser.cookie) as again:
            assert again.cookie == browser.cookie
            again.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["cookie"]}])
            code, _, details = again.receive()
            assert (code, details["authid"], details["authmethod"]) == (WELCOME, "joe", "cookie")
            assert details["authprovider"] == "static"
            browser.send([GOODBYE, {}, "wamp.close.logout"])
            assert browser.receive()[0] == GOODBYE
            assert again.receive()[::2] == [GOODBYE, "wamp.close.logout"]
        for node in (a, b, c):
            eventually(lambda node=node: by_cookie(node, browser.cookie)[0] == ABORT, 5, "the logout", node.log)
        for node in (a, b, c):
            assert browser.cookie.partition("=")[2] not in node.log()
