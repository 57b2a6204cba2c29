"""Plays one exercise against a copy of a learner's HOME: real lftp, the lab's servers, the lab's verdict.

It decides by the outcome on which client, server and wire agree (`ftps_harness.verdict`), never by the rc's content.
If they contradict each other, or the verdict is not "accepted", "rejected" or "exposed", the trial is not judged and
never passes.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from ftps_harness.client import lftp
from ftps_harness.errors import HarnessError
from ftps_harness.play.attempt import Request
from ftps_harness.play.session import Session
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.classroom.hosts import HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.sandbox.home import Home
    from ftps_harness.teach.classroom.exercises import Exercise, Material, Trial
    from ftps_harness.verdict.observations import Outcome

MOST_BYTES = 1 << 22
"""Maximum size of an unpacked HOME in bytes; an rc and some certificates take a few kilobytes."""

_MOST_FILES = 400
_EXPOSED = {"password": "password", "payload": "files"}
_RUN = ("list", "get", "put")
_TRIAL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one trial of an exercise, or of one check of the events that the hosts saw.

    Attributes:
        holds: ``yes``, ``no``, or ``unknown`` if not judged.
        text: What was tried, and how it ended.
        hint: Where to look; empty if it holds.
    """

    holds: Literal["yes", "no", "unknown"]
    text: str
    hint: str = ""


def judge(
    exercise: Exercise,
    material: Material,
    *,
    home: bytes,
    user: str,
    password: str,
    seen: Collection[tuple[str, str]],
    client: Lftp | None = None,
    homes: Path | None = None,
) -> list[Finding]:
    """Return all findings of an exercise.

    Args:
        exercise: The exercise to judge.
        material: The certificates of its host.
        home: The learner's HOME, as a tar archive.
        user: The learner.
        password: The learner's own password on the hosts.
        seen: The events that the hosts saw from this learner: host and event.
        client: The lftp to run; None for this machine's own. It is never one from HOME.
        homes: The folder in which HOME also appears under the learner's name, for an rc with absolute paths.

    Raises:
        HarnessError: HOME cannot be unpacked, or lftp is missing.
        LabError: A server failed.
    """
    findings = [
        Finding("yes" if (host, what) in seen else "no", f"the host {host} has seen: {what}", hint)
        for host, what, hint in exercise.seen
    ]
    client = client or lftp.identify(lftp.find(None))
    secrets = replace(Secrets.new(), user=user, password=password)
    with Session(client=client, secrets=secrets, users=(user,)) as session:
        unpack(home, session.home)
        findings += [_tried(session, exercise, trial, material, homes) for trial in exercise.trials]
    return findings


def _tried(session: Session, exercise: Exercise, trial: Trial, material: Material, homes: Path | None) -> Finding:
    spec = trial.server(material)
    if spec is None:
        return Finding("unknown", f"{trial.title}: not there yet", exercise.missing)
    host = trial.host or HOSTS[exercise.host].address
    session.serve(spec, host=host)
    home = session.copy_of_home()  # one trial's files must not affect the next
    asked = Request(rc=_rc(home), host=host, run=_RUN, cwd=trial.cwd, timeout=_TRIAL_SECONDS)
    with _linked(homes and homes / session.secrets.user, home.home):
        return finding(trial, session.attempt(asked, home=home))


def _rc(home: Home) -> str | None:
    """The rc for the witnesses, which must know lftp's commands: they distrust a command that hides output."""
    path = home.dot_lftp / "rc"
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else None


@contextlib.contextmanager
def _linked(link: Path | None, home: Path) -> Iterator[None]:
    """Make HOME available under its path in the learner's shell."""
    if link is None:
        yield
        return
    try:
        link.symlink_to(home)
    except OSError as error:
        raise HarnessError(f"cannot show HOME as {link}: {error.strerror}; compose.yaml has a folder for it") from error
    try:
        yield
    finally:
        link.unlink()


def unpack(archive: bytes, home: Home) -> None:
    """Unpack the regular files and folders of a HOME; skip everything else in the archive.

    Raises:
        HarnessError: It is not an archive, is too large, or contains a path outside HOME.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as packed:
            left, count = MOST_BYTES, 0
            for member in packed:
                left, count = left - member.size, count + 1
                if left < 0 or count > _MOST_FILES:
                    raise HarnessError(
                        f"your HOME holds more than {_MOST_FILES} files or {MOST_BYTES >> 20} MiB: remove downloads"
                    )
                _put(packed, member, home)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise HarnessError(f"your HOME cannot be read: {error}") from error


def _put(packed: tarfile.TarFile, member: tarfile.TarInfo, home: Home) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise HarnessError(f"your HOME cannot be read: {member.name!r} is outside of it")
    target = home.home / name
    if member.isdir():
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif member.isfile() and (file := packed.extractfile(member)) is not None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(file.read())
        target.chmod(member.mode & 0o700 | 0o400)


def finding(trial: Trial, attempt: Attempt) -> Finding:
    """Turn a trial's outcome into a finding."""
    outcome = attempt.outcome
    right = outcome.verdict == trial.wanted and (not trial.reason or outcome.reasons == {trial.reason})
    if right:
        return Finding("yes", f"{trial.title}: {_words(outcome)}")
    if outcome.verdict in {"accepted", "rejected"} or (outcome.verdict == "exposed" and not outcome.doubtful):
        return Finding("no", f"{trial.title}: {_words(outcome)}", trial.hint)
    said = attempt.said.strip().splitlines()
    why = outcome.contradictions[0] if outcome.contradictions else said[-1] if said else "lftp printed nothing"
    return Finding("unknown", f"{trial.title}: {outcome.verdict} ({printable(why)})")


def printable(text: str) -> str:
    """Make foreign text safe for a learner's terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]


def _words(outcome: Outcome) -> str:
    if outcome.verdict == "exposed":
        whom = {"impostor": "it", "wire": "everyone on the path"}
        got = " and ".join(word for what, word in _EXPOSED.items() if what in outcome.exposed)
        return f"{' and '.join(word for each, word in whom.items() if each in outcome.to)} got your {got}"
    if outcome.verdict == "accepted":
        return "your lftp lists, gets and puts"
    return f"your lftp refuses it ({', '.join(sorted(outcome.reasons))})"
