"""The command: `python -m bench`."""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from types import FrameType

from bench import load, machine, report
from bench.cases import ALL, TRANSPORTS, Case
from bench.errors import BenchError
from bench.measure import Bench, Plan, Results, pinning
from bench.routers import Crossbar, Router, Wampha

HERE = Path(__file__).resolve().parent


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure wampha and Crossbar.io in one run.")
    add = parser.add_argument
    add("--cases", default="*", help="comma-separated names or patterns such as 'f*,rpc64' (default: all)")
    add("--transports", default=",".join(TRANSPORTS), help="comma-separated (default: %(default)s)")
    add("--routers", default="crossbar,wampha", help="comma-separated, in this order (default: %(default)s)")
    add("--rounds", type=int, default=3, help="default: %(default)s")
    add("--seconds", type=float, default=2.0, help="measured time per case (default: %(default)s)")
    add("--warmup", type=float, default=0.7, help="time before that, in seconds (default: %(default)s)")
    add("--sessions", type=int, default=2000, help="sessions of the case join (default: %(default)s)")
    add("--quick", action="store_true", help="one short round of everything, about two minutes")
    add("--list", action="store_true", help="name the cases and end")
    add("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    add("--write-readme", action="store_true", help="replace the results in bench/README.md")
    add("--crossbar-venv", type=Path, default=HERE / ".crossbar-venv", help="where Crossbar is, or is to be installed")
    add("--wampha-python", type=Path, default=Path(sys.executable), help="interpreter with wampha's dependencies")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds, options.warmup, options.sessions = 1, 0.7, 0.3, 1000
    return options


def _chosen_cases(patterns: str) -> list[Case]:
    wanted = patterns.split(",")
    for pattern in wanted:
        if not any(fnmatch(case.name, pattern) for case in ALL):
            raise BenchError(f"No case is called {pattern!r}; there are {', '.join(case.name for case in ALL)}.")
    return [case for case in ALL if any(fnmatch(case.name, pattern) for pattern in wanted)]


def _chosen_transports(names: str) -> list[str]:
    for name in names.split(","):
        if name not in TRANSPORTS:
            raise BenchError(f"No transport is called {name!r}; there are {', '.join(TRANSPORTS)}.")
    return names.split(",")


def _chosen_routers(options: argparse.Namespace) -> list[Router]:
    routers: list[Router] = []
    for name in options.routers.split(","):
        if name == "crossbar":
            crossbar = Crossbar(options.crossbar_venv)
            crossbar.install()
            routers.append(crossbar)
        elif name == "wampha":
            routers.append(Wampha(options.wampha_python))
        else:
            raise BenchError(f"No router is called {name!r}; there are crossbar and wampha.")
    return routers


def _plan(options: argparse.Namespace) -> Plan:
    router_cpu, load_cpu = pinning()
    return Plan(
        cases=_chosen_cases(options.cases),
        transports=_chosen_transports(options.transports),
        routers=_chosen_routers(options),
        rounds=options.rounds,
        warmup_s=options.warmup,
        seconds=options.seconds,
        session_count=options.sessions,
        program=load.build(HERE / ".build"),
        runs=HERE / ".runs",
        router_cpu=router_cpu,
        load_cpu=load_cpu,
    )


def _write_json(file: Path, results: Results, about: Sequence[str]) -> None:
    file.write_text(json.dumps({"about": list(about), **asdict(results)}, indent=1) + "\n")


def _write_readme(section: str) -> None:
    readme = HERE / "README.md"
    readme.write_text(report.replace_section(readme.read_text(), section))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(argv: Sequence[str]) -> int:
    """Do what the arguments say; return the exit status: 1 if any case had a fault, 2 or 130 if it ended early."""
    options = _arguments(argv)
    if options.list:
        print("\n".join(f"{case.name:10} {case.title}" for case in ALL))
        return 0
    plan = _plan(options)
    versions = [router.version() for router in plan.routers]
    shutil.rmtree(plan.runs, ignore_errors=True)
    bench = Bench(plan)
    stopped = _carry_out(bench)
    about = machine.describe(versions, plan.router_cpu, plan.load_cpu)
    section = report.render(bench.results, about)
    print(section)
    if options.json:
        _write_json(options.json, bench.results, about)
    if stopped:
        return stopped
    if options.write_readme:
        _write_readme(section)
    return int(any(sample.reading.faults() for sample in bench.results.samples))


def _carry_out(bench: Bench) -> int:
    """Measure, and return an exit status: not 0 if it ended early. What was measured until then stays."""
    try:
        bench.run()
    except KeyboardInterrupt:
        print("bench: interrupted; the routers are stopped", file=sys.stderr)
        return 130
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def main() -> int:
    """Run with the arguments of the command line, ending like Ctrl-C when told to terminate."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(sys.argv[1:])
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
