"""Drives a method's steps as a router would, without one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from wampha.auth.grant import Grant
from wampha.auth.steps import AUTHENTICATION_FAILED, Answer, Challenge, Chance, Claim, Steps, Work
from wampha.errors import SessionRefused


def chance(start: int = 1) -> Chance:
    """Bytes that count, so that a test can tell them apart."""
    count = iter(range(start, 256))
    return Chance(lambda length: bytes([next(count)] * length), lambda: "2026-11-25T00:00:00.000+00:00")


def claim(authid: str | None = "joe", realm: str = "realm1", **extra: Any) -> Claim:
    return Claim(realm=realm, authid=authid, extra=extra, session=7, peer="here")


class Talk:
    """One client's authentication."""

    def __init__(self, steps: Steps) -> None:
        self.worked = 0
        self._steps = steps

    def challenge(self) -> Challenge:
        """The first step, which is a challenge."""
        step = next(self._steps)
        assert isinstance(step, Challenge)
        return step

    def grant(self, signature: str, **extra: Any) -> Grant:
        """Answer the challenge; what follows is calculated and must end in a grant."""
        value: Any = Answer(signature, extra)
        while True:
            try:
                step = self._steps.send(value)
            except StopIteration as end:
                granted: Grant = end.value
                return granted
            assert isinstance(step, Work)
            self.worked += 1
            value = step.run()

    def refused(self, signature: str, **extra: Any) -> str:
        """Answer the challenge, which must end in the one refusal; returns its sentence."""
        with pytest.raises(SessionRefused) as caught:
            self.grant(signature, **extra)
        assert caught.value.reason == AUTHENTICATION_FAILED
        return str(caught.value)


def all_equal(items: Iterable[Any]) -> bool:
    first, *others = items
    return all(each == first for each in others)
