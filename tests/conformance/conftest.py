"""The real nodes of the integration tests, for vectors that are played against them."""

from __future__ import annotations

from tests.integration.conftest import _shared_cluster, _single_node, cluster, node, router

__all__ = ["_shared_cluster", "_single_node", "cluster", "node", "router"]
