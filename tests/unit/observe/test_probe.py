"""The probe of the image's health check."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wampha.observe.probe import ask


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one answer; what it was asked is added to the list."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/livez", asked
        thread.join()


def test_a_node_that_says_200_lives() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (url, asked):
        assert ask(url) is None
    assert asked[0].startswith(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"", b"200\r\n", b"x" * 10_000])
def test_any_other_answer_is_told(answer: bytes) -> None:
    with answering(answer) as (url, _):
        assert "answers" in str(ask(url))


def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert "does not answer" in str(ask(f"http://127.0.0.1:{port}/livez"))


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9180", "http://127.0.0.1/livez", "http://127.0.0.1:x/livez", "https://a:1/"]
)
def test_what_is_no_url_with_a_port_is_told(url: str) -> None:
    assert "should be http://host:port/path" in str(ask(url))


def test_the_command_ends_with_1_and_a_sentence() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "wampha.observe.probe", "nonsense"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr == "nonsense should be http://host:port/path\n"
