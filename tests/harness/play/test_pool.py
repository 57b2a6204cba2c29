"""Running many scenarios in parallel: order, failures, and an end at any moment."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.play.pool import affordable, play_all
from ftps_harness.play.runner import ScenarioResult
from ftps_harness.sandbox import process
from ftps_harness.scenario import Scenario, parse
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIOS = [parse(scenario_template(f"area/{n}"), f"{n}.scenario.toml", f"area/{n}") for n in range(6)]


class Watcher:
    """Records its calls, and does something at the end of each scenario."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self._then = then

    def started(self, scenario: Scenario) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.began.append(scenario.id)

    def finished(self, result: ScenarioResult) -> None:
        self.ended.append(result.scenario.id)
        self._then()


def pass_at_once(scenario: Scenario) -> ScenarioResult:
    return ScenarioResult(scenario, "pass")


def sleep_until_killed(_scenario: Scenario) -> ScenarioResult:
    """A scenario whose lftp never ends."""
    process.run(["sleep", "60"], env=dict(os.environ), cwd=Path("/"), timeout=60)
    raise AssertionError


def press_ctrl_c_twice() -> None:
    """Raise SIGINT twice: an impatient user must not stop the cleanup."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _nothing_left() -> object:
    """No thread and no descriptor survives; an interruption leaves the signal ignored."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    descriptors = len(list(Path("/dev/fd").iterdir()))
    yield
    for each, handler in handlers.items():
        signal.signal(each, handler)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab")] == []
    assert len(list(Path("/dev/fd").iterdir())) == descriptors


@pytest.mark.parametrize("jobs", [1, 3, 50])
def test_results_are_in_the_order_of_the_scenarios(jobs: int) -> None:
    def play(scenario: Scenario) -> ScenarioResult:
        time.sleep(0.02 if scenario is SCENARIOS[0] else 0)
        return pass_at_once(scenario)

    watcher = Watcher()
    played = play_all(SCENARIOS, play, watcher, jobs=jobs)
    assert [result.scenario for result in played.results] == SCENARIOS
    assert not played.interrupted
    assert sorted(watcher.began) == sorted(watcher.ended) == [scenario.id for scenario in SCENARIOS]


def test_jobs_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)

    def play(scenario: Scenario) -> ScenarioResult:
        together.wait()
        return pass_at_once(scenario)

    assert len(play_all(SCENARIOS, play, Watcher(), jobs=3).results) == 6


def test_next_scenario_is_prepared_while_a_program_runs() -> None:
    prepared = threading.Event()

    def play(scenario: Scenario) -> ScenarioResult:
        if scenario is SCENARIOS[1]:
            prepared.set()
        with process.turn():
            assert scenario is not SCENARIOS[0] or prepared.wait(20)
        return pass_at_once(scenario)

    played = play_all(SCENARIOS, play, Watcher(), jobs=1, ahead=1)
    assert [result.scenario for result in played.results] == SCENARIOS


@pytest.mark.parametrize("jobs", [1, 2])
def test_preparing_ahead_runs_no_more_programs_at_a_time(jobs: int) -> None:
    running = peak = 0
    lock = threading.Lock()

    def play(scenario: Scenario) -> ScenarioResult:
        nonlocal running, peak
        for _ in range(5):
            with process.turn():
                with lock:
                    running += 1
                    peak = max(peak, running)
                time.sleep(0.005)
                with lock:
                    running -= 1
        return pass_at_once(scenario)

    assert len(play_all(SCENARIOS, play, Watcher(), jobs=jobs, ahead=3).results) == 6
    assert peak == jobs


def test_programs_on_loopback_wait_for_their_turn() -> None:
    def play(scenario: Scenario) -> ScenarioResult:
        began = time.monotonic()
        process.run(["sleep", "0.2"], env=dict(os.environ), cwd=Path("/"), timeout=60)
        return ScenarioResult(scenario, "pass", seconds=time.monotonic() - began)

    began = time.monotonic()
    play_all(SCENARIOS[:4], play, Watcher(), jobs=1, ahead=3)
    assert time.monotonic() - began >= 0.8


@pytest.mark.parametrize(("jobs", "first"), [(1, [0]), (2, [4, 2]), (3, [4, 2, 0])])
def test_most_expensive_scenarios_start_first(jobs: int, first: list[int]) -> None:
    """One at a time, the order stays as given: changing it would gain nothing."""
    costs = {"area/2": 5.0, "area/4": 9.0}
    together = threading.Barrier(jobs, timeout=20)
    begun: list[str] = []

    def play(scenario: Scenario) -> ScenarioResult:
        begun.append(scenario.id)
        together.wait()
        return pass_at_once(scenario)

    played = play_all(SCENARIOS, play, Watcher(), jobs=jobs, cost=lambda scenario: costs.get(scenario.id, 0.0))
    assert [result.scenario for result in played.results] == SCENARIOS
    assert set(begun[:jobs]) == {f"area/{number}" for number in first}


