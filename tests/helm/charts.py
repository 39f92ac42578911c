"""Helm, behind a few functions: nothing else in the tests knows which library it is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import helm_python
import yaml

from tests.helm.pods import Object

CHART: Final = Path(__file__).parents[2] / "helm" / "wampha"
RELEASE, NAMESPACE = "router", "infra"


class Refused(Exception):
    """Helm does not install the chart with these values; the message is what a user would read."""


def lint(values: dict[str, Any]) -> list[str]:
    """What `helm lint --strict` says, less the advice to have an icon."""
    report = helm_python.lint(CHART, values, strict=True, namespace=NAMESPACE)
    said = [str(each["error"]) for each in report["messages"] if "icon is recommended" not in each["error"]]
    return [*said, *report["errors"]]


def render(values: dict[str, Any], *, url: str | None = None) -> list[Object]:
    """The objects that the chart makes of values, as `helm template` shows them; with `url` what a cluster would get.

    Raises Refused.
    """
    documents = [text for name, text in _manifests(values, url).items() if not name.endswith("NOTES.txt")]
    return [each for text in documents for each in yaml.safe_load_all(text) if each]


def notes(values: dict[str, Any]) -> str:
    """What a user reads after an installation."""
    (text,) = [text for name, text in _manifests(values, None).items() if name.endswith("NOTES.txt")]
    return text


def _manifests(values: dict[str, Any], url: str | None) -> dict[str, str]:
    values = copy.deepcopy(values)
    try:
        with helm_python.Chart.load(CHART) as chart:
            if url is None:
                chart.validate_schema(values)
                return chart.render(values, name=RELEASE, namespace=NAMESPACE)
            with helm_python.Config(namespace=NAMESPACE, kube_apiserver=url, storage_driver="memory") as cluster:
                made = cluster.install(chart, RELEASE, values, namespace=NAMESPACE, dry_run="server")
                return {"manifest": made["manifest"]}
    except helm_python.HelmError as error:
        raise Refused(str(error)) from None
