"""`make bench`: ratios measured in one run, because machines are noisy and absolute times mean little.

Each figure says what it compares, the limit that the project holds itself to, and the measured value. With ``--quick``
each figure is measured once, with less work, and no limit is judged: it shows that the bench itself works.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bench_bare
from bench_figure import Figure
from bench_guard import guard_overhead
from bench_matrix import warm_cells
from bench_pinning import pinning
from bench_sealed import overhead
from bench_verify import verify
from ftps_harness.client import lftp
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.play.attempt import Request
from ftps_harness.play.session import Session
from ftps_harness.sandbox.home import Home
from ftps_harness.scenario import catalogue, load
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.scenario import Scenario

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Effort:
    """The amount of work for each measurement.

    Attributes:
        rounds: Rounds of each comparison.
        steps: Steps of the leak check.
        mib: The size of the transferred file, in MiB.
        scenarios: How many of the document's scenarios; all unless a number is given.
        warm: Do everything once before the clock starts.
    """

    rounds: int
    steps: int
    mib: int = 64
    scenarios: int | None = None
    warm: bool = True


_MORE_ROUNDS = 3
"""The catalogue gets more rounds: one ratio of whole commands is a tenth off, and a median of 5 a twentieth."""

QUICK = Effort(rounds=1, steps=10, mib=4, scenarios=5, warm=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (default 5)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the leak check (default 1000)")
    parser.add_argument("--quick", action="store_true", help="each figure once, and no limit is judged")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort(options.rounds, options.steps)
    try:
        client = lftp.identify(lftp.find())
        scenarios = [load(path) for path in catalogue(ROOT / "scenarios").values() if path.parent.name == "document"]
        for figure in _figures(client, scenarios[: effort.scenarios], effort):
            print(dataclasses.replace(figure, limit=None) if options.quick else figure, flush=True)
    except (LabError, HarnessError, UsageError) as error:
        sys.exit(f"bench: {error}")


def _figures(client: Lftp, scenarios: list[Scenario], effort: Effort) -> Iterator[Figure]:
    print(f"lftp {client.version}, {client.tls}; {len(scenarios)} scenarios, medians of {effort.rounds} rounds\n")
    yield from catalogue_against_bare(client, scenarios, effort)
    yield from overhead(client, ROOT, effort.rounds)
    yield from guard_overhead(client, effort.rounds)
    yield from verify(client, effort.rounds)
    yield from pinning(client, effort.rounds)
    yield from servers(effort.rounds)
    yield from interceptor(client, effort)
    yield from warm_cells(client, scenarios, min(effort.rounds, 3))
    yield from start_up(effort.rounds)
    yield from leaks(client, effort.steps)


def catalogue_against_bare(client: Lftp, scenarios: list[Scenario], effort: Effort) -> Iterator[Figure]:
    """The catalogue as `run` executes it, against the same lftp command lines without the harness."""
    stock = bench_bare.seconds(client, scenarios, stock=True)  # once: 90 s, and a limit far from every measured value
    ways: dict[str, Callable[[], float]] = {
        "run -j 1 --no-controls": lambda: _timed(lambda: _run_all(client, scenarios, 1, controls=False)),
        "bare, the lab's servers": lambda: bench_bare.seconds(client, scenarios, stock=False),
        "run -j 2 --no-controls": lambda: _timed(lambda: _run_all(client, scenarios, 2, controls=False)),
        "run -j 1": lambda: _timed(lambda: _run_all(client, scenarios, 1, controls=True)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values() if effort.warm else ():
        way()
    for _ in range(effort.rounds * (_MORE_ROUNDS if effort.warm else 1)):
        for name, way in ways.items():
            times[name].append(way())
    for name in ways:
        yield Figure(f"catalogue, {name}", statistics.median(times[name]), "s")
    yield Figure("catalogue, bare, stock pyftpdlib", stock, "s")

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))

    first = "run -j 1 --no-controls"
    yield Figure(f"{first} / bare lftp, the lab's own servers up", ratio(first, "bare, the lab's servers"), "x", 1.25)
    yield Figure(f"{first} / bare lftp, stock pyftpdlib up", statistics.median(times[first]) / stock, "x", 0.5)
    yield Figure("-j 2 / -j 1", ratio("run -j 2 --no-controls", first), "x")
    yield Figure("with controls / without", ratio("run -j 1", first), "x")


def _timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _run_all(client: Lftp, scenarios: list[Scenario], jobs: int, *, controls: bool) -> None:
    """Time the whole command, its start included."""
    command = [sys.executable, "-m", "ftps_harness", "run", *(scenario.id for scenario in scenarios)]
    command += ["--lftp", str(client.path), "-j", str(jobs), *([] if controls else ["--no-controls"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-300:]
        print(f"  (exit code {done.returncode}, so the figures mean little: {said})", file=sys.stderr)


def servers(rounds: int) -> Iterator[Figure]:
    """Time to issue certificates and to get a server ready."""
    with tempfile.TemporaryDirectory() as root:
        singles = []
        for _ in range(rounds * 10):
            began = time.perf_counter()
            server = FtpsServer(ServerSpec(certificate=issue({"a": CertificateSpec()})["a"]), root=root, password="x")
            server.start()
            singles.append((time.perf_counter() - began) * 1000)
            server.stop()
        yield Figure("a P-256 certificate issued and its server ready, median", statistics.median(singles), "ms", 5)
        hundreds = []
        for _ in range(rounds):
            began = time.perf_counter()
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    spec = ServerSpec(certificate=issue({"a": CertificateSpec()})["a"])
                    stack.enter_context(FtpsServer(spec, root=root, password="x"))
            hundreds.append(time.perf_counter() - began)
        yield Figure("a hundred servers up and down, median", statistics.median(hundreds), "s", 1)


def interceptor(client: Lftp, effort: Effort) -> Iterator[Figure]:
    """The same transfers by the same lftp, directly to the server and through an interceptor."""
    certificate = issue({"a": CertificateSpec()})["a"]
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        large = root / "large"
        large.write_bytes(os.urandom(effort.mib << 20))
        home = stack.enter_context(Home())
        direct, intercepted = (
            stack.enter_context(FtpsServer(ServerSpec(certificate=certificate, attack=attack), root=root, password="x"))
            for attack in ("none", "intercept")
        )
        asked: dict[str, tuple[str, float | None]] = {
            f"a download of {effort.mib} MiB": ("cat large > /dev/null", 2),
            f"an upload of {effort.mib} MiB": (f"put {large} -o up", 2),
            "a listing": ("ls", None),
        }
        for what, (command, limit) in asked.items():
            ratios = []
            for _ in range(effort.rounds):
                straight, through = (_transfer(client, home, server, command) for server in (direct, intercepted))
                ratios.append(through / straight)
            title = f"{what}, through the interceptor / straight to the server"
            yield Figure(title, statistics.median(ratios), "x", limit)


def _transfer(client: Lftp, home: Home, server: FtpsServer, command: str) -> float:
    """The seconds that lftp takes for one transfer command."""
    script = (
        *lftp.settings_of_ours("localhost"),
        "command set ssl:verify-certificate no",
        lftp.open_command("explicit", "localhost", server.port, "somebody"),
        command,
    )
    server.record()  # otherwise the record would keep growing
    seconds = _timed(lambda: bench_bare.start(client, bench_bare.Line(script, home, "home", "x")))
    server.settle()
    if not any(transfer.completed and transfer.size for transfer in server.testimony().transfers):
        raise SystemExit(f"bench: lftp transferred nothing: {command}")
    return seconds


def start_up(rounds: int) -> Iterator[Figure]:
    """The start-up time before anything happens."""
    python = sys.executable
    commands = {
        "import click": [python, "-c", "import click"],
        "list": [python, "-m", "ftps_harness", "list"],
        "--help": [python, "-m", "ftps_harness", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(rounds * 2 + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
            if index:
                times[name].append(time.perf_counter() - began)
    for name in ("list", "--help"):
        ratio = statistics.median(a / b for a, b in zip(times[name], times["import click"], strict=True))
        yield Figure(f"ftps-lab {name} / python -c 'import click'", ratio, "x", 3)


def leaks(client: Lftp, steps: int) -> Iterator[Figure]:
    """Threads, descriptors and temporary files before and after many steps in one process; peak memory."""
    spec = ServerSpec(certificate=issue({"a": CertificateSpec()})["a"])
    assert spec.certificate is not None
    before: tuple[int, int, int] | None = None
    for index in range(steps + 1):
        with Session(client=client) as session:
            session.serve(spec)
            pin = session.home.put_file("pin.crt", spec.certificate.pem)
            session.attempt(Request(rc=f'set ssl:ca-file "{pin}"\n', run=("get",)))
        if index == 0:  # what loads only once is not a leak
            before = _counts()
    gc.collect()
    after = _counts()
    assert before is not None
    for name, one, other in zip(("threads", "descriptors", "temporary files"), before, after, strict=True):
        yield Figure(f"{name} after {steps} steps, more than before", max(0, other - one), "", 0)
    yield Figure("peak memory of this whole run", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")


def _counts() -> tuple[int, int, int]:
    temporary = [entry for entry in os.listdir(tempfile.gettempdir()) if entry.startswith("ftps-lab-")]
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(temporary)


if __name__ == "__main__":
    main()
