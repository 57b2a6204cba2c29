"""Commands and scripts, run unchanged: their credentials, their destinations, and the findings."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.errors import UsageError
from ftps_harness.verify import command, program
from ftps_harness.verify.base import Options
from ftps_harness.verify.subject import load
from ftps_harness.verify.trials import TRIALS
from ftps_harness.verify.verify import begin, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

QUICK = frozenset({"impostor-copy", "refuse-auth-502"})
LATER = frozenset(
    {"impostor-copy", "refuse-auth-502", "other-customer"} | {trial.name for trial in TRIALS if trial.later}
)
PASSWORD = "p4ss-w0rd-of-mine"
PINNED = 'set ssl:ca-file "~/.lftp/server.crt"; set ftp:ssl-force yes'
ESCAPED = PINNED.replace('"', '\\"')

PIN = "the server's certificate"
"""A file's content."""


@dataclass(frozen=True)
class Case:
    """A command, the files beside it, and the findings that it must have."""

    name: str
    argv: tuple[str, ...]
    found: frozenset[str]
    script: str = ""
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    host: str = "backup.example"
    port: int = 21
    only: frozenset[str] = QUICK


def _case(name: str, *argv: str, found: set[str], **more: object) -> Case:
    return Case(name, argv, frozenset(found), **more)  # type: ignore[arg-type]


LONG = {"thirty calls"}
"""Cases that take many seconds."""

