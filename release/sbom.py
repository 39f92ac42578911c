"""What a release is made of, as a CycloneDX 1.6 document: the packages of a lock file, each with its hashes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from wampha import __version__

ROOT: Final = Path(__file__).resolve().parent.parent
_ENTRY: Final = re.compile(
    r"^([a-z0-9._-]+)==(\S+)((?: ;[^\\\n]*)?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MARK: Final = re.compile(r"^[a-z0-9]", re.M)


@dataclass(frozen=True)
class Locked:
    """One package of a lock file, and the SHA-256 of each file from which it may be installed."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """How everybody else calls it (package URL)."""
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(lock: Path) -> list[Locked]:
    """The packages of a lock file; ValueError if one of them cannot be read."""
    text = lock.read_text()
    found = [Locked(name, version, tuple(_HASH.findall(hashes))) for name, version, _, hashes in _ENTRY.findall(text)]
    if len(found) != len(_MARK.findall(text)):
        raise ValueError(f"{lock}: a package without an exact version and hashes")
    return found


def document(lock: Path) -> dict[str, Any]:
    """The bill of materials of wampha with the packages of a lock file; the same for the same lock."""
    packages = locked(lock)
    names = {package.name: package for package in packages}
    own = f"pkg:pypi/wampha@{__version__}"
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "wampha",
                "version": __version__,
                "purl": own,
                "licenses": [{"license": {"id": "MIT"}}],
            },
            "properties": [{"name": "wampha:lock", "value": lock.name}],
        },
        "components": [_component(package) for package in packages],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted({names[needed].purl for needed in _required(name) if needed in names})}
            for ref, name in ((own, "wampha"), *((package.purl, package.name) for package in packages))
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    return {**made, "serialNumber": f"urn:uuid:{serial}"}


def _component(package: Locked) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "hashes": [{"alg": "SHA-256", "content": content} for content in package.hashes],
    }
    license_of = _license(package)
    if license_of:
        component["licenses"] = [license_of]
    return component


def _license(package: Locked) -> dict[str, Any] | None:
    """What the installed package says of its license, if it is that version."""
    try:
        about = metadata.metadata(package.name)
    except metadata.PackageNotFoundError:
        return None
    if about["Version"] != package.version:
        return None
    expression = about.get("License-Expression")
    if expression:
        return {"expression": expression}
    name = (about.get("License") or "").partition("\n")[0][:100]
    return {"license": {"name": name}} if name else None


def _required(name: str) -> Iterator[str]:
    """The packages that the installed one asks for, whatever for; none if it is not installed."""
    try:
        requirements = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        if found:
            yield re.sub(r"[-_.]+", "-", found.group()).lower()


def write(lock: Path, folder: Path) -> Path:
    """Write the document into a folder, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"wampha-{__version__}.cdx.json"
    path.write_text(json.dumps(document(lock), indent=1) + "\n")
    return path
