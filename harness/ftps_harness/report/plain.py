"""Makes foreign bytes harmless, and formats verdicts and numbers. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.play.runner import StepResult
    from ftps_harness.scenario import Expect
    from ftps_harness.verdict.observations import Outcome


_LONGEST = 4000
"""Characters, or bytes, of a line that a report shows; `--keep` has all of it."""

_COMMANDS = re.compile(
    r"(?P<github>:(?=:(?![\da-fA-F.:]{0,45}(?:[\s()\[\]/,;%]|$))))"  # ::error::, but not an IPv6 address
    r"|#(?=#\w{0,45}\[)"  # ##[error], ##vso[…], ##teamcity[…]: Azure's and TeamCity's
)
"""The start of a command to a CI runner that prints it, even after spaces."""


def harmless(data: bytes | str) -> str:
    """Make text safe for a terminal, a log or an XML file: unprintable characters are escaped.

    A server may send anything, and lftp passes on much of it: escape sequences, right-to-left marks, bytes that are not
    text, commands that a CI runner obeys. Line feeds stay; tabs become spaces.
    """
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    text = _without_commands(text)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text)


def lines_of(data: bytes | str) -> tuple[str, ...]:
    """Split into harmless lines, at line feeds only; a final line feed adds no empty line. Very long lines are cut."""
    if isinstance(data, bytes):
        body = data.removesuffix(b"\n")
        return tuple(_line(line) for line in body.split(b"\n")) if body else ()
    text = data.removesuffix("\n")
    return tuple(_line(line) for line in text.split("\n")) if text else ()


def _line(line: bytes | str) -> str:
    """A harmless line: wrapping one of megabytes would take minutes."""
    left_out = len(line) - _LONGEST
    return harmless(line) if left_out <= 0 else f"{harmless(line[:_LONGEST])} ({left_out} more)"


def cells(text: str) -> int:
    """The text's width in terminal columns: East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(letter) for letter in text)


_PATH = re.compile(r"[^\w/]*(?:\w+=)?(?:~\w*/|\.{0,2}/)|[^/]+/.*\.\w+\W*$")
"""Words that look like a file name: absolute, below a home or this folder, or relative with a suffix."""


def wrapped(text: str, width: int) -> list[str]:
    """Wrap text at spaces to at most `width` columns; words wider than a line are broken, but paths never are.

    A path stays whole so that a reader can copy it, even if its line is then wider than `width`.
    """
    lines = [""]
    for word in (part for blank in text.split() for part in _pieces(blank, width)):
        longer = f"{lines[-1]} {word}".lstrip()
        if cells(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


def padded(text: str, width: int) -> str:
    """The text, padded with spaces to `width` columns."""
    return text + " " * (width - cells(text))


def verdict_words(
    verdict: str, reasons: Iterable[str] | None, exposed: Iterable[str] | None, to: Iterable[str] | None
) -> str:
    """A verdict in a few words: ``rejected: untrusted``, ``exposed: password to wire``."""
    if verdict == "rejected" and reasons:
        return f"rejected: {_listed(reasons)}"
    if verdict == "exposed" and (exposed or to):
        what = f"exposed: {_listed(exposed)}" if exposed else "exposed"
        return f"{what} to {_listed(to)}" if to else what
    return verdict


def outcome_words(outcome: Outcome) -> str:
    """What happened, in a few words."""
    return verdict_words(outcome.verdict, outcome.reasons, outcome.exposed, outcome.to)


def expectation_words(expect: Expect) -> str:
    """What was expected, in a few words."""
    words = verdict_words(expect.verdict, expect.reasons, expect.exposed, expect.to)
    words += "".join(f", {each}" for each in tls_words(expect.tls, expect.cipher, expect.server_name))
    if expect.how_often == "sometimes":
        return f"{words} sometimes, else {' or '.join(expect.otherwise)}"
    return words


def tls_words(
    tls: Iterable[str] | None, cipher: Iterable[str] | None, server_name: Iterable[str] | None
) -> Iterator[str]:
    """What the finished handshakes should have: ``TLS 1.3``, ``cipher X``, ``SNI ftp.example``."""
    for label, values in (("TLS", tls), ("cipher", cipher), ("SNI", server_name)):
        if values is not None:
            yield f"{label} {' and '.join(sorted(value or 'not sent' for value in values))}"


def counts_words(counts: dict[str, int]) -> str:
    """The verdicts of several runs of one step: ``exposed 7×, rejected 3×``."""
    return ", ".join(f"{verdict} {count}×" for verdict, count in counts.items())


def whys(step: StepResult) -> tuple[str, ...]:
    """Every deviation from the expectation, as a harmless sentence."""
    return tuple(map(harmless, step.why))


def plural(number: int, what: str) -> str:
    """``1 server``, ``2 servers``: for words with a regular plural."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _without_commands(text: str) -> str:
    last = text.rfind("::")

    def escaped(found: re.Match[str]) -> str:
        # GitHub's ends in `::`, perhaps in other text of the same line. Lines may be broken anywhere, so it is
        # enough that one could begin here.
        first = found.start() == 0 or text[found.start() - 1].isspace()
        begins = not found["github"] or first or last >= found.end() + 1
        return f"\\x{ord(found[0]):02x}" if begins else found[0]

    return _COMMANDS.sub(escaped, text)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _escaped(letter: str) -> str:
    if letter == "\t":
        return "    "
    # The escapes that Python knows: \r, \x1b, \u202e.
    return letter.encode("unicode_escape").decode("ascii")


def _cells_of(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _pieces(word: str, width: int) -> Iterator[str]:
    while cells(word) > width and not _PATH.match(word):
        cut = next(index for index in range(len(word), 0, -1) if cells(word[:index]) <= width)
        yield word[:cut]
        word = word[cut:]
    yield word
