"""Commands that ask or tell a node, and what they say when there is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wampha.cli import asking, main
from wampha.cli.exits import Exit


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@contextmanager
def answering(answer: Callable[[str], bytes], family: int, address: object) -> Iterator[socket.socket]:
    """A server that answers each request by its first line."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    first = client.recv(65536).decode().splitlines()[:1]
                    client.sendall(answer("".join(first)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def reply(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def node(answer: Callable[[str], bytes]) -> Iterator[str]:
    """The URL of something that answers."""
    with answering(answer, socket.AF_INET, ("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_dead_node_gets_a_sentence_that_says_what_to_do() -> None:
    url = nobody()
    result = run("status", "--url", url)
    assert result.exit_code == Exit.UNREACHABLE
    assert result.stderr.startswith(
        f"wampha: no node at {url}: connection refused; start it, or name another one by --url"
    )
    assert result.stdout == ""


@pytest.mark.parametrize("url", ["ftp://x", "http://", "x", "http://x:y"])
def test_what_is_no_url_is_a_wrong_command_line(url: str) -> None:
    result = run("status", "--url", url)
    assert result.exit_code == Exit.USAGE and "should be http://HOST:PORT" in result.stderr


@pytest.mark.parametrize(
    "answer", [reply(b"{}"), reply(b"hello"), reply(b"", "404 Not Found"), b"220 mail.example.org\r\n", b""]
)
def test_somebody_else_s_port_is_called_so(answer: bytes) -> None:
    with node(lambda _: answer) as url:
        result = run("status", "--url", url, "--json")
    assert result.exit_code == Exit.UNREACHABLE
    assert url in result.stderr and result.stderr.count("\n") == 1


def test_an_answer_of_another_version_gets_a_sentence_and_no_traceback() -> None:
    with node(lambda _: reply(b'{"nodes": [{"name": 5, "links": []}], "node": "a"}')) as url:
        result = run("status", "--url", url)
    assert result.exit_code == Exit.FAILED
    assert "in a form that this version does not know" in result.stderr


def test_an_answer_that_is_too_long_is_not_one_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_BYTES_MAX", 10)
    with node(lambda _: reply(b'{"nodes": []}')) as url:
        assert run("status", "--url", url, "--json").exit_code == Exit.UNREACHABLE


def test_a_node_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run("status", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert result.exit_code == Exit.TIMEOUT and "answers within 0.1 s" in result.stderr


@pytest.mark.parametrize("command", [["drain"], ["reload"], ["log-level", "debug"]])
def test_no_socket_gets_a_sentence_that_says_where_it_would_be(tmp_path: Path, command: list[str]) -> None:
    result = run(*command, "--socket", str(tmp_path / "admin.sock"))
    assert result.exit_code == Exit.UNREACHABLE
    assert "no such file" in result.stderr and "node.run_dir" in result.stderr


def test_what_a_node_is_told_is_a_post_and_its_answer_is_passed_on(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(line: str) -> bytes:
        asked.append(line)
        refused = reply(b"Nothing was changed: it is wrong.\n", "409 Conflict")
        return refused if "reload" in line else reply(b"Done.\n")

    (tmp_path / "config.yaml").write_text(f"node: {{run_dir: {tmp_path}}}\nrealms: {{env: UNSET}}\n")
    config = ["-c", str(tmp_path / "config.yaml")]
    with answering(answer, socket.AF_UNIX, str(tmp_path / "admin.sock")):
        level, reloaded = run("log-level", "debug", *config), run("reload", *config)
    assert asked == ["POST /log-level?level=debug HTTP/1.1", "POST /reload HTTP/1.1"]
    assert (level.exit_code, level.stderr) == (Exit.DONE, "Done.\n")
    assert (reloaded.exit_code, reloaded.stderr) == (Exit.FAILED, "wampha: Nothing was changed: it is wrong.\n")


@pytest.mark.parametrize("content", ["realms: []\n", "node: {run_dir: 5}\n", "- 1\n"])
def test_a_configuration_without_a_run_dir_gets_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    result = run("drain", "-c", str(tmp_path / "config.yaml"))
    assert result.exit_code == Exit.FAILED and "node.run_dir is not set" in result.stderr
