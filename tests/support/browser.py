"""Debian's headless Chromium, driven by its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

PROGRAMS: Final = ("chromium-headless-shell", "chromium")
HOW: Final = "on Debian, as root: apt-get install chromium-headless-shell"
START_S: Final = 30.0
ANSWER_S: Final = 20.0
# As root, in a container, without a graphics card: none of it is what is tested.
_OPTIONS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


def program() -> str | None:
    """The browser, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One tab, and everything that went wrong in it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection: Final = connection
        self._number = 0
        self.complaints: Final[list[str]] = []  # exceptions, messages of level error, violations of the policy
        self.requests: Final[list[str]] = []  # URLs
        self.replace: Callable[[str], dict[str, Any] | None] | None = None  # what stands in for an answer, by URL
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        number = self._number
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = json.loads(self._connection.recv(timeout=deadline - time.monotonic()))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._heard(message.get("method"), message.get("params", {}))

    def _heard(self, event: str | None, about: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"])[:500])
        elif event == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(about["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.complaints.append(json.dumps(about["args"])[:500])
        elif event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Fetch.requestPaused":
            self._answer(about)

    def _answer(self, about: dict[str, Any]) -> None:
        found = self.replace(about["request"]["url"]) if self.replace is not None else None
        method, parameters = "Fetch.continueRequest", {}
        if found == {}:
            method, parameters = "Fetch.failRequest", {"errorReason": "ConnectionRefused"}
        elif found is not None:
            body = base64.b64encode(json.dumps(found).encode()).decode()
            headers = [{"name": "Content-Type", "value": "application/json"}]
            method, parameters = "Fetch.fulfillRequest", {"responseCode": 200, "responseHeaders": headers, "body": body}
        self._number += 1  # whose result nobody waits for
        request = {"id": self._number, "method": method, "params": {"requestId": about["requestId"], **parameters}}
        self._connection.send(json.dumps(request))

    def intercept(self, replace: Callable[[str], dict[str, Any] | None]) -> None:
        """From now on `replace(url)` gives what is answered for a server: JSON, {} for no answer, None to ask it."""
        self.replace = replace
        self.call("Fetch.enable", patterns=[{"urlPattern": "*"}])

    def show(self, url: str, width: int = 1240, height: int = 900, *, dark: bool = False) -> None:
        """Open a page in a window of that size."""
        phone = width < 500
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives, as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait_for(self, expression: str, within_s: float = 15.0) -> Any:
        """Wait until an expression is true, and give it; fails with the text of the page."""
        deadline = time.monotonic() + within_s
        guarded = f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()"  # not there yet
        while not (found := self.value(guarded)):
            assert time.monotonic() < deadline, f"never: {expression}\n{self.value('document.body.innerText')}"
            time.sleep(0.05)
        return found

    def screenshot(self, path: Path, height: int) -> None:
        """The upper part of the page as a PNG."""
        area = {"x": 0, "y": 0, "width": self.value("innerWidth"), "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=area, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Callable[[], contextlib.AbstractContextManager[Page]]]:
    """A browser whose profile is in `folder`; gives what opens a tab."""
    command = program()
    assert command is not None, HOW
    log = folder / "browser.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [command, *_OPTIONS, "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    try:
        port = _port(folder / "profile" / "DevToolsActivePort", process, log)
        yield lambda: _tab(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(START_S)


def _port(file: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_S
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None and time.monotonic() < deadline, f"no browser:\n{log.read_text(errors='replace')}"
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])


@contextlib.contextmanager
def _tab(port: int) -> Iterator[Page]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        where = json.load(answer)["webSocketDebuggerUrl"]
    with connect(where, max_size=None, open_timeout=ANSWER_S, ping_interval=None) as connection:
        yield Page(connection)
