"""The chart is really installed, upgraded, rolled back and uninstalled, under load (`install.py --short`)."""

from __future__ import annotations

from tests.helm.install import run


def test_a_release_lives_and_no_client_loses_anything(containers: None) -> None:
    told: list[str] = []
    problems = run(short=True, earlier=None, tell=told.append)
    assert not problems, "\n".join([*problems, *told])
