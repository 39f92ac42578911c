"""Each method of authentication on a real node, over both transports, with raw messages and with client libraries."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from autobahn.wamp.auth import compute_wcs, derive_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.support.nodes import ALL_RIGHTS, START_S, Cluster, NodeProcess, eventually, free_ports
from tests.support.wampclient import (
    ABORT,
    ERROR,
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
HELLO_S: Final = 6.0  # for a client to prove who it is
ANSWER_S: Final = 2.0  # for an authenticator
AUTHENTICATE_URI: Final = "com.example.authenticate"


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def scram_keys(password: str) -> tuple[bytes, bytes]:
    return keys_of(hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(SALT), 4096))


def keys_of(salted: bytes) -> tuple[bytes, bytes]:
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def argon_keys(password: str) -> tuple[bytes, bytes]:
    """As Autobahn|Python derives them: it takes the hash's text in base64 for the key."""
    function = Argon2id(salt=base64.b64decode(SALT), length=32, iterations=2, lanes=1, memory_cost=64)
    return keys_of(base64.b64encode(function.derive(password.encode())).rstrip(b"="))


CLIENT_KEY, SERVER_KEY = scram_keys("pencil")
ARGON_CLIENT_KEY, ARGON_SERVER_KEY = argon_keys("argon")
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
            },
            "anna": {
                "kdf": "argon2id-13",
                "salt": SALT,
                "iterations": 2,
                "memory": 64,
                "stored-key": hashlib.sha256(ARGON_CLIENT_KEY).hexdigest(),
                "server-key": ARGON_SERVER_KEY.hex(),
                "role": "anonymous",
            },
        }
    },
    "cryptosign": {"principals": {"joe": {"authorized_keys": [public(KEY)], "role": "anonymous"}}},
}


