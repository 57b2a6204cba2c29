"""Commands and scripts, run as they stand: what they use as credentials, where they go, and what is found."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.errors import UsageError
from ftps_harness.verify import program
from ftps_harness.verify.base import Options
from ftps_harness.verify.subject import load
from ftps_harness.verify.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

QUICK = frozenset({"impostor-copy", "refuse-auth-502"})
PASSWORD = "p4ss-w0rd-of-mine"
PINNED = 'set ssl:ca-file "~/.lftp/server.crt"; set ftp:ssl-force yes'


@dataclass(frozen=True)
class Case:
    """A command, the files beside it, and what must be found."""

    name: str
    argv: tuple[str, ...]
    found: frozenset[str]
    script: str = ""
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    host: str = "backup.example"
    port: int = 21
    only: frozenset[str] = QUICK


def _case(name: str, *argv: str, found: set[str], **more: object) -> Case:
    return Case(name, argv, frozenset(found), **more)  # type: ignore[arg-type]


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
        "output thrown away",
        "./job.sh", found={"no-verification", "tls-not-required"},
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
        "nobody's login",
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
        "in the background, deaf to signals",
        "./job.sh", found={"tls-not-required"},
        script="trap '' TERM INT HUP\n(setsid lftp -c 'open -u me --env-password backup.example; ls' &)\n",
        env={"LFTP_PASSWORD": PASSWORD},
    ),
]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, server_certificate: Certificate) -> Path:
    folder = tmp_path / "home"
    (folder / ".lftp").mkdir(parents=True, mode=0o700)
    (folder / ".lftp/server.crt").write_bytes(server_certificate.pem)
    (tmp_path / "work").mkdir()
    return folder


def written(home: Path, case: Case) -> None:
    for name, text in case.files.items():
        path = home.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600 if name.startswith("home/") else 0o644)
    if case.script:
        path = home.parent / "work/job.sh"
        path.write_text(f"#!/bin/sh\n{case.script}")
        path.chmod(0o755)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_command(case: Case, home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch) -> None:
    written(home, case)
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


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_lftp_script_is_known_by_what_it_does(
    home: Path, places: SealedPlaces, client: Lftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file as `lftp -f` runs it; what only sets things is an rc, whatever it is called."""
    monkeypatch.chdir(home.parent / "work")
    path = home.parent / "work/job.lftp"
    path.write_text(f"{PINNED}\nopen -u me,{PASSWORD} backup.example\nget x\n")
    path.chmod(0o600)
    report = verify(load(str(path), home), client, places, Options(only=QUICK))
    assert (report.safe, report.subject.argv[1:]) == (True, ("-f", str(path)))
    path.write_text(PINNED + "\n")
    report = verify(load(str(path), home), client, places, Options(only=QUICK))
    assert (report.safe, report.subject.argv) == (True, ())


def test_a_command_that_goes_nowhere_is_a_sentence(home: Path, places: SealedPlaces, client: Lftp) -> None:
    subject = program.load(("true",), home.parent / "work", home)
    with pytest.raises(UsageError, match="it connected to nothing"):
        verify(subject, client, places, Options(only=QUICK))


def test_one_that_never_ends_is_ended(home: Path, places: SealedPlaces, client: Lftp) -> None:
    """And then nobody says that it is safe."""
    case = _case(
        "", "./job.sh", found=set(), script=f"lftp -c '{PINNED}; open -u a,bcdefgh backup.example; ls'\nsleep 600\n"
    )
    written(home, case)
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
def test_what_cannot_be_run_is_a_sentence(
    argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert cli.call(["verify", "--", *argv]) == 2
    assert said in capsys.readouterr().err


def test_paths_and_a_command_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["verify", "rc", "--", "lftp"]) == 2
    assert "give paths, or -- and a command" in capsys.readouterr().err


def test_a_script_as_a_path_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "job"
    script.write_text("#!/bin/sh\nlftp\n")
    assert cli.call(["verify", os.fspath(script)]) == 2
    assert f"write `ftps-lab verify -- {script}`" in capsys.readouterr().err