CASES = [
    _case(
        "-e, verification off",
        "lftp", "-e", "set ssl:verify-certificate no; ls; bye", "-u", f"me,{PASSWORD}", "ftp://backup.example",
        found={"no-verification", "tls-not-required", "secret-exposed-locally"},
    ),
    _case(
        "-c, pinned",
        "lftp", "-c", f"{PINNED}; open -u me --env-password ftp://backup.example; get a/b.txt; put here.txt",
        found=set(), env={"LFTP_PASSWORD": PASSWORD}, files={"work/here.txt": "x"},
    ),
    _case(
        "-f, TLS off",
        "lftp", "-f", "job.lftp", found={"login-in-clear", "data-in-clear", "secret-exposed-locally"},
        files={"work/job.lftp": f"set ftp:ssl-allow no\nopen -u me,{PASSWORD} backup.example\nmirror /in got\n"},
    ),
    _case(
        "a here-document",
        "./job.sh", found={"no-verification", "tls-not-required", "secret-exposed-locally"},
        script=f"lftp -u me,{PASSWORD} backup.example <<EOF\nset ssl:verify-certificate no\nmirror -R out in\nEOF\n",
        files={"work/out/x": "y"},
    ),
    _case(
        "output discarded",
        "./job.sh", found={"no-verification", "tls-not-required", "secret-exposed-locally"},
        script='. ~/.secret\nlftp -u "me,$PW" -e "set ssl:verify-certificate no; cls /; bye" backup.example '
        ">/dev/null 2>&1\n",
        files={"home/.secret": f"PW={PASSWORD}\n"},
    ),
    _case(
        ".netrc, pinned by the rc",
        "./job.sh", found=set(), script="lftp -e 'ls; bye' ftp://me@backup.example\n",
        files={
            "home/.netrc": f"machine backup.example login me password {PASSWORD}\n",
            "home/.lftp/rc": PINNED + "\n",
        },
    ),
    _case(
        "an anonymous login",
        "lftp", "-c", f"{PINNED}; open ftp://backup.example; ls", found={"anonymous-in-clear"},
    ),
    _case(
        "another port",
        "lftp", "-c", f"set ssl:verify-certificate no; open -p 2121 -u me,{PASSWORD} backup.example; ls",
        found={"no-verification", "tls-not-required", "secret-exposed-locally"}, port=2121,
    ),
    _case(
        "implicit, pinned",
        "lftp", "-c", f"{PINNED}; open --env-password -u me ftps://backup.example; ls",
        found=set(), env={"LFTP_PASSWORD": PASSWORD}, port=990,
    ),
    _case(
        "an address",
        "lftp", "-c", f"set ssl:verify-certificate no; open -u me,{PASSWORD} 192.0.2.9; ls",
        found={"no-verification", "tls-not-required", "secret-exposed-locally"}, host="192.0.2.9",
    ),
    _case(
        "a password with quotes, blanks and letters beyond ASCII",
        "./job.sh", found={"no-verification", "tls-not-required"},
        script='export LFTP_PASSWORD="$(cat ~/.pw)"\n'
        "lftp -e 'set ssl:verify-certificate no; open -u me --env-password backup.example; ls; bye'\n",
        files={"home/.pw": "ä b\"c'd\\e#f@g"},
    ),
    _case(
        "thirty calls",
        "./job.sh", found={"tls-not-required"},
        script="i=0\nwhile [ $i -lt 30 ]; do lftp -c 'open -u me --env-password backup.example; ls'; i=$((i+1));"
        "done\n",
        env={"LFTP_PASSWORD": PASSWORD}, only=frozenset({"refuse-auth-502"}),
    ),
    _case(
        "in the background, ignoring signals",
        "./job.sh", found={"tls-not-required"},
        script="trap '' TERM INT HUP\n(setsid lftp -c 'open -u me --env-password backup.example; ls' &)\n",
        env={"LFTP_PASSWORD": PASSWORD},
    ),
    _case(
        "a script that everyone can write to",
        "lftp", "-f", "job.lftp", found={"rc-permissions"}, env={"LFTP_PASSWORD": PASSWORD},
        files={"work/job.lftp": f"{PINNED}\nopen -u me --env-password backup.example\nls\n"},
        modes={"work/job.lftp": 0o666},
    ),
    _case(
        "a relative pin",
        "./job.sh", found={"pin-depends-on-folder"}, env={"LFTP_PASSWORD": PASSWORD},
        script="lftp -c 'set ssl:ca-file own.crt; set ftp:ssl-force yes; open -u me --env-password backup.example; ls'",
        files={"work/own.crt": PIN},
    ),
    _case(
        "a relative pin behind cd",
        "./job.sh", found=set(), env={"LFTP_PASSWORD": PASSWORD},
        script="cd $(dirname $0); lftp -c 'set ssl:ca-file own.crt; set ftp:ssl-force yes; "
        "open -u me --env-password backup.example; ls'", files={"work/own.crt": PIN},
    ),
    _case(
        "a password in a URL, percent-encoded",
        "lftp", "-c", f"{PINNED}; open ftp://me:p%40ss%23w0rd-x@backup.example; ls", found={"secret-exposed-locally"},
    ),
    _case(
        "a second host, after the first",
        "./job.sh", found={"leads-elsewhere"}, env={"LFTP_PASSWORD": PASSWORD},
        script=f"lftp -c '{PINNED}; open -u me --env-password backup.example; ls' || exit\n"
        "lftp -c 'set ssl:verify-certificate no; open -u me --env-password second.example; ls'\n",
    ),
    _case(
        "an insecure call after a secure one",
        "./job.sh", found={"no-verification", "tls-not-required"}, env={"LFTP_PASSWORD": PASSWORD}, only=LATER,
        script=f"set -e\nlftp -c '{PINNED}; open -u me --env-password backup.example; ls'\n"
        "lftp -c 'set ssl:verify-certificate no; open -u me --env-password backup.example; ls'\n",
    ),
    _case(
        "the fourth call is insecure",
        "./job.sh", found={"no-verification"}, env={"LFTP_PASSWORD": PASSWORD}, only=LATER,
        script=f'one() {{ lftp -c "{ESCAPED}; $1 open -u me --env-password backup.example; ls"; }}\n'
        "one && one && one && one 'set ssl:verify-certificate no;' && one\n",
    ),
    _case(
        "secure calls, one after the other",
        "./job.sh", found=set(), env={"LFTP_PASSWORD": PASSWORD}, only=LATER,
        script=f"set -e\nfor i in 1 2 3; do lftp -c '{PINNED}; open -u me --env-password backup.example; ls'; done\n",
    ),
    _case(
        "a mirror with several connections",
        "lftp", "-c", f"{PINNED}; open -u me --env-password backup.example; mirror -P 3 /in got",
        found=set(), env={"LFTP_PASSWORD": PASSWORD}, only=LATER,
    ),
    _case(
        "names unchecked after a secure call, public authority",
        "./job.sh", found={"wrong-name-accepted"}, env={"LFTP_PASSWORD": PASSWORD}, only=LATER,
        script="set -e\nlftp -c 'set ftp:ssl-force 1; open -u me --env-password backup.example; ls'\n"
        "lftp -c 'set ftp:ssl-force 1; set ssl:check-hostname no; open -u me --env-password backup.example; ls'\n",
    ),
    _case(
        "curl, verification off",
        "./job.sh", found={"no-verification"}, env={"LFTP_PASSWORD": PASSWORD},
        script="curl -s -k --ssl-reqd -u me:$LFTP_PASSWORD ftp://backup.example/",
    ),
    _case(
        "curl, pinned",
        "./job.sh", found=set(), env={"LFTP_PASSWORD": PASSWORD},
        script="curl -s --cacert ~/.lftp/server.crt --ssl-reqd -u me:$LFTP_PASSWORD ftp://backup.example/",
    ),
    _case(
        "only the first call",
        "./job.sh", found={"no-verification", "tls-not-required"}, env={"LFTP_PASSWORD": PASSWORD},
        script="for done in ~ /tmp /var/tmp /dev/shm .; do test -e $done/once && exit; touch $done/once; done\n"
        "lftp -c 'set ssl:verify-certificate no; open -u me --env-password backup.example; ls'\n",
    ),
    _case(
        "a password outside of HOME",
        "./job.sh", found={"nothing-proved"},
        script="export LFTP_PASSWORD=$(cat /srv/none)\n"
        f"lftp -c '{PINNED}; open -u me --env-password backup.example; ls'",
    ),
]  # fmt: skip


