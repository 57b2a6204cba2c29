"""`ftps-lab matrix` from its arguments to its exit code, without containers: the effect of each failure in a pair."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import pytest

from ftps_harness import cli
from ftps_harness.client.lftp import Lftp
from ftps_harness.matrix import containers, play
from ftps_harness.play.runner import ScenarioResult, StepResult
from ftps_harness.scenario import expectation
from ftps_harness.verdict.judgement import Judgement
from ftps_harness.verdict.observations import Outcome
from ftps_lab.errors import LabError
from ftps_lab.testimony import Testimony

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.matrix.builds import Build, ServerKind
    from ftps_harness.matrix.play import MatrixRun, Pair
    from ftps_harness.play.runner import Options
    from ftps_harness.scenario import Scenario

SCENARIO = """\
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
[[step]]
title = "s"
[step.expect]
verdict = "accepted"
"""


class FakeContainers:
    """Prescribed results and failures of containers that do not exist."""

    def __init__(self) -> None:
        self.verdicts: dict[tuple[str, str], str] = {}
        self.dead: dict[tuple[str, str], int] = {}
        self.left_out: dict[str, str] = {}
        self.options: list[Options] = []
        self.played: dict[tuple[str, str], int] = {}
        self.run: MatrixRun | None = None

    def run_scenario(self, scenario: Scenario, client: Any, options: Options, place: Any) -> ScenarioResult:
        self.options.append(options)
        self.played[place] = self.played.get(place, 0) + 1
        verdict: Any = self.verdicts.get(place, "accepted")
        if verdict == "skip":
            return ScenarioResult(scenario, "skip", why="not here")
        (step,) = scenario.steps
        attempt: Any = SimpleNamespace(outcome=Outcome(verdict), testimony=Testimony("genuine"), said="")
        status: Any = "pass" if verdict == "accepted" else "error" if verdict == "inconclusive" else "fail"
        expect = expectation(step, client.dialect, client.version)
        done = StepResult(step.title, expect, (attempt,), Judgement(status, ("why",)), None, 0.1)
        return ScenarioResult(scenario, status, (done,))


class Stage:
    """Opens pairs of the fake containers."""

    def __init__(self, fake_containers: FakeContainers) -> None:
        self._containers = fake_containers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def prepare(self, builds: Sequence[Build], kinds: Sequence[ServerKind]) -> None:
        """Do nothing: no images are needed."""

    def has(self, build: Build) -> bool:
        return build.name not in self._containers.left_out

    def completed(self, run: MatrixRun) -> MatrixRun:
        self._containers.run = replace(run, left_out=tuple(self._containers.left_out.items()))
        return self._containers.run

    @contextlib.contextmanager
    def open(self, pair: Pair) -> Iterator[Any]:
        names = (pair.build.name, pair.kind.name)
        after = self._containers.dead.get(names)
        if after == 0:
            raise LabError("it does not start")

        def check() -> None:
            if self._containers.played[names] == after:
                raise LabError("its container is gone")

        lftp = Lftp(Path("/usr/bin/lftp"), "4.9.2", "GnuTLS 3.7.9", "status")
        yield SimpleNamespace(lftp=lftp, place=names, check=check)


@pytest.fixture
def fake_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeContainers:
    """Two scenarios in a user's folder."""
    fake_containers = FakeContainers()
    monkeypatch.setattr(containers, "Stage", lambda _scenarios, _say: Stage(fake_containers))
    monkeypatch.setattr(play, "run_scenario", fake_containers.run_scenario)
    for name in ("x", "y"):
        file = tmp_path / "scenarios" / "a" / f"{name}.scenario.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return fake_containers


BOTH = ("--client", "bullseye", "--client", "bookworm", "--server", "lab", "--server", "vsftpd")


def call(*arguments: str) -> int:
    return cli.call(["matrix", "a", *BOTH, *arguments])


@pytest.fixture
def known(fake_containers: FakeContainers, capsys: pytest.CaptureFixture[str]) -> FakeContainers:
    """Baselines that hold today's answers."""
    assert call("--update-baseline") == 0
    assert call() == 0
    capsys.readouterr()
    fake_containers.options.clear()
    fake_containers.played.clear()
    return fake_containers


def test_every_pair_plays_all_scenarios_with_controls(known: FakeContainers) -> None:
    assert call() == 0
    assert known.played == {(b, k): 2 for b in ("bullseye", "bookworm") for k in ("lab", "vsftpd")}
    assert {options.controls for options in known.options} == {True}
    known.options.clear()
    assert call("--no-controls") == 0
    assert {options.controls for options in known.options} == {False}


@pytest.mark.parametrize("after", [0, 1, 2])
def test_pair_that_dies_exits_3_unless_it_had_finished(
    known: FakeContainers, after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scenarios that the pair did not play become errors; those it played keep their results."""
    known.dead["bookworm", "vsftpd"] = after
    code = call()
    assert known.run is not None
    statuses = {(pair.build, pair.kind): [result.status for result in pair.results] for pair in known.run.pairs}
    assert statuses.pop(("bookworm", "vsftpd")) == ["pass"] * after + ["error"] * (2 - after)
    assert list(statuses.values()) == [["pass", "pass"]] * 3
    assert code == (3 if after < 2 else 0)
    # A baseline answer that no cell gave is drift too.
    assert ("missing: a/y" in capsys.readouterr().out) is (after < 2)


@pytest.mark.parametrize(("verdict", "code"), [("rejected", 1), ("inconclusive", 3), ("skip", 3)])
def test_one_pair_decides_the_exit_code(known: FakeContainers, verdict: str, code: int) -> None:
    known.verdicts["bullseye", "lab"] = verdict
    assert call() == code


def test_answer_without_a_baseline_exits_1_until_it_is_recorded(
    fake_containers: FakeContainers, tmp_path: Path
) -> None:
    assert call() == 1
    assert call("--update-baseline") == 0
    assert call() == 0
    file = tmp_path / "scenarios" / "baselines" / "bookworm.json"
    told = json.loads(file.read_text())
    assert told["scenarios"]["a/y"]["s"] == {"accepted": "lab, vsftpd"}
    told["scenarios"]["a/y"]["s"] = {"accepted": "vsftpd"}  # one cell is missing
    file.write_text(json.dumps(told))
    assert call() == 1


def test_updating_a_baseline_does_not_hide_failures_or_errors(known: FakeContainers) -> None:
    known.verdicts["bullseye", "lab"] = "rejected"
    assert call("--update-baseline") == 1
    assert call() == 1
    known.dead["bullseye", "vsftpd"] = 0
    assert call("--update-baseline") == 3
    known.dead.clear()
    known.verdicts.clear()
    known.verdicts["bullseye", "lab"] = "rejected"
    assert call() == 1


def test_named_build_without_an_image_exits_3(known: FakeContainers, capsys: pytest.CaptureFixture[str]) -> None:
    known.left_out["bookworm"] = "no source"
    assert call() == 3
    assert "--client bookworm: its image is not available: no source" in capsys.readouterr().err


def test_scenario_outside_the_catalogue_has_no_drift(known: FakeContainers, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "z.scenario.toml"
    other.parent.mkdir()
    other.write_text(SCENARIO)
    assert cli.call(["matrix", str(other), *BOTH]) == 0
    known.verdicts["bullseye", "lab"] = "rejected"
    assert cli.call(["matrix", str(other), *BOTH]) == 1
