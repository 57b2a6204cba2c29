"""The classroom's exercises: real lftp with a learner's HOME, against the attacks of each exercise.

Each exercise is solved in one way, and stays unsolved in the ways that learners try: nothing, half of it, the wrong
cure, a stranger's certificate.
"""

from __future__ import annotations

import io
import re
import tarfile
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.home import Home
from ftps_harness.teach.classroom.exercises import EXERCISES, Material, Trial, Wanted
from ftps_harness.teach.classroom.judge import MOST_BYTES, Finding, finding, judge, unpack
from ftps_harness.teach.classroom.server import lines_of, verdict
from ftps_harness.verdict.observations import Outcome
from ftps_lab.certificates import issue, twins
from ftps_lab.classroom.hosts import HOSTS, LEAF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_lab.certificates import Certificate

USER = "anna"
PASSWORD = "amber-otter-27"

BAD_CURE = "set ssl:verify-certificate no\n"
PIN = 'set ssl:ca-file "~/.lftp/mycert.crt"\n'

SEEN = {("example", "left before the login"), ("intercepted", "password captured")}


@cache
def material(host: str) -> Material:
    """A host after a rotation, with its interceptor."""
    before, now = (issue(HOSTS[host].specs)[LEAF] for _ in range(2))
    return Material(now, before, twins({LEAF: now})[LEAF])


