"""Lay out the root file system of the image, while the first stage of the Dockerfile runs.

    assemble.py FOLDER                                    the interpreter, what it loads, and the packages
    assemble.py --router FOLDER --configuration FILE      the router, and the plugin cache of all of it

What a running router never reads is left out. Modules are compiled here, and never looked at again: a read-only file
system could not take what Python would write.
"""

from __future__ import annotations

import argparse
import compileall
import fnmatch
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

HOME = Path("/opt/wampha")
USER = 10001  # as in the Dockerfile
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = HOME / "lib" / VERSION / "site-packages"
COMMANDS = ("python", "python3", VERSION, "twistd", "wampha")


def _words(text: str) -> list[str]:
    return text.split()


# Of the standard library: tools of developers, desktops, protocols of other trades, alphabets of other decades, twins
# of what is compiled, and what would need libraries of its own.
NOT_OF_THE_LIBRARY = _words("""
    *__pycache__ */test */tests test EXTERNALLY-MANAGED config-* dist-packages site-packages sitecustomize.py
    cProfile.py distutils doctest.py ensurepip idlelib lib2to3 pickletools.py profile.py pstats.py pydoc.py
    pydoc_data trace.py tkinter turtle.py turtledemo unittest venv webbrowser.py
    ftplib.py imaplib.py mailbox.py multiprocessing nntplib.py smtpd.py sqlite3 telnetlib.py xmlrpc
    encodings/big5* encodings/cp[125678]* encodings/cp9* encodings/cp10* encodings/euc_* encodings/gb* encodings/hp_*
    encodings/hz.py encodings/iso2022_* encodings/iso8859_[2-9]* encodings/iso8859_1[0-46]* encodings/johab.py
    encodings/koi8_* encodings/kz1048.py encodings/mac_* encodings/ptcp154.py encodings/shift_* encodings/tis_620.py
    _osx_support.py _pydecimal.py _pyio.py asyncio/proactor_events.py asyncio/windows_*
    lib-dynload/_codecs_* lib-dynload/_ctypes_test* lib-dynload/_curses* lib-dynload/_dbm* lib-dynload/_gdbm*
    lib-dynload/_multiprocessing* lib-dynload/_sqlite3* lib-dynload/_test* lib-dynload/_tkinter* lib-dynload/_xx*
    lib-dynload/nis.* lib-dynload/ossaudiodev* lib-dynload/readline* lib-dynload/xx*
""")
# Of the packages: tests, sources of what is compiled (but for those that Autobahn reads), parts of Twisted that speak
# other protocols, what WebSockets is for others than us, and a JSON that Autobahn uses only if it is told to.
NOT_OF_THE_PACKAGES = _words("""
    */test */tests */_test *.cpp *.fbs *.h *.pxd *.pyi *.pyx */__pycache__ [!a]*.c
    autobahn/_flatc autobahn/asyncio pydantic/mypy.py pydantic/v1 ujson*
    twisted/conch twisted/enterprise twisted/mail twisted/names twisted/pair twisted/positioning
    twisted/runner twisted/spread twisted/tap twisted/trial twisted/web/xmlrpc.py twisted/words
    twisted/plugins/autobahn_* twisted/plugins/cred_* twisted/plugins/twisted_[!cr]* twisted/plugins/twisted_conch.py
    twisted/plugins/twisted_runner.py
    websockets/asyncio websockets/legacy websockets/sync websockets/trio
""")
# What the C library loads by name, so that no file says that it is needed.
LOADED_BY_NAME = ("libgcc_s.so.1",)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--router", action="store_true")
    parser.add_argument("--configuration", type=Path)
    given = parser.parse_args()
    if given.router:
        lay_router(given.folder, given.configuration)
    else:
        lay_system(given.folder)


