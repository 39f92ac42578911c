"""The `wampha` command."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wampha import __version__
from wampha.cli import COMMANDS, main

CONFIG = Path(__file__).parents[3] / "config"


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
    assert "    wampha run -c config.yaml\n" in output
    assert "wampha check -c config.yaml" in output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_in_the_overview_and_teaches_by_example(name: str) -> None:
    _, summary = COMMANDS[name]
    assert re.search(rf"^  {name} +{re.escape(summary[:40])}", run("--help").output, re.M)
    described = run(name, "--help")
    assert described.exit_code == 0
    assert re.search(rf"^    .*wampha {name}\b", described.output, re.M), "no example"


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    result = run("publish")
    assert result.exit_code == 2
    assert "No such command 'publish'" in result.output


def test_help_imports_nothing_that_takes_long() -> None:
    heavy = ("twisted", "autobahn", "pydantic", "yaml", "cryptography", "wampha.config", "wampha.auth")
    script = (
        "import sys\nfrom wampha.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in sys.modules if name.split('.')[0] in {heavy} or name in {heavy}], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_WAMPHA_COMPLETE" in result.stdout


def test_commands_and_options_are_completed() -> None:
    def completed(words: str, position: int) -> list[str]:
        variables = {"_WAMPHA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        result = CliRunner().invoke(main, [], env=variables, prog_name="wampha")
        return [line.partition(",")[2] for line in result.output.splitlines()]

    assert completed("wampha s", 1) == ["schema", "status", "sub"]
    assert completed("wampha sub --ma", 2) == ["--match"]


def test_a_key_pair_fits_together_and_its_file_is_its_owner_s(tmp_path: Path) -> None:
    result = run("keygen", "cryptosign", str(tmp_path / "key"))
    assert result.exit_code == 0
    private = bytes.fromhex((tmp_path / "key").read_text())
    public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw().hex()
    assert result.output == public + "\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    again = run("keygen", "cryptosign", str(tmp_path / "key"))
    assert again.exit_code == 1 and "is there already" in again.output
    assert bytes.fromhex((tmp_path / "key").read_text()) == private


def test_without_a_file_what_is_made_is_printed(tmp_path: Path) -> None:
    lines = run("keygen", "cryptosign").output.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["private", "public"]
    assert len(bytes.fromhex(run("keygen", "cluster").output)) == 32
    assert run("keygen", "cluster", str(tmp_path / "no" / "file")).exit_code == 1
