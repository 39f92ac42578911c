"""`wampha pub|sub|call|register|bench` as processes, against real nodes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.commands import WAMPHA, Commands, commands, environment
from tests.support.nodes import ALL_RIGHTS, NodeProcess, free_ports
from tests.support.wampclient import INVOCATION, YIELD
from wampha.certs import CA, Authority, write
from wampha.cli.exits import Exit

KEY: Final = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
SALT: Final = base64.b64encode(b"0123456789abcdef").decode()
NARROW: Final = {
    "name": "narrow",
    "permissions": [{"uri": "open.", "match": "prefix", "allow": {"subscribe": True, "call": True}}],
}


def scram() -> dict[str, Any]:
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(SALT), 16)
    client, server = hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")
    keys = {"stored-key": hashlib.sha256(client).hexdigest(), "server-key": server.hex()}
    return {"kdf": "pbkdf2", "salt": SALT, "iterations": 16, **keys, "role": "anonymous"}


AUTH: Final[dict[str, Any]] = {
    "ticket": {
        "principals": {
            "joe": {"ticket": "geheim", "role": "anonymous"},
            "narrow": {"ticket": "geheim", "role": "narrow"},
        }
    },
    "wampcra": {"users": {"joe": {"secret": "secret", "role": "anonymous"}}},
    "scram": {"principals": {"joe": scram()}},
    "cryptosign": {
        "principals": {"joe": {"authorized_keys": [KEY.public_key().public_bytes_raw().hex()], "role": "anonymous"}}
    },
}


class Door(NodeProcess):
    """A node with three listeners: for anyone, for who proves who they are, and one with TLS."""

    def __init__(self, folder: Path) -> None:
        port, self.guarded, self.encrypted = free_ports(3)
        self.folder: Final = folder
        self.ca: Final = folder / "ca.pem"
        authority = Authority.new(1)
        write(folder, CA, authority.key, authority.certificate)
        write(folder, "server", *authority.sign("server", ["127.0.0.1", "localhost"], 1))
        key, certificate = authority.sign("joe", [], 1)
        write(folder, "joe", key, certificate)
        anyone = {"anonymous": {"role": "anonymous"}}
        tls = {"certificate": str(folder / "server.pem"), "key": str(folder / "server.key")}
        asked = {"client_ca": str(self.ca), "client_certificate": "optional"}
        fingerprint = certificate.fingerprint(SHA256()).hex()
        joe = {"principals": {"joe": {"certificate-sha256": fingerprint, "role": "narrow"}}}
        listeners = [
            {"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": anyone},
            {"endpoint": f"tcp:{self.guarded}:interface=127.0.0.1", "auth": AUTH},
            {
                "endpoint": f"tcp:{self.encrypted}:interface=127.0.0.1",
                "auth": {**anyone, "tls": joe},
                "tls": {**tls, **asked},
            },
        ]
        realms = [{"name": "realm1", "roles": [ALL_RIGHTS, NARROW]}]
        limits = {"identity_failures_max": 0, "address_failures_max": 0}  # these tests fail on purpose
        super().__init__(folder, "door", port, {"realms": realms, "listeners": listeners, "limits": limits})


@pytest.fixture(scope="module")
def _door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("door"))
    try:
        door.launch().wait_until_serving()
        yield door
    finally:
        door.end()


@pytest.fixture
def door(_door: Door) -> Iterator[Door]:
    """The node of this module."""
    yield _door
    _door.check_log()
    assert _door.running()


@pytest.fixture
def wampha(door: Door, tmp_path: Path) -> Iterator[Commands]:
    """Runs commands against that node, as anyone."""
    with commands(tmp_path, WAMPHA_URL=door.url) as made:
        yield made


def test_what_is_published_is_printed_by_subscribers(wampha: Commands) -> None:
    exact = wampha.start("sub", "com.example.hello", "--count", "3")
    prefix = wampha.start("sub", "--match", "prefix", "com.example.", "--serializer", "cbor")
    exact.wait_for("subscribed to com.example.hello")
    prefix.wait_for("subscribed")
    told = wampha("pub", "com.example.hello", "hello world", "12", '{"a": null}', "-k", "unit=m", "--acknowledge")
    assert told.code == 0
    (published,) = told.lines
    assert wampha("pub", "--count", "2", "--interval", "0.01", "com.example.hello").out == ""
    done = exact.done()
    assert done.code == Exit.DONE
    first, *others = done.lines
    assert first == {**published, "args": ["hello world", 12, {"a": None}], "kwargs": {"unit": "m"}}
    assert [(line["args"], line["kwargs"]) for line in others] == [([], {})] * 2
    prefix.wait_for(r"(?s)(com\.example\.hello.*){3}")
    ended = prefix.end()
    assert ended.code == Exit.DONE
    assert ended.lines[0] == first


def test_retained_events_are_shown_to_who_asks(wampha: Commands) -> None:
    assert wampha("pub", "--retain", "--acknowledge", "com.example.state", "on").code == 0
    (line,) = wampha("sub", "--retained", "--count", "1", "com.example.state").lines
    assert line["args"] == ["on"] and line["retained"] is True


RUN: Final = "import json, os, sys\nos.execlp('sh', 'sh', '-c', json.load(sys.stdin)['args'][0])\n"


def test_calls_are_answered_by_an_echo_and_by_commands(wampha: Commands, tmp_path: Path) -> None:
    echo = wampha.start("register", "com.example.echo", "--echo")
    adder = wampha.start("register", "com.example.count", "--exec", "wc -w")
    (tmp_path / "run.py").write_text(RUN)
    script = f"exec {sys.executable} {tmp_path}/run.py"
    shell = wampha.start("register", "--match", "prefix", "com.example.sh.", "--timeout", "2", "--exec", script)
    for each in (echo, adder, shell):
        each.wait_for("registered")
    answered = wampha("call", "com.example.echo", "1", "two", "-k", "three=[3]")
    assert answered.code == 0
    assert answered.lines == [{"args": [1, "two"], "kwargs": {"three": [3]}}]
    assert wampha("call", "com.example.count", "a b c").lines == [{"args": [8], "kwargs": {}}]
    assert wampha("call", "com.example.sh.x", ":").lines == [{"args": [], "kwargs": {}}]
    assert wampha("call", "com.example.sh.x", "echo a b").lines == [{"args": ["a b"], "kwargs": {}}]
    failed, late = (wampha("call", "com.example.sh.x", command) for command in ("exit 3", "sleep 30"))
    assert failed.code == Exit.FAILED and "runtime_error" in failed.err and "ended with status 3" in failed.err
    assert late.code == Exit.TIMEOUT and "did not end within 2 s" in late.err
    assert [each.end().code for each in (echo, adder, shell)] == [Exit.DONE] * 3


def test_a_cancelled_call_kills_its_command_with_all_that_it_started(wampha: Commands, tmp_path: Path) -> None:
    slow = wampha.start("register", "com.example.slow", "--exec", f"sleep 77 & echo $! > {tmp_path}/pid; wait")
    slow.wait_for("registered")
    done = wampha("call", "--timeout", "1", "com.example.slow")
    assert done.code == Exit.TIMEOUT
    assert done.err == "wampha: com.example.slow did not answer within 1 s\n"
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the command outlived its call"
        time.sleep(0.05)
    slow.end()


def test_no_more_commands_run_at_once_than_is_said(wampha: Commands, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    script = f"cd {tmp_path}/runs; mkdir $$; ls | wc -l; sleep 0.3; rmdir $$"
    busy = wampha.start("register", "com.example.busy", "--concurrency", "2", "--exec", script)
    busy.wait_for("registered")
    calls = [wampha.start("call", "com.example.busy") for _ in range(5)]
    seen = [call.done().lines[0]["args"][0] for call in calls]
    assert len(seen) == 5 and max(seen) <= 2
    busy.end()


def test_results_on_the_way_are_printed_as_they_come(door: Door, wampha: Commands) -> None:
    with door.session() as callee:
        callee.register("com.example.parts")
        call = wampha.start("call", "com.example.parts")
        request = callee.next(INVOCATION)[1]
        callee.connection.send([YIELD, request, {"progress": True}, ["half"]])
        call.wait_for("half")
        callee.connection.send([YIELD, request, {}, ["whole"], {"took": 2}])
    done = call.done()
    assert done.code == 0
    assert done.lines == [
        {"args": ["half"], "kwargs": {}, "progress": True},
        {"args": ["whole"], "kwargs": {"took": 2}},
    ]


PROOFS: Final = {
    "ticket": ["--authid", "joe", "--ticket", "geheim"],
    "wampcra": ["--authid", "joe", "--secret", "secret"],
    "wamp-scram": ["--authid", "joe", "--secret", "pencil", "--authmethod", "wamp-scram"],
    "cryptosign": ["--authid", "joe", "--private-key", KEY.private_bytes_raw().hex()],
}


def test_each_method_lets_in_who_can_prove_it_and_nobody_else(door: Door, wampha: Commands) -> None:
    url = ("--url", f"rs://127.0.0.1:{door.guarded}")
    right = {method: wampha.start("call", "wamp.session.count", *url, *proof) for method, proof in PROOFS.items()}
    for method, command in right.items():
        done = command.done()
        # The role may not call what only the router does; that this is what it says proves that it let us in.
        assert (done.code == 0) or (done.code == Exit.REFUSED and "not_authorized" in done.err), (method, done.err)
    wrong = [wampha.start("call", "x.y", *url, *proof[:3], "0" * 64, *proof[4:]) for proof in PROOFS.values()]
    for command in wrong:
        done = command.done()
        assert done.code == Exit.REFUSED and "wamp.error.authentication_failed" in done.err
        assert "geheim" not in done.err


def test_who_may_not_gets_4_and_who_names_no_realm_or_method(door: Door, wampha: Commands) -> None:
    guarded = f"ws://127.0.0.1:{door.guarded}/ws"
    narrow = {"WAMPHA_URL": guarded, "WAMPHA_AUTHID": "narrow", "WAMPHA_TICKET": "geheim"}
    started = [
        (wampha.start("call", "closed.procedure", **narrow), "not_authorized"),
        (wampha.start("sub", "closed.topic", **narrow), "not_authorized"),
        (wampha.start("register", "open.procedure", "--echo", **narrow), "not_authorized"),
        (wampha.start("pub", "-a", "open.topic", **narrow), "not_authorized"),
        (wampha.start("call", "open.procedure", WAMPHA_URL=guarded), "no_matching_auth_method"),
        (wampha.start("call", "open.procedure", "--realm", "nowhere"), "no_such_realm"),
    ]
    for command, words in started:
        done = command.done()
        assert done.code == Exit.REFUSED and words in done.err, done.err
        assert done.err.startswith("wampha: ") and done.err.count("\n") == 1


def test_errors_have_their_exit_status_and_one_sentence(door: Door, wampha: Commands) -> None:
    (nobody,) = free_ports(1)
    started = [
        (wampha.start("call", "no.such.procedure"), Exit.FAILED, "no_such_procedure"),
        (wampha.start("call", "a b"), Exit.FAILED, "invalid_uri"),
        (wampha.start("call", "x", "--url", f"ws://127.0.0.1:{nobody}/"), Exit.UNREACHABLE, "connection refused"),
        (wampha.start("call", "x", "--url", f"rs://127.0.0.1:{nobody}"), Exit.UNREACHABLE, "connection refused"),
        (wampha.start("call", "x", "--url", "ws://no-such-host.invalid/"), Exit.UNREACHABLE, "no such host"),
        (wampha.start("call", "x", "--url", f"{door.url}/elsewhere"), Exit.UNREACHABLE, "404"),
        (wampha.start("call", "x", "--url", "gopher://x"), Exit.USAGE, "should begin with ws://"),
        (wampha.start("register", "x"), Exit.USAGE, "either --echo or --exec"),
    ]
    for command, code, words in started:
        done = command.done()
        assert done.code == code and words in done.err, done.err


def test_a_router_that_says_nothing_is_given_up_in_time(wampha: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("ws", "rs"):
            done = wampha("call", "x", "--url", f"{scheme}://127.0.0.1:{port}", "--connect-timeout", "0.5")
            assert done.code == Exit.UNREACHABLE, done.err


def test_the_next_url_is_tried_when_one_fails(door: Door, wampha: Commands) -> None:
    (nobody,) = free_ports(1)
    assert wampha("pub", "a.b", "--url", f"ws://127.0.0.1:{nobody}/,{door.url}").code == 0


def test_tls_is_believed_if_its_authority_is_and_only_then(door: Door, wampha: Commands) -> None:
    place = f"127.0.0.1:{door.encrypted}"
    wss, rss = f"wss://localhost:{door.encrypted}/ws", f"rss://{place}"
    joe = ["--cert", str(door.folder / "joe.pem"), "--cert-key", str(door.folder / "joe.key"), "--authmethod", "tls"]
    started = [
        (wampha.start("pub", "a.b", "-a", "--url", wss, *joe, "--ca", str(door.ca)), Exit.REFUSED, "not_authorized"),
        (wampha.start("call", "open.x", "--url", rss, *joe, "--insecure"), Exit.FAILED, "no_such_procedure"),
        (wampha.start("pub", "a.b", "-a", "--url", wss, "--ca", str(door.ca)), Exit.DONE, ""),
        (wampha.start("pub", "a.b", "-a", "--url", rss, "--ca", str(door.ca)), Exit.DONE, ""),
        (wampha.start("pub", "a.b", "-a", "--url", wss, "--insecure"), Exit.DONE, ""),
        (wampha.start("pub", "a.b", "-a", "--url", wss), Exit.UNREACHABLE, "name its authority with --ca"),
        (wampha.start("pub", "a.b", "-a", "--url", f"ws://{place}/"), Exit.UNREACHABLE, ""),
        (wampha.start("pub", "a.b", "-a", "--url", rss, "--ca", __file__), Exit.USAGE, "no certificate"),
    ]
    for command, code, words in started:
        done = command.done()
        assert done.code == code and words in done.err, done.err


def test_subscribers_and_callees_come_back_when_their_node_does(
    fresh_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = fresh_node()
    node.launch().wait_until_serving()
    with commands(tmp_path, WAMPHA_URL=f"rs://127.0.0.1:{node.port}") as wampha:
        subscriber = wampha.start("sub", "com.example.topic")
        callee = wampha.start("register", "com.example.echo", "--echo")
        staunch = wampha.start("sub", "com.example.topic", "--no-reconnect")
        for each in (subscriber, callee, staunch):
            each.wait_for("subscribed|registered")
        node.kill()
        subscriber.wait_for("connection lost")
        node.launch().wait_until_serving()
        for each in (subscriber, callee):
            each.wait_for("connected again")
        assert wampha("pub", "com.example.topic", "after").code == 0
        assert wampha("call", "com.example.echo", "1").lines[0]["args"] == [1]
        subscriber.wait_for("after")
        assert staunch.done().code == Exit.UNREACHABLE
        assert subscriber.end(signal.SIGTERM).code == Exit.DONE
        assert callee.end().code == Exit.DONE


def test_an_interrupted_call_is_cancelled(door: Door, wampha: Commands) -> None:
    with door.session() as callee:
        callee.register("com.example.never")
        call = wampha.start("call", "com.example.never")
        callee.next(INVOCATION)
        done = call.end()
    assert done.code == Exit.INTERRUPTED and done.out == done.err == ""


@pytest.mark.parametrize("kind", ["pub", "call"])
def test_bench_measures(wampha: Commands, kind: str) -> None:
    done = wampha("bench", kind, "--count", "200", "--window", "8")
    assert done.code == 0, done.err
    (figures,) = done.lines
    assert figures["bench"] == kind and figures["count"] == 200 and figures["per_second"] > 0
    latency = figures["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert done.err == ""  # the progress bar is for terminals


def test_on_a_terminal_bench_shows_how_far_it_is(door: Door) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*WAMPHA, "bench", "pub", "--count", "200", "--url", f"{door.url},rs://127.0.0.1:{door.port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(),
    )
    os.close(theirs)
    assert process.stdout is not None
    (figures,) = map(json.loads, process.stdout.read().splitlines())
    process.stdout.close()
    assert process.wait(30) == 0 and figures["count"] == 200
    assert b"100%" in os.read(ours, 65536)
    os.close(ours)


def test_nobody_reads_any_more_and_it_ends_without_a_word(door: Door) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*WAMPHA, "sub", "com.example.pipe", "--url", door.url],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(writer)
    assert process.stderr is not None
    assert b"subscribed" in process.stderr.readline()
    os.close(reader)
    with door.session() as publisher:
        publisher.publish("com.example.pipe", ["unread"])
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"")


def test_on_a_terminal_events_are_shown_for_people(door: Door) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*WAMPHA, "sub", "--count", "1", "com.example.tty", "--url", door.url],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(theirs)
    assert process.stderr is not None
    assert b"subscribed" in process.stderr.readline()
    with door.session() as publisher:
        publisher.publish("com.example.tty", ["\x1b[2Jclear"], {"n": 1})
    shown = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
    assert process.wait(30) == 0
    process.stderr.close()
    os.close(ours)
    assert b'  com.example.tty  "\\u001b[2Jclear"  n=1' in shown
    with pytest.raises(ValueError):
        json.loads(shown)
