"""Problems of a scenario file, as data: where (file and key), what, and the fix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ftps_harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A TOML key that needs no quotes."""


class Problem(NamedTuple):
    """One problem of a scenario file.

    Attributes:
        key: Such as ``step[2].expect.reason``; empty if it concerns the whole file. Steps count from 1.
        sentence: The problem and its fix.
    """

    key: str
    sentence: str


class ScenarioError(UsageError):
    """A scenario file cannot be used; every problem found in it, in the order of the file.

    `str()` gives one line ``FILE: KEY: sentence`` for each problem.

    Attributes:
        file: The file's name as the user gave it.
        problems: All problems; at least one.
        key: The first problem's key.
        sentence: The first problem's sentence.
    """

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        self.key, self.sentence = self.problems[0]
        super().__init__("\n".join(": ".join(filter(None, (file, *problem))) for problem in self.problems))


def toml_key(*parts: str) -> str:
    """Join parts to a dotted key, with quotes where TOML needs them: ``step[1].expect."4.8"``.

    The first part is a key already and is not changed.
    """
    first, *rest = parts
    quoted = [part if BARE_KEY.fullmatch(part) else shown(part) for part in rest]
    return ".".join(filter(None, (first, *quoted)))


def shown(value: object) -> str:
    """A value as TOML, shortened to one line of reasonable length."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04X}" for letter in text)
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:56] + " …" + text[-1]


def listed(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas; ``none`` if there are none."""
    return ", ".join(shown(name) for name in names) or "none"


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """The most similar name as a half-sentence with a leading blank, or an empty string."""
    # Imported here: only a file with a mistake needs it.
    import difflib

    nearest = difflib.get_close_matches(str(word), list(names), n=1, cutoff=0.6)
    return f" Did you mean {shown(nearest[0])}?" if nearest else ""


def dangling(name: str, certificates: Iterable[str]) -> str:
    """The sentence for a name without a [certificates.*] table."""
    known = sorted(certificates)
    add = f"add [certificates.{name}] or " if BARE_KEY.fullmatch(name) else ""
    return (
        f"no certificate is named {shown(name)}.{did_you_mean(name, known)} "
        f"Named in this file: {listed(known)}; {add}use one of them"
    )
