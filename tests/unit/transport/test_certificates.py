"""Files of a TLS listener that cannot be used, and failed handshakes that must not flood the log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from wampha.certs import CA, Authority, write
from wampha.config.tls import Tls
from wampha.counters import Counters
from wampha.tls import CertificateError, expires
from wampha.transport.certificates import LOG_S, Certificates, FailedHandshakes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = Authority.new(1)
    write(tmp_path, CA, authority.key, authority.certificate)
    write(tmp_path, "a", *authority.sign("a", ["127.0.0.1"], 1))
    write(tmp_path, "b", *authority.sign("b", [], 1))
    (tmp_path / "text").write_text("no certificate")
    return tmp_path


def tls(folder: Path, **files: str) -> Tls:
    named = {"certificate": "a.pem", "key": "a.key", "client_ca": "ca.pem", **files}
    return Tls(**{key: str(folder / file) for key, file in named.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "key", "words"),
    [
        ({"certificate": "none.pem"}, "certificate", "none.pem cannot be read: No such file"),
        ({"certificate": "text"}, "certificate", "text holds no certificate"),
        ({"key": "none.key"}, "key", "none.key cannot be read"),
        ({"key": "b.key"}, "key", "b.key is no private key in PEM format that fits"),
        ({"key": "text"}, "key", "text is no private key"),
        ({"client_ca": "none.pem"}, "client_ca", "none.pem cannot be read"),
        ({"client_ca": "text"}, "client_ca", "text holds no certificate"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(folder: Path, files: dict[str, str], key: str, words: str) -> None:
    with pytest.raises(CertificateError, match=words) as caught:
        Certificates(tls(folder, **files))
    assert caught.value.key == key


def test_the_first_end_of_a_chain_is_known_and_changes_with_the_file(folder: Path) -> None:
    authority = Authority.load(folder)
    key, long = authority.sign("a", [], 300)
    (folder / "a.key").unlink()
    write(folder, "a", key, long)
    certificates = Certificates(tls(folder))
    assert certificates.expires == long.not_valid_after_utc.timestamp()
    with (folder / "a.pem").open("ab") as chain:
        chain.write((folder / "ca.pem").read_bytes())
    use = certificates.prepare(tls(folder))
    assert certificates.expires == long.not_valid_after_utc.timestamp()
    use()
    assert certificates.expires == authority.certificate.not_valid_after_utc.timestamp()
    assert expires(str(folder / "text")) == expires(str(folder / "none")) == math.inf


def test_a_reload_that_fails_keeps_what_there_was(folder: Path) -> None:
    certificates = Certificates(tls(folder))
    before = certificates.serverConnectionForTLS(None).get_context()
    (folder / "a.key").write_text("gone")
    with pytest.raises(CertificateError):
        certificates.prepare(tls(folder))
    assert certificates.serverConnectionForTLS(None).get_context() is before


def test_failed_handshakes_are_counted_and_said_once_in_a_while() -> None:
    counters, clock, lines = Counters(), Clock(), list[LogEvent]()
    handshakes = FailedHandshakes(counters=counters, seconds=clock.seconds)
    globalLogPublisher.addObserver(lines.append)
    try:
        clock.advance(1)
        for _ in range(5):
            handshakes.add("tcp4:192.0.2.1:5", SSL.Error([("ssl", "", "no shared cipher")]))
        clock.advance(LOG_S)
        handshakes.add("tcp4:192.0.2.1:6", SSL.Error())
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert [(line["count"], line["why"]) for line in lines] == [
        (1, "no shared cipher"),
        (5, "the connection was closed"),
    ]
    assert counters["tls_handshakes_failed"] == 6
