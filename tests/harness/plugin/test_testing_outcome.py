"""The fixtures' results: outcomes that can be checked, results of other programs, words that mypy knows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.verdict.outcomes import NO_VERIFICATION, pinned

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.home import Home
from ftps_harness.testing import ArgumentError, LftpRunner, ServerFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.usefixtures("nothing_left")]
lftp_runs = pytest.mark.lftp


@pytest.fixture
def servers() -> Iterator[ServerFactory]:
    with ServerFactory() as factory:
        yield factory


@pytest.fixture
def lftp(client: Lftp) -> Iterator[LftpRunner]:
    with Home() as home:
        yield LftpRunner(client, home, timeout=20)


@lftp_runs
def test_check_compares_every_given_field(servers: ServerFactory, lftp: LftpRunner) -> None:
    refused = lftp(servers(), rc="", run=["list"])
    assert refused.check("rejected", reasons="untrusted", exposed=[], to=()) is refused
    assert refused.check(reasons={"untrusted"}, message="Certificate verification") is refused
    exposed = lftp(servers(protocol="plain"), run=["list"])
    exposed.check("exposed", exposed=["payload", "password"], to="wire")
    for wrong in ({"to": "impostor"}, {"exposed": "password"}, {"reasons": "untrusted"}, {"verdict": "accepted"}):
        with pytest.raises(AssertionError, match=r"expected .*, but it was "):
            exposed.check(**wrong)  # type: ignore[arg-type]


@lftp_runs
def test_check_with_an_unknown_word_is_an_argument_error(servers: ServerFactory, lftp: LftpRunner) -> None:
    """It is not an AssertionError, or a test that expects a failure would pass for ever."""
    outcome = lftp(servers(), run=["list"])
    wrong: list[dict[str, Any]] = [
        {},
        {"verdict": "acepted"},
        {"reasons": ["untrustd"]},
        {"to": 5},
        {"exposed": "pass"},
    ]
    for keywords in wrong:
        with pytest.raises(ArgumentError, match="check\\("):
            outcome.check(**keywords)


@lftp_runs
def test_check_fails_if_the_witnesses_contradict_each_other(
    servers: ServerFactory, lftp: LftpRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers(role="impostor")
    monkeypatch.setattr(server.server, "settle", lambda _timeout: False)
    outcome = lftp(server, rc=NO_VERIFICATION, run=["list"])
    assert outcome.verdict == "exposed"
    with pytest.raises(AssertionError, match=r"it was exposed.*, but the witnesses contradict each other"):
        outcome.check("exposed")


@lftp_runs
def test_lftp_uses_the_home_that_a_program_left(servers: ServerFactory, lftp: LftpRunner) -> None:
    """This includes the program's rc, whatever rc a test passed before."""
    server = servers()
    assert lftp(server, rc="# a rc of before\n", run=["list"]).verdict == "rejected"
    script = """
        cp "$1" "$HOME/.lftp/pin"
        echo "set ssl:ca-file ~/.lftp/pin" > "$HOME/.lftp/rc"
        chmod 444 "$HOME/.lftp/rc"
    """
    lftp.program(["sh", "-c", script, "tool", server.pin]).check()
    written = lftp.home.dot_lftp / "rc"
    before = (written.stat().st_ino, written.stat().st_mtime_ns, written.stat().st_mode)
    outcome = lftp(server)
    assert outcome.verdict == "accepted"
    assert outcome.attempt.rc == "set ssl:ca-file ~/.lftp/pin\n"
    assert lftp(server).verdict == "accepted"
    assert (written.stat().st_ino, written.stat().st_mtime_ns, written.stat().st_mode) == before
    assert lftp(server, rc="").verdict == "rejected"
    assert lftp(server).verdict == "rejected"


@lftp_runs
def test_rc_removed_by_a_program_stays_removed(servers: ServerFactory, lftp: LftpRunner) -> None:
    server = servers()
    assert lftp(server, rc=pinned(server)).verdict == "accepted"
    lftp.program(["rm", "{lftp}/rc"]).check()
    assert lftp(server).verdict == "rejected"
    assert not (lftp.home.dot_lftp / "rc").exists()


