"""`wampha certs`: files that fit together, keys that only their owner reads, and nothing overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner
from cryptography import x509

from wampha.cli import main


def test_certificates_are_signed_by_the_authority_and_name_their_hosts(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    done = CliRunner().invoke(main, ["certs", str(folder), "node-0", "node-1", "--host", "192.0.2.7"])
    assert done.exit_code == 0, done.output
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    for name in ("node-0", "node-1"):
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert alternatives.get_values_for_type(x509.DNSName) == [name]
        assert [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {0o600}


def test_a_second_run_adds_to_the_same_authority(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["certs", str(tmp_path), "a"]).exit_code == 0
    authority = (tmp_path / "ca.pem").read_bytes()
    assert runner.invoke(main, ["certs", str(tmp_path), "b"]).exit_code == 0
    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    runner = CliRunner()
    runner.invoke(main, ["certs", str(tmp_path), "a"])
    before = (tmp_path / "a.key").read_bytes()
    again = runner.invoke(main, ["certs", str(tmp_path), "a"])
    assert again.exit_code == 1
    assert "a.key is there already" in again.output
    assert (tmp_path / "a.key").read_bytes() == before


def test_a_ticket_s_hash_is_printed() -> None:
    done = CliRunner().invoke(main, ["hash"], input="geheim\ngeheim\n")
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "geheim" not in done.output
