"""The pipeline on real servers with the real lftp: verdicts, steps, repetitions, and cleanup."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from tests.harness.play.sabotage import ACCEPTED, PlaceWith
from tests.ordinary import without_root_powers

from ftps_harness.client import lftp as driver
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.pool import play_all
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import Expect, ExpectedVerdict
from ftps_harness.verdict.judgement import judge_repeated
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.scenario import Scenario

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]


# Each verdict once, with real servers, against every other expectation.

STEPS: dict[str, dict[str, str]] = {
    "accepted": {},
    "rejected": {"rc": ""},
    "exposed": {"rc": "set ftp:ssl-allow no\n"},
    "login-failed": {"keys": 'password = "wrong"'},
    "failed": {"keys": 'run = ["cat missing"]'},
    "unreachable": {"keys": 'host = "127.0.0.2"\nrun = ["list"]'},
    "hung": {"keys": 'run = ["!sleep 60", "list"]'},
    "crashed": {"rc": "set ssl:crl-file {lftp}/mycert.crt\n"},
}


def test_steps_cover_every_verdict() -> None:
    assert set(STEPS) == set(get_args(ExpectedVerdict))


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.usefixtures("single_try")
def test_verdict_passes_only_where_it_is_expected(play: Play, kind: str) -> None:
    """`hung`, `crashed`, `failed` and `unreachable` count too, as recorded facts about a build."""
    if kind == "crashed" and play.client.dialect == "openssl":
        pytest.skip("OpenSSL builds work with ssl:crl-file")
    expect = play.untrusted if kind == "rejected" else f'verdict = "{kind}"'
    step = play.step(expect, **STEPS[kind])
    result = play(step, timeout=0.7 if kind == "hung" else 20, controls=kind != "hung")
    assert result.status == "pass"
    seen = [made.seen for made in result.steps[0].attempts]
    assert [each.outcome.verdict for each in seen] == [kind]
    itself: Any = kind
    for other in set(get_args(ExpectedVerdict)) - {kind}:
        for expected in (Expect(verdict=other), Expect(verdict=other, how_often="sometimes", otherwise=(itself,))):
            assert judge_repeated(seen, expected).status in {"fail", "error"}


def test_expected_verdict_for_another_reason_fails(play: Play) -> None:
    result = play(play.step('verdict = "rejected"\nreason = "hostname"', rc="", keys='run = ["list"]'))
    assert result.status == "fail"
    assert "reasons: expected hostname, but it was untrusted" in result.steps[0].judgement.why[0]


# Steps, repetition, clock, errors.

RACE = 'server = { data_certificate = "stranger" }\nrun = ["put"]\nrepeat = 6'
SOMETIMES = 'verdict = "exposed"\nexposed = ["payload"]\nto = ["impostor"]\nhow_often = "sometimes"\n'


def test_how_often_counts_each_verdict(play: Play) -> None:
    """A `put` to a stranger on the data channel: the content nearly always leaves, but not every time."""
    result = play(play.step(SOMETIMES + 'otherwise = ["rejected"]', keys=RACE))
    (step,) = result.steps
    assert result.status == "pass"
    assert sum(step.counts.values()) == len(step.attempts) == 6
    assert step.counts.keys() <= {"exposed", "rejected"}
    assert step.counts["exposed"] > 0
    assert {made.run.exit_code for made in step.attempts} == {0}
    assert not any(made.run.stderr for made in step.attempts)


def test_verdict_never_seen_fails_with_the_counts(play: Play) -> None:
    step = play.step('verdict = "accepted"\nhow_often = "sometimes"\notherwise = ["exposed", "rejected"]', keys=RACE)
    result = play(step, controls=False)
    assert result.status == "fail"
    counts = ", ".join(f"{verdict} {count}×" for verdict, count in result.steps[0].counts.items())
    assert sum(result.steps[0].counts.values()) == 6
    assert f"accepted never occurred: {counts}" in result.steps[0].judgement.why[0]


SOMETIMES_ACCEPTED = 'verdict = "accepted"\nhow_often = "sometimes"\notherwise = ["rejected"]\n'
SOMETIMES_REJECTED = 'verdict = "rejected"\nreason = "untrusted"\nhow_often = "sometimes"\notherwise = ["accepted"]\n'


@pytest.mark.parametrize(
    ("expect", "runs", "status"),
    [
        (SOMETIMES_ACCEPTED, 2, "pass"),  # it occurs at once
        (SOMETIMES_REJECTED, 4, "fail"),  # it never occurs
        (SOMETIMES_ACCEPTED.replace("how", 'message = "no such message"\nhow'), 4, "fail"),  # the verdict alone does
        (f"{ACCEPTED}\n[step.expect.OTHER]\n" + SOMETIMES_ACCEPTED, 4, "pass"),  # it is expected always
    ],
)
def test_at_least_ends_the_repetitions_once_the_result_has_occurred(
    play: Play, expect: str, runs: int, status: str
) -> None:
    """Every other result needs all `repeat` runs, and so does one that only other builds show sometimes."""
    expect = expect.replace("OTHER", "openssl" if play.client.dialect != "openssl" else "classic")
    result = play(play.step(expect, keys="repeat = 4\nat_least = 2"), controls=False)
    assert (len(result.steps[0].attempts), result.status) == (runs, status)


def test_each_repetition_has_its_own_testimony_and_log(play: Play) -> None:
    result = play(play.step(ACCEPTED, keys="repeat = 3"))
    attempts = result.steps[0].attempts
    assert [len(made.testimony.passwords) for made in attempts] == [1, 1, 1]
    assert [made.run.log.count(b"---> PASS") for made in attempts] == [1, 1, 1]


@pytest.mark.parametrize(("clock", "verdict"), [("+1h", "accepted"), ("+500d", "rejected"), ("-500d", "rejected")])
def test_clock_is_shifted_for_lftp_only(play: Play, clock: str, verdict: str) -> None:
    if why := driver.why_no_clock(play.client):
        pytest.skip(why)
    reason = "expired" if clock == "+500d" else "not-yet-valid"
    expect = f'verdict = "{verdict}"'
    if verdict == "rejected":
        expect += f'\nreason = "{reason}"\n[step.expect.classic]\nreason = "untrusted"'
    assert play(play.step(expect, keys=f'clock = "{clock}"')).status == "pass"


def test_scenario_with_a_clock_is_skipped_without_libfaketime(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "why_no_clock", lambda _: "no libfaketime")
    result = play(play.step(ACCEPTED, title="one"), play.step(ACCEPTED, keys='clock = "+1d"'))
    assert (result.status, result.why, result.steps) == ("skip", "no libfaketime", ())


def test_results_of_earlier_steps_stay_when_a_step_breaks(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(FtpsServer):
        records = 0

        def record(self) -> None:
            super().record()
            self.records += 1
            if self.records > 2:
                raise LabError("sabotage")

    steps = [play.step(ACCEPTED, title=title) for title in ("one", "two")]
    result = play(*steps, place=PlaceWith(Breaking), controls=False)
    assert (result.status, result.why) == ("error", "sabotage")
    assert [step.status for step in result.steps] == ["pass"]


def test_worst_step_decides_the_status(play: Play) -> None:
    good, bad = play.step(ACCEPTED, title="good"), play.step('verdict = "failed"', title="bad")
    hung = play.step(ACCEPTED, title="hung", keys='run = ["!sleep 60", "list"]')
    assert play(good, bad, controls=False).status == "fail"
    assert play(bad, hung, good, controls=False, timeout=1).status == "error"


def test_home_and_rc_persist_between_steps(play: Play) -> None:
    """The second step has no rc and no files of its own."""
    second = f'[[step]]\ntitle = "second"\n[step.expect]\n{ACCEPTED}\n'
    result = play(play.step(ACCEPTED), second)
    assert [step.status for step in result.steps] == ["pass", "pass"]


def test_files_of_an_earlier_step_are_not_received_content(play: Play) -> None:
    """Content that the genuine server sent earlier does not count as taken from a stranger that sends it again."""
    stranger = 'server = { data_certificate = "stranger" }\nrun = ["list"]'
    steps = (
        play.step(ACCEPTED, title="taken", keys='run = ["mget *", "ls > listing"]'),
        play.step(play.untrusted, title="not taken", keys=stranger),
    )
    result = play(*steps, controls=False)
    assert [step.status for step in result.steps] == ["pass", "pass"]
    assert any(transfer.size for transfer in result.steps[1].attempts[0].testimony.transfers)


@pytest.mark.parametrize("permissions", ["yes", "no"])
def test_mirrored_files_are_readable_by_an_ordinary_user(play: Play, permissions: str) -> None:
    """By default, `mirror:set-permissions` gives each file the mode that the server names."""
    step = play.step(
        ACCEPTED, rc=f"{play.pin}set mirror:set-permissions {permissions}", keys=f'run = ["mirror", "{SEE_MODES}"]'
    )
    with without_root_powers():
        result = play(step, controls=False)
    assert result.status == "pass", result.why
    modes = result.steps[0].shown.run.stdout.split()
    assert modes
    assert {int(mode, 8) & 0o600 for mode in modes if mode.isdigit()} == {0o600}


SEE_MODES = "!stat -c %a ../downloads/mirror/*"


@pytest.mark.parametrize(
    "closing",
    [
        '"mirror", "!chmod 0 .lftp/rc .lftp ../downloads/mirror/* ../downloads/mirror ."',
        '"!chmod 0 ../downloads ../elsewhere"',
        '"!chmod 0 ."',
    ],
)
def test_unreadable_files_of_a_step_do_not_prevent_judging(play: Play, closing: str) -> None:
    """The next step, its control and the cleanup work too: `nothing_left` checks."""
    steps = (
        play.step(ACCEPTED, title="closing", keys=f'run = ["list", {closing}]'),
        play.step(ACCEPTED, title="as if nothing were", keys='run = ["list", "get", "put"]'),
        play.step(play.untrusted, title="with a control", rc="", keys='run = ["list"]'),
    )
    with without_root_powers():
        result = play(*steps)
    assert [step.status for step in result.steps] == ["pass"] * 3, [step.why for step in result.steps]


# Runs leave nothing behind and share nothing.


def test_parallel_scenarios_have_their_own_homes_and_secrets(play: Play, client: Lftp) -> None:
    seen: list[tuple[str, str | None, str]] = []
    lock = threading.Lock()

    def keep(_scenario: Scenario, _step: int, label: str, made: Attempt) -> None:
        (credential, *_) = made.testimony.credentials or (None,)
        password = credential.password if credential else label
        with lock:
            seen.append((home_of(made).name, password, made.run.argv[-1].partition(" -p ")[2].split()[0]))

    def run_one(scenario: Scenario) -> ScenarioResult:
        return run_scenario(scenario, client, Options(timeout=20, keep=keep, controls=False))

    class Watcher:
        def started(self, scenario: Scenario) -> None: ...
        def finished(self, result: ScenarioResult) -> None: ...

    scenarios = [play.scenario(play.step(ACCEPTED)) for _ in range(9)]
    played = play_all(scenarios, run_one, Watcher(), jobs=3)
    assert [result.status for result in played.results] == ["pass"] * 9
    homes, passwords, _ = (set(column) for column in zip(*seen, strict=True))
    assert len(homes) == len(passwords) == 9


def home_of(made: Attempt) -> Path:
    """An attempt's private folder."""
    return Path(made.run.argv[-1].split()[4]).parents[1]


