"""The class: a name and passwords for each learner, the same on every host. Pure except for the roster's file.

The hosts, the class's shells and the checker start in any order. The first one writes the roster, and all read it.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_lab.classroom.hosts import PASSWORD, USER
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VARIABLE: Final = "FTPS_LAB_LEARNERS"
"""The variable with the number of learners, or with their names (compose.yaml)."""

USUAL: Final = 30
MOST: Final = 99

_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
_TAKEN = frozenset({USER, "root", "lab", "sshd", "nobody", "anonymous", "ftp", "daemon", "bin", "sys", "mail", "games"})

_FIRST: Final = "amber azure coral copper golden green indigo ivory lilac maroon olive purple silver teal violet white"
_SECOND: Final = "acorn birch cedar clover falcon heron jaguar lemon maple marten otter pepper plum robin tulip walrus"
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""Letters and digits without those that are easily confused on a slip of paper."""

_ROSTER = "learners.tsv"
_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Learner:
    """One learner.

    Attributes:
        name: The user on all hosts, and in the class's container.
        password: The learner's password on the hosts. The lessons capture it, and the teacher's window shows it.
        door: The password for ssh, a different one because the class can read the first on the projector.
    """

    name: str
    password: str
    door: str


GUEST: Final = Learner(USER, PASSWORD, "")
"""For a learner's own shell (``docker compose run student``). It has no password for ssh."""


def names(text: str) -> tuple[str, ...]:
    """The learners' names: ``learner01`` and so on for a number; ``learner01`` to ``learner30`` for an empty text.

    Args:
        text: A number, or names separated by blanks, commas or newlines.

    Raises:
        LabError: A name is not a valid user name, a name appears twice, or there are too many.
    """
    words = text.replace(",", " ").split() or [str(USUAL)]
    if len(words) == 1 and words[0].isdigit():
        count = int(words[0])
        if not 1 <= count <= MOST:
            raise LabError(f"{VARIABLE}: {count} learners; give a number from 1 to {MOST}, or names")
        return tuple(f"learner{number:02}" for number in range(1, count + 1))
    if len(words) > MOST:
        raise LabError(f"{VARIABLE}: {len(words)} names; give at most {MOST}")
    for word in words:
        if not _NAME.fullmatch(word) or word in _TAKEN:
            raise LabError(
                f"{VARIABLE}: {word!r} cannot be a learner's name; use up to 12 lower-case letters, digits and "
                f"hyphens, beginning with a letter, but not {', '.join(sorted(_TAKEN))}"
            )
        if words.count(word) > 1:
            raise LabError(f"{VARIABLE}: two learners are named {word!r}; give each a different name")
    return tuple(words)


def roster(folder: Path, text: str) -> tuple[Learner, ...]:
    """The class, read from the folder's roster, which is written first if it does not exist.

    Args:
        folder: The folder that only the hosts, the checker and the teacher see.
        text: The names, as `names` takes them.

    Raises:
        LabError: The names are wrong, or the roster cannot be written or read.
    """
    wanted = names(text)
    path = folder / _ROSTER
    try:
        if not path.exists():
            _write(path, [Learner(name, readable_password(), _word(12)) for name in wanted])
        return tuple(Learner(*line.split("\t")) for line in path.read_text("ascii").splitlines())
    except OSError as error:
        raise LabError(
            f"cannot write or read {path}: {error.strerror}; use compose.yaml, which mounts its folder"
        ) from error


def wait_for_roster(folder: Path) -> tuple[Learner, ...]:
    """Wait for the roster that a host writes.

    Raises:
        LabError: No host wrote one in time.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (folder / _ROSTER).exists():
        if time.monotonic() > deadline:
            raise LabError(
                f"{folder} contains no roster, because no host of the classroom has started; run docker compose up"
            )
        time.sleep(0.1)
    return roster(folder, "")


def readable_password() -> str:
    """Two words and a number: easily recognized on a projector, and worth nothing outside."""
    number = secrets.randbelow(90) + 10
    return f"{secrets.choice(_FIRST.split())}-{secrets.choice(_SECOND.split())}-{number}"


def slips(learners: Sequence[Learner]) -> list[str]:
    """The table that the teacher cuts into slips."""
    lines = [f"{'name':<14}{'password on the hosts':<26}password for ssh"]
    return lines + [f"{each.name:<14}{each.password:<26}{each.door}" for each in learners]


def _write(path: Path, learners: Sequence[Learner]) -> None:
    """Write the roster atomically and only once: of two writers, the first wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{_word(8)}")
    lines = [f"{each.name}\t{each.password}\t{each.door}\n" for each in learners]  # a shell reads it too: `class`
    draft.write_text("".join(lines), "ascii")
    draft.chmod(0o640)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _word(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
