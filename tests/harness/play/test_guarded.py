"""On loopback, under the kernel's guard: nothing reaches another machine, and no attempt ends as a pass."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, ONLY_LIST, REJECTED

from ftps_harness import cli, doctor
from ftps_harness.play.places import choice
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.sandbox import guard, process
from ftps_harness.sandbox.home import Home
from ftps_harness.testing import LftpRunner, ServerFactory
from ftps_harness.verify import unsealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.testing import ServerHandle, TestOutcome

pytestmark = pytest.mark.lftp

QUICK = "set net:max-retries 2\nset net:reconnect-interval-base 1\n"
UNPINNED = f"{QUICK}set ssl:verify-certificate no\n"


SCENARIO = """
schema = 1
title = "No pin, no trust"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
[[step]]
title = "refused"
run = ["list"]
control = "none"
why_no_control = "a test of the words"
[step.expect]
verdict = "rejected"
reason = "untrusted"
"""


@pytest.fixture
def guarded_here() -> None:
    if why := guard.why_none():
        pytest.skip(why)


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "why_none", lambda: "the kernel is too old")


@pytest.fixture
def lftp(client: Lftp) -> Iterator[LftpRunner]:
    with Home() as home:
        yield LftpRunner(client, home, timeout=20)


@pytest.fixture
def server() -> Iterator[ServerHandle]:
    with ServerFactory() as servers:
        yield servers()


def tried(outcome: TestOutcome) -> tuple[str, ...]:
    return outcome.attempt.exposure.elsewhere.tried


@pytest.mark.usefixtures("guarded_here")
class TestFixtures:
    """The rc of a test leads elsewhere; the test learns it."""

    @pytest.mark.parametrize(
        ("line", "phrase"),
        [
            ("set dns:name/* 192.0.2.9", r"192\.0\.2\.9 port \d+ by tcp \(lftp\)"),
            ("set ftp:proxy ftp://192.0.2.9:3128", r"192\.0\.2\.9 port 3128 by tcp \(lftp\)"),
            ("set ftp:proxy http://192.0.2.9:3128", r"192\.0\.2\.9 port 3128 by tcp \(lftp\)"),
            ("open -u me,pw ftp://198.51.100.9; ls", r"198\.51\.100\.9 port 21 by tcp \(lftp\)"),
            ("set dns:order inet6; open ftp://[2001:db8::9]; ls", r"2001:db8::9 port 21 by tcp \(lftp\)"),
            ('set cmd:at-exit "open ftp://198.51.100.9; ls"', r"198\.51\.100\.9 port 21 by tcp \(lftp\)"),
            ("!curl -sm 5 http://192.0.2.9/", r"192\.0\.2\.9 port 80 by tcp \(curl\)"),
            ("!(sleep 0.3; exec curl -sm 5 http://192.0.2.9/) &", r"192\.0\.2\.9 port 80 by tcp \(curl\)"),
            (
                "!(setsid sh -c 'sleep 0.3; exec curl -sm 5 http://192.0.2.9/' >/dev/null 2>&1 &)",
                r"192\.0\.2\.9 port 80 by tcp \(curl\)",
            ),
            ("!curl -sgm 5 'http://[2001:db8::9]/'", r"2001:db8::9 port 80 by tcp \(curl\)"),
            ("!getent hosts tell.everybody.example", r".+ port 53 by udp \(getent\)"),
            (
                "!/usr/bin/python3 -c \"import socket; socket.socket(2, 2).sendto(b'x', ('192.0.2.53', 53))\"",
                r"192\.0\.2\.53 port 53 by udp \(python3\)",
            ),
        ],
    )
    def test_rc_that_leads_elsewhere_reaches_nothing_and_never_passes(
        self, lftp: LftpRunner, server: ServerHandle, line: str, phrase: str
    ) -> None:
        outcome = lftp(server, rc=f"{UNPINNED}{line}\n", run=["list"])
        assert any(re.fullmatch(phrase, each) for each in tried(outcome)), outcome
        assert outcome.verdict not in {"accepted", "rejected", "exposed"}
        with pytest.raises(AssertionError, match="tried to reach, without an answer: "):
            outcome.check("accepted")

    def test_the_same_rc_without_the_line_passes(self, lftp: LftpRunner, server: ServerHandle) -> None:
        outcome = lftp(server, rc=UNPINNED, run=["list", "get", "put", "mirror"]).check("accepted")
        assert tried(outcome) == ()

    def test_refusal_of_a_setup_that_also_leads_elsewhere_is_inconclusive(
        self, lftp: LftpRunner, server: ServerHandle
    ) -> None:
        lftp(server, rc=QUICK, run=["list"]).check("rejected", reasons="untrusted")
        outcome = lftp(server, rc=f"{QUICK}!curl -sm 5 http://192.0.2.9/\n", run=["list"])
        assert outcome.verdict == "inconclusive"
        (why,) = outcome.attempt.outcome.contradictions
        assert why.startswith("something tried to reach 192.0.2.9 port 80 by tcp (curl);")

    def test_attempts_of_an_earlier_run_are_not_this_ones(self, lftp: LftpRunner, server: ServerHandle) -> None:
        assert tried(lftp(server, rc=f"{UNPINNED}!curl -sm 5 http://192.0.2.9/\n", run=["list"]))
        assert tried(lftp(server, rc=UNPINNED, run=["list"]).check("accepted")) == ()

    def test_lftp_in_active_mode_still_works(self, lftp: LftpRunner, server: ServerHandle) -> None:
        rc = f"{UNPINNED}set ftp:passive-mode off\nset ftp:auto-passive-mode off\n"
        lftp(server, rc=rc, run=["list", "get", "put"]).check("accepted")

    def test_program_that_reaches_for_another_machine_fails_its_check(
        self, lftp: LftpRunner, server: ServerHandle
    ) -> None:
        script = 'exec 3<>"/dev/tcp/$1/$2"'
        lftp.program(["bash", "-c", script, "tool", "127.0.0.1", "{port}"], server=server).check()
        result = lftp.program(["bash", "-c", f"({script}); true", "tool", "192.0.2.9", "21"])
        assert result.exit_code == 0
        assert result.refused == ("192.0.2.9 port 21 by tcp (bash)",)
        with pytest.raises(
            AssertionError, match=r"it tried to reach others\n(.*\n)*tried to reach, and was refused: 192"
        ):
            result.check()


@pytest.mark.usefixtures("guarded_here")
class TestScenarios:
    def test_step_that_passes_otherwise_is_inconclusive(self, play: Play) -> None:
        """The line's address is not in the text, so no filter finds it."""
        line = (
            '!/usr/bin/python3 -c "import socket; at = socket.inet_ntoa(bytes([192, 0, 2, 5])); '
            'socket.socket().connect_ex((at, 80))"'
        )
        for expect, pin in ((ACCEPTED, play.pin), (REJECTED, "")):
            step = play.step(expect, rc=f"{QUICK}{pin}{line}\n", keys=ONLY_LIST + NO_CONTROL)
            result = play(step, place=Loopback())
            (judged,) = result.steps
            assert result.status == "error"
            assert judged.attempts[0].outcome.verdict == "inconclusive"
            (phrase,) = judged.attempts[0].exposure.elsewhere.tried
            assert phrase == "192.0.2.5 port 80 by tcp (python3)"

    def test_later_repetitions_are_guarded_too(self, play: Play) -> None:
        mark = '!test -e "$HOME/been" && curl -sm 5 http://$(printf 192.0.)2.9/ ; touch "$HOME/been"\n'
        result = play(play.step(ACCEPTED, rc=f"{play.pin}{mark}", keys=f"{ONLY_LIST}\nrepeat = 2"), place=Loopback())
        assert result.status == "error"
        first, second = result.steps[0].attempts
        assert (first.exposure.elsewhere.tried, len(second.exposure.elsewhere.tried)) == ((), 1)

    def test_plainly_named_machine_is_skipped_before_it_runs(self, play: Play) -> None:
        result = play(play.step(ACCEPTED, rc="open ftp://192.0.2.9\n"), place=Loopback())
        assert result.status == "skip"
        assert "names 192.0.2.9, which does not exist in the loopback place" in result.why


