"""`ftps-lab run` with the real lftp: what it prints, writes and keeps, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.waiting import running, started, until

from ftps_harness import cli
from ftps_harness.errors import HarnessError
from ftps_harness.play.actions import tasks
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.secrets import Secrets

pytestmark = pytest.mark.lftp

RUN = [sys.executable, "-m", "ftps_harness", "run"]

_HEAD = 'schema = 1\ntitle = "{title}"\nwhy = "Because."\ntags = ["{tag}"]\n[certificates.genuine]\n[server]\n'
REFUSED = _HEAD.format(title="No pin, no trust", tag="good") + (
    'certificate = "genuine"\n[[step]]\ntitle = "refused"\nrun = ["list"]\n'
    '[step.expect]\nverdict = "rejected"\nreason = "untrusted"\n'
)
WRONG = _HEAD.format(title="Turned round", tag="bad") + (
    'certificate = "genuine"\n[[step]]\ntitle = "refused, not accepted"\nrun = ["list"]\n'
    '[step.expect]\nverdict = "accepted"\n'
)
HANGING = _HEAD.format(title="Nobody waits for this", tag="bad") + (
    'certificate = "genuine"\n[[step]]\ntitle = "sleeping"\nrun = ["list", "!sleep 600"]\n'
    '[step.expect]\nverdict = "accepted"\n'
)

BEGUN = """
from ftps_harness import cli
command = cli._command
def begun(arguments):
    print("begun", flush=True)
    return command(arguments)
