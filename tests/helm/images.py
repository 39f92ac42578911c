"""Images as these tests build them, without a registry of images: the base is made from Debian's packages.

    python -m tests.helm.images [--revision HEAD~1]

An image is built once for what is in it: its tag is a hash of all that the Dockerfile copies. Files go into the build
with one and the same time, so that podman finds the layers of earlier builds again.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.helm.containers import alone, podman

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = "localhost/python:3.11-slim-bookworm"  # stands in for the official image that the Dockerfile names
IMAGE: Final = "localhost/wampha-test"
CONTEXT: Final = (
    ".dockerignore",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "packaging/image",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "setup.cfg",
    "twisted",
    "wampha",
)
_PACKAGES: Final = "python3-venv,ca-certificates"
_SUITE: Final = "bookworm"
_EPOCH: Final = 1_700_000_000  # the time of every file that goes into a build
_CERTIFICATES: Final = Path("/etc/ssl/certs")  # of this machine, for pip
_KEPT: Final = 12  # images of earlier builds


def base() -> str:
    """The image that stands in for the official Python; made in half a minute if it is not there."""
    recipe = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode()).hexdigest()[:12]
    tag = f"localhost/wampha-test-python:{recipe}"
    if not exists(tag):
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "base.tar"
            bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(archive)]
            subprocess.run(bootstrap, check=True, stdin=subprocess.DEVNULL)
            podman("import", archive, tag)
    podman("tag", tag, PYTHON)
    return tag


def build(*, revision: str | None = None, version: str | None = None) -> str:
    """The tag of an image of the working tree, or of a commit; `version` replaces what it says of itself."""
    with _context(revision, version) as folder:
        tag = f"{IMAGE}:{_digest(folder, base())}"
        if not exists(tag):
            _build(folder, tag)
            _forget_old()
    return tag


def exists(tag: str) -> bool:
    """Whether there is such an image."""
    return bool(podman("images", "--quiet", tag))


def compressed_bytes(tag: str) -> int:
    """How many bytes the image is when it travels: all layers, gzip -6."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        podman("save", "--quiet", "--output", archive, tag)
        packed = Path(folder) / "image.tar.gz"
        with archive.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as target:
            shutil.copyfileobj(plain, target, 1 << 20)
        return packed.stat().st_size


def unpacked_bytes(tag: str) -> int:
    """How many bytes its layers are on a disk."""
    return int(podman("image", "inspect", "--format", "{{.Size}}", tag))


@contextmanager
def _context(revision: str | None, version: str | None) -> Iterator[Path]:
    """A folder with what the Dockerfile may copy, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if revision is None:
            _copy(folder)
        else:
            archive = subprocess.run(
                ["git", "-C", str(ROOT), "archive", revision, "--", *CONTEXT], check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", name], input=archive.stdout, check=True)
        if version is not None:
            module = folder / "wampha" / "__init__.py"
            module.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', module.read_text()))
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (_EPOCH, _EPOCH))
        yield folder


def _copy(folder: Path) -> None:
    for name in CONTEXT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        else:
            shutil.copy(source, target)


def _digest(folder: Path, base_tag: str) -> str:
    digest = hashlib.sha256(base_tag.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(folder)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _build(folder: Path, tag: str) -> None:
    """Build with the network and the certificates of this machine, for pip; they get into no layer."""
    settings = folder / "pip.conf"
    settings.write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ndisable-pip-version-check = true\n")
    version = re.findall(r'__version__ = "(.*)"', (folder / "wampha" / "__init__.py").read_text())[0]
    podman(
        *("build", "--quiet", "--pull=never", "--layers", "--format", "docker", "--network", "host"),
        *("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=20000:20000"),
        *("--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro", "--volume", f"{settings}:/etc/pip.conf:ro"),
        *("--build-arg", f"PYTHON={PYTHON}", "--build-arg", f"VERSION={version}", "--build-arg", "REVISION=test"),
        *("--tag", tag, folder),
    )


def _forget_old() -> None:
    """Remove the oldest images of earlier builds, so that they do not fill the disk."""
    tags = podman("images", "--sort", "created", "--format", "{{.Repository}}:{{.Tag}}", IMAGE).split()
    for tag in tags[_KEPT:]:
        podman("rmi", tag, check=False)


def main() -> None:
    """Build, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revision", help="a commit; default: the working tree")
    with alone():
        tag = build(revision=parser.parse_args().revision)
        print(f"{tag}: {unpacked_bytes(tag) / 1e6:.1f} MB unpacked, {compressed_bytes(tag) / 1e6:.1f} MB compressed")


if __name__ == "__main__":
    main()