class TestWords:
    """What reports claim is what is in force."""

    @pytest.mark.usefixtures("guarded_here")
    def test_guard_is_claimed_where_it_is_in_force(self, client: Lftp) -> None:
        with choice.choose("loopback", [client.path]) as chosen:
            assert "the kernel refuses connections to other machines" in chosen.note
        assert "connections to other machines were refused" in unsealed.unseen()
        (found,) = (each for each in doctor.examine() if each.part == "guard")
        assert found.state == "ok"

    @pytest.mark.usefixtures("unguarded")
    def test_guard_is_not_claimed_where_it_is_not(
        self, client: Lftp, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with choice.choose("loopback", [client.path]) as chosen:
            assert chosen.note == choice.NOT_SEALED
            with chosen.places.lend() as place, Home() as home:
                assert place.starter(home) is process.run
                assert place.client(client, home).start is process.run
        assert "connections to other hosts were not watched" in unsealed.unseen()
        result = play(play.step(ACCEPTED, rc="open ftp://192.0.2.9\n"), place=Loopback())
        assert "which lftp could really reach in the loopback place" in result.why
        monkeypatch.setattr("ftps_harness.sandbox.sandbox.why_none", lambda: "no sandbox")
        found = {each.part: each for each in doctor.examine()}
        assert found["guard"].state == "missing"
        assert found["guard"].detail.endswith("the kernel is too old")
        assert "other hosts that lftp talks to" in found["sandbox"].cost

    @pytest.mark.usefixtures("unguarded")
    def test_without_a_guard_programs_run_as_before(self, lftp: LftpRunner, server: ServerHandle) -> None:
        assert tried(lftp(server, rc=UNPINNED, run=["list"]).check("accepted")) == ()
        assert lftp.program(["true"]).check().refused == ()

    @pytest.mark.usefixtures("guarded_here")
    def test_run_says_in_its_header_what_loopback_does_not_see(
        self, workplace: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (workplace / "scenarios/a").mkdir(parents=True)
        (workplace / "scenarios/a/b.scenario.toml").write_text(SCENARIO)
        assert cli.call(["run", "--place", "loopback", "--json", "out.json"]) == 0
        assert choice.GUARDED in " ".join(capsys.readouterr().out.split())
        assert json.loads((workplace / "out.json").read_text())["place"] == "loopback"