def packed(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packing:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            packing.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def home(rc: str | None = None, pin: bytes = b"") -> bytes:
    files = {".lftprc": b"set dns:max-retries 1\n", ".lftp/mycert.crt": pin}
    return packed(files | ({".lftp/rc": rc.encode()} if rc is not None else {}))


def judge_exercise(
    number: int, archive: bytes, client: Lftp, *, seen: set[tuple[str, str]] | None = None
) -> list[Finding]:
    exercise = EXERCISES[number]
    return judge(
        exercise,
        material(exercise.host),
        home=archive,
        user=USER,
        password=PASSWORD,
        seen=SEEN if seen is None else seen,
        client=client,
    )


def pem(number: int, which: str = "now") -> bytes:
    certificate: Certificate = getattr(material(EXERCISES[number].host), which)
    return certificate.pem


SOLVED: Mapping[int, Callable[[], bytes]] = {
    1: home,
    2: home,
    3: lambda: home(PIN, pem(3)),
    4: lambda: home(PIN, pem(4)),
    5: lambda: home(f"{PIN}set ssl:check-hostname/mismatched.example.com no\n", pem(5)),
    6: lambda: home(PIN, pem(6)),
    7: lambda: home(PIN, pem(7)),
    8: lambda: home(f"{PIN}set ftp:ssl-force yes\n", pem(8)),
}

UNSOLVED: Mapping[str, Callable[[], tuple[int, bytes]]] = {
    "1 bad cure": lambda: (1, home(BAD_CURE)),
    "2 bad cure still there": lambda: (2, home(BAD_CURE)),
    "3 nothing": lambda: (3, home()),
    "3 bad cure": lambda: (3, home(BAD_CURE)),
    "3 bad cure beside the pin": lambda: (3, home(PIN + BAD_CURE, pem(3))),
    "3 a relative path": lambda: (3, home('set ssl:ca-file "mycert.crt"\n', pem(3))),
    "3 another server's certificate": lambda: (3, home(PIN, pem(4))),
    "4 nothing": lambda: (4, home()),
    "4 the interceptor's certificate": lambda: (4, home(PIN, pem(4, "attacker"))),
    "4 both certificates": lambda: (4, home(PIN, pem(4) + pem(4, "attacker"))),
    "4 bad cure": lambda: (4, home(BAD_CURE)),
    "5 pin alone": lambda: (5, home(PIN, pem(5))),
    "5 no name is checked": lambda: (5, home(f"{PIN}set ssl:check-hostname no\n", pem(5))),
    "5 bad cure": lambda: (5, home(BAD_CURE)),
    "6 nothing": lambda: (6, home()),
    "6 bad cure": lambda: (6, home(BAD_CURE)),
    "6 bad cure for this host": lambda: (6, home(f"{PIN}set ssl:verify-certificate/expired.example.com no\n", pem(6))),
    "7 the former certificate": lambda: (7, home(PIN, pem(7, "before"))),
    "7 both certificates": lambda: (7, home(PIN, pem(7) + pem(7, "before"))),
    "8 pin alone": lambda: (8, home(PIN, pem(8))),
    "8 force without a pin": lambda: (8, home("set ftp:ssl-force yes\n")),
    "8 force and bad cure": lambda: (8, home(f"{BAD_CURE}set ftp:ssl-force yes\n")),
}


@pytest.mark.lftp
@pytest.mark.parametrize("number", sorted(EXERCISES))
def test_right_solution_is_solved(number: int, client: Lftp) -> None:
    findings = judge_exercise(number, SOLVED[number](), client)
    assert verdict(findings) == "yes", lines_of(findings)


@pytest.mark.lftp
@pytest.mark.parametrize("what", sorted(UNSOLVED))
def test_missing_or_wrong_solution_is_not_solved_and_has_hints(what: str, client: Lftp) -> None:
    number, archive = UNSOLVED[what]()
    findings = judge_exercise(number, archive, client)
    assert verdict(findings) == "no", lines_of(findings)
    assert all(finding.hint for finding in findings if finding.holds == "no")


@pytest.mark.lftp
@pytest.mark.parametrize("number", [1, 2])
def test_exercise_that_the_learner_never_tried_is_not_solved(number: int, client: Lftp) -> None:
    """An untouched HOME is safe, but proves nothing about its learner."""
    findings = judge_exercise(number, SOLVED[number](), client, seen={("vsftpd", "left before the login")})
    assert verdict(findings) == "no"
    assert [finding.holds for finding in findings] == ["no", "yes", "yes"]


@pytest.mark.lftp
def test_rotation_exercise_is_not_judged_before_a_rotation(client: Lftp) -> None:
    exercise = EXERCISES[7]
    alone = Material(material("rotated").now)
    archive = SOLVED[7]()
    findings = judge(exercise, alone, home=archive, user=USER, password=PASSWORD, seen=SEEN, client=client)
    assert verdict(findings) == "unknown"
    assert [finding.hint for finding in findings if finding.holds == "unknown"] == [exercise.missing]


@pytest.mark.lftp
@pytest.mark.parametrize("rc", ["alias ls echo\n", "!kill -9 $PPID\n"])
def test_setup_that_never_logs_in_is_not_solved(rc: str, client: Lftp) -> None:
    for number in (3, 8):
        findings = judge_exercise(number, home(PIN + "set ftp:ssl-force yes\n" + rc, pem(number)), client)
        assert verdict(findings) != "yes", lines_of(findings)


@pytest.mark.lftp
def test_programs_in_the_learners_home_are_never_run(
    client: Lftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH, functions and aliases of the learner's shell are not sent; files are, but none is started."""
    ran = tmp_path / "ran"
    fake = f"#!/bin/sh\ntouch {ran}\n".encode()
    archive = packed({"bin/lftp": fake, ".bashrc": b"lftp() { true; }\n", ".profile": b"PATH=~/bin\n", "lftp": fake})
    findings = judge_exercise(3, archive, client)
    assert verdict(findings) == "no"
    assert not ran.exists()


@pytest.mark.lftp
def test_pin_with_an_absolute_path_is_found(client: Lftp, tmp_path: Path) -> None:
    archive = home(f'set ssl:ca-file "{tmp_path}/{USER}/.lftp/mycert.crt"\n', pem(3))
    findings = judge(
        EXERCISES[3],
        material("example"),
        home=archive,
        user=USER,
        password=PASSWORD,
        seen=SEEN,
        client=client,
        homes=tmp_path,
    )
    assert verdict(findings) == "yes", lines_of(findings)
    assert list(tmp_path.iterdir()) == []


def archived(member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packing:
        member.size = len(data)
        packing.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _special(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("rc")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (b"", "cannot be read"),
        (b"no archive", "cannot be read"),
        (home(PIN)[:60], "cannot be read"),
        (archived(tarfile.TarInfo("../rc"), b"x"), "is outside of it"),
        (archived(tarfile.TarInfo("/etc/lftp.conf"), b"x"), "is outside of it"),
        (archived(tarfile.TarInfo("big"), bytes(MOST_BYTES + 1)), "more than 400 files or 4 MiB"),
        (packed({f"file-{number}": b"" for number in range(401)}), "more than 400 files or 4 MiB"),
    ],
    ids=["empty", "text", "truncated", "parent folder", "absolute path", "too large", "too many files"],
)
def test_bad_archive_of_a_home_is_an_error(archive: bytes, sentence: str, tmp_path: Path) -> None:
    with Home(tmp_path) as here, pytest.raises(HarnessError, match=sentence):
        unpack(archive, here)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_left_out(kind: bytes, tmp_path: Path) -> None:
    with Home(tmp_path) as here:
        unpack(archived(_special(kind)), here)
        assert [path.name for path in here.home.iterdir()] == [".lftp"]


# From findings to the text for a learner.


@pytest.mark.parametrize(
    ("holds", "ends"),
    [
        (["yes", "yes"], "yes"),
        (["yes", "no"], "no"),
        (["unknown", "no"], "no"),
        (["yes", "unknown"], "unknown"),
        ([], "unknown"),
    ],
)
def test_exercise_is_solved_only_if_every_finding_holds(holds: list[str], ends: str) -> None:
    assert verdict([Finding(each, "") for each in holds]) == ends  # type: ignore[arg-type]  # words of `holds`


@pytest.mark.parametrize("outcome", ["inconclusive", "hung", "crashed", "failed", "login-failed", "unreachable"])
def test_unclear_outcome_is_not_judged(outcome: str) -> None:
    """A dead server, a hanging lftp or a contradiction does not count as a refusal."""
    wants: tuple[Wanted, ...] = ("accepted", "rejected")
    for wanted in wants:
        trial = Trial(title="t", server=lambda _: None, wanted=wanted, hint="h")
        attempt = SimpleNamespace(outcome=Outcome(outcome), said="")  # type: ignore[arg-type]  # all that it looks at
        assert finding(trial, attempt).holds == "unknown"  # type: ignore[arg-type]


def test_no_hint_names_a_setting() -> None:
    hints = [trial.hint for exercise in EXERCISES.values() for trial in exercise.trials]
    hints += [hint for exercise in EXERCISES.values() for _, _, hint in exercise.seen]
    assert [hint for hint in hints if re.search(r"ssl-|ca-file|verify-|check-hostname|\bset \b", hint)] == []


def test_hints_fit_120_columns() -> None:
    lines = lines_of([Finding("no", trial.title, trial.hint) for each in EXERCISES.values() for trial in each.trials])
    assert [line for line in lines if len(line) > 120] == []
