"""Which router, and as whom: options, environment variables and files."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wampha.cli.target import SECRET_FILE_BYTES_MAX, Credentials, Target, Url, at_router

KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)


def run(*arguments: str, **environment: str) -> tuple[Target | None, Result]:
    """The target that a command with these options gets, and how the command ends."""
    got: list[Target] = []

    @click.command()
    @at_router
    def command(target: Target) -> None:
        got.append(target)

    result = CliRunner().invoke(command, arguments, env=environment)
    return (got[0] if got else None), result


def target(*arguments: str, **environment: str) -> Target:
    got, result = run(*arguments, **environment)
    assert got is not None, result.output
    return got


def refusal(*arguments: str, **environment: str) -> str:
    got, result = run(*arguments, **environment)
    assert got is None and result.exit_code == 2
    return result.output


def test_without_options_it_is_the_development_node() -> None:
    got = target()
    assert got.urls == (Url("ws://127.0.0.1:8080/ws", "ws", "127.0.0.1", 8080),)
    assert (got.realm, got.serializer, got.credentials) == ("realm1", "json", Credentials("anonymous"))


def test_options_and_environment_variables_say_the_same() -> None:
    options = target("--url", "rs://a:1", "--realm", "x", "--serializer", "cbor", "--authid", "joe", "--ticket", "t")
    variables = {"URL": "rs://a:1", "REALM": "x", "SERIALIZER": "cbor", "AUTHID": "joe", "TICKET": "t"}
    assert options == target(**{f"WAMPHA_{name}": value for name, value in variables.items()})
    assert options.credentials == Credentials("ticket", "joe", ticket="t")


@pytest.mark.parametrize(
    ("text", "host", "port", "encrypted", "websocket"),
    [
        ("ws://h/ws", "h", 80, False, True),
        ("wss://h", "h", 443, True, True),
        ("rs://[::1]:9", "::1", 9, False, False),
        ("rss://h:9", "h", 9, True, False),
    ],
)
def test_a_url_says_where_and_how(text: str, host: str, port: int, encrypted: bool, websocket: bool) -> None:
    url = Url.read(text)
    assert (url.host, url.port, url.encrypted, url.websocket) == (host, port, encrypted, websocket)


def test_several_urls_are_tried_in_turn() -> None:
    got = target("--url", "ws://a/,ws://b/, ws://c/")
    assert [url.host for url in got.urls] == ["a", "b", "c"]
    assert [url.host for url in got.beginning_with(1).urls] == ["b", "c", "a"]


@pytest.mark.parametrize("text", ["http://h/", "ws://", "rs://h", "ws://h:x/", "ws://h:99999/", "h:8080", ""])
def test_a_wrong_url_gets_a_sentence(text: str) -> None:
    assert "Error: --url: " in refusal("--url", text)


def test_a_password_in_a_url_is_refused_without_showing_it() -> None:
    assert "geheim" not in refusal("--url", "ws://joe:geheim@h/")


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "ticket").write_text("geheim\n")
    assert target("--authid", "a", "--ticket-file", str(tmp_path / "ticket")).credentials.ticket == "geheim"
    assert target("--authid", "a", WAMPHA_TICKET_FILE=str(tmp_path / "ticket")).credentials.ticket == "geheim"
    assert "cannot be read" in refusal("--authid", "a", "--ticket-file", str(tmp_path / "none"))
    assert "exclude each other" in refusal("--authid", "a", "--ticket", "t", "--ticket-file", str(tmp_path / "ticket"))


def test_a_file_that_is_no_secret_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * (SECRET_FILE_BYTES_MAX + 1))
    assert "has more than" in refusal("--authid", "a", "--ticket-file", str(tmp_path / "long"))
    assert "cannot be read" in refusal("--authid", "a", "--ticket-file", str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "no text" in refusal("--authid", "a", "--ticket-file", str(tmp_path / "binary"))


def test_a_private_key_is_hexadecimal_or_pem(tmp_path: Path) -> None:
    kinds = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH)
    raw = KEY.private_bytes_raw()
    assert target("--private-key", raw.hex()).credentials == Credentials("cryptosign", key=raw)
    for kind in kinds:
        pem = KEY.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
        (tmp_path / "key").write_bytes(pem)
        assert target("--private-key-file", str(tmp_path / "key")).credentials.key == raw


def test_what_is_no_ed25519_key_is_refused_without_showing_it() -> None:
    said = refusal("--private-key", "5ec2e7")
    assert "64 hexadecimal digits" in said and "5ec2e7" not in said
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert "Ed25519" in refusal("--private-key", other.decode())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--authmethod", "ticket", "--authid", "a"], "needs --ticket"),
        (["--ticket", "t"], "needs --authid"),
        (["--authmethod", "tls"], "needs --cert"),
        (["--authid", "a", "--ticket", "t", "--secret", "s"], "say which by --authmethod"),
        (["--insecure", "--ca", __file__], "exclude each other"),
        (["--ca", "/nowhere"], "cannot be read"),
        (["--serializer", "xml"], "'json', 'msgpack', 'cbor'"),
    ],
)
def test_credentials_that_do_not_fit_get_a_sentence(options: list[str], words: str) -> None:
    assert words in " ".join(refusal(*options).split())


def test_the_method_is_chosen_by_what_is_given_or_said() -> None:
    assert target("--authid", "a", "--secret", "s").credentials.method == "wampcra"
    assert target("--authid", "a", "--secret", "s", "--authmethod", "wamp-scram").credentials.method == "wamp-scram"
