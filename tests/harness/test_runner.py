"""The pipeline on real servers with the real lftp: what each verdict rests on, what leaks, and what is left behind."""

from __future__ import annotations

import contextlib
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from ftps_harness import lftp as driver
from ftps_harness.attempt import Attempt, Request, Scene, attempt
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.fixtures import LftpRunner, ServerFactory, ServerHandle, TestOutcome
from ftps_harness.home import Home
from ftps_harness.place import Here
from ftps_harness.pool import play_all
from ftps_harness.runner import Options, run_scenario
from ftps_harness.scenario import Expect, ExpectedVerdict
from ftps_harness.secrets import Secrets
from ftps_harness.tasks import populate
from ftps_harness.verdict import judge_repeated
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer, ServerSpec

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from tests.harness.conftest import Play

    from ftps_harness.lftp import Lftp
    from ftps_harness.outcome import Outcome
    from ftps_harness.runner import ScenarioResult
    from ftps_harness.scenario import Scenario

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

ACCEPTED = 'verdict = "accepted"'
NO_VERIFICATION = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
CLEAR_DATA = "set ftp:ssl-protect-data no\nset ftp:ssl-protect-list no\n"
EVERYTHING = ("list", "get", "put", "mirror")


def leaked(outcome: Outcome | TestOutcome) -> tuple[str, set[str], set[str]]:
    """The verdict, what leaked, and to whom."""
    return outcome.verdict, set(outcome.exposed), set(outcome.to)


# Each verdict once, for real, and every expectation that is not it.

KINDS: dict[str, dict[str, str]] = {
    "accepted": {},
    "rejected": {"rc": ""},
    "exposed": {"rc": "set ftp:ssl-allow no\n"},
    "login-failed": {"keys": 'password = "wrong"'},
    "failed": {"keys": 'run = ["cat missing"]'},
    "unreachable": {"keys": 'host = "127.0.0.2"\nrun = ["list"]'},
    "hung": {"keys": 'run = ["!sleep 60", "list"]'},
    "crashed": {"rc": "set ssl:crl-file {lftp}/mycert.crt\n"},
}


def test_every_verdict_that_can_be_expected_is_tried() -> None:
    assert set(KINDS) == set(get_args(ExpectedVerdict))


