"""Pages of each kind for the browser: from a real run, from made-up reports, from hostile text."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.harness.pinning import test_html as of_pin_check
from tests.harness.report.html import test_page as of_run
from tests.harness.report.html.outline import EVIL
from tests.harness.report.results import LFTP, result
from tests.harness.verify import test_html as of_verify
from tests.harness.verify.reports import found, rc_subject, report, tried

from ftps_harness.matrix import html as matrix_html
from ftps_harness.matrix.baseline import Drift
from ftps_harness.matrix.play import MatrixRun, PairResult
from ftps_harness.pinning.check import Result
from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.pinning.record import Met
from ftps_harness.pinning.reports import html as pinning_html
from ftps_harness.report.html import run as run_html
from ftps_harness.verdict.judgement import Judgement
from ftps_harness.verify.reports import html as verify_html

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.pinning.check import Report
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.tally import BuildRun
    from ftps_harness.verify.base import Report as VerifyReport


def run_page(*runs: BuildRun) -> str:
    """The page of `run`."""
    return run_html.text(runs)


def with_unmet_expectation(real: ScenarioResult) -> ScenarioResult:
    """A real result, judged as if its first step had another expectation."""
    first, *others = real.steps
    failed = replace(first, judgement=Judgement("fail", ("expected accepted, but it was rejected",)))
    return replace(real, status="fail", steps=(failed, *others))


def texts(real: BuildRun, folder: Path) -> dict[str, str]:
    """Name → page."""
    cells = [(build, kind) for build in ("bullseye", "sid") for kind in ("lab", "vsftpd")]
    pairs = tuple(PairResult(build, kind, LFTP, _results(real, build), 9.0) for build, kind in cells)
    evil = found("no-verification", detail=EVIL, attack="impostor-copy")
    evil_trial = replace(tried("impostor-copy", "exposed"), recording=of_run.hostile_attempt().recording)
    unsafe = _recorded(of_verify.unsafe_report(folder), real)
    drift = Drift("sid", "lab", "document/expired", "a step", ("accepted",), ("rejected",))
    return {
        "run": run_page(real),
        "run-hostile": run_page(of_run.hostile_run()),
        "run-made-up": run_page(_mixed(real)),
        "verify": verify_html.text([unsafe], folder),
        "verify-several": verify_html.text([unsafe, report(rc_subject(folder))], folder),
        "verify-hostile": verify_html.text([report(rc_subject(folder), (evil,), evil_trial)], folder),
        "pin-check": pinning_html.text(_checked(real)),
        "matrix-hostile": matrix_html.text(_hostile_matrix(), []),
        "matrix": matrix_html.text(MatrixRun(pairs, interrupted=False, seconds=9.0), [drift]),
    }


def _hostile_matrix() -> MatrixRun:
    pairs = (PairResult("sid", kind, LFTP, of_run.hostile_run().results, 9.0) for kind in ("lab", "vsftpd"))
    return MatrixRun(tuple(pairs), interrupted=False, seconds=9.0)


def _results(real: BuildRun, build: str) -> tuple[ScenarioResult, ...]:
    """The real results, with another answer of one build to one scenario."""
    return real.results[:-1] if build == "bullseye" else (real.results[-1], *real.results[1:-1])


def _mixed(real: BuildRun) -> BuildRun:
    results = (result("fail"), result("error"), result("pass"), result("skip", why="no faketime here"))
    return replace(real, results=results, total=7, interrupted=True)


def _recorded(made: VerifyReport, real: BuildRun) -> VerifyReport:
    """A report whose trials were recorded: each in a step of the real run."""
    runs = itertools.cycle(each.shown.recording for each in real.results[0].steps)
    return replace(made, tried=tuple(replace(each, recording=next(runs)) for each in made.tried))


def _checked(real: BuildRun) -> Report:
    step = real.results[0].steps[0]
    met = Met("lftp met an impostor: accepted", step.shown.recording, step.genuine)
    failure = replace(of_pin_check.FAILURE, met=(met, met))
    failed = of_pin_check.failed_result("two-hosts", failure, failure)
    others = [Result(each, "pass") for each in REQUIREMENTS if each.id != "two-hosts"]
    unclaimed = replace(others[0], status="not-claimed", why="no such command")
    return of_pin_check.report(failed, unclaimed, *others[1:], notes=("the command names no {port}",))
