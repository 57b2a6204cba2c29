"""How long `ftps-lab pin-check` takes: recognizing its planted tools, and the whole contract for our own tool."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench_figure import Figure
from ftps_harness.errors import HarnessError
from ftps_harness.pinning.planted import Planted, self_check
from ftps_harness.play.places.sealed import SealedPlaces
from ftps_harness.sandbox.sandbox import why_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp

_PLANTED_LIMIT = 3.0
_LIMIT = 30.0
"""Seconds on two cores."""


def pinning(client: Lftp, rounds: int) -> Iterator[Figure]:
    """Time both; no figures if the kernel does not permit a sandbox, which the sandbox's own figures report."""
    if why_none():
        return
    with Planted() as tools, SealedPlaces([client.path, tools.program]) as places:
        times = [_seconds(tools, client, places) for _ in range(rounds)]
        yield Figure("pin-check: planted tools recognized, -j 2", statistics.median(times), "s", _PLANTED_LIMIT)
        yield Figure("pin-check -j 2: the whole contract", _whole(client, tools), "s", _LIMIT)


def _seconds(tools: Planted, client: Lftp, places: SealedPlaces) -> float:
    began = time.perf_counter()
    if problem := self_check(tools, client, places, 2):
        raise HarnessError(problem)
    return time.perf_counter() - began


def _whole(client: Lftp, tools: Planted) -> float:
    """Time one run for the planted correct tool, which answers at once and gives up after some seconds."""
    command = [sys.executable, "-m", "ftps_harness", "pin-check", "-j", "2", "--lftp", str(client.path), "--json", "-"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--", str(tools.program), "{host}", "{port}"], capture_output=True, check=False, text=True
    )
    seconds = time.perf_counter() - began
    if done.returncode != 1 or not json.loads(done.stdout)["requirements"]:
        raise HarnessError(f"pin-check ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return seconds