def test_program_sees_only_the_sealed_home_and_given_variables(
    servers: ServerFactory, lftp: LftpRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    server = servers()
    argv = [sys.executable, "-c", "import os, sys; print(sys.argv, os.getcwd(), *sorted(os.environ))"]
    result = lftp.program([*argv, "{host}", "{port}", "{password}"], server=server, cwd="lftp", env={"MY": "x"})
    shown = result.check().stdout.decode()
    assert str(["-c", "localhost", str(server.port), server.password]) in shown
    assert str(lftp.home.dot_lftp) in shown
    assert "SECRET_OF_THE_USER" not in shown
    assert "MY" in shown.split()
    home = lftp.program([sys.executable, "-c", "import os; print(os.environ['HOME'])"]).check().stdout
    assert home.decode().strip() == str(lftp.home.home)


@pytest.mark.parametrize(
    ("argv", "ending"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], "its exit code was 3"),
        (["sh", "-c", "echo out; echo err >&2; kill -9 $$"], "signal 9 ended it"),
        (["sh", "-c", "echo out; echo err >&2; sleep 60"], "it was killed at its time limit"),
        (["sh", "-c", "echo out; echo err >&2; sleep 60 & exit 0"], "it was killed at its time limit"),
    ],
)
def test_failure_of_a_program_says_how_it_ended(lftp: LftpRunner, argv: list[str], ending: str) -> None:
    """Nothing that the program started survives."""
    result = lftp.program(argv, timeout=0.5)
    assert ending in repr(result)
    with pytest.raises(AssertionError, match=f"(?s)expected exit code 0, but {ending}.*out.*err"):
        result.check()


def test_program_with_truncated_output_fails_its_check(lftp: LftpRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftps_harness.sandbox.process.OUTPUT_LIMIT", 10)
    result = lftp.program(["echo", "a line that is longer than that"])
    with pytest.raises(AssertionError, match="expected all of its output"):
        result.check()


@pytest.mark.parametrize(
    ("argv", "keywords", "sentence"),
    [
        ("ls", {}, "give the command as a list"),
        ([], {}, "give the command as a list"),
        (["ls", 5], {}, "consists of strings and paths"),
        (["no-such-program"], {}, "no program 'no-such-program' on PATH"),
        (["ls", "{port}"], {}, r"\{port\} is not a placeholder here"),
        (["ls"], {"cwd": "/"}, "lftp cannot be started in"),
        (["ls"], {"timeout": -1}, "a number of seconds greater than 0"),
        (["ls"], {"env": {"HOME": "/"}}, "HOME is always the sealed one"),
        (["ls"], {"env": ["x"]}, "must be a dictionary"),
        (["ls"], {"server": "localhost"}, "give a server"),
    ],
)
def test_bad_argument_of_program_is_an_argument_error(
    lftp: LftpRunner, argv: Any, keywords: Any, sentence: str
) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        lftp.program(argv, **keywords)


def test_program_that_cannot_start_is_an_error(lftp: LftpRunner, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(HarnessError, match="cannot start"):
        lftp.program([tmp_path / "text"])


RIGHT = """\
from ftps_harness.testing import LftpRunner, ServerFactory, ServerHandle, TestOutcome


def right(ftps_server: ServerFactory, lftp: LftpRunner) -> None:
    server = ftps_server(attack="intercept", certificate={"names": ["x"]})
    outcome = lftp(server, rc=f'set ssl:ca-file "{server.pin}"', files={"pin": server.pin}, timeout=5)
    outcome.check("rejected", reasons={"untrusted"})
    lftp.program(["true"]).check()
    assert outcome.verdict == "rejected"
    assert outcome.reasons == {"untrusted"}
"""
WRONG = {
    'assert outcome.verdict == "acepted"': "comparison-overlap",
    "assert outcome.reasons == {5}": "comparison-overlap",
    'outcome.check("acepted")': "arg-type",
    'outcome.check(reasons=["untrustd"])': "list-item",
    'ftps_server(atack="none")': "call-arg",
    'ftps_server(attack="nobody")': "arg-type",
    'ftps_server(certificate={"nmaes": []})': "arg-type",
    'ftps_server.certificate(key="rsa-512")': "arg-type",
    'server.rotate(rolle="impostor")': "call-arg",
    'lftp(server, rcc="")': "call-arg",
    'lftp(server, cwd="/tmp")': "arg-type",
    'lftp(server, files={"x": 5})': "dict-item",
    'lftp("localhost")': "arg-type",
}
ARGUMENTS = "ftps_server: ServerFactory, lftp: LftpRunner, server: ServerHandle, outcome: TestOutcome"
"""Parameters of a function for each wrong line: mypy does not check code after a call that never returns."""


def test_mypy_finds_unknown_words_and_keywords(tmp_path: Path) -> None:
    functions = [f"def wrong_{number}({ARGUMENTS}) -> None:\n    {line}\n" for number, line in enumerate(WRONG)]
    text = "\n\n".join([RIGHT, *functions])
    (tmp_path / "snippet.py").write_text(text)
    paths = os.pathsep.join(str(ROOT / name) for name in ("lab", "harness"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "snippet.py"],
        env={**os.environ, "MYPYPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = text.splitlines()
    found = re.findall(r"^snippet\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert {lines[int(number) - 1].strip(): word for number, word in found} == WRONG, done.stdout + done.stderr
