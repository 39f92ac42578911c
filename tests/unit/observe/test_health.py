"""Each reason for which clients should not be sent to a node, by its status alone."""

from __future__ import annotations

from typing import Any

import pytest

from wampha.observe.health import checks, in_words, verdict

READY: dict[str, Any] = {"stage": "serving", "serving": True, "waits_for": None, "recovering": False, "listening": True}


def test_a_ready_node_passes_every_check() -> None:
    assert [check.name for check in checks(READY)] == ["staying", "lease", "caught_up", "opened", "listening"]
    assert all(check.ok for check in checks(READY))
    assert in_words(checks(READY)) == "ok"
    assert verdict(checks(READY))["ok"] is True


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"stage": "draining"}, "staying", "stopped"),
        ({"stage": "leaving"}, "staying", "stopped"),
        ({"stage": "joining"}, "caught_up", "caught up"),
        ({"serving": False}, "lease", "no lease"),
        ({"serving": False, "waits_for": "no link to b, c"}, "lease", "no link to b, c"),
        ({"recovering": True}, "opened", "without memory"),
        ({"listening": False}, "listening", "not open"),
    ],
)
def test_what_is_not_so_is_said(change: dict[str, Any], name: str, words: str) -> None:
    found = checks({**READY, **change})
    assert [check.name for check in found if not check.ok] == [name]
    assert words in in_words(found) and in_words(found).startswith(f"{name}: ")
    (failed,) = [check for check in verdict(found)["checks"] if not check["ok"]]
    assert failed["name"] == name and words in failed["reason"]
    assert verdict(found)["ok"] is False


def test_a_node_on_its_own_has_nothing_to_recover() -> None:
    assert all(check.ok for check in checks({key: value for key, value in READY.items() if key != "recovering"}))
