"""The matrix: baselines that were renamed, deleted or made by another build; no changed answer goes unnoticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftps_harness.client.lftp import Lftp
from ftps_harness.matrix import baseline
from ftps_harness.matrix.answers import UNEXPECTED
from ftps_harness.matrix.baseline import Baseline
from ftps_harness.matrix.play import MatrixRun, PairResult, exit_code
from ftps_harness.verdict.observations import Outcome

DONE, LEAK = Outcome("accepted"), Outcome("exposed", exposed=frozenset({"password"}), to=frozenset({"wire"}))
OLD = Lftp(Path("/usr/bin/lftp"), "4.8.4", "GnuTLS 3.7.1", "classic")


def step_of(title: str, *outcomes: Outcome, status: str = "pass") -> Any:
    """The fields of a step's result that a baseline reads."""
    return SimpleNamespace(
        title=title,
        status=status,
        expect=SimpleNamespace(how_often="always"),
        attempts=[SimpleNamespace(outcome=outcome) for outcome in outcomes],
    )


def result_of(*steps: Any, status: str = "pass", why: str = "", titles: tuple[str, ...] = ()) -> Any:
    scenario = SimpleNamespace(id="a/x", steps=[SimpleNamespace(title=t) for t in titles or [s.title for s in steps]])
    return SimpleNamespace(scenario=scenario, status=status, steps=steps, why=why)


def pair_of(*results: Any, build: str = "bullseye", lftp: Lftp | None = OLD) -> PairResult:
    return PairResult(build, "lab", lftp, results, 1.0)


def run_of(*pairs: PairResult, interrupted: bool = False, **more: Any) -> MatrixRun:
    return MatrixRun(pairs, interrupted, 1.0, **more)


PASS, FAIL = result_of(step_of("s", DONE)), result_of(step_of("s", LEAK, status="fail"), status="fail")
SKIP, ERROR = result_of(status="skip", why="w", titles=("s",)), result_of(status="error", why="w", titles=("s",))


def baseline_of(*pairs: PairResult) -> Baseline:
    return baseline.updated(Baseline(Path("bullseye.json")), pairs)


class TestBaselines:
    def drifted(self, known: Baseline, now: PairResult) -> list[str]:
        return [each.direction for each in baseline.drift(known, now)]

    def test_unchanged_answers_do_not_drift(self) -> None:
        assert self.drifted(baseline_of(pair_of(PASS)), pair_of(PASS)) == []

    def test_renamed_step_is_both_missing_and_new(self) -> None:
        renamed = pair_of(result_of(step_of("t", DONE)))
        assert self.drifted(baseline_of(pair_of(PASS)), renamed) == ["missing", "new"]

    def test_deleted_baseline_makes_every_answer_new(self, tmp_path: Path) -> None:
        now = pair_of(PASS)
        drifts = list(baseline.drift(baseline.read(tmp_path, "bullseye"), now))
        assert [each.direction for each in drifts] == ["new"]
        assert exit_code(run_of(now), drifts) == 1

    @pytest.mark.parametrize("now", [SKIP, ERROR])
    def test_skipped_or_broken_scenario_is_missing(self, now: Any) -> None:
        assert self.drifted(baseline_of(pair_of(PASS)), pair_of(now)) == ["missing"]

    def test_unexpected_answer_stays_unexpected_in_a_baseline(self) -> None:
        """The baseline marks the answer as unexpected, and the next run fails as before, without drift."""
        known = baseline_of(pair_of(FAIL))
        (answer,) = known.scenarios["a/x"]["s"]
        assert answer.startswith(UNEXPECTED)
        drifts = list(baseline.drift(known, pair_of(FAIL)))
        assert (drifts, exit_code(run_of(pair_of(FAIL)), drifts)) == ([], 1)
        assert self.drifted(known, pair_of(PASS)) == ["better"]

    def test_broken_cell_is_not_written_to_a_baseline(self) -> None:
        assert baseline_of(pair_of(ERROR)).scenarios == {}

    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (replace(OLD, version="4.9.2"), "lftp 4.9.2, dialect classic"),
            (replace(OLD, dialect="status"), "lftp 4.8.4, dialect status"),
        ],
    )
    def test_image_with_another_lftp_build_is_drift(self, now: Lftp, told: str) -> None:
        """If both builds give the same answers, nothing else would reveal it."""
        (drift,) = baseline.drift(baseline_of(pair_of(PASS)), pair_of(PASS, lftp=now))
        assert (drift.direction, drift.scenario, drift.now) == ("other", baseline.LFTP, (told,))
        assert drift.was == ("lftp 4.8.4, dialect classic",)

    def test_newer_tls_library_or_unopened_pair_is_not_another_build(self) -> None:
        newer = pair_of(PASS, lftp=replace(OLD, tls="GnuTLS 3.7.9"))
        assert self.drifted(baseline_of(pair_of(PASS)), newer) == []
        assert self.drifted(baseline_of(pair_of(PASS)), pair_of(ERROR, lftp=None)) == ["missing"]
        assert self.drifted(baseline_of(pair_of(PASS)), pair_of(lftp=replace(OLD, version="9"))) == []


DRIFT: Any = object()


@pytest.mark.parametrize(
    ("run", "drifts", "code"),
    [
        (run_of(pair_of(PASS)), (), 0),
        (run_of(pair_of(PASS, SKIP)), (), 0),
        (run_of(pair_of(PASS), left_out=(("openssl", "no source"),)), (), 0),
        (run_of(pair_of(PASS)), (DRIFT,), 1),
        (run_of(pair_of(FAIL)), (), 1),
        (run_of(pair_of(PASS), pair_of(PASS, FAIL, SKIP)), (), 1),
        (run_of(), (), 3),
        (run_of(left_out=(("openssl", "no source"),)), (), 3),
        (run_of(pair_of()), (), 3),
        (run_of(pair_of(PASS), pair_of()), (), 3),
        (run_of(pair_of(SKIP)), (), 3),
        (run_of(pair_of(PASS), pair_of(SKIP, SKIP)), (), 3),
        (run_of(pair_of(PASS), pair_of(SKIP)), (DRIFT,), 3),
        (run_of(pair_of(PASS, ERROR)), (), 3),
        (run_of(pair_of(FAIL, ERROR)), (DRIFT,), 3),
        (run_of(pair_of(FAIL), pair_of(PASS, ERROR)), (DRIFT,), 3),
        (run_of(pair_of(ERROR), interrupted=True), (), 130),
        (run_of(pair_of(PASS), interrupted=True), (DRIFT,), 130),
        (run_of(interrupted=True), (), 130),
    ],
)
def test_exit_code_follows_statuses_and_drift(run: MatrixRun, drifts: tuple[Any, ...], code: int) -> None:
    """130 beats 3, 3 beats 1; 0 requires that every pair played something and nothing differs."""
    assert exit_code(run, drifts) == code
