"""Method `tls`: a certificate that TLS has checked names a principal."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.auth.steps import chance, claim
from wampha.auth import dynamic
from wampha.auth.dynamic import Dynamic
from wampha.auth.grant import Grant
from wampha.auth.steps import Ask, Asked, Certificate, Claim
from wampha.auth.tls import CertificateHolder, PresentedCertificate, Tls
from wampha.errors import SessionRefused

CERTIFICATE = Certificate(sha1="a" * 40, sha256="b" * 64, common_name="Joe")


def shown(authid: str | None = None, certificate: Certificate | None = CERTIFICATE) -> Claim:
    return msgspec.structs.replace(claim(authid), certificate=certificate)


def granted(by: Tls, client: Claim) -> Grant:
    with pytest.raises(StopIteration) as end:
        next(by.steps(client, chance()))
    grant: Grant = end.value.value
    return grant


@pytest.mark.parametrize("fingerprint", ["a" * 40, "b" * 64])
@pytest.mark.parametrize("authid", [None, "joe"])
def test_either_fingerprint_will_do_with_or_without_the_name(fingerprint: str, authid: str | None) -> None:
    by = Tls((CertificateHolder("joe", "user", frozenset({fingerprint})),))
    assert granted(by, shown(authid)) == Grant("joe", "user", "tls", "static")


@pytest.mark.parametrize(
    "client",
    [shown("eva"), shown(certificate=None), shown(certificate=Certificate("c" * 40, "c" * 64, "Joe"))],
    ids=["another name", "no certificate", "another certificate"],
)
def test_everybody_else_is_refused(client: Claim) -> None:
    by = Tls((CertificateHolder("joe", "user", frozenset({"b" * 64})),))
    with pytest.raises(SessionRefused):
        next(by.steps(client, chance()))


def test_a_principal_of_one_realm_cannot_join_another() -> None:
    by = Tls((CertificateHolder("joe", "user", frozenset({"b" * 64}), realm="realm2"),))
    with pytest.raises(SessionRefused):
        next(by.steps(shown(), chance()))


def test_an_authenticator_sees_the_certificate() -> None:
    steps = PresentedCertificate(Dynamic("com.auth", None, dynamic.ticket_holder)).steps(shown(), chance())
    ask = next(steps)
    assert isinstance(ask, Ask)
    assert ask.args[2]["transport"]["client_cert"] == msgspec.structs.asdict(CERTIFICATE)
    with pytest.raises(StopIteration) as end:
        steps.send(Asked("user"))
    assert end.value.value == Grant("Joe", "user", "tls", "dynamic")


def test_without_a_certificate_nobody_is_asked() -> None:
    with pytest.raises(SessionRefused):
        next(PresentedCertificate(Dynamic("com.auth", None, dynamic.ticket_holder)).steps(claim(), chance()))
