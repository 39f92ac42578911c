"""promtool, Prometheus' own tool: what it says of rules, and whether they fire."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_BESIDE_PYTHON: Final = Path(sys.executable).parent / "promtool"  # where `make promtool` puts it
PROMTOOL: Final = str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else shutil.which("promtool")


def promtool(*arguments: str | Path) -> str:
    """Run it; what it says, if it ends with 0. Raises AssertionError otherwise."""
    assert PROMTOOL, "promtool is missing; on Debian: make promtool"
    ran = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def check_rules(rules: dict[str, Any], folder: Path) -> None:
    """Rules are well-formed."""
    file = folder / "rules.json"
    file.write_text(json.dumps(rules))
    promtool("check", "rules", file)


def check_alerts(rules: dict[str, Any], tests: list[dict[str, Any]], folder: Path) -> None:
    """What `promtool test rules` finds: series that are made up, and the alerts that they fire."""
    (folder / "rules.json").write_text(json.dumps(rules))
    file = folder / "tests.json"
    file.write_text(json.dumps({"rule_files": ["rules.json"], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", file)
