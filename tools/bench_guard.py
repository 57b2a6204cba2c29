"""The guard's part of `make bench`: its cost in the place `loopback`."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench_figure import Figure
from ftps_harness.play.attempt import Request
from ftps_harness.play.places.loopback import Loopback, why_unguarded
from ftps_harness.play.session import Session
from ftps_harness.sandbox import process
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.home import Home

_RUNS = 20
"""Programs started per round: one takes a few milliseconds."""

_REQUEST = Request(rc="set ssl:verify-certificate no\n", run=("list", "get", "put"))


class _Unguarded(Loopback):
    def starter(self, home: Home) -> process.Starter:  # noqa: ARG002 - the protocol's
        return process.run


def guard_overhead(client: Lftp, rounds: int) -> Iterator[Figure]:
    """A program start under guard against one without; the same for an lftp that lists, downloads and uploads."""
    if why := why_unguarded():
        print(f"the guard is not measured: {why}")
        return
    more = statistics.median(_start(process.guarded) - _start(process.run) for _ in range(_RUNS * rounds))
    yield Figure("extra time to start a program under guard", more * 1000, "ms", 3)
    server = ServerSpec(certificate=issue({"genuine": CertificateSpec()})["genuine"])
    with Session(Loopback(), client) as with_guard, Session(_Unguarded(), client) as without:
        for session in (with_guard, without):
            session.serve(server)
        more = statistics.median(_lftp(with_guard) - _lftp(without) for _ in range(_RUNS * rounds))
    yield Figure("extra time for an lftp under guard that lists, downloads and uploads", more * 1000, "ms", 3)


def _start(start: process.Starter) -> float:
    began = time.perf_counter()
    start(["/bin/true"], env={}, cwd=Path("/"), timeout=30)
    return time.perf_counter() - began


def _lftp(session: Session) -> float:
    done = session.attempt(_REQUEST)
    assert done.outcome.verdict == "accepted", done.outcome
    return done.run.seconds
