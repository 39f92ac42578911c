"""The bill of materials of a release: it lists what is locked, and nothing else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from release.__main__ import KNOWN, LOCKS, UNKNOWN, audit, main
from release.sbom import document, locked, write
from tests.unit.test_packaging import LOCKS as LOCK_NAMES
from tests.unit.test_packaging import ROOT
from tests.unit.test_packaging import locked as named
from wampha import __version__


@pytest.mark.parametrize("name", LOCK_NAMES)
def test_it_lists_exactly_the_locked_packages(name: str) -> None:
    made = document(ROOT / name)
    listed = {component["name"]: component["version"] for component in made["components"]}
    assert listed == named(name)
    assert len(made["components"]) == len(listed)
    purls = {component["bom-ref"] for component in made["components"]}
    assert purls == {f"pkg:pypi/{package}@{version}" for package, version in listed.items()}
    assert all(component["hashes"] for component in made["components"])


def test_each_hash_of_the_lock_is_in_it() -> None:
    made = document(LOCKS[0])
    hashes = [each["content"] for component in made["components"] for each in component["hashes"]]
    text = LOCKS[0].read_text()
    assert len(hashes) == text.count("--hash=sha256:")
    assert all(content in text for content in hashes)


def test_it_says_who_needs_whom() -> None:
    made = document(LOCKS[0])
    needs = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    own = needs[f"pkg:pypi/wampha@{__version__}"]
    assert [ref.partition("@")[0] for ref in own if "/twisted@" in ref or "/autobahn@" in ref] == [
        "pkg:pypi/autobahn",
        "pkg:pypi/twisted",
    ]
    known = {component["bom-ref"] for component in made["components"]}
    assert set(needs) == {*known, f"pkg:pypi/wampha@{__version__}"}
    assert all(ref in known for refs in needs.values() for ref in refs)
    assert all(len(refs) == len(set(refs)) for refs in needs.values()), "which the schema of CycloneDX demands"


def test_it_is_the_same_for_the_same_lock(tmp_path: Path) -> None:
    path = write(LOCKS[0], tmp_path)
    assert json.loads(path.read_text()) == document(LOCKS[0])
    assert document(LOCKS[0])["serialNumber"] != document(LOCKS[1])["serialNumber"]


def test_a_lock_without_hashes_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("twisted==26.10.0\n")
    with pytest.raises(ValueError, match="without an exact version and hashes"):
        locked(lock)


def pretending(folder: Path, status: int, says: str) -> Path:
    """A program that ends like pip-audit."""
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {status}\n")
    program.chmod(stat.S_IRWXU)
    return program


@pytest.mark.parametrize(
    ("status", "says", "result"),
    [
        (0, "No known vulnerabilities found", 0),
        (1, "Found 1 known vulnerability in 1 package", KNOWN),
        (1, "ERROR: could not connect to the service", UNKNOWN),
        (2, "", UNKNOWN),
    ],
)
def test_what_the_vulnerability_service_says_is_told_apart_from_its_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, says: str, result: int
) -> None:
    assert audit(pretending(tmp_path, status, says), LOCKS[0]) == result
    assert ("NOT CHECKED" in capsys.readouterr().err) is (result == UNKNOWN)


def test_without_the_program_nothing_is_claimed(tmp_path: Path) -> None:
    assert audit(tmp_path / "nowhere", LOCKS[0]) == UNKNOWN


def test_the_command_writes_it_into_dist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sbom-only"]) == 0
    assert capsys.readouterr().out == f"wrote dist/wampha-{__version__}.cdx.json\n"
