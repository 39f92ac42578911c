"""Commands of the shell that calls run: bounded in time and output, and killed with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import defer, threads

from wampha.cli.values import shown

OUTPUT_BYTES_MAX: Final = 8 * 1024 * 1024  # what a result may have; a message of 16 MiB is what most routers take


class JobFailed(Exception):
    """The command gave no result; `uri` is the error that a caller gets, with `str()` as its argument."""

    def __init__(self, sentence: str, uri: str = "wamp.error.runtime_error") -> None:
        super().__init__(sentence)
        self.uri: Final = uri


class Job:
    """One run of a command. `done` fires with what it printed, without the last line end, or fails with JobFailed."""

    def __init__(
        self,
        reactor: Any,
        command: str,
        given: Any,
        timeout_s: float,
        in_thread: Callable[..., defer.Deferred[str]] = threads.deferToThread,
    ) -> None:
        """`given` is written to its standard input as JSON."""
        self._killed: JobFailed | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: Final = reactor.callLater(timeout_s, self._late, timeout_s)
        self.done: Final[defer.Deferred[str]] = in_thread(self._run, command, shown(given).encode() + b"\n")
        self.done.addBoth(self._end)

    def kill(self, sentence: str, uri: str = "wamp.error.runtime_error") -> None:
        """End the command and its children; `done` fails with the sentence."""
        self._killed = self._killed or JobFailed(sentence, uri)
        if self._process is not None:
            _kill(self._process)

    def _late(self, timeout_s: float) -> None:
        self.kill(f"the command did not end within {timeout_s:g} s", "wamp.error.timeout")

    def _end(self, result: Any) -> Any:
        if self._timer.active():
            self._timer.cancel()
        return result

    def _run(self, command: str, given: bytes) -> str:
        """In a thread: from the start of the command to its end."""
        with tempfile.TemporaryFile() as standard_input:
            standard_input.write(given)
            standard_input.seek(0)
            # A session of its own: so its children can be killed with it, and the terminal's Ctrl-C is ours alone.
            with subprocess.Popen(
                ["/bin/sh", "-c", command], stdin=standard_input, stdout=subprocess.PIPE, start_new_session=True
            ) as process:
                self._process = process
                if self._killed is not None:
                    _kill(process)
                assert process.stdout is not None
                output = process.stdout.read(OUTPUT_BYTES_MAX + 1)
                if len(output) > OUTPUT_BYTES_MAX:
                    self.kill(f"the command printed more than {OUTPUT_BYTES_MAX} bytes")
                status = process.wait()
        if self._killed is not None:
            raise self._killed
        if status != 0:
            ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            raise JobFailed(f"the command {ended}")
        return output.decode(errors="replace").removesuffix("\n").removesuffix("\r")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
