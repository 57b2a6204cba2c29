"""The matrix's part of `make bench`: the cost of containers, if an engine is available."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench_figure import Figure
from ftps_harness.errors import HarnessError
from ftps_harness.matrix.builds import BUILDS, KINDS
from ftps_harness.matrix.containers import Stage
from ftps_harness.matrix.play import Pair
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.runner import Options, run_scenario
from ftps_lab import containers
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.containers import OpenPair
    from ftps_harness.play.places.loopback import Place
    from ftps_harness.scenario import Scenario

_OPTIONS = Options(timeout=30.0, controls=True)


def warm_cells(client: Lftp, scenarios: list[Scenario], rounds: int) -> Iterator[Figure]:
    """One warm cell (containers reused between the scenarios of a pair) against the same scenario run locally.

    It compares Debian bookworm's lftp in a container with this machine's: the same build if this machine runs bookworm.
    """
    why = containers.why_no_engine()
    try:
        for kind in () if why else ("lab", "vsftpd"):
            yield from _cells(kind, client, scenarios, rounds)
    except (LabError, HarnessError) as error:  # for instance, an engine that cannot get the images
        why = str(error)
    if why:
        print(f"the matrix is not measured: {why}")


def _cells(kind: str, client: Lftp, scenarios: list[Scenario], rounds: int) -> Iterator[Figure]:
    pair = Pair(BUILDS["bookworm"], KINDS[kind])
    with Stage(scenarios, print) as stage:
        stage.prepare([pair.build], [pair.kind])
        began = time.perf_counter()
        with stage.open(pair) as opened:
            until = time.perf_counter() - began
            yield Figure(f"{kind} and lftp {opened.lftp.version} in containers, until both answer", until, "s")
            yield from _against_local(kind, opened, client, scenarios, rounds)


def _against_local(
    kind: str, opened: OpenPair, client: Lftp, scenarios: list[Scenario], rounds: int
) -> Iterator[Figure]:
    ratios, here, there = [], 0.0, 0.0
    for scenario in scenarios:
        for _ in range(rounds):
            local = _seconds(scenario, client, Loopback())
            warm = _seconds(scenario, opened.lftp, opened.place)
            if local and warm:
                ratios.append(warm / local)
                here, there = here + local, there + warm
    median = statistics.median(ratios)
    yield Figure(f"a warm cell on {kind} / the same scenario run locally, median", median, "x", 3.0)
    yield Figure(f"all warm cells on {kind} / the same scenarios run locally", there / here, "x", 3.0)


def _seconds(scenario: Scenario, client: Lftp, place: Place) -> float:
    """Seconds that the scenario took; 0 if it was skipped."""
    result = run_scenario(scenario, client, _OPTIONS, place)
    if result.status not in {"pass", "skip"}:
        raise SystemExit(f"{scenario.id}: {result.status}: {result.why or result.steps}")
    return result.seconds if result.status == "pass" else 0.0