@pytest.mark.parametrize("kind", KINDS)
def test_a_verdict_passes_where_it_is_expected_and_nowhere_else(
    play: Play, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hung`, `crashed`, `failed` and `unreachable` too, as a recorded fact about a build."""
    if kind == "crashed" and play.client.dialect == "openssl":
        pytest.skip("OpenSSL builds work with ssl:crl-file")
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    expect = play.untrusted if kind == "rejected" else f'verdict = "{kind}"'
    step = play.step(expect, **KINDS[kind])
    result = play(step, timeout=0.7 if kind == "hung" else 20, controls=kind != "hung")
    assert result.status == "pass"
    seen = [(made.outcome, made.said) for made in result.steps[0].attempts]
    assert [outcome.verdict for outcome, _ in seen] == [kind]
    itself: Any = kind
    for other in set(get_args(ExpectedVerdict)) - {kind}:
        for expected in (Expect(verdict=other), Expect(verdict=other, how_often="sometimes", otherwise=(itself,))):
            assert judge_repeated(seen, expected).status in {"fail", "error"}


_settings_of_ours = driver.settings_of_ours


def impatient(host: str, **_: object) -> list[str]:
    """The same settings, for an lftp that gives up soon."""
    return [*_settings_of_ours(host), "command set net:max-retries 1"]


def test_an_expected_verdict_for_another_reason_fails(play: Play) -> None:
    result = play(play.step('verdict = "rejected"\nreason = "hostname"', rc="", keys='run = ["list"]'))
    assert result.status == "fail"
    assert "reasons: expected hostname, but it was untrusted" in result.steps[0].judgement.why[0]


# Steps, repetition, clock, errors.

RACE = 'server = { data_certificate = "stranger" }\nrun = ["put"]\nrepeat = 6'
SOMETIMES = 'verdict = "exposed"\nexposed = ["payload"]\nto = ["impostor"]\nhow_often = "sometimes"\n'


def test_what_happens_sometimes_is_counted(play: Play) -> None:
    """A `put` to a stranger on the data channel: nearly always the content has left, now and then it has not."""
    result = play(play.step(SOMETIMES + 'otherwise = ["rejected"]', keys=RACE))
    (step,) = result.steps
    assert result.status == "pass"
    assert sum(step.counts.values()) == len(step.attempts) == 6
    assert step.counts.keys() <= {"exposed", "rejected"}
    assert step.counts["exposed"] > 0
    assert {made.run.exit_code for made in step.attempts} == {0}
    assert not any(made.run.stderr for made in step.attempts)


def test_what_never_happens_fails_with_the_counts(play: Play) -> None:
    step = play.step('verdict = "accepted"\nhow_often = "sometimes"\notherwise = ["exposed", "rejected"]', keys=RACE)
    result = play(step, controls=False)
    assert result.status == "fail"
    assert "accepted was never seen: exposed" in result.steps[0].judgement.why[0]


def test_each_repetition_has_witnesses_of_its_own(play: Play) -> None:
    result = play(play.step(ACCEPTED, keys="repeat = 3"))
    attempts = result.steps[0].attempts
    assert [len(made.testimony.passwords) for made in attempts] == [1, 1, 1]
    assert len({made.run.argv[-1].split()[4] for made in attempts}) == 3  # their logs


@pytest.mark.parametrize(("clock", "verdict"), [("+1h", "accepted"), ("+500d", "rejected"), ("-500d", "rejected")])
def test_the_clock_is_lftps_alone(play: Play, clock: str, verdict: str) -> None:
    if why := driver.why_no_clock(play.client):
        pytest.skip(why)
    reason = "expired" if clock == "+500d" else "not-yet-valid"
    expect = f'verdict = "{verdict}"'
    if verdict == "rejected":
        expect += f'\nreason = "{reason}"\n[step.expect.classic]\nreason = "untrusted"'
    assert play(play.step(expect, keys=f'clock = "{clock}"')).status == "pass"


def test_a_scenario_that_needs_another_clock_is_skipped_without_one(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never passed."""
    monkeypatch.setattr(driver, "why_no_clock", lambda _: "no libfaketime")
    result = play(play.step(ACCEPTED, title="one"), play.step(ACCEPTED, keys='clock = "+1d"'))
    assert (result.status, result.why, result.steps) == ("skip", "no libfaketime", ())


def test_what_was_played_stays_when_a_later_step_breaks(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(FtpsServer):
        records = 0

        def record(self) -> None:
            super().record()
            self.records += 1
            if self.records > 2:
                raise LabError("sabotage")

    class Place(Here):
        def serve(
            self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0, **_: Any
        ) -> FtpsServer:
            return Breaking(spec, root=root, password=password, port=port).start()

    steps = [play.step(ACCEPTED, title=title) for title in ("one", "two")]
    result = play(*steps, place=Place(), controls=False)
    assert (result.status, result.why) == ("error", "sabotage")
    assert [step.status for step in result.steps] == ["pass"]


def test_the_worst_step_decides(play: Play) -> None:
    good, bad = play.step(ACCEPTED, title="good"), play.step('verdict = "failed"', title="bad")
    hung = play.step(ACCEPTED, title="hung", keys='run = ["!sleep 60", "list"]')
    assert play(good, bad, controls=False).status == "fail"
    assert play(bad, hung, good, controls=False, timeout=1).status == "error"


def test_home_persists_and_the_rc_too(play: Play) -> None:
    """The second step brings no rc and no files of its own."""
    second = f'[[step]]\ntitle = "second"\n[step.expect]\n{ACCEPTED}\n'
    result = play(play.step(ACCEPTED), second)
    assert [step.status for step in result.steps] == ["pass", "pass"]


def test_what_a_step_leaves_in_home_is_not_the_next_steps(play: Play) -> None:
    """Content of the genuine server's, taken earlier, is no content taken from the stranger who sends it again."""
    stranger = 'server = { data_certificate = "stranger" }\nrun = ["list"]'
    steps = (
        play.step(ACCEPTED, title="taken", keys='run = ["mget *", "ls > listing"]'),
        play.step(play.untrusted, title="not taken", keys=stranger),
    )
    result = play(*steps, controls=False)
    assert [step.status for step in result.steps] == ["pass", "pass"]
    assert any(transfer.size for transfer in result.steps[1].attempts[0].testimony.transfers)


# What leaks: measured on bytes, whatever the size, the way and the command.


@pytest.fixture(scope="module")
def certificates() -> dict[str, Certificate]:
    return issue({"genuine": CertificateSpec(), "stranger": CertificateSpec()})


class Bench:
    """One server after the other, and one lftp each, with secrets of any size."""

    def __init__(self, client: Lftp, certificates: dict[str, Certificate], folder: Path) -> None:
        self._client = client
        self._certificates = certificates
        self._folder = folder

    def __call__(
        self,
        rc: str,
        run: tuple[str, ...] = EVERYTHING,
        *,
        size: int = 3072,
        spec: Callable[[ServerSpec], ServerSpec] = lambda spec: spec,
        **request: Any,
    ) -> Attempt:
        """Run it; the rc comes after the pin."""
        secrets, root = Secrets.new(size), self._folder / f"root-{size}-{len(list(self._folder.iterdir()))}"
        root.mkdir()
        populate(root, secrets)
        declared = spec(ServerSpec(certificate=self._certificates["genuine"]))
        with Home() as home, contextlib.ExitStack() as stack:
            server = Here().serve(declared, root=root, password=secrets.password)
            stack.callback(server.stop)
            pin = home.put_file("pin.crt", self._certificates["genuine"].pem)
            rc = f'set ssl:ca-file "{pin}"\nset ftp:ssl-protect-data yes\n{rc}'
            scene = Scene(self._client, home, server, root, secrets)
            return attempt(scene, declared, Request(rc=rc, run=run, timeout=20, **request))

    def stranger(self, spec: ServerSpec) -> ServerSpec:
        """The same server, with a stranger's certificate on its data connections."""
        return replace(spec, data_certificate=self._certificates["stranger"])


@pytest.fixture
def bench(client: Lftp, certificates: dict[str, Certificate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    return Bench(client, certificates, tmp_path)


WAYS = {
    "passive": "",
    "extended passive": "set ftp:prefer-epsv yes\n",
    "active": "set ftp:passive-mode no\n",
    "pieces": "set net:socket-buffer 1024\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_in_tls_nothing_leaks(bench: Bench, way: str) -> None:
    made = bench(WAYS[way], size=100_000)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("item", EVERYTHING)
def test_in_clear_every_kind_of_content_leaks(bench: Bench, way: str, item: str) -> None:
    made = bench(WAYS[way] + CLEAR_DATA, (item,))
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("size", [1, 3, 11, 12, 82, 83, 65536, 5 << 20])
@pytest.mark.parametrize("item", ["get", "put"])
def test_content_of_every_size_leaks(bench: Bench, item: str, size: int) -> None:
    """Also what is too short to carry a mark."""
    made = bench(CLEAR_DATA, (item,), size=size)
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("size", [0, 1, 3, 65536, 5 << 20])
def test_content_of_every_size_is_accepted_in_tls(bench: Bench, size: int) -> None:
    made = bench("", size=size)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


def test_an_empty_file_in_clear_is_nothing(bench: Bench) -> None:
    assert bench(CLEAR_DATA, ("get",), size=0).outcome.verdict == "accepted"


@pytest.mark.parametrize("item", ["put ~/.lftp/pin.crt", "mirror -R ~/.lftp up", "reput ~/.lftp/pin.crt"])
def test_a_file_of_the_users_own_leaks_as_well(bench: Bench, item: str) -> None:
    """It carries no mark of ours."""
    made = bench(CLEAR_DATA, (item,))
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})
    assert bench("", (item,)).outcome.verdict == "accepted"


def test_a_listing_without_any_secret_name_leaks_as_well(bench: Bench) -> None:
    made = bench(CLEAR_DATA, ("mkdir -p some/thing", "ls some"))
    assert leaked(made.outcome)[:2] == ("exposed", {"payload"})


def test_a_second_connection_in_clear_is_seen(bench: Bench) -> None:
    rc = "set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n"
    accepted, refused = bench(rc, ("list",)), bench("set ssl:ca-file /dev/null\n" + rc, ("list",))
    assert refused.outcome.reasons == {"untrusted"}
    assert leaked(refused.outcome) == ("exposed", {"password", "payload"}, {"wire"})
    assert len([c for c in refused.testimony.connections if c.kind == "control"]) == 2
    assert accepted.outcome.verdict == "accepted"  # its listing came from lftp's memory


def as_impostor(spec: ServerSpec) -> ServerSpec:
    return replace(spec, role="impostor")


@pytest.mark.parametrize("items", [("list",), ("get",), ("put",), ("mirror",), ("mget *",), ("ls > x",)])
def test_an_impostor_that_is_let_in_gets_everything(bench: Bench, items: tuple[str, ...]) -> None:
    made = bench(NO_VERIFICATION, items, spec=as_impostor)
    assert leaked(made.outcome) == ("exposed", {"password", "payload"}, {"impostor"})


@pytest.mark.parametrize("items", [("list",), ("get",), ("put",), ("mget *",), ("find > x",), ("cls -1",)])
def test_an_anonymous_login_tells_an_impostor_no_password(bench: Bench, items: tuple[str, ...]) -> None:
    """Its payload is payload all the same."""
    made = bench(
        NO_VERIFICATION, items, spec=lambda spec: replace(spec, role="impostor", protocol="implicit"), user="anonymous"
    )
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})


def test_an_anonymous_login_is_in_clear(bench: Bench) -> None:
    made = bench("", ("list",), user="anonymous")
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("item", ["list", "get", "put", "ls > x", "put ~/.lftp/pin.crt"])
def test_a_stranger_on_the_data_channel_is_never_accepted(bench: Bench, item: str, tls: str) -> None:
    """Races decide what leaves; whatever they decide, it is a refusal or an exposure."""
    for _ in range(3):
        made = bench("", (item,), spec=lambda spec: replace(bench.stranger(spec), tls=(tls,)))
        assert made.outcome.reasons == {"untrusted"}
        if item.startswith("put"):
            assert (made.run.exit_code, made.run.stderr) == (0, b"")
            left = any(transfer.size for transfer in made.testimony.transfers)
            assert (made.outcome.verdict == "exposed") is left
        if made.outcome.verdict == "exposed":
            assert leaked(made.outcome)[1:] == ({"payload"}, {"impostor"})
        else:
            assert made.outcome.verdict == "rejected"


@pytest.mark.parametrize("item", ["list", "get", "put", "mirror", "mget *", "ls > x", "find > x", "glob cat *"])
def test_a_stranger_on_the_data_channel_that_nobody_looks_at(bench: Bench, item: str) -> None:
    """Wherever lftp puts what it takes: standard output, the folder for downloads, where it was started."""
    made = bench(NO_VERIFICATION, (item,), spec=bench.stranger)
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})
    made = bench(NO_VERIFICATION, (item,), spec=bench.stranger, cwd="elsewhere")
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})


@pytest.mark.parametrize("size", [1, 3, 12])
def test_a_stranger_that_sends_little(bench: Bench, size: int) -> None:
    made = bench(NO_VERIFICATION, ("get",), size=size, spec=bench.stranger)
    assert leaked(made.outcome)[:2] == ("exposed", {"payload"})


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_a_wrong_password_is_no_secret(bench: Bench, protocol: Any, tls: str) -> None:
    """What the user types instead of the password; the password itself was told to nobody."""
    made = bench("", ("list",), password="wrong", spec=lambda spec: replace(spec, protocol=protocol, tls=(tls,)))
    assert (made.outcome.verdict, made.outcome.contradictions) == ("login-failed", ())
    assert made.testimony.passwords == ["wrong"]


# Literal commands: lftp's exit code is the last one's, so each must say itself how it ended.


@pytest.mark.parametrize(
    "items",
    [
        ("mget *",),
        ("glob cat *",),
        ("glob get *",),
        ("glob pget -n 3 file*",),
        ("glob -f reget file*",),
        ("mirror . copy",),
        ("mirror -R ~/.lftp up", "find up"),
        ("du",),
        ("find",),
        ("ls > listing", "ls | cat", "ls | head -1"),
        ("cls; ",),
        ("cd .", "pwd", "list"),
        ("!true", "list"),
        ("(cls)", "list"),
        ("repeat -c 2 -d 0 recls",),
        ("quote NOOP", "list"),
        ("mkdir a", "mv a b", "rmdir b"),
    ],
    ids="; ".join,
)
def test_literal_commands_that_work(bench: Bench, items: tuple[str, ...]) -> None:
    made = bench("", items)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


@pytest.mark.parametrize("where", ["alone", "first", "between"])
@pytest.mark.parametrize(
    "item",
    [
        "cat missing",
        "cat missing; echo fine",
        "(cat missing) || echo fine",
        "ls missing",
        "rm missing",
        "cd missing",
        "get missing -o missing",
        "mget missing*",
        "put missing",
        "pget missing",
        "chmod 600 missing",
        "lcd /nonexistent",
        "!false",
        "nosuchcommand",
        "set no:such x",
        "ls > /nonexistent/file",
    ],
)
def test_literal_commands_that_do_not(bench: Bench, item: str, where: str) -> None:
    """Something that was requested did not happen, wherever it stands: nothing accepted, and no refusal either."""
    items = {"alone": (item,), "first": (item, "list"), "between": ("list", item, "get")}[where]
    made = bench("", items)
    assert made.outcome.verdict == "failed" or (where == "alone" and made.outcome.verdict == "unreachable")


def test_a_literal_command_cannot_claim_anothers_success(bench: Bench) -> None:
    """What it prints is not the word that ours would be."""
    made = bench("", ("cat missing && command echo done", "echo done-0123456789", "list"))
    assert made.outcome.verdict == "failed"


# What is left behind, and what is shared: nothing.


def test_homes_secrets_and_ports_of_parallel_scenarios_are_their_own(play: Play, client: Lftp) -> None:
    seen: list[tuple[str, str | None, str]] = []
    lock = threading.Lock()

    def keep(_scenario: Scenario, _step: int, label: str, made: Attempt) -> None:
        (credential, *_) = made.testimony.credentials or (None,)
        password = credential.password if credential else label
        with lock:
            seen.append((home_of(made).name, password, made.run.argv[-1].partition(" -p ")[2].split()[0]))

    def go(scenario: Scenario) -> ScenarioResult:
        return run_scenario(scenario, client, Options(timeout=20, keep=keep, controls=False))

    class Watcher:
        def started(self, scenario: Scenario) -> None: ...
        def finished(self, result: ScenarioResult) -> None: ...

    scenarios = [play.scenario(play.step(ACCEPTED)) for _ in range(9)]
    played = play_all(scenarios, go, Watcher(), jobs=3)
    assert [result.status for result in played.results] == ["pass"] * 9
    homes, passwords, _ = (set(column) for column in zip(*seen, strict=True))
    assert len(homes) == len(passwords) == 9


def home_of(made: Attempt) -> Path:
    """The private folder of an attempt."""
    return Path(made.run.argv[-1].split()[4]).parents[1]


def test_everything_of_a_run_is_private(play: Play) -> None:
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
    return [stat.S_IMODE(path.stat().st_mode) for path in folder.glob("ftps-lab-root-*")]


def test_what_is_served_is_private(play: Play, nothing_left: Path) -> None:
    modes: list[int] = []
    play(play.step(ACCEPTED), keep=lambda *_: modes.extend(served_root(nothing_left)), controls=False)
    assert modes == [0o700]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, LabError, HarnessError])
def test_an_exception_in_the_middle_leaves_nothing_behind(play: Play, error: type[BaseException]) -> None:
    """The fixture looks."""

    def keep(*_: object) -> None:
        raise error("sabotage")

    if error in {LabError, HarnessError}:
        assert play(play.step(ACCEPTED), keep=keep).status == "error"
    else:
        with pytest.raises(error):
            play(play.step(ACCEPTED), keep=keep)


def test_a_place_that_serves_nothing_leaves_nothing_behind(play: Play) -> None:
    class Nowhere(Here):
        def serve(self, *_: object, **__: object) -> FtpsServer:
            raise LabError("no port is free")

    result = play(play.step(ACCEPTED), place=Nowhere())
    assert (result.status, result.why, result.steps) == ("error", "no port is free", ())


def test_a_server_that_fails_at_its_end_is_an_error(play: Play) -> None:
    """Whatever the steps came to."""

    class Failing(FtpsServer):
        def stop(self) -> None:
            running = self._thread is not None
            super().stop()
            if running:
                raise LabError("the thread had failed")

    class Place(Here):
        def serve(
            self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0, **_: Any
        ) -> FtpsServer:
            return Failing(spec, root=root, password=password, port=port).start()

    result = play(play.step(ACCEPTED), place=Place())
    assert (result.status, result.why) == ("error", "the thread had failed")


# The fixtures of the plugin: the same pipeline, without controls.


class Hand:
    """What a test in another repository has in its hands."""

    def __init__(self, servers: ServerFactory, lftp: LftpRunner) -> None:
        self.servers = servers
        self.lftp = lftp


@pytest.fixture
def hand(client: Lftp) -> Iterator[Hand]:
    with ServerFactory() as servers, Home() as home:
        yield Hand(servers, LftpRunner(client, home, timeout=20))


def pinned(server: ServerHandle) -> str:
    return f'set ssl:ca-file "{server.pin}"\nset ftp:ssl-protect-data yes\n'


def test_the_fixtures_impostor_is_exposed_to_even_when_pinned(hand: Hand) -> None:
    server = hand.servers(role="impostor")
    outcome = hand.lftp(server, rc=pinned(server), run=EVERYTHING)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})
    server.rotate(role="genuine")
    assert hand.lftp(server, rc=pinned(server)).reasons == {"untrusted"}
    server.rotate(role="impostor", certificate=hand.servers.certificate())
    assert hand.lftp(server, rc=NO_VERIFICATION, run=["put"]).exposed == {"password", "payload"}


def test_two_servers_of_the_fixture_are_never_taken_for_each_other(hand: Hand) -> None:
    one, other = hand.servers(), hand.servers(role="impostor")
    for _ in range(2):
        assert hand.lftp(one, rc=pinned(one)).verdict == "accepted"
        assert hand.lftp(other, rc=pinned(one)).verdict == "rejected"
        assert hand.lftp(one, rc=pinned(other)).verdict == "rejected"
        assert hand.lftp(other, rc=pinned(other)).verdict == "exposed"
    assert one.testimony().passwords == []
    assert one.secrets.password != other.secrets.password


def test_what_lftp_takes_from_another_server_is_not_this_servers(hand: Hand) -> None:
    """The rc and the commands lead to another server than the one that is asked: nothing is proved."""
    one, other = hand.servers(), hand.servers()
    elsewhere = f"open -u x,{other.secrets.password} -p {other.port} localhost"
    outcome = hand.lftp(one, rc=pinned(other), run=[elsewhere, "cls"])
    assert outcome.verdict == "unreachable"
    assert other.testimony().passwords == [other.secrets.password]
    outcome = hand.lftp(one, rc=pinned(one), run=["list", elsewhere, "cls"])
    assert outcome.verdict in {"inconclusive", "failed"}


@pytest.mark.parametrize("rc", [None, NO_VERIFICATION])
@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_a_rotation_during_the_run_proves_nothing(hand: Hand, tmp_path: Path, rc: str | None, role: str) -> None:
    """A second connection meets another server than was declared when the run began, whoever it belongs to."""
    server = hand.servers()
    before, after = tmp_path / "before", tmp_path / "after"

    def rotate() -> None:
        deadline = time.monotonic() + 15
        while not before.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        server.rotate(role=role)
        after.touch()

    thread = threading.Thread(target=rotate)
    thread.start()
    wait = f"!touch {before}; while ! test -e {after}; do sleep 0.01; done"
    outcome = hand.lftp(server, rc=rc or pinned(server), run=["list", wait, "close -a", "get"])
    thread.join()
    assert outcome.verdict == "inconclusive"
    assert "a certificate that was not declared" in str(outcome)


def test_files_of_the_fixture(hand: Hand) -> None:
    """Certificates, paths, text and bytes are the same pin; a key is no pin."""
    server = hand.servers()
    certificate = server.certificate
    assert certificate is not None
    rc = 'set ssl:ca-file "~/.lftp/pin.crt"\nset ftp:ssl-protect-data yes\n'
    for content in (certificate, server.pin, certificate.pem, certificate.pem.decode()):
        assert hand.lftp(server, rc=rc, files={"pin.crt": content}).verdict == "accepted"
    stranger = hand.servers.certificate()
    assert hand.lftp(server, rc=rc, files={"pin.crt": stranger}).reasons == {"untrusted"}
    for garbage in ("", "garbage", stranger.key_pem):
        assert hand.lftp(server, rc=rc, files={"pin.crt": garbage}).verdict == "rejected"


def test_a_pin_of_the_folder_that_lftp_is_started_in(hand: Hand) -> None:
    server = hand.servers()
    rc = "set ssl:ca-file pin.crt\nset ftp:ssl-protect-data yes\n"
    files = {"cwd/pin.crt": server.pin}
    assert hand.lftp(server, rc=rc, files=files, cwd="elsewhere").verdict == "accepted"
    assert hand.lftp(server, rc=rc, cwd="home").verdict == "rejected"


def test_a_plain_server_of_the_fixture_exposes(hand: Hand) -> None:
    server = hand.servers(protocol="plain")
    outcome = hand.lftp(server, rc="# mine\n", run=["put ~/.lftp/rc"])
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"wire"})
    force = hand.lftp(server, rc="set ftp:ssl-force yes\n", run=["list"])
    assert force.verdict == "rejected"
    assert force.reasons == {"tls-required"}


@pytest.mark.parametrize(
    ("run", "part"),
    [
        ([], "nothing would run"),
        ("list", r"write a list, such as \['list'\]"),
        (["list", "exit"], "ends lftp before the rest was seen"),
        (["get &"], "out of sight"),
        (["echo x"], "connects to nothing"),
    ],
)
def test_what_the_fixture_cannot_witness_is_refused(hand: Hand, run: Any, part: str) -> None:
    """As in a scenario file."""
    with pytest.raises(UsageError, match=part):
        hand.lftp(hand.servers(), run=run)


def test_nothing_is_shared_by_two_runs_of_the_fixture(hand: Hand) -> None:
    """Content and words of the first run are not the second's."""
    server = hand.servers()
    assert hand.lftp(server, rc=pinned(server), run=["list", "get", "put"]).verdict == "accepted"
    refused = hand.lftp(server, rc="set ssl:verify-certificate yes\n", run=["list", "get", "put"])
    assert refused.verdict == "rejected"
    assert refused.attempt.client.holds_payload is False
    assert [task.done for task in refused.attempt.client.tasks] == [False, False, False]
