"""A real browser is known again by its cookie, which no script can read and no page of another site can use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.browser import HOW, Page, browser, program
from tests.support.nodes import ALL_RIGHTS, START_S, NodeProcess, eventually, free_ports

# Join by these methods and say what came of it; then go, with the reason that is given.
JOIN: Final = """new Promise((resolve) => {
  const socket = new WebSocket(URL, "wamp.2.json");
  const send = (message) => socket.send(JSON.stringify(message));
  let said = "closed";
  socket.onopen = () => send([1, "realm1", { roles: { caller: {} }, authmethods: METHODS, authid: AUTHID }]);
  socket.onmessage = (event) => {
    const [code, , details] = JSON.parse(event.data);
    if (code === 4) send([5, "secret", {}]);
    if (code === 2) { said = `${details.authid} ${details.authmethod}`; send([6, {}, REASON]); }
    if (code === 3) said = details;
    if (code === 6) socket.close();
  };
  socket.onclose = () => resolve(said);
})"""


class Blank(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>blank</title>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    (port,) = free_ports(1)
    auth = {"ticket": {"principals": {"joe": {"ticket": "secret", "role": "anonymous"}}}, "cookie": {}}
    settings = {
        "realms": [{"name": "realm1", "roles": [ALL_RIGHTS]}],
        "listeners": [{"endpoint": f"tcp:{port}:interface=127.0.0.1", "auth": auth}],
    }
    node = NodeProcess(tmp_path, "node", port, settings)
    try:
        node.launch()
        eventually(lambda: "accepts" in node.log(), START_S, "a listener", node.log)
        yield node
        node.check_log()
    finally:
        node.end()


@pytest.fixture
def pages() -> Iterator[int]:
    """The port of a server of empty pages."""
    with HTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def join(page: Page, node: NodeProcess, *methods: str, reason: str = "wamp.close.normal") -> str:
    values = {"URL": node.url, "METHODS": list(methods), "REASON": reason}
    expression = JOIN.replace("AUTHID", '"joe"' if "ticket" in methods else "undefined")
    for name, value in values.items():
        expression = expression.replace(name, repr(value))
    said: str = page.value(expression)
    return said


def test_a_browser_is_known_again_until_its_user_logs_out(tmp_path: Path, node: NodeProcess, pages: int) -> None:
    if program() is None:
        if os.environ.get("CI"):
            pytest.fail(HOW)
        pytest.skip(f"no browser; {HOW}")
    refused = "wamp.error.no_matching_auth_method"
    with browser(tmp_path) as tab, tab() as page:
        page.show(f"http://127.0.0.1:{pages}/")
        page.wait_for("document.title === 'blank'")
        assert join(page, node, "cookie") == refused
        assert join(page, node, "cookie", "ticket") == "joe ticket"
        assert join(page, node, "cookie", "ticket") == "joe cookie"
        assert page.value("document.cookie") == ""
        with tab() as other:
            other.show(f"http://localhost:{pages}/")  # for a browser this is another site
            other.wait_for("document.title === 'blank'")
            assert join(other, node, "cookie") in (refused, "closed")
        assert join(page, node, "cookie", reason="wamp.close.logout") == "joe cookie"
        assert join(page, node, "cookie") == refused
