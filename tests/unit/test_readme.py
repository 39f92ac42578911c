"""What the README and the quickstart show is true: configurations load, programs are programs, links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from wampha.config.load import load
from wampha.errors import ConfigError

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICKSTART = (ROOT / "docs/quickstart.md").read_text()
SECRETS = {"WAMPHA_SECRET": "0123456789abcdef", "BACKEND_TICKET": "0123456789abcdef"}


def blocks(language: str, *texts: str) -> list[str]:
    fenced = rf"^```{language}\n(.*?)^```$"
    return [block for text in texts or (README,) for block in re.findall(fenced, text, flags=re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("text", blocks("yaml", README, QUICKSTART))
def test_a_configuration_that_is_shown_loads(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert load(tmp_path / "config.yaml", SECRETS).realms[0].name == "realm1"


def test_the_mistake_of_the_readme_is_reported_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(blocks("yaml")[0].replace("- endpoint: tcp:8080", "- endpont: tcp:8080"))
    with pytest.raises(ConfigError) as raised:
        load("config.yaml")
    (shown,) = re.findall(r"^config\.yaml:.*$", README, flags=re.MULTILINE)
    assert shown in raised.value.problems


@pytest.mark.parametrize("text", blocks("python", README, QUICKSTART))
def test_a_program_that_is_shown_is_python(text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CHANGELOG.md",
        "docs/index.md",
        "docs/quickstart.md",
        "docs/from-crossbar.md",
        "docs/decisions/README.md",
        "docs/operations.md",
        "helm/README.md",
        "helm/wampha/README.md",
    ],
)
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^):#]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