# These tests fail often on purpose, and wait for who never answers.
LIMITS: Final = {
    "identity_failures_max": 0,
    "address_failures_max": 0,
    "hello_timeout_s": HELLO_S,
    "authenticator_timeout_s": ANSWER_S,
}


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    (port,) = free_ports(1)
    settings = {
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": AUTH}],
        "limits": LIMITS,
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


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("proof", RIGHT[2:], ids=names(RIGHT[2:]))
def test_a_proof_that_was_seen_is_worth_nothing(guarded: NodeProcess, transport: str, proof: Proof) -> None:
    method, authid, extra, sign = proof
    with connect(guarded.port, transport) as connection:
        seen = sign(hello(connection, method, authid, extra)[2])
    with connect(guarded.port, transport) as connection:
        assert prove(connection, method, authid, extra, lambda challenge: seen)[0] == ABORT


def tampered(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The challenge as somebody in between would like to have it signed: for an admin, or with his own random bytes."""
    changed = dict(extra)
    if "challenge" not in extra:  # SCRAM
        changed["nonce"] = extra["nonce"][:-4] + "AAA="
    elif extra["challenge"].startswith("{"):
        changed["challenge"] = json.dumps({**json.loads(extra["challenge"]), "authrole": "admin"})
    else:
        changed["challenge"] = "00" * 32
    assert changed != extra
    return changed


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("proof", RIGHT[2:], ids=names(RIGHT[2:]))
def test_the_right_proof_of_a_tampered_challenge_is_refused(guarded: NodeProcess, transport: str, proof: Proof) -> None:
    method, authid, extra, sign = proof
    with connect(guarded.port, transport) as connection:
        answer = prove(connection, method, authid, extra, lambda challenge: sign(tampered(challenge)))
        assert answer[::2] == [ABORT, "wamp.error.authentication_failed"]


def test_who_names_no_method_is_refused_since_nobody_is_anonymous_here(guarded: NodeProcess) -> None:
    with connect(guarded.port) as connection:
        connection.send([HELLO, "realm1", {"roles": ROLES}])
        assert connection.receive()[::2] == [ABORT, "wamp.error.no_matching_auth_method"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_goes_before_it_answers_leaves_nothing(guarded: NodeProcess, transport: str) -> None:
    for method, authid, extra, _ in RIGHT:
        with connect(guarded.port, transport) as connection:
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
        *[(library, "cryptosign", "joe", (b"1" * 32).hex()) for library in LIBRARIES],
        ("autobahn", "scram", "anna", "argon"),  # with pbkdf2 it fails on its own salt
    ],
)
def test_client_libraries_are_let_in(guarded: NodeProcess, library: str, method: str, authid: str, secret: str) -> None:
    assert said_by(library, guarded.port, method, authid, secret) == f"{authid} {method}"


@pytest.mark.parametrize(
    ("library", "method", "authid", "wrong"),
    [
        *[(library, method, "joe", "wrong") for library in LIBRARIES for method in ("ticket", "wampcra")],
        ("autobahn", "scram", "anna", "wrong"),
        *[(library, "cryptosign", "joe", (b"2" * 32).hex()) for library in LIBRARIES],
    ],
)
def test_client_libraries_are_told_why_they_are_not(
    guarded: NodeProcess, library: str, method: str, authid: str, wrong: str
) -> None:
    assert "wamp.error.authentication_failed" in said_by(library, guarded.port, method, authid, wrong)


def test_autobahn_is_let_in_over_rawsocket(guarded: NodeProcess) -> None:
    assert said_by("autobahn", guarded.port, "scram", "anna", "argon", "rawsocket") == "anna scram"


def said_by(library: str, *words: object) -> str:
    """What the library's script prints."""
    environment = {**os.environ, "NODE_PATH": str(HERE / "js" / "node_modules")}
    command = [*LIBRARIES[library], *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert done.stdout, done.stderr
    return done.stdout.strip()


def dynamic_cluster_settings(port: int, browsers: int | None = None) -> list[dict[str, Any]]:
    """A listener where anyone is let in, or by the authenticator's word; and one where browsers are known again."""
    dynamic = {"type": "dynamic", "authenticator": AUTHENTICATE_URI}
    auth = {"anonymous": {"role": "anonymous"}, **dict.fromkeys(AUTH, dynamic)}
    listeners = [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": auth}]
    if browsers is not None:
        known = {"cryptosign": AUTH["cryptosign"], "cookie": {}}
        listeners.append({"endpoint": f"tcp:{browsers}:interface=127.0.0.1", "auth": known})
    return listeners


@pytest.fixture(scope="module")
def dynamic_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that ask an authenticator."""
    cluster = Cluster(tmp_path_factory.mktemp("dynamic"))
    for node, browsers in zip(cluster, free_ports(3), strict=True):
        node.settings["listeners"] = dynamic_cluster_settings(node.port, browsers)
        node.settings["limits"] = LIMITS
    try:
        yield cluster.start()
        cluster.check_logs()
    finally:
        cluster.end()


def answer(authenticator: Session, value: Any) -> list[Any]:
    """Take the authenticator's invocation, answer it (by an error, if that is None), and give its arguments."""
    invocation = authenticator.next(INVOCATION)
    reply(authenticator, invocation, value)
    args: list[Any] = invocation[4]
    return args


def reply(authenticator: Session, invocation: list[Any], value: Any) -> None:
    if value is None:
        authenticator.connection.send([ERROR, INVOCATION, invocation[1], {}, "com.example.no"])
    else:
        authenticator.connection.send([YIELD, invocation[1], {}, [value]])


# What an authenticator says of whoever is right: the words of the configuration.
SAID: Final = {
    "ticket": {"role": "anonymous"},
    "wampcra": AUTH["wampcra"]["users"]["peter"],
    "wamp-scram": AUTH["scram"]["principals"]["joe"],
    "scram": AUTH["scram"]["principals"]["joe"],
    "cryptosign": AUTH["cryptosign"]["principals"]["joe"],
}
ASKED: Final[list[Proof]] = [RIGHT[0], *RIGHT[3:]]


def ask(connection: Connection, authenticator: Session, proof: Proof, said: Any) -> list[Any]:
    """Prove who one is to a node that asks an authenticator, which says this; gives what comes back."""
    method, authid, extra, sign = proof
    details = {"roles": ROLES, "authmethods": [method], "authid": authid, "authextra": extra}
    connection.send([HELLO, "realm1", details])
    if method != "ticket":
        assert answer(authenticator, said)[1] == authid
    challenge = connection.receive()
    if challenge[0] != CHALLENGE:
        return challenge
    signature, more = sign(challenge[2])
    connection.send([AUTHENTICATE, signature, more])
    if method == "ticket":
        assert answer(authenticator, said)[2]["ticket"] == signature
    return connection.receive()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("proof", ASKED, ids=names(ASKED))
def test_by_an_authenticator_on_another_node_each_method_lets_in_who_is_right_and_nobody_else(
    dynamic_cluster: Cluster, transport: str, proof: Proof
) -> None:
    method, authid, extra, sign = proof
    wrong: Signer = {"ticket": ticket("x"), "wampcra": cra("x"), "cryptosign": cryptosign(STRANGE_KEY)}.get(
        method, scram("x")
    )
    port = dynamic_cluster["a"].port
    with dynamic_cluster["b"].session() as authenticator:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        with connect(port, transport) as connection:
            code, _, details = ask(connection, authenticator, proof, SAID[method])
            assert (code, details["authid"], details["authprovider"]) == (WELCOME, authid, "dynamic")
        refusals = [(wrong, None if method == "ticket" else SAID[method]), (sign, None), (sign, {"role": 7})]
        if method != "ticket":  # whose challenge is empty
            refusals.append((lambda challenge: sign(tampered(challenge)), SAID[method]))
        for signer, said in refusals:
            with connect(port, transport) as connection:
                refused = ask(connection, authenticator, (method, authid, extra, signer), said)
                assert refused[::2] == [ABORT, "wamp.error.authentication_failed"]
                assert refused[1] == {"message": "The authid is unknown here, or the proof does not fit it."}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_goes_while_an_authenticator_is_asked_leaves_nothing(dynamic_cluster: Cluster, transport: str) -> None:
    port = dynamic_cluster["a"].port
    with dynamic_cluster["b"].session() as authenticator:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        invocations = []
        for method, authid, extra, sign in ASKED:
            with connect(port, transport) as connection:
                details = {"roles": ROLES, "authmethods": [method], "authid": authid, "authextra": extra}
                connection.send([HELLO, "realm1", details])
                if method == "ticket":
                    connection.receive()
                    connection.send([AUTHENTICATE, *sign({})])
                invocations.append((authenticator.next(INVOCATION), SAID[method]))
        for invocation, said in invocations:
            reply(authenticator, invocation, said)
        with connect(port, transport) as connection:
            assert ask(connection, authenticator, ASKED[0], SAID["ticket"])[0] == WELCOME


def test_an_authenticator_that_is_slow_holds_up_nobody_else(dynamic_cluster: Cluster) -> None:
    port = dynamic_cluster["a"].port
    with dynamic_cluster["b"].session() as authenticator, connect(port) as patient, connect(port) as quick:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        patient.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["wampcra"], "authid": "peter"}])
        asked = authenticator.next(INVOCATION)
        assert ask(quick, authenticator, RIGHT[0], SAID["ticket"])[0] == WELCOME
        with pytest.raises(TimeoutError):
            patient.receive(ANSWER_S / 2)
        reply(authenticator, asked, SAID["wampcra"])
        code, _, extra = patient.receive()
        assert code == CHALLENGE
        patient.send([AUTHENTICATE, *cra("password")(extra)])
        assert patient.receive()[0] == WELCOME


def test_an_authenticator_that_never_answers_means_no_and_what_it_says_later_means_nothing(
    dynamic_cluster: Cluster,
) -> None:
    port = dynamic_cluster["a"].port
    with dynamic_cluster["b"].session() as authenticator, contextlib.ExitStack() as stack:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        asked = []
        for method in ("wampcra", "wampcra", "wampcra"):
            connection = stack.enter_context(connect(port))
            connection.send([HELLO, "realm1", {"roles": ROLES, "authmethods": [method], "authid": "peter"}])
            asked.append((connection, authenticator.next(INVOCATION)))
        for connection, invocation in asked:
            assert connection.receive()[::2] == [ABORT, "wamp.error.authentication_failed"]
            reply(authenticator, invocation, SAID["wampcra"])
        with connect(port) as again:
            assert ask(again, authenticator, ASKED[1], SAID["wampcra"])[0] == WELCOME


def test_an_authenticator_that_goes_means_no_at_once(dynamic_cluster: Cluster) -> None:
    with connect(dynamic_cluster["a"].port) as connection:
        authenticator = dynamic_cluster["b"].session()
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        connection.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["wampcra"], "authid": "peter"}])
        authenticator.next(INVOCATION)
        authenticator.connection.close()
        assert connection.receive(ANSWER_S / 2)[::2] == [ABORT, "wamp.error.authentication_failed"]


