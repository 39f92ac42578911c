"""promtool, Prometheus' own tool: what it says of rules, and which alerts fire for given series or real nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

_BESIDE_PYTHON: Final = Path(sys.executable).parent / "promtool"  # where `make promtool` puts it
PROMTOOL: Final = str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else shutil.which("promtool")
ALERTS: Final = Path(__file__).parents[2] / "helm" / "wampha" / "files" / "alerts.yaml"
Labels = dict[str, str]


def need_promtool() -> None:
    """Skip the test where promtool is missing; in CI it must be there."""
    if not PROMTOOL:
        assert not os.environ.get("CI"), "CI must try the alerts: make promtool"
        pytest.skip("promtool is missing; on Debian: make promtool")


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


def check_alarms(scraped: dict[str, str | None], expected: dict[str, list[Labels]], folder: Path) -> None:
    """Nodes that answer this at /metrics (None: nothing) for a quarter of an hour fire these alerts.

    `expected`: by alert the labels `instance`, `peer` and so on of each one that fires; an alert that is not in it may
    fire or not.
    """
    rules = yaml.safe_load(ALERTS.read_text().replace("JOB", "wampha"))
    series = [each for node, text in scraped.items() for each in _constant(node, text)]
    severities = {rule["alert"]: rule["labels"] for group in rules["groups"] for rule in group["rules"]}
    checks = [
        {
            "eval_time": "14m",
            "alertname": name,
            "exp_alerts": [{"exp_labels": {"job": "wampha", **labels, **severities[name]}} for labels in fired],
        }
        for name, fired in expected.items()
    ]
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]  # promtool would compare them too
    check_alerts(rules, [{"interval": "15s", "input_series": series, "alert_rule_test": checks}], folder)


def _constant(node: str, text: str | None) -> list[dict[str, str]]:
    found = [("up", {}, float(text is not None))]
    if text is not None:
        families = text_string_to_metric_families(text)
        found += [(each.name, each.labels, each.value) for family in families for each in family.samples]
    return [
        {"series": f"{name}{_written({**labels, 'job': 'wampha', 'instance': node})}", "values": f"{value:g}x60"}
        for name, labels, value in found
    ]


def _written(labels: Labels) -> str:
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"
