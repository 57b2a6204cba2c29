"""The sandbox's part of `make bench`: the cost of the place `sealed`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench_figure import Figure
from ftps_harness.sandbox import process
from ftps_harness.sandbox.sandbox import Sandbox, why_none
from ftps_harness.sandbox.view import INSIDE
from ftps_lab.interface import LAB_KIND, ServerSpec
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_harness.client.lftp import Lftp

_RUNS = 20
"""Programs started per round: one takes a few milliseconds."""


def overhead(client: Lftp, root: Path, rounds: int) -> Iterator[Figure]:
    """A program start in a sandbox against one here; a command in the place `sealed` against one on loopback."""
    if why := why_none():
        print(f"the sandbox is not measured: {why}")
        return
    with Folder("bench") as folder:
        (folder.path / "own").mkdir()
        with Sandbox(folder.path) as sandbox:
            sandbox.host.ping()

            def inside() -> None:
                sandbox.run(["/bin/true"], env={}, cwd=Path(INSIDE), timeout=30, folder="own")

            def here() -> None:
                process.run(["/bin/true"], env={}, cwd=Path("/"), timeout=30)

            more = statistics.median(_more(inside, here) for _ in range(_RUNS * rounds))
            record = _record(sandbox, folder.path)
            round_trips = statistics.median(record() for _ in range(_RUNS * rounds))
    yield Figure("a server's record in a sandbox, begun and finished", round_trips * 1000, "ms", 3)
    yield Figure("extra time to start a program in a sandbox", more * 1000, "ms", 3)
    sealed, loopback = (_command(client, root, place) for place in ("sealed", "loopback"))
    more = statistics.median(_more(sealed, loopback) for _ in range(3 * rounds))
    yield Figure("extra time for the command of one scenario in the sealed place", more * 1000, "ms", 50)


def _record(sandbox: Sandbox, root: Path) -> Callable[[], float]:
    """Seconds that a server in the sandbox takes for a record without any client: two round trips."""
    plain = ServerSpec(protocol="plain")
    server = sandbox.host.serve(LAB_KIND, plain, root=root, password="secret", host="127.0.0.1")

    def measure() -> float:
        began = time.perf_counter()
        assert server.begin()
        assert server.finish().complete
        return time.perf_counter() - began

    return measure


def _more(one: Callable[[], None], other: Callable[[], None]) -> float:
    """How many seconds longer the first call takes than the second, right after it."""
    began = time.perf_counter()
    one()
    between = time.perf_counter()
    other()
    return (between - began) - (time.perf_counter() - between)


def _command(client: Lftp, root: Path, place: str) -> Callable[[], None]:
    scenario = root / "scenarios/document/untrusted-by-default.scenario.toml"
    command = [sys.executable, "-m", "ftps_harness", "run", str(scenario), "--place", place, "--lftp", str(client.path)]

    def run() -> None:
        subprocess.run(command, capture_output=True, check=True)

    return run
