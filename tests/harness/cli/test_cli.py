"""The command as typed, without lftp: help, usage, bad input, browsing the catalogue."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ftps_harness import cli
from ftps_harness.cli.commands import COMMANDS
from ftps_harness.report.plain import cells
from ftps_harness.scenario.template import scenario_template
from ftps_lab.errors import LabError

ROOT = Path(__file__).parents[3]
FTPS_LAB = [sys.executable, "-m", "ftps_harness"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder with one scenario."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios/mine").mkdir(parents=True)
    (tmp_path / "scenarios/mine/first.scenario.toml").write_text(scenario_template("mine/first"))


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; never a traceback."""
    code = cli.call(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


class TestHelp:
    def test_help_fits_80_columns_and_names_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, "--help")
        assert code == 0
        assert re.findall(r"^  ([\w-]+)  ", out, re.MULTILINE)[-len(COMMANDS) :] == list(COMMANDS)
        assert all(len(line) <= 80 for line in out.splitlines())

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_every_command_fits_80_columns(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, command, "--help")
        assert code == 0
        assert all(len(line) <= 80 for line in out.splitlines())

    def test_version_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, "--version")
        assert code == 0
        assert re.fullmatch(r"ftps-lab \S.*\n", out)


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["rnu"], "unknown command 'rnu'. Did you mean \"run\"?"),
            (["run", "nothing"], '"nothing" is not a scenario, area, file or folder'),
            (["run", "frist"], 'Did you mean "first"?'),
            (["run", "-j", "0"], "0 is not in the range"),
            (["run", "-j", "many"], "'many' is not a valid integer"),
            (["run", "--timeout", "nan"], "'nan': must be greater than 0"),
            (["run", "--timeout", "0"], "'0': must be greater than 0"),
            (["run", "--timeout", "1e99"], "'1e99': must be greater than 0 and at most"),
            (["run", "--tag", "yours"], 'no scenario here has the tag "yours"'),
            (["run", "--json", "no/folder"], "--json no/folder: the folder"),
            (["run", "--junit", "."], "--junit .: this is a folder"),
            (["run", "--json", "x", "--junit", "./x"], "--json and --junit both name x"),
            (["run", "--html", "no/folder"], "--html no/folder: the folder"),
            (["run", "--json", "-", "--html", "-"], "--json and --html both name -"),
            (["run", "--keep", "scenarios/mine/first.scenario.toml"], "not a folder"),
            (["run", "--keep", "scenarios"], "this folder contains other files"),
            (["run", "--lftp", "missing"], "--lftp missing: no such file"),
            (["run", "--lftp", "scenarios"], "--lftp scenarios: a folder"),
            (["run", "--lftp", "scenarios/mine/first.scenario.toml"], "not executable; run chmod +x on it"),
            (["run", "--lftp", sys.executable], "is not lftp: its answer to --version begins with 'Python"),
            (["run", "first", "--lftp"], "requires an argument"),
            (["list", "nothing"], '"nothing" is not a scenario'),
            (["show"], "Missing argument"),
            (["show", "nothing"], '"nothing" is not a scenario'),
            (["serve", "nothing"], '"nothing" is not a scenario'),
            (["serve", "first", "--port", "65536"], "65536 is not in the range"),
            (["serve", "first", "--step", "5"], "--step 5: mine/first has 4 steps"),
            (["new", "scenarios/mine/first"], "already exists and was not changed"),
        ],
    )
    def test_usage_error_exits_2_with_the_reason(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (2, "")
        assert said in err

    @pytest.mark.parametrize("command", ["run", "list"])
    def test_all_bad_scenario_files_are_reported_at_once(
        self, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("scenarios/mine/broken.scenario.toml").write_text("schema = 1\nunknown = 1\n")
        Path("scenarios/mine/worse.scenario.toml").write_text("= = =")
        code, out, err = call(capsys, command)
        assert (code, out) == (2, "")
        assert "ftps-lab: scenarios/mine/broken.scenario.toml: unknown: unknown key" in err
        assert "scenarios/mine/worse.scenario.toml: is not TOML" in err

    def test_rejection_without_a_control_is_refused_before_anything_runs(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = scenario_template("x").replace('reason  = "untrusted"', 'reason  = "tls-handshake"')
        Path("scenarios/mine/first.scenario.toml").write_text(text)
        code, out, err = call(capsys, "run", "--keep", "kept")
        assert (code, out) == (2, "")
        assert 'control = "none" and why_no_control' in err
        assert not Path("kept").exists()

    def test_control_characters_in_an_argument_are_not_echoed(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = call(capsys, "run", "\x1b[2J")
        assert code == 2
        assert "\x1b" not in err

    def test_missing_lftp_exits_3(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.delenv("FTPS_LAB_LFTP", raising=False)
        code, out, err = call(capsys, "run")
        assert (code, out) == (3, "")
        assert err.startswith("ftps-lab: no lftp on PATH: install it")

    def test_empty_scenario_name_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An empty name usually comes from an unset variable."""
        for command in ("run", "list", "show", "matrix"):
            for name in ("", " "):
                code, out, err = call(capsys, command, name)
                assert (code, out) == (2, "")
                assert "is not a scenario name; is the variable that it comes from unset?" in err

    def test_empty_path_never_means_the_current_folder(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "rc").write_text("set ssl:verify-certificate yes\n")
        code, out, err = call(capsys, "verify", "")
        assert (code, out) == (2, "")
        assert '"" is not a path; omit it to verify ~/.lftp' in err


class TestListShowNew:
    def test_list_prints_id_and_title(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert call(capsys, "list") == (0, "mine/first  First (mine)\n", "")
        assert call(capsys, "list", "--tag", "mine", "mine")[0] == 0

    def test_list_fits_80_columns_with_long_and_wide_titles(self, capsys: pytest.CaptureFixture[str]) -> None:
        name = "long-" * 12 + "name"
        text = scenario_template("x").replace(
            '"X"', '"A title of 日本語 and of many words, more than fit into one line"'
        )
        Path(f"scenarios/mine/{name}.scenario.toml").write_text(text)
        _, out, _ = call(capsys, "list")
        assert f"mine/{name}\n" in out
        assert all(cells(line) <= 80 for line in out.splitlines())

    def test_list_finds_the_packaged_catalogue(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, "list", "document")
        assert code == 0
        assert "document/untrusted-by-default  " in out

    def test_show_prints_every_field_of_a_scenario(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("scenarios/mine/all.scenario.toml").write_text(EVERYTHING)
        code, out, _ = call(capsys, "show", "all")
        told = " ".join(out.split())
        assert code == 0
        for wanted in (
            "mine/all Everything at once",
            "For a learner.",
            "file scenarios/mine/all.scenario.toml tags mine claim a-claim",
            'root self-signed, common_name = "Authority", names = []',
            'leaf issued by root for localhost, not_after = "-1h", ca = false',
            "explicit FTPS (AUTH TLS), TLS 1.3, shows leaf + root, on data connections root, refuses anything",
            "step 1: the first file ~/.lftp/pin = cert:root + text 'more'",
            "file in the folder where lftp starts: planted = served",
            "rc set ssl:ca-file {lftp}/pin",
            "host ftp.example.test user anna password wrong started inside ~/.lftp clock +1d run list; 3 times",
            'expected exposed: password to wire sometimes, else rejected, and lftp prints "no"',
            "with classic: accepted",
            "control none: this verdict does not need one",
            "the server is now: explicit FTPS (AUTH TLS), TLS 1.3, shows leaf + root",
            "an impostor's",
            "rc (as before)",
            "expected rejected: untrusted with openssl: reason expired",
            "control verification-off, which must be accepted or exposed",
            "control none: because",
        ):
            assert wanted in told, wanted

    def test_new_writes_a_valid_scenario(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, "new", "scenarios/mine/second")
        assert code == 0
        assert out.splitlines()[1] == "run it: ftps-lab run scenarios/mine/second.scenario.toml"
        assert call(capsys, "show", "second")[0] == 0

    def test_new_quotes_a_path_with_a_space(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = call(capsys, "new", "scenarios/mine/My Backup")
        assert code == 0
        assert out.splitlines()[1] == "run it: ftps-lab run 'scenarios/mine/My Backup.scenario.toml'"


class TestFailures:
    """Failures that do not come from what the user typed."""

    def test_unexpected_error_asks_for_a_report(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_names: object) -> None:
            raise ZeroDivisionError("division by zero")

        monkeypatch.setattr("ftps_harness.scenario.selection.choose", broken)
        code, _, err = call(capsys, "list")
        assert code == 3
        assert err.startswith(
            f"ftps-lab: unexpected ZeroDivisionError in test_cli.py, line {broken.__code__.co_firstlineno + 1}: "
            "division by zero\nPlease report it"
        )
        monkeypatch.setenv("FTPS_LAB_DEBUG", "1")
        assert cli.call(["list"]) == 3
        assert capsys.readouterr().err.startswith("Traceback (most recent call last):")

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (MemoryError(), "out of memory: run fewer at a time (-j), or raise the limit (ulimit -v)"),
            (OSError(24, "Too many open files"), "too many open files: run fewer at a time (-j), or raise the limit"),
            (RuntimeError("can't start new thread"), "too many processes or threads: run fewer at a time (-j)"),
            (UnicodeEncodeError("ascii", "ä.txt", 0, 1, "x"), "cannot write 'ä.txt' in this locale's encoding, ascii"),
        ],
    )
    def test_error_of_the_machine_is_named(
        self, error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_names: object) -> None:
            raise error

        monkeypatch.setattr("ftps_harness.scenario.selection.choose", broken)
        code, _, err = call(capsys, "list")
        assert (code, err.startswith(f"ftps-lab: {said}")) == (3, True)

    def test_lab_error_exits_3(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_names: object) -> None:
            raise LabError("port refused")

        monkeypatch.setattr("ftps_harness.scenario.selection.choose", broken)
        assert call(capsys, "list") == (3, "", "ftps-lab: port refused\n")

    @pytest.mark.parametrize("arguments", [["list", "document"], ["--help"]])
    def test_closed_output_pipe_is_not_an_error(self, arguments: list[str]) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*FTPS_LAB, *arguments], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
    def test_full_disk_at_stdout_exits_3_with_the_reason(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([*FTPS_LAB, "list"], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (3, b"ftps-lab: standard output: No space left on device\n")

    def test_closed_stdout_is_not_an_error(self) -> None:
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *FTPS_LAB, "list"]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_characters_outside_the_encoding_are_escaped(self) -> None:
        Path("scenarios/mine/first.scenario.toml").write_text(scenario_template("x").replace('"X"', '"日本"'))
        environment = {**os.environ, "PYTHONIOENCODING": "iso8859-1"}  # click treats ascii as a mistake
        done = subprocess.run([*FTPS_LAB, "list"], env=environment, capture_output=True, timeout=30, check=True)
        assert done.stdout == b"mine/first  \\u65e5\\u672c (mine)\n"

    def test_call_accepts_a_stdout_that_is_not_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The caller of `call` may have replaced sys.stdout with an object that is not a file."""
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        assert cli.call(["list"]) == 0

    def test_list_and_help_import_no_slow_modules(self) -> None:
        """`list` and `--help` may take at most three times as long as `import click`; these modules are too slow."""
        code = (
            "import sys; from ftps_harness import cli; cli.call(['list', 'document']); cli.call(['--help']); "
            "sys.exit(str(sorted({'rich', 'OpenSSL', 'cryptography', 'ftps_lab.servers'} & set(sys.modules))))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
        assert done.stderr == "[]\n"


EVERYTHING = """
schema = 1
title = "Everything at once"
why = "For a learner."
tags = ["mine"]
claim = "a-claim"
[certificates.root]
common_name = "Authority"
names = []
[certificates.leaf]
issuer = "root"
not_after = "-1h"
ca = false
[server]
certificate = "leaf"
chain = ["root"]
data_certificate = "root"
require_tls = true
tls = ["1.3"]
[[step]]
title = "the first"
files = { pin = "cert:root + text:more", "cwd/planted" = "served" }
rc = "set ssl:ca-file {lftp}/pin"
host = "ftp.example.test"
user = "anna"
password = "wrong"
cwd = "lftp"
clock = "+1d"
repeat = 3
run = ["list"]
[step.expect]
verdict = "exposed"
exposed = ["password"]
to = ["wire"]
how_often = "sometimes"
otherwise = ["rejected"]
message = "no"
[step.expect.classic]
verdict = "accepted"
[[step]]
title = "the second"
server = { role = "impostor" }
[step.expect]
verdict = "rejected"
reason = "untrusted"
[step.expect.openssl]
reason = "expired"
[[step]]
title = "the third"
control = "none"
why_no_control = "because"
[step.expect]
verdict = "accepted"
"""