def test_who_does_not_answer_the_challenge_is_sent_away_in_time_whatever_the_method(
    guarded: NodeProcess, dynamic_cluster: Cluster
) -> None:
    """All at once: they wait together."""
    waiting: list[Connection] = []
    with dynamic_cluster["b"].session() as authenticator, contextlib.ExitStack() as stack:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
        for transport in TRANSPORTS:
            for method, authid, extra, _ in RIGHT:
                connection = stack.enter_context(connect(guarded.port, transport))
                assert hello(connection, method, authid, extra)[0] == CHALLENGE
                waiting.append(connection)
            for method, authid, extra, _ in ASKED:
                connection = stack.enter_context(connect(dynamic_cluster["a"].port, transport))
                details = {"roles": ROLES, "authmethods": [method], "authid": authid, "authextra": extra}
                connection.send([HELLO, "realm1", details])
                if method != "ticket":
                    answer(authenticator, SAID[method])
                assert connection.receive()[0] == CHALLENGE
                waiting.append(connection)
        for connection in waiting:
            assert connection.receive(2 * HELLO_S)[::2] == [ABORT, "wamp.error.timeout"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("home", ["a", "b"])
def test_an_authenticator_on_any_node_decides(dynamic_cluster: Cluster, transport: str, home: str) -> None:
    node = dynamic_cluster["a"]
    with dynamic_cluster[home].session() as authenticator:
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
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
        authenticator.register(AUTHENTICATE_URI, force_reregister=True)
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


class Door(NamedTuple):
    """Where a node knows browsers again."""

    port: int
    log: Callable[[], str]

    @staticmethod
    def of(node: NodeProcess) -> Door:
        return Door(int(node.settings["listeners"][1]["endpoint"].split(":")[1]), node.log)


def by_cookie(node: Door, cookie: str | None) -> list[Any]:
    with Browser(node.port, cookie) as browser:
        browser.send([HELLO, "realm1", {"roles": ROLES, "authmethods": ["cookie"]}])
        return browser.receive()


def test_a_browser_is_known_again_on_every_node_until_it_logs_out(dynamic_cluster: Cluster) -> None:
    a, b, c = (Door.of(node) for node in dynamic_cluster)
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