def test_folders_and_keys_of_a_run_are_private(play: Play) -> None:
    modes: dict[str, int] = {}

    def keep(_scenario: Scenario, _step: int, _label: str, made: Attempt) -> None:
        root = home_of(made)
        for path in (root, *root.iterdir(), root / "home" / ".lftp", root / "home" / ".lftp" / "key.pem"):
            modes[path.name] = stat.S_IMODE(path.stat().st_mode)

    step = play.step(ACCEPTED).replace("files = {", 'files = { "key.pem" = "key:genuine",')
    assert play(step, keep=keep, controls=False).status == "pass"
    assert modes.pop("key.pem") == 0o600
    assert set(modes.values()) == {0o700}


def served_root(folder: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in folder.glob("ftps-lab-run-root-*")]


def test_served_folder_is_private(play: Play, nothing_left: Path) -> None:
    modes: list[int] = []
    play(play.step(ACCEPTED), keep=lambda *_: modes.extend(served_root(nothing_left)), controls=False)
    assert modes == [0o700]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, LabError, HarnessError])
def test_exception_leaves_nothing_behind(play: Play, error: type[BaseException]) -> None:
    """The fixture `nothing_left` checks."""

    def keep(*_: object) -> None:
        raise error("sabotage")

    if issubclass(error, Exception):
        assert play(play.step(ACCEPTED), keep=keep).status == "error"
    else:
        with pytest.raises(error):
            play(play.step(ACCEPTED), keep=keep)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ZeroDivisionError("sabotage"), "unexpected ZeroDivisionError in test_runner.py, line"),
        (OSError(24, "Too many open files"), "too many open files: run fewer at a time"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (MemoryError(), "out of memory: run fewer at a time"),
        (RecursionError("too deep"), "unexpected RecursionError"),
        (UsageError("no lftp command can carry this user"), "no lftp command can carry this user"),
    ],
)
def test_exception_is_an_error_of_its_scenario_with_a_sentence(play: Play, error: Exception, why: str) -> None:
    def keep(*_: object) -> None:
        raise error

    result = play(play.step(ACCEPTED), keep=keep)
    assert (result.status, result.why[: len(why)]) == ("error", why)


def test_place_that_cannot_serve_is_an_error_of_its_scenario(play: Play) -> None:
    class Nowhere(Loopback):
        def serve(self, *_: object, **__: object) -> FtpsServer:
            raise LabError("no port is free")

    result = play(play.step(ACCEPTED), place=Nowhere())
    assert (result.status, result.why, result.steps) == ("error", "no port is free", ())


def test_server_that_fails_on_stop_is_an_error(play: Play) -> None:

    class Failing(FtpsServer):
        def stop(self) -> None:
            running = self.running
            super().stop()
            if running:
                raise LabError("the thread had failed")

    result = play(play.step(ACCEPTED), place=PlaceWith(Failing))
    assert (result.status, result.why) == ("error", "the thread had failed")
