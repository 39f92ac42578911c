"""The wheel: what is in it, and that it alone makes `twistd wampha` and `wampha` work from any folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "wampha", "twisted")

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"  # what its script does


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder, and with no PYTHONPATH that could help it; return what it prints."""
    ran = subprocess.run(
        list(map(str, command)), cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, as setuptools writes beside them; no network is used."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", "dropin.cache")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder / "dist", ".", folder=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, which borrows only the dependencies; return its `bin`."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, folder=folder)
    # A path entry brings in the modules beside it, but does not process the .pth files there: no editable wampha.
    site_packages = next((folder / "lib").glob("python*")) / "site-packages"
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_wheel_holds_the_package_the_plugin_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "wampha").rglob("*.py")}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "wampha/observe/page").iterdir()}
    data = {"wampha/py.typed", "wampha/config/schema.json", *page}
    assert names == modules | data | {"twisted/plugins/wampha_plugin.py"}


def test_twistd_lists_wampha_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    output = run(installed / "python", "-c", TWISTD, "--help", folder=tmp_path)
    listed = [line.split()[0] for line in output.splitlines() if line.startswith("    ") and line.strip()]
    assert "wampha" in listed


def test_the_plugin_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Else the test above would be about the checkout."""
    program = "import wampha, twisted.plugins.wampha_plugin as plugin; print(wampha.__file__); print(plugin.__file__)"
    for file in run(installed / "python", "-c", program, folder=tmp_path).splitlines():
        assert Path(file).is_relative_to(installed.parent)


def test_twistd_wampha_has_its_options(installed: Path, tmp_path: Path) -> None:
    assert "--config=" in run(installed / "python", "-c", TWISTD, "wampha", "--help", folder=tmp_path)


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    checked = run(installed / "wampha", "check", "-c", ROOT / "config" / "single.yaml", folder=tmp_path)
    assert "OK, node wampha on its own" in checked
