"""How the names of other nodes are looked up."""

from __future__ import annotations

import os

import pytest

from wampha.cluster.dialer import hasten_lookups


def test_a_lost_question_of_the_resolver_is_repeated_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    hasten_lookups()
    assert os.environ["RES_OPTIONS"] == "timeout:1 attempts:3"


def test_what_the_operator_says_of_the_resolver_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RES_OPTIONS": "timeout:4"})
    hasten_lookups()
    assert os.environ["RES_OPTIONS"] == "timeout:4"
