"""SECURITY.md points at what there is."""

from __future__ import annotations

import re

import pytest

from tests.unit.test_packaging import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`((?:wampha|tests)/[^`]+)`", SECURITY) + re.findall(r"\]\(([^):]+)\)", SECURITY)


def test_every_promise_names_what_holds_it() -> None:
    rows = [line for line in SECURITY.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) >= 10
    assert all("`tests/" in row or "the tests that it names" in row for row in rows)


@pytest.mark.parametrize("path", sorted(set(NAMED)))
def test_what_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()
