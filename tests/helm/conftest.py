"""Tests of the image and the chart. CI must run containers; where they cannot run it is said why."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.helm.containers import Network, alone, why_impossible
from tests.helm.images import build


@pytest.fixture(scope="module")
def containers() -> Iterator[None]:
    """This module runs containers: skip it with the reason where it cannot; in CI that is a failure."""
    reason = why_impossible()
    if reason is not None and os.environ.get("CI"):
        pytest.fail(f"CI must run containers, but {reason}")
    if reason is not None:
        pytest.skip(reason)
    with alone():
        yield


@pytest.fixture(scope="module")
def image(containers: None) -> str:
    """The image of the working tree."""
    return build()


@pytest.fixture(scope="module")
def network(containers: None) -> Iterator[Network]:
    """A network for containers."""
    with Network() as made:
        yield made
