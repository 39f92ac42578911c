"""One node alone, and three nodes, for most tests of this folder."""

from __future__ import annotations

import pytest

from tests.support.core import Cluster, Node


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")
