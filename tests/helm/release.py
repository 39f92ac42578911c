"""A release of the chart in a toy Kubernetes: what `helm install`, `upgrade`, `rollback`, `test` and `uninstall` do."""

from __future__ import annotations

from typing import Any, Final

import helm_python

from tests.helm.charts import CHART, RELEASE
from tests.helm.kube import NAMESPACE, Kubernetes
from tests.support.nodes import eventually

WAIT_S: Final = 180


class Release:
    """One release. Use as a context manager; each method waits until all is ready, and raises HelmError."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.revision = 0  # the newest one
        self._kubernetes: Final = kubernetes
        # Helm's storage is its own memory: as secrets it would send them in a form that the toy does not read.
        self._config: Final = helm_python.Config(
            namespace=NAMESPACE, kube_apiserver=kubernetes.url, storage_driver="memory"
        )

    def __enter__(self) -> Release:
        return self

    def __exit__(self, *_: object) -> None:
        self._config.close()

    def install(self, values: dict[str, Any]) -> None:
        """`helm install --wait`."""
        self.revision = 1
        self._config.install(CHART, RELEASE, values, wait="watcher", timeout=WAIT_S)

    def upgrade(self, values: dict[str, Any]) -> None:
        """`helm upgrade --wait`, with these values and no former ones."""
        self.revision += 1
        self._config.upgrade(CHART, RELEASE, values, reset_values=True, wait="watcher", timeout=WAIT_S)

    def rollback(self, revision: int) -> None:
        """`helm rollback --wait`."""
        self.revision += 1
        self._config.rollback(RELEASE, version=revision, wait="watcher", timeout=WAIT_S)

    def test(self) -> None:
        """`helm test`."""
        self._config.test(RELEASE, timeout=WAIT_S)

    def uninstall(self) -> None:
        """`helm uninstall --wait`, and until the last pod has ended."""
        self._config.uninstall(RELEASE, wait="watcher", timeout=WAIT_S)
        eventually(lambda: not self._kubernetes.pods(), WAIT_S, "all pods have ended")