@pytest.fixture
def home(server_certificate: Certificate) -> Iterator[Path]:
    """A HOME that other users can read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "home")
        (folder / ".lftp").mkdir(parents=True, mode=0o700)
        (folder / ".lftp/server.crt").write_bytes(server_certificate.pem)
        (folder.parent / "work").mkdir()
        folder.parent.chmod(0o755)
        yield folder


def write_files(home: Path, case: Case) -> None:
    for name, text in case.files.items():
        path = home.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((home / ".lftp/server.crt").read_text() if text is PIN else text)
        path.chmod(case.modes.get(name, 0o600 if name.startswith("home/") else 0o644))
    if case.script:
        path = home.parent / "work/job.sh"
        path.write_text(f"#!/bin/sh\n{case.script}")
        path.chmod(0o755)


@pytest.mark.parametrize(
    "case", [pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.name in LONG else []) for each in CASES]
)
def test_command_has_exactly_these_findings(
    case: Case, home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "curl" in case.script and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    write_files(home, case)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    before = state(home.parent)
    subject = program.load(case.argv, home.parent / "work", home)
    report = verify(subject, client, places, Options(only=case.only, timeout=20))
    told = "\n".join(f"{each.severity} {each.id}: {each.title}" for each in report.findings)
    told += "\n".join((*report.broken, *(f"{each.trial.name} {each.verdict} {each.words}" for each in report.tried)))
    assert {each.id for each in report.findings if each.severity != "note"} == case.found, told
    assert report.broken == ()
    assert (report.login.host, report.login.port) == (case.host, case.port)
    assert state(home.parent) == before


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ('lftp -u "me,$PW" -e "ls; bye" backup.example', True),
        ('lftp -c "open --user me --password $PW backup.example; ls"', True),
        ('lftp -e "ls; bye" "ftp://me:$PW@backup.example"', True),
        ('LFTP_PASSWORD=$PW lftp -e "open --env-password -u me backup.example; ls; bye"', False),
        ('echo "open -u me,$PW backup.example; ls" | lftp', False),
    ],
)
def test_password_in_the_arguments_of_a_child_process_is_an_error(
    call: str, found: bool, home: Path, places: SealedPlaces, client: Lftp
) -> None:
    """Every user of the machine sees lftp's arguments while it runs, whatever the script's own arguments are."""
    (home / ".lftp/rc").write_text(PINNED)
    write_files(
        home,
        _case("", "./job.sh", found=set(), script=f". ~/.secret\n{call}\n", files={"home/.secret": f"PW={PASSWORD}"}),
    )
    report = verify(program.load(("./job.sh",), home.parent / "work", home), client, places, Options(only=QUICK))
    where = [each.where for each in report.findings if each.id == "secret-exposed-locally"]
    assert (report.safe, len(where)) == (not found, int(found))
    assert not found or (where[0] is not None and where[0].line == 3 and PASSWORD not in where[0].text)


def test_login_left_untried_when_time_runs_out_is_not_safe(
    home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LFTP_PASSWORD", PASSWORD)
    script = f"set -e\nfor i in 1 2 3 4; do lftp -c '{PINNED}; open -u me --env-password backup.example; ls'; done\n"
    write_files(home, _case("", "./job.sh", found=set(), script=script))
    subject = program.load(("./job.sh",), home.parent / "work", home)
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=itertools.count(0, 15).__next__))
    report = verify(subject, client, places, Options(only=frozenset({"later-impostor"}), timeout=20))
    [late] = [each for each in report.tried if each.trial.later]
    assert (len(late.outcomes), late.verdict, report.findings) == (2, "rejected", ())
    assert not report.safe
    assert "logs in 4 times, but time ran out before login 4 and those after it" in report.broken[0]


def test_missing_later_login_is_not_safe(
    home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LFTP_PASSWORD", PASSWORD)
    call = f"lftp -c '{PINNED}; open -u me --env-password backup.example; ls'"
    write_files(home, _case("", "./job.sh", found=set(), script=f'{call} && test -z "$AWAY" && {call}\n'))
    subject = program.load(("./job.sh",), home.parent / "work", home)
    only = frozenset({"later-impostor", "later-refuse-auth"})
    with begin(subject, client, places, Options(only=only, timeout=20)) as verification:
        monkeypatch.setenv("AWAY", "1")
        report = verification.report([verification.play(trial) for trial in verification.trials])
    assert not report.safe
    assert [why.partition(": ")[0] for why in report.broken] == ["later-impostor", "later-refuse-auth"]
    assert all("connected fewer times in this run" in why for why in report.broken)


def test_trial_without_a_connection_is_not_safe(
    home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that connects only to the genuine server has not withstood an attack."""
    monkeypatch.setenv("LFTP_PASSWORD", PASSWORD)
    script = "test -n \"$AWAY\" || lftp -c 'open -u me --env-password backup.example; ls'\n"
    write_files(home, _case("", "./job.sh", found=set(), script=script))
    subject = program.load(("./job.sh",), home.parent / "work", home)
    with begin(subject, client, places, Options(only=QUICK, timeout=20)) as verification:
        monkeypatch.setenv("AWAY", "1")
        report = verification.report([verification.play(trial) for trial in verification.trials])
    assert not report.safe
    assert all("the command did not connect" in why for why in report.broken)
    assert len(report.broken) == len(QUICK)


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_file_is_an_lftp_script_if_it_connects_and_otherwise_an_rc(
    home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's name does not matter; a script runs with `lftp -f`."""
    monkeypatch.chdir(home.parent / "work")
    path = home.parent / "work/job.lftp"
    path.write_text(f"{PINNED}\nopen -u me,{PASSWORD} backup.example\nget x\n")
    path.chmod(0o600)
    report = verify(load(str(path), home), client, places, Options(only=QUICK))
    assert (report.safe, report.subject.argv[1:]) == (True, ("-f", str(path)))
    path.write_text(PINNED + "\n")
    report = verify(load(str(path), home), client, places, Options(only=QUICK))
    assert (report.safe, report.subject.argv) == (True, ())


def test_command_that_never_connects_is_a_usage_error(home: Path, places: SealedPlaces, client: Lftp) -> None:
    subject = program.load(("true",), home.parent / "work", home)
    with pytest.raises(UsageError, match="did not connect to any server"):
        verify(subject, client, places, Options(only=QUICK))


@pytest.mark.long
def test_hanging_command_is_killed(home: Path, places: SealedPlaces, client: Lftp) -> None:
    """The trial counts as broken, so the report is not safe."""
    case = _case(
        "", "./job.sh", found=set(), script=f"lftp -c '{PINNED}; open -u a,bcdefgh backup.example; ls'\nsleep 600\n"
    )
    write_files(home, case)
    began = time.monotonic()
    report = verify(
        program.load(case.argv, home.parent / "work", home),
        client,
        places,
        Options(only=frozenset({"impostor-copy"}), timeout=1),
    )
    assert not report.safe
    assert any("hung" in why for why in report.broken)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["no-such-program-anywhere"], "no such program on PATH"),
        (["./none.sh"], "./none.sh: no such file"),
        (["./plain.txt"], "not executable"),
    ],
)
def test_command_that_cannot_run_exits_2_with_the_reason(
    argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert cli.call(["verify", "--", *argv]) == 2
    assert said in capsys.readouterr().err


def test_paths_together_with_a_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["verify", "rc", "--", "lftp"]) == 2
    assert "give paths, or -- and a command" in capsys.readouterr().err


def test_shell_script_given_as_a_path_exits_2_with_the_right_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "job"
    script.write_text("#!/bin/sh\nlftp\n")
    assert cli.call(["verify", os.fspath(script)]) == 2
    assert f"write `ftps-lab verify -- {script}`" in capsys.readouterr().err
