"""What is looked at before a release: `python -m release` (or `make release-check`).

It writes the bill of materials into `dist/`, and asks the vulnerability service of the package index, by pip-audit, for
what is known against the packages of both lock files. Exit status 1: something is known; 2: the service cannot be
reached or has no answer, so nothing is known either way.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from release.sbom import ROOT, locked, write

LOCKS: Final = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
KNOWN, UNKNOWN = 1, 2
_TIMEOUT_S: Final = 300
_FOUND: Final = re.compile(r"^Found \d+ known vulnerabilit", re.M)  # so pip-audit says it


def audit(program: Path, lock: Path) -> int:
    """0 if nothing is known against the packages of the lock file, else KNOWN or UNKNOWN; says which."""
    command = [str(program), "--require-hashes", "--disable-pip", "--progress-spinner", "off", "-r", str(lock)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=environment)
    except FileNotFoundError:
        return unknown(lock, f"there is no {program}; make release-check installs it")
    except subprocess.TimeoutExpired:
        return unknown(lock, f"the service did not answer within {_TIMEOUT_S} s")
    if done.returncode == 0:
        print(f"{lock.name}: nothing is known against its {len(locked(lock))} packages")
        return 0
    if _FOUND.search(done.stderr):
        print(f"{lock.name}: {done.stderr.strip()}\n{done.stdout.strip()}")
        return KNOWN
    return unknown(lock, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it said nothing")


def unknown(lock: Path, why: str) -> int:
    print(f"{lock.name}: NOT CHECKED. The vulnerability service could not be asked: {why}", file=sys.stderr)
    return UNKNOWN


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--pip-audit", type=Path, default=Path("pip-audit"), help="the program (default: %(default)s)")
    parser.add_argument("--sbom-only", action="store_true", help="ask no service")
    options = parser.parse_args(argv)
    print(f"wrote {write(LOCKS[0], ROOT / 'dist').relative_to(ROOT)}")
    if options.sbom_only:
        return 0
    found = [audit(options.pip_audit, lock) for lock in LOCKS]
    return KNOWN if KNOWN in found else max(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
