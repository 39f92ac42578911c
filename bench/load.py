"""Compiles the load source and runs it, one case at a time."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.errors import BenchError

SOURCE = Path(__file__).with_name("load.c")
# load.c ends by itself (sessions 60 s, warm-up and load at most 60 s each, drain 5 s); this is the net below it.
TIMEOUT_S = 200

FAULT_KINDS = ("lost", "duplicated", "reordered", "damaged")

_runs = count(1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the load source reports of one run; lists have one figure per router process."""

    operations: int
    seconds: float
    router_cpu_s: list[float]
    rss_start_kib: list[int]
    rss_end_kib: list[int]
    load_cpu_s: float
    cpu_source: str
    sessions: int
    lost: int
    duplicated: int
    reordered: int
    damaged: int
    failure: str

    def faults(self) -> str:
        """Name what was wrong with the deliveries; empty if nothing was."""
        named = [f"{getattr(self, kind)} {kind}" for kind in FAULT_KINDS if getattr(self, kind)]
        return ", ".join(named + [self.failure] * bool(self.failure))


def build(directory: Path) -> Path:
    """Compile `load.c` into `directory` unless it is newer there, and return the program.

    `CC` and `CFLAGS` of the environment are obeyed. Raises BenchError when there is no compiler or it fails.
    """
    program = directory / "load"
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise BenchError(
            f"The load source is written in C and there is no C compiler {compiler!r}: "
            "install one (Debian and Ubuntu: apt install gcc libc6-dev), or name yours in CC."
        )
    directory.mkdir(parents=True, exist_ok=True)
    flags = shlex.split(os.environ.get("CFLAGS", "-O2"))
    command = [compiler, "-std=c11", "-Wall", "-Wextra", *flags, "-o", str(program), str(SOURCE)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise BenchError(f"{shlex.join(command)} failed:\n{compiled.stderr}")
    return program


def parse(line: str) -> Reading:
    """Turn the load source's line of JSON into a Reading."""
    return Reading(**json.loads(line))


def run(
    program: Path,
    *,
    mode: str,
    transport: str,
    port: int,
    pids: Sequence[int],
    cpu: int | None,
    options: Mapping[str, int | float],
    receivers_port: int | None = None,
) -> Reading:
    """Run one case and return its reading, faults included.

    Raises BenchError when the load source could not run at all.
    """
    arguments = {"mode": mode, "transport": transport, "to": f"127.0.0.1:{port}", **options}
    # A name of its own: what the router still holds of the run before must not matter.
    arguments["topic"] = f"bench.run{next(_runs)}"
    if receivers_port is not None:
        arguments["to-receivers"] = f"127.0.0.1:{receivers_port}"
    if cpu is not None:
        arguments["cpu"] = cpu
    command = [str(program)]
    for name, value in [*arguments.items(), *(("pid", pid) for pid in pids)]:
        command += [f"--{name}", str(value)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{shlex.join(command)} did not end within {TIMEOUT_S} s") from error
    if not done.stdout:
        raise BenchError(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return parse(done.stdout)
