"""Letting one client in: from HELLO to a grant or a refusal, by the steps of its authentication (`auth/steps.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wampha.auth.grant import Grant
from wampha.auth.steps import Answer, Ask, Asked, Challenge, Steps
from wampha.errors import ProtocolViolation, SessionRefused, Unavailable
from wampha.routing.ports import Workers


class Admission:
    """One client between HELLO and WELCOME. It ends by exactly one of `granted` and `refused`, or by `stop`."""

    def __init__(
        self,
        *,
        steps: Steps,
        workers: Workers,
        ask: Callable[[Ask, Callable[[Asked], None]], None],
        challenge: Callable[[Challenge], None],
        granted: Callable[[Grant], None],
        refused: Callable[[SessionRefused], None],
    ) -> None:
        self._steps: Final = steps
        self._workers: Final = workers
        self._ask: Final = ask
        self._challenge: Final = challenge
        self._granted: Final = granted
        self._refused: Final = refused
        self._awaits_answer = False
        self._over = False

    def begin(self) -> None:
        """Take the first step; the end may come before this returns."""
        self._go(None)

    def answer(self, answer: Answer) -> None:
        """AUTHENTICATE has come; raises ProtocolViolation if no challenge awaits it."""
        if not self._awaits_answer:
            raise ProtocolViolation("AUTHENTICATE without a CHALLENGE that awaits it.")
        self._awaits_answer = False
        self._go(answer)

    def stop(self) -> None:
        """The client is gone or sent away: nothing follows."""
        self._over = True
        self._steps.close()

    def _go(self, value: Any) -> None:
        try:
            step = self._steps.send(value)
        except StopIteration as end:
            self._over = True
            self._granted(end.value)
        except SessionRefused as refused:
            self._over = True
            self._refused(refused)
        else:
            if isinstance(step, Challenge):
                self._awaits_answer = True
                self._challenge(step)
            elif isinstance(step, Ask):
                self._ask(step, self._worked)
            elif not self._workers.run(step.run, self._worked):
                self._over = True
                self._steps.close()
                self._refused(SessionRefused(Unavailable.uri, "Too many clients are being authenticated; try again."))

    def _worked(self, result: Any) -> None:
        if not self._over:
            self._go(result)