cli._command = begun
cli.main(["run"])
"""
"""The command `run`, which prints a line once it handles signals."""


@pytest.fixture
def folder(workplace: Path) -> Path:
    """A folder with scenarios."""
    return workplace


def write_scenarios(folder: Path, **scenarios: str) -> None:
    """Write scenario files of the area `mine`."""
    (folder / "scenarios/mine").mkdir(parents=True, exist_ok=True)
    for name, text in scenarios.items():
        (folder / f"scenarios/mine/{name}.scenario.toml").write_text(text)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ftps-lab run`."""
    code = cli.call(["run", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


class TestOutput:
    def test_passing_run_exits_0(self, folder: Path, client: Lftp, capsys: pytest.CaptureFixture[str]) -> None:
        write_scenarios(folder, refused=REFUSED)
        code, out, err = call(capsys, "--lftp", str(client.path))
        assert (code, err) == (0, "")
        header, where, _, titles, row, title, _, closing = out.splitlines()
        assert header == f"lftp {client.version} at {client.path}, TLS by {client.tls}, dialect {client.dialect}"
        assert where == "1 scenario from scenarios/"
        assert titles.split() == ["scenario", "what", "lftp", "did,", "by", "step", "secs"]
        assert row.split()[:4] == ["pass", "mine/refused", "rejected:", "untrusted"]
        assert title.split() == ["No", "pin,", "no", "trust"]
        assert re.fullmatch(r"1 passed, 0 failed, 0 errors, 0 skipped in \d+\.\d s", closing)

    def test_failing_scenario_exits_1_and_is_explained(
        self, folder: Path, client: Lftp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_scenarios(folder, refused=REFUSED, wrong=WRONG)
        code, out, _ = call(capsys, "--no-controls", "--lftp", str(client.path))
        assert code == 1
        assert "FAIL mine/wrong, step 1: refused, not accepted" in out
        assert "Certificate verification" in out
        assert f"ftps-lab run mine/wrong --lftp {client.path} --no-controls" in out
        assert out.splitlines()[-1].endswith(", without controls")

    @pytest.mark.long
    def test_hung_scenario_exits_3(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_scenarios(folder, hanging=HANGING.replace("[server]", "[server]\nrequire_tls = false"), wrong=WRONG)
        code, out, _ = call(capsys, "--no-controls", "--timeout", "2")
        assert code == 3
        assert re.search(r"^ERROR  mine/hanging +hung ", out, re.MULTILINE)

    @pytest.mark.long
    def test_output_does_not_depend_on_jobs_or_environment(self, folder: Path) -> None:
        """Only the seconds may differ, even with parallel runs and other colour settings."""
        write_scenarios(folder, slow=scenario_template("slow"), refused=REFUSED, other=REFUSED)

        def output(*options: str, **environment: str) -> str:
            done = subprocess.run(
                [*RUN, *options],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert done.stderr == ""
            return re.sub(r"\d+\.\d+", "#", done.stdout)

        plain = output()
        assert "\x1b" not in plain
        assert output("-j", "3", FORCE_COLOR="1", COLUMNS="40", TTY_COMPATIBLE="1") == plain

    def test_fail_fast_reports_how_many_scenarios_ran(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_scenarios(folder, a=WRONG, b=REFUSED)
        code, out, _ = call(capsys, "--fail-fast", "--no-controls")
        assert code == 1
        assert "stopped after the first failure (--fail-fast): 1 of 2 scenarios ran" in out

    def test_tag_selects_scenarios(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_scenarios(folder, a=WRONG, b=REFUSED)
        code, out, _ = call(capsys, "--tag", "good", "--no-controls")
        assert code == 0
        assert "mine/a" not in out

    def test_run_that_skips_everything_exits_3(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_scenarios(folder, refused=REFUSED)
        monkeypatch.setattr("ftps_harness.play.places.loopback.Loopback.why_not", lambda *_: "no clock here")
        code, out, _ = call(capsys, "--place", "loopback")
        assert code == 3
        assert "no clock here" in out

    def test_system_rc_that_changes_trust_is_ignored_or_ends_the_run(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system rc is kept out of the runs; if that is not possible, nothing runs."""
        write_scenarios(folder, refused=REFUSED)
        monkeypatch.setattr("ftps_harness.client.lftp.system_rc_lines", lambda: [(3, "set ssl:verify-certificate no")])
        _, out, _ = call(capsys, "--no-controls")
        assert out.splitlines()[2] == "/etc/lftp.conf, line 3, is ignored: set ssl:verify-certificate no"

        def refuse() -> None:
            raise HarnessError("/etc/lftp.conf changes trust")

        monkeypatch.setattr("ftps_harness.client.lftp.system_rc_prefix", refuse)
        assert call(capsys, "--place", "loopback") == (3, "", "ftps-lab: /etc/lftp.conf changes trust\n")

    def test_rerun_command_names_the_scenario_as_it_was_given(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_scenarios(folder, wrong=WRONG)
        _, out, _ = call(capsys, "scenarios/mine/wrong.scenario.toml", "--no-controls")
        assert "ftps-lab run scenarios/mine/wrong.scenario.toml --lftp" in out


class TestReports:
    def test_json_is_alone_on_stdout(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_scenarios(folder, refused=REFUSED)
        code, out, err = call(capsys, "--json", "-")
        assert code == 0
        assert json.loads(out)["results"][0]["steps"][0]["control"]["kind"] == "verification-off"
        assert err.splitlines()[-1].startswith("1 passed")

    @pytest.mark.parametrize("name", ["with blank", 'a "quote"', "it's; a"])
    @pytest.mark.long
    def test_tmpdir_may_contain_special_characters(
        self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """lftp reads no rc below such a path, so temporary folders are created elsewhere."""
        write_scenarios(folder, pinned=scenario_template("pinned"))
        (folder / name).mkdir()
        monkeypatch.setenv("TMPDIR", str(folder / name))
        done = subprocess.run(RUN, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert list((folder / name).iterdir()) == []

    def test_each_lftp_build_has_its_own_run(
        self, folder: Path, client: Lftp, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_scenarios(folder, refused=REFUSED)
        second = folder / "second lftp"
        second.symlink_to(client.path)
        options = ("--lftp", str(client.path), "--lftp", str(second), "--lftp", str(client.path), "--no-controls")
        code, out, _ = call(capsys, *options, "--json", "all.json", "--junit", "all.xml", "--keep", "kept")
        assert code == 0
        assert out.splitlines()[-1].startswith("2 passed")
        runs = json.loads(Path("all.json").read_text())["runs"]
        assert [run["lftp"]["path"] for run in runs] == [str(client.path), str(second)]
        assert len(ET.parse("all.xml").getroot()) == 2  # noqa: S314 - we wrote this file
        assert len(list(Path("kept").glob("lftp-*/mine/refused/1/rc"))) == 2

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
    def test_unwritable_report_exits_3_and_the_others_are_written(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_scenarios(folder, refused=REFUSED)
        code, out, err = call(capsys, "--no-controls", "--json", "/dev/full", "--junit", "all.xml")
        assert code == 3
        assert "1 passed" in out
        assert err == "ftps-lab: /dev/full was not written: No space left on device\n"
        assert Path("all.xml").is_file()

    def test_incomplete_evidence_exits_3(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_scenarios(folder, refused=REFUSED)

        def no_room(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("ftps_harness.report.evidence._write", no_room)
        code, out, err = call(capsys, "--keep", "kept")
        assert code == 3
        assert "1 passed" in out
        assert re.fullmatch(r"ftps-lab: --keep: the evidence is incomplete: .*: No space left on device\n", err)

    @pytest.mark.parametrize(
        ("options", "unwritten"),
        [([], ""), (["--json", "x.json"], "; --json was not written")],
        ids=["no report", "json"],
    )
    def test_closed_output_pipe_ends_the_run_with_3(self, folder: Path, options: list[str], unwritten: str) -> None:
        """A run that cannot report its result has not succeeded."""
        write_scenarios(folder, refused=REFUSED, hanging=HANGING)
        reading, writing = os.pipe()
        os.close(reading)
        command = [*RUN, *options]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        os.close(writing)
        said = f"ftps-lab: stopped: the output pipe was closed{unwritten}\n"
        assert (done.returncode, done.stderr) == (3, said)
        assert not (folder / "x.json").exists()

    def test_crash_in_one_scenario_does_not_affect_the_others(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_scenarios(folder, a=REFUSED, b=REFUSED)
        populate = tasks.populate

        def broken(root: Path, secrets: Secrets, broke: list[str] = []) -> None:  # noqa: B006 - kept between calls
            if not broke:
                broke.append("once")
                raise ZeroDivisionError("sabotage")
            populate(root, secrets)

        monkeypatch.setattr("ftps_harness.play.session.populate", broken)
        code, out, _ = call(capsys, "--json", "all.json")
        assert code == 3
        assert "ERROR mine/a: unexpected ZeroDivisionError in test_cli_run.py" in out
        assert out.splitlines()[-1].startswith("1 passed, 0 failed, 1 errors, 0 skipped")
        statuses = [each["status"] for each in json.loads(Path("all.json").read_text())["results"]]
        assert statuses == ["error", "pass"]

    @pytest.mark.parametrize(
        ("part", "broken"),
        [
            ("row", True),
            ("close", False),
            pytest.param("failures", True, marks=pytest.mark.long),
            pytest.param("close", True, marks=pytest.mark.long),
            pytest.param("failures", False, marks=pytest.mark.long),
        ],
    )
    def test_reports_are_written_if_the_terminal_output_fails(self, part: str, broken: bool, folder: Path) -> None:
        write_scenarios(folder, a=REFUSED)
        happens = "1 / 0" if broken else "signal.raise_signal(signal.SIGINT)"
        program = (
            "import signal, sys\nfrom ftps_harness import cli\nfrom ftps_harness.report.terminal import Terminal\n"
            f"def shown(*_):\n    {happens}\nTerminal.{part} = shown\ncli.main(sys.argv[1:])\n"
        )
        command = [sys.executable, "-c", program, "run", "--json", "all.json", "--junit", "all.xml"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == (3 if broken else 130), done.stderr
        results = json.loads((folder / "all.json").read_text())["results"]
        assert [each["id"] for each in results] == ["mine/a"]
        assert (folder / "all.xml").exists()

    def test_json_to_a_closed_pipe_exits_3(self, folder: Path) -> None:
        write_scenarios(folder, refused=REFUSED)
        reading, writing = os.pipe()
        os.close(reading)
        command = [*RUN, "--json", "-"]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        os.close(writing)
        assert done.returncode == 3
        said = "ftps-lab: stopped: the output pipe was closed; --json was not written\n"
        assert done.stderr.endswith(said)

    def test_low_limit_of_open_files_reduces_parallel_runs(self, folder: Path) -> None:
        """With few open files allowed, fewer scenarios run in parallel; the `workplace` fixture looks for leftovers."""
        write_scenarios(folder, **{f"case-{number}": REFUSED for number in range(8)})
        command = f"ulimit -n 100; exec {shlex.join(RUN)} -j 16"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "-j 2 instead of -j 16: the limit of open files (ulimit -n) allows no more" in done.stdout

    def test_deleted_working_folder_exits_3_with_the_reason(self, tmp_path: Path) -> None:
        """A shell may still be in the folder of a `serve` that has ended."""
        gone = tmp_path / "gone"
        gone.mkdir()
        command = f"cd {shlex.quote(str(gone))} && rmdir ../gone && exec {shlex.join(RUN[:-1])} list"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == "ftps-lab: the current folder no longer exists: change to another one and try again\n"


class TestInterruption:
    """Each signal ends at once a run that would take ten minutes."""

    @pytest.mark.parametrize(
        ("jobs", "number"),
        [
            ("1", signal.SIGINT),
            ("3", signal.SIGTERM),
            pytest.param("1", signal.SIGTERM, marks=pytest.mark.long),
            pytest.param("1", signal.SIGHUP, marks=pytest.mark.long),
            pytest.param("3", signal.SIGINT, marks=pytest.mark.long),
            pytest.param("3", signal.SIGHUP, marks=pytest.mark.long),
        ],
    )
    def test_signal_ends_the_run_and_reports_finished_scenarios(
        self, number: signal.Signals, jobs: str, folder: Path
    ) -> None:
        mark = f"{600 + os.getpid() % 1000}.{number}"
        hanging = with_verification_off(HANGING.replace("600", mark))
        write_scenarios(folder, a=REFUSED, b=hanging, c=hanging)
        command = [*RUN, "-j", jobs, "--timeout", "500", "--no-controls", "--json", "all.json"]
        with started(*command) as process:
            assert process.stdout is not None
            while "mine/a" not in (line := process.stdout.readline()):
                assert line
            until(lambda: running(f"sleep {mark}"), 60)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err == ""
        assert "interrupted: 1 of 3 scenarios ran" in out
        assert out.splitlines()[-1].startswith("1 passed, 0 failed, 0 errors, 0 skipped in ")
        data = json.loads((folder / "all.json").read_text())
        assert (data["interrupted"], [each["id"] for each in data["results"]]) == (True, ["mine/a"])
        assert not running(f"sleep {mark}")

    def test_next_run_removes_the_folders_of_a_killed_run(self, folder: Path) -> None:
        """After SIGKILL a run cannot remove its own folders; the `workplace` fixture checks that they are gone."""
        mark = f"2.{os.getpid()}"
        write_scenarios(folder, a=with_verification_off(HANGING.replace("600", mark)), b=REFUSED)
        with started(*RUN, "mine/a", "--timeout", "500") as process:
            until(lambda: running(f"sleep {mark}"), 60)
            process.kill()
        assert list((folder / "tmp").iterdir())
        until(lambda: not running(f"sleep {mark}"), 60)
        subprocess.run([*RUN, "mine/b"], capture_output=True, timeout=60, check=True)

    def test_ctrl_c_removes_the_progress_bar_and_restores_the_cursor(self, folder: Path) -> None:
        """The progress bar is drawn and removed, and the cursor is visible again."""
        write_scenarios(folder, a=REFUSED, b=with_verification_off(HANGING))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        environment.pop("NO_COLOR", None)
        code, shown = on_a_terminal([*RUN, "-j2", "--no-controls", "--timeout", "500"], environment, b"1/2", b"\x03")
        assert code == 130
        assert "\x1b[32mpass" in shown
        assert "1/2" in shown
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
        assert "interrupted: 1 of 2 scenarios ran" in shown
        assert "Traceback" not in shown

    def test_no_color_is_honoured_on_a_terminal(self, folder: Path) -> None:
        write_scenarios(folder, a=REFUSED)
        environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "24"}
        code, shown = on_a_terminal([*RUN, "--no-controls"], environment)
        assert code == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
        assert "1 passed" in shown

    def test_ctrl_c_before_the_first_scenario_exits_130(self, folder: Path) -> None:
        """Ctrl-C works while the command reads files or identifies lftp.

        The command handles it from the line `begun` on; before that, Python itself is still starting.
        """
        write_scenarios(folder, **{f"case-{number}": scenario_template(f"case-{number}") for number in range(30)})
        for delay in (0, 0.1, 0.2, 0.3):
            with started(sys.executable, "-c", BEGUN) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "begun\n"
                time.sleep(delay)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "Traceback" not in err


def with_verification_off(text: str) -> str:
    """The scenario's text with verification off, so that lftp reaches its last command."""
    return text.replace("run = ", 'rc = "set ssl:verify-certificate no"\nrun = ')


def on_a_terminal(
    command: list[str], environment: dict[str, str], until: bytes = b"", then: bytes = b""
) -> tuple[int, str]:
    """Run a command on a terminal and type something once `until` appears; return exit code and everything shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)  # noqa: S606 - a terminal does the same
    shown = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux raises this when the other side is closed
            break
        if not data:
            break
        shown += data
        if until and until in shown:
            os.write(terminal, then)
            until = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()
