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


class World:
    """What happens in the containers, which do not exist here."""

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
    """Replaces the real stage."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def prepare(self, builds: Sequence[Build], kinds: Sequence[ServerKind]) -> None:
        """Do nothing: no images are needed."""

    def has(self, build: Build) -> bool:
        return build.name not in self._world.left_out

    def completed(self, run: MatrixRun) -> MatrixRun:
        self._world.run = replace(run, left_out=tuple(self._world.left_out.items()))
        return self._world.run

    @contextlib.contextmanager
    def open(self, pair: Pair) -> Iterator[Any]:
        names = (pair.build.name, pair.kind.name)
        after = self._world.dead.get(names)
        if after == 0:
            raise LabError("it does not start")

        def check() -> None:
            if self._world.played[names] == after:
                raise LabError("its container is gone")

        lftp = Lftp(Path("/usr/bin/lftp"), "4.9.2", "GnuTLS 3.7.9", "status")
        yield SimpleNamespace(lftp=lftp, place=names, check=check)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Two scenarios in a user's folder."""
    world = World()
    monkeypatch.setattr(containers, "Stage", lambda _scenarios, _say: Stage(world))
    monkeypatch.setattr(play, "run_scenario", world.run_scenario)
    for name in ("x", "y"):
        file = tmp_path / "scenarios" / "a" / f"{name}.scenario.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return world


BOTH = ("--client", "bullseye", "--client", "bookworm", "--server", "lab", "--server", "vsftpd")


def call(*arguments: str) -> int:
    return cli.call(["matrix", "a", *BOTH, *arguments])


@pytest.fixture
def known(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """Baselines that hold today's answers."""
    assert call("--update-baseline") == 0
    assert call() == 0
    capsys.readouterr()
    world.options.clear()
    world.played.clear()
    return world


def test_without_a_mishap_everything_is_played_with_its_controls(known: World) -> None:
    assert call() == 0
    assert known.played == {(b, k): 2 for b in ("bullseye", "bookworm") for k in ("lab", "vsftpd")}
    assert {options.controls for options in known.options} == {True}
    known.options.clear()
    assert call("--no-controls") == 0
    assert {options.controls for options in known.options} == {False}


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_pair_that_dies_is_3_whenever_it_does(known: World, after: int, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_one_pair_alone_decides(known: World, verdict: str, code: int) -> None:
    known.verdicts["bullseye", "lab"] = verdict
    assert call() == code


def test_an_answer_that_no_baseline_has_is_1_until_it_is_written_down(world: World, tmp_path: Path) -> None:
    assert call() == 1
    assert call("--update-baseline") == 0
    assert call() == 0
    file = tmp_path / "scenarios" / "baselines" / "bookworm.json"
    told = json.loads(file.read_text())
    assert told["scenarios"]["a/y"]["s"] == {"accepted": "lab, vsftpd"}
    told["scenarios"]["a/y"]["s"] = {"accepted": "vsftpd"}  # one cell is missing
    file.write_text(json.dumps(told))
    assert call() == 1


def test_a_baseline_that_is_written_does_not_hide_what_failed_or_broke(known: World) -> None:
    known.verdicts["bullseye", "lab"] = "rejected"
    assert call("--update-baseline") == 1
    assert call() == 1
    known.dead["bullseye", "vsftpd"] = 0
    assert call("--update-baseline") == 3
    known.dead.clear()
    known.verdicts.clear()
    known.verdicts["bullseye", "lab"] = "rejected"
    assert call() == 1


def test_a_build_that_was_named_and_cannot_be_had_is_3(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    known.left_out["bookworm"] = "no source"
    assert call() == 3
    assert "--client bookworm: its image is not available: no source" in capsys.readouterr().err


def test_scenarios_of_another_folder_have_no_baseline_and_no_drift(known: World, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "z.scenario.toml"
    other.parent.mkdir()
    other.write_text(SCENARIO)
    assert cli.call(["matrix", str(other), *BOTH]) == 0
    known.verdicts["bullseye", "lab"] = "rejected"
    assert cli.call(["matrix", str(other), *BOTH]) == 1
