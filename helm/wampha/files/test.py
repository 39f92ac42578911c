"""`helm test`: an event and a call go from one node to another. Ends with 0 if they arrive, else with 1 and a sentence.

It runs the `wampha` command of the image; realm and credentials are in its environment (WAMPHA_REALM, ...).
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

WAMPHA = (sys.executable, "-m", "wampha")
HERE, THERE = os.environ["WAMPHA_TEST_FIRST"], os.environ["WAMPHA_TEST_SECOND"]  # URLs of two nodes
NAME = f"{os.environ['WAMPHA_TEST_PREFIX']}{uuid.uuid4().hex}"
WAIT_S = 30


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; it has said on standard error that it is ready."""
    process = subprocess.Popen([*WAMPHA, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline().strip() if process.stderr else ""
        if not said.startswith(("subscribed", "registered")):
            fail(f"wampha {' '.join(arguments)} said: {said or 'nothing'}")
        yield process
    finally:
        process.kill()
        process.wait()


def run(*arguments: str) -> str:
    """What a command prints."""
    ran = subprocess.run([*WAMPHA, *arguments], capture_output=True, text=True, timeout=WAIT_S, check=False)
    if ran.returncode:
        fail(f"wampha {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr.strip()}")
    return ran.stdout


def fail(sentence: str) -> None:
    """End the test."""
    sys.exit(f"helm test failed: {sentence}")


def main() -> None:
    """Try an event, then a call."""
    with started("sub", f"{NAME}.event", "--count", "1", "--url", THERE) as subscriber:
        run("pub", f"{NAME}.event", "hello", "--url", HERE, "--acknowledge")
        heard, _ = subscriber.communicate(timeout=WAIT_S)
        if "hello" not in heard:
            fail(f"the event that {HERE} took arrived at {THERE} as: {heard}")
    print(f"an event went from {HERE} to {THERE}", flush=True)
    with started("register", f"{NAME}.echo", "--echo", "--url", THERE):
        answer = run("call", f"{NAME}.echo", "hello", "--url", HERE)
        if "hello" not in answer:
            fail(f"the call through {HERE} to {THERE} was answered: {answer}")
    print(f"a call went from {HERE} to {THERE} and came back", flush=True)


if __name__ == "__main__":
    main()