def lay_system(folder: Path) -> None:
    """Lay everything but the router into `folder`, and take away from `HOME` what is not needed."""
    for name in ("bin", "lib", "lib64", "sbin"):  # as in Debian, for names that stand in compiled files
        (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(f"usr/{name}")
    prune(PACKAGES, NOT_OF_THE_PACKAGES)
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, within(folder, library), symlinks=False, ignore=_ignored(library, NOT_OF_THE_LIBRARY))
    shutil.copytree(HOME, within(folder, HOME), symlinks=True, ignore=_ignored(HOME, ["bin/*", "include", "lib64"]))
    for name in COMMANDS:
        if os.path.lexists(HOME / "bin" / name):
            copy(folder, HOME / "bin" / name)
    interpreter = Path(sys.executable).resolve()
    copy(folder, interpreter)
    if not (python := within(folder, interpreter).with_name("python3")).exists():
        python.symlink_to(interpreter.name)
    lay_libraries(folder)
    lay_accounts(folder)
    compile_all(folder, library, PACKAGES)


def lay_router(folder: Path, configuration: Path) -> None:
    """Lay what was installed since into `folder`: the router, its command and its place for configuration."""
    subprocess.run([HOME / "bin" / "twistd", "--help"], check=True, stdout=subprocess.DEVNULL)  # makes the plugin cache
    for source in (PACKAGES / "wampha", *PACKAGES.glob("wampha-*.dist-info")):
        shutil.copytree(source, within(folder, source), ignore=shutil.ignore_patterns("__pycache__"))
    for source in (
        HOME / "bin" / "wampha",
        PACKAGES / "twisted" / "plugins" / "wampha_plugin.py",
        PACKAGES / "twisted" / "plugins" / "dropin.cache",
    ):
        copy(folder, source)
    compile_all(folder, PACKAGES)
    place = folder / "etc" / "wampha" / "config.yaml"
    place.parent.mkdir(parents=True)
    shutil.copy(configuration, place)
    place.chmod(0o644)


def lay_libraries(folder: Path) -> None:
    """Lay each shared library that a file in `folder` needs, at the path where it was found."""
    for needed in sorted(libraries(files(folder))):
        copy(folder, needed)
        copy(folder, needed.resolve())
    for setting in (Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")):
        if setting.exists():
            copy(folder, setting)
    subprocess.run(["ldconfig", "-r", folder], check=True)


def libraries(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries, and the loader, that these files and their libraries need."""
    found: set[Path] = set()
    for binary in binaries:
        with binary.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        assert "not found" not in told, f"{binary} lacks a library:\n{told}"
        found.update(map(Path, re.findall(r"(/\S+) \(0x", told)))
    beside = {library.parent for library in found}
    named = (place / name for place in beside for name in LOADED_BY_NAME)
    return found | {library for library in named if library.exists()}


def lay_accounts(folder: Path) -> None:
    """Lay users, groups, and the folders that a running router may write to if the file system lets it."""
    etc = folder / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/:/nonexistent\nwampha:x:{USER}:{USER}:wampha:/run/wampha:/nonexistent\n"
    )
    (etc / "group").write_text(f"root:x:0:\nwampha:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("tmp", "run/wampha"):  # a tmpfs that is mounted there gets the same mode
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o1777)


def compile_all(folder: Path, *places: Path) -> None:
    """Compile the modules below `places` in `folder`; the interpreter will not ask whether the sources changed."""
    for place in places:
        done = compileall.compile_dir(
            str(within(folder, place)),
            quiet=1,
            stripdir=str(folder),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        assert done, f"not all modules of {place} can be compiled"


def prune(folder: Path, patterns: Iterable[str]) -> None:
    """Remove what matches, with all that is in it."""
    for path in list(folder.rglob("*")):
        if any(fnmatch.fnmatch(f"/{path.relative_to(folder)}", f"/{pattern}") for pattern in patterns):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def files(folder: Path) -> Iterator[Path]:
    """The regular files below `folder`."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def within(folder: Path, path: Path) -> Path:
    """Where the absolute `path` stands in `folder`."""
    return folder / path.relative_to("/")


def copy(folder: Path, path: Path) -> None:
    """Copy a file, or a link as a link, to its place in `folder`."""
    target = within(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):
        shutil.copy2(path, target, follow_symlinks=False)


def _ignored(top: Path, patterns: Iterable[str]) -> object:
    """For `copytree`: the names whose path below `top` matches."""
    patterns = list(patterns)

    def ignore(folder: str, names: list[str]) -> list[str]:
        below = Path(folder).relative_to(top)
        return [name for name in names if any(fnmatch.fnmatch(str(below / name), each) for each in patterns)]

    return ignore


if __name__ == "__main__":
    main()
