"""All pairs played with the real lftp, on this machine's loopback instead of containers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.matrix import matrix_json
from ftps_harness.matrix.builds import BUILDS, KINDS
from ftps_harness.matrix.play import Pair, PairResult
from ftps_harness.matrix.play import play as play_pairs
from ftps_harness.play.places.loopback import Loopback, Place
from ftps_harness.play.runner import Options, ScenarioResult
from ftps_harness.sandbox import process
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.conftest import Play as PlayScenario

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.play import Opened
    from ftps_harness.scenario import Scenario
    from ftps_lab.interface import ServerSpec

ACCEPTED = 'verdict = "accepted"'
PAIRS = [Pair(BUILDS["bookworm"], KINDS[kind]) for kind in ("lab", "vsftpd")]


def default_options(_pair: Pair) -> Options:
    return Options(timeout=20)


def without_controls(_pair: Pair) -> Options:
    return Options(timeout=20, controls=False)


@dataclass
class OnLoopback:
    """A pair that runs on loopback."""

    lftp: Lftp
    place: Place = field(default_factory=Loopback)
    gone_after: int = 99

    def check(self) -> None:
        self.gone_after -= 1
        if self.gone_after <= 0:
            raise LabError("the server's container has ended")


@dataclass
class RecordingWatcher:
    """The calls that the watcher received."""

    events: list[str] = field(default_factory=list)

    def began(self, pair: Pair) -> None:
        self.events.append(f"began {pair.kind.name}")

    def played(self, pair: Pair, result: ScenarioResult) -> None:
        self.events.append(f"{result.status} {pair.kind.name}")

    def ended(self, result: PairResult) -> None:
        self.events.append(f"ended {result.kind}")


@pytest.fixture
def scenarios(play: PlayScenario) -> list[Scenario]:
    return [play.scenario(play.step(ACCEPTED)), play.scenario(play.step(play.untrusted, rc=" "))]


def test_every_scenario_is_played_on_every_pair(client: Lftp, scenarios: list[Scenario]) -> None:
    open_now: set[str] = set()

    @contextlib.contextmanager
    def open_pair(pair: Pair) -> Iterator[Opened]:
        open_now.add(pair.kind.name)
        yield OnLoopback(client)
        open_now.remove(pair.kind.name)

    heard = RecordingWatcher()
    run = play_pairs(PAIRS, scenarios, open_pair, default_options, heard, jobs=1)
    assert [(pair.kind, pair.status, len(pair.results)) for pair in run.pairs] == [
        ("lab", "pass", 2),
        ("vsftpd", "pass", 2),
    ]
    assert heard.events == [
        *("began lab", "pass lab", "pass lab", "ended lab"),
        *("began vsftpd", "pass vsftpd", "pass vsftpd", "ended vsftpd"),
    ]
    assert not open_now


@pytest.mark.parametrize("error", [LabError, HarnessError])
def test_pair_that_cannot_be_opened_makes_each_scenario_an_error(
    client: Lftp, scenarios: list[Scenario], error: type[Exception]
) -> None:
    """Scenarios of a pair that does not open are errors, not skips or passes; the other pairs are played."""

    @contextlib.contextmanager
    def open_pair(pair: Pair) -> Iterator[Opened]:
        if pair.kind.name == "lab":
            raise error("no space left on device")
        yield OnLoopback(client)

    run = play_pairs(PAIRS, scenarios, open_pair, default_options, RecordingWatcher(), jobs=2)
    first, second = run.pairs
    assert [(each.status, each.why) for each in first.results] == [("error", "no space left on device")] * 2
    assert (first.lftp, second.status) == (None, "pass")


def test_container_that_ends_makes_the_remaining_scenarios_errors(client: Lftp, scenarios: list[Scenario]) -> None:
    """Earlier results stay; the remaining scenarios become errors at once."""

    @contextlib.contextmanager
    def open_pair(_pair: Pair) -> Iterator[Opened]:
        yield OnLoopback(client, gone_after=1)

    (pair,) = play_pairs(PAIRS[:1], scenarios, open_pair, default_options, RecordingWatcher(), jobs=1).pairs
    assert [each.status for each in pair.results] == ["pass", "error"]
    assert pair.results[1].why == "the server's container has ended"


def test_scenario_that_the_place_cannot_express_is_skipped(client: Lftp, scenarios: list[Scenario]) -> None:
    class Elsewhere(Loopback):
        def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:
            assert spec.certificate is not None
            return f"{host}: no such name here"

    @contextlib.contextmanager
    def open_pair(_pair: Pair) -> Iterator[Opened]:
        yield OnLoopback(client, Elsewhere())

    (pair,) = play_pairs(PAIRS[:1], scenarios, open_pair, default_options, RecordingWatcher(), jobs=1).pairs
    assert {(each.status, each.why, each.steps) for each in pair.results} == {
        ("skip", "localhost: no such name here", ())
    }


def test_ctrl_c_keeps_finished_results_of_a_pair(client: Lftp, play: PlayScenario) -> None:
    """Ctrl-C during the last scenario must not lose the earlier results."""

    @contextlib.contextmanager
    def open_pair(_pair: Pair) -> Iterator[Opened]:
        yield OnLoopback(client)

    class Ending(RecordingWatcher):
        def played(self, pair: Pair, result: ScenarioResult) -> None:
            super().played(pair, result)
            os.kill(os.getpid(), signal.SIGINT)

    hanging = play.scenario(play.step(ACCEPTED, keys='run = ["list", "!sleep 600"]'))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        run = play_pairs(
            PAIRS, [play.scenario(play.step(ACCEPTED)), hanging], open_pair, without_controls, Ending(), jobs=1
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert run.interrupted
    assert [(pair.kind, [result.status for result in pair.results]) for pair in run.pairs] == [("lab", ["pass"])]
    cells = json.loads(matrix_json.text(run, []))["cells"]
    assert [(cell["server"], cell["status"]) for cell in cells] == [("lab", "pass")]


def test_crash_in_one_pair_does_not_affect_the_other(client: Lftp, scenarios: list[Scenario]) -> None:
    @contextlib.contextmanager
    def open_pair(pair: Pair) -> Iterator[Opened]:
        if pair.kind.name == "lab":
            raise ZeroDivisionError("sabotage")
        yield OnLoopback(client)

    first, second = play_pairs(PAIRS, scenarios, open_pair, default_options, RecordingWatcher(), jobs=1).pairs
    assert [result.status for result in first.results] == ["error", "error"]
    assert "unexpected ZeroDivisionError" in first.results[0].why
    assert second.status == "pass"


def test_interrupted_pair_reports_no_result_and_is_closed(client: Lftp, play: PlayScenario) -> None:
    """An interrupted pair reports no result, and its containers are ended."""
    closed = threading.Event()

    @contextlib.contextmanager
    def open_pair(_pair: Pair) -> Iterator[Opened]:
        try:
            yield OnLoopback(client)
        finally:
            closed.set()

    class Ending(RecordingWatcher):
        def played(self, pair: Pair, result: ScenarioResult) -> None:
            super().played(pair, result)
            interruption = process.INTERRUPTION.get()
            assert interruption is not None
            interruption.ask()

    heard = Ending()
    scenario = play.scenario(play.step(ACCEPTED))
    with pytest.raises(process.Interrupted):
        play_pairs(PAIRS[:1], [scenario, scenario], open_pair, without_controls, heard, jobs=1)
    assert heard.events == ["began lab", "pass lab"]
    assert closed.is_set()