@pytest.mark.parametrize("status", ["fail", "error"])
def test_fail_fast_starts_nothing_more(status: Literal["fail", "error"]) -> None:
    def play(scenario: Scenario) -> ScenarioResult:
        return ScenarioResult(scenario, status if scenario is SCENARIOS[2] else "pass")

    assert len(play_all(SCENARIOS, play, Watcher(), fail_fast=True).results) == 3
    assert len(play_all(SCENARIOS, play, Watcher()).results) == 6


@pytest.mark.parametrize(
    ("soft", "hard", "jobs", "expected"),
    [(1024, 4096, 16, 16), (128, 128, 16, 3), (128, 4096, 16, 16), (128, 200, 16, 6), (20, 20, 4, 1), (-1, -1, 50, 50)],
)
def test_jobs_are_limited_by_the_number_of_open_files(
    soft: int, hard: int, jobs: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The soft limit is raised as far as the hard one allows."""
    limits = [soft, hard]

    def raise_limit(_which: int, wanted: tuple[int, int]) -> None:
        assert limits[1] < 0 or wanted[0] <= limits[1]
        limits[:] = wanted

    monkeypatch.setattr("resource.getrlimit", lambda _which: tuple(limits))
    monkeypatch.setattr("resource.setrlimit", raise_limit)
    assert affordable(jobs) == expected
    assert limits[1] == hard


def test_machine_without_more_threads_runs_fewer_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def scarce(thread: threading.Thread, left: list[int] = [2]) -> None:  # noqa: B006 - the shared counter is intended
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    assert len(play_all(SCENARIOS, pass_at_once, Watcher(), jobs=5).results) == 6
    with pytest.raises(HarnessError, match="cannot run anything: too many processes or threads"):
        play_all(SCENARIOS, pass_at_once, Watcher(), jobs=5)


def test_ctrl_c_keeps_finished_results() -> None:
    def play(scenario: Scenario) -> ScenarioResult:
        return pass_at_once(scenario) if scenario is SCENARIOS[0] else sleep_until_killed(scenario)

    began = time.monotonic()
    played = play_all(SCENARIOS, play, Watcher(press_ctrl_c_twice), jobs=3)
    assert played.interrupted
    assert [result.scenario for result in played.results] == SCENARIOS[:1]
    assert time.monotonic() - began < 40  # the others would have slept for 60 seconds


def test_wait_has_a_timeout_so_that_signals_are_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs handlers between two instructions, so a signal just before a wait in C does not end that wait."""

    class Late(queue.SimpleQueue[object]):
        waits = 0

        def get(self, block: bool = True, timeout: float | None = None) -> object:
            Late.waits += 1
            assert timeout is not None
            assert timeout <= 1
            if Late.waits == 1:
                raise queue.Empty  # as after a wait that timed out
            return super().get(block, timeout)

    monkeypatch.setattr(queue, "SimpleQueue", Late)
    assert len(play_all(SCENARIOS, pass_at_once, Watcher()).results) == 6


def test_killed_scenario_has_no_result() -> None:
    """`run_scenario` turns every HarnessError into an error, including the one from its killed lftp."""

    def play(scenario: Scenario) -> ScenarioResult:
        if scenario is SCENARIOS[0]:
            return pass_at_once(scenario)
        try:
            return sleep_until_killed(scenario)
        except HarnessError as error:
            return ScenarioResult(scenario, "error", why=str(error))

    played = play_all(SCENARIOS, play, Watcher(press_ctrl_c_twice), jobs=2)
    assert [result.status for result in played.results] == ["pass"]


def test_ctrl_c_ends_what_waits_for_its_turn() -> None:
    """The turn of a killed lftp goes to the next, which must not start."""
    played = play_all(SCENARIOS, _passes_once, Watcher(press_ctrl_c_twice), jobs=1, ahead=3)
    assert played.interrupted
    assert not played.problem
    assert [result.scenario for result in played.results] == SCENARIOS[:1]


def _passes_once(scenario: Scenario) -> ScenarioResult:
    return pass_at_once(scenario) if scenario is SCENARIOS[0] else sleep_until_killed(scenario)


def test_exception_in_a_thread_is_raised_and_ends_the_others() -> None:
    def play(scenario: Scenario) -> ScenarioResult:
        if scenario is SCENARIOS[0]:
            raise ZeroDivisionError("bug")
        return sleep_until_killed(scenario)

    with pytest.raises(ZeroDivisionError, match="bug"):
        play_all(SCENARIOS, play, Watcher(), jobs=2)


def test_broken_pipe_of_the_watcher_ends_all() -> None:
    def broken() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        play_all(
            SCENARIOS,
            lambda each: pass_at_once(each) if each is SCENARIOS[0] else sleep_until_killed(each),
            Watcher(broken),
            jobs=2,
        )
