"""The `wampha` command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wampha import __version__
from wampha.cli import main

CONFIG = Path(__file__).parents[2] / "config"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("single.yaml", "OK, node wampha on its own; realms: realm1; listeners: tcp:8080:interface=127.0.0.1"),
        ("node-1.yaml", "OK, node node-1, voter 2 of 3 in cluster demo;"),
    ],
)
def test_a_good_file_gives_one_line_and_exit_status_0(file: str, words: str) -> None:
    result = run("check", "-c", str(CONFIG / file))
    assert result.exit_code == 0
    assert result.output.count("\n") == 1
    assert words in result.output


def test_an_observer_is_called_so(tmp_path: Path) -> None:
    text = (CONFIG / "node-0.yaml").read_text().replace("name: node-0\n", "name: node-3\n")
    text = text.replace("advertise: 127.0.0.1:8071", "advertise: 127.0.0.1:8074")
    (tmp_path / "config.yaml").write_text(text)
    assert "node node-3, an observer in cluster demo" in run("check", "-c", str(tmp_path / "config.yaml")).output


def test_a_bad_file_gives_one_line_per_problem_and_exit_status_1(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("relams: []\nlisteners: []\n")
    result = run("check", "-c", str(path))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f'{path}:1:1: relams: unknown key. Did you mean "realms"?',
        f"{path}:2:12: listeners: should have at least 1 entry",
    ]
    assert result.stderr == "2 problems\n"


def test_warnings_are_printed_and_are_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text((CONFIG / "single.yaml").read_text() + "\n")
    plain = run("check", "-c", str(path))
    assert (plain.exit_code, len(plain.stdout.splitlines())) == (0, 1)
    path.write_text(
        "realms: [{name: a, roles: [{name: b}]}]\nlisteners: [{endpoint: 'tcp:1', auth: {anonymous: {role: b}}}]\n"
    )
    warned = run("check", "-c", str(path))
    assert warned.exit_code == 0
    warning, ok = warned.stdout.splitlines()
    assert warning.startswith(f'{path}:1:28: realms[0].roles[0]: warning: role "b" grants nothing')
    assert ok.startswith(f"{path}: OK, ")


def test_a_missing_file_gives_a_sentence_and_exit_status_1(tmp_path: Path) -> None:
    result = run("check", "-c", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "cannot be read: No such file or directory" in result.stdout


def test_check_reads_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text((CONFIG / "single.yaml").read_text().replace("name: realm1", "name: {env: REALM}"))
    assert run("check", "-c", str(path)).exit_code == 1
    assert "realms: com.example;" in run("check", "-c", str(path), REALM="com.example").output


def test_check_without_a_file_says_how_to_name_one() -> None:
    result = run("check")
    assert result.exit_code == 2
    assert "--config" in result.output


def test_schema_prints_json_schema() -> None:
    assert json.loads(run("schema").output)["title"] == "wampha configuration"


def test_version() -> None:
    assert run("--version").output == f"wampha {__version__}\n"


def test_help_teaches_by_example() -> None:
    output = run("--help").output
    assert "    twistd -n wampha -c config.yaml\n" in output
    assert "wampha check -c config.yaml" in output
