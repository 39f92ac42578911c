"""The project's own files: what is pinned, and that it is pinned by hash."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def locked(name: str) -> dict[str, str]:
    """Return package -> version of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", (ROOT / name).read_text(), flags=re.MULTILINE))


def required(section: str, key: str) -> dict[str, str]:
    """Return package -> what setup.cfg says about its version."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = [line for line in setup[section][key].splitlines() if line]
    found = (re.fullmatch(r"([A-Za-z0-9-]+)(?:\[\w+\])? (.*)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9-]+==)", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(name))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if "://" in line or line.startswith("-")] == []


def test_the_locks_agree_about_what_runs() -> None:
    runtime, development = map(locked, LOCKS)
    assert runtime == {package: version for package, version in development.items() if package in runtime}


def test_what_setup_cfg_requires_is_locked() -> None:
    requirements = required("options", "install_requires")
    assert len(requirements) == 12
    assert requirements.keys() <= locked("requirements.lock").keys()
    exact = {package: version.removeprefix("== ") for package, version in requirements.items() if "==" in version}
    assert exact == {package: locked("requirements.lock")[package] for package in exact}
    assert exact.keys() == {"autobahn", "twisted", "pysyncobj"}


def test_the_tools_are_locked() -> None:
    assert required("options.extras_require", "dev").keys() <= locked("requirements-dev.lock").keys()
