"""Rule 27: who holds the lock knows that those before it are dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from wampha.errors import StartError
from wampha.ledger.certificate import KEPT, DeathCertificate


def test_a_successor_learns_all_incarnations_of_those_before_it(tmp_path: Path) -> None:
    first = DeathCertificate(tmp_path, "a")
    assert first.predecessors == ()
    first.add(1)
    first.add(2**63)
    first.close()
    second = DeathCertificate(tmp_path, "a")
    assert second.predecessors == (1, 2**63)
    second.add(3)
    second.close()
    third = DeathCertificate(tmp_path, "a")
    assert third.predecessors == (1, 2**63, 3)
    third.close()


def test_while_another_process_holds_it_there_is_no_certificate(tmp_path: Path) -> None:
    first = DeathCertificate(tmp_path, "a")
    first.add(1)
    second = DeathCertificate(tmp_path, "a")
    assert second.predecessors == ()
    second.add(2)
    second.close()
    first.close()
    third = DeathCertificate(tmp_path, "a")
    assert third.predecessors == (1,)
    third.close()


def test_every_node_has_its_own(tmp_path: Path) -> None:
    first, second = DeathCertificate(tmp_path, "a"), DeathCertificate(tmp_path, "b")
    first.add(1)
    first.close()
    second.close()
    again = DeathCertificate(tmp_path, "b")
    assert again.predecessors == ()
    again.close()


def test_only_the_youngest_are_kept(tmp_path: Path) -> None:
    for number in range(2 * KEPT):
        certificate = DeathCertificate(tmp_path, "a")
        certificate.add(number)
        certificate.close()
    last = DeathCertificate(tmp_path, "a")
    assert last.predecessors == tuple(range(KEPT, 2 * KEPT))
    last.close()


def test_what_is_no_incarnation_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.incarnations").write_bytes(b"\xff\n+00000000000000f\n000000000000000f\n00000000000000\n")
    certificate = DeathCertificate(tmp_path, "a")
    assert certificate.predecessors == (15,)
    certificate.close()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"No such file or directory \(node.run_dir\)"):
        DeathCertificate(tmp_path / "nowhere", "a")
