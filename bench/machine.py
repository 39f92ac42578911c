"""What the figures were measured on."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def _value_of(file: str, key: str) -> str:
    for line in Path(file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def describe(versions: Sequence[str], router_cpu: int | None, load_cpu: int | None) -> list[str]:
    """Lines on machine, routers, date and command."""
    memory_gib = int(_value_of("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    processor = f"{len(os.sched_getaffinity(0))} x {_value_of('/proc/cpuinfo', 'model name')}"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown system")
    pinned = "not pinned" if router_cpu is None else f"routers on cpu {router_cpu}, load on cpu {load_cpu}"
    busy = os.getloadavg()[0]
    return [
        f"Machine: {processor}, {memory_gib:.0f} GiB, {system}, Linux {platform.release()}; {pinned}.",
        f"Routers: {'; '.join(versions)}.",
        f"Command: `{shlex.join(['python', '-m', 'bench', *sys.argv[1:]])}`, {datetime.now(UTC):%d %B %Y}; "
        f"load average at the end {busy:.1f}.",
    ]
