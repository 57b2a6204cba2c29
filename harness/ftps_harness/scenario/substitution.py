"""Placeholders of rc files, texts of `files` and literal commands; every other brace stays.

``{lftp}``, ``{host}``, ``{port}``, ``{user}``, ``{password}``, ``{sha1:NAME}`` and ``{sha256:NAME}``. Anything else of
this shape (a word in braces) is a mistake, and reported; ``{{word}}`` writes ``{word}`` itself. A shell's ``${word}``
and braces around anything but a word are left alone: lftp's ``{a,b}``, JSON, awk's ``{ print }``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.scenario.problems import dangling, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORDS = ("lftp", "host", "port", "user", "password")
FINGERPRINTS = ("sha1", "sha256")
"""Go before a certificate's name."""

_WORD = r"[A-Za-z][A-Za-z0-9_]*"
_PLACEHOLDER = re.compile(
    rf"\{{(?P<doubled>\{{{_WORD}(?::[^{{}}\n]*)?\}})\}}"
    rf"|(?<!\$)\{{(?P<name>(?:sha1|sha256):(?P<certificate>[^{{}}\n]*)|{_WORD}(?::[^{{}}\s]*)?)\}}"
)


def check(text: str, certificates: Iterable[str]) -> Iterator[str]:
    """What is wrong with the placeholders of a text, a sentence each.

    Args:
        text: An rc, say.
        certificates: The names that the file has.
    """
    known = list(certificates)
    for name in placeholders(text):
        word, colon, certificate = name.partition(":")
        if word in FINGERPRINTS and colon:
            if certificate not in known:
                yield f"in a fingerprint: {dangling(certificate, known)}"
        elif name not in WORDS:
            near = did_you_mean(word, WORDS + FINGERPRINTS)
            forms = ", ".join(f"{{{each}}}" for each in (*WORDS, *(f"{each}:NAME" for each in FINGERPRINTS)))
            literally = f"{{{{{name}}}}} stands for {{{name}}} itself"
            yield f"{shown(f'{{{name}}}')} is no placeholder.{near} There are {forms}; {literally}"


def placeholders(text: str) -> tuple[str, ...]:
    """The placeholders that occur, each once, in order and without braces: ``lftp``, ``sha1:genuine``."""
    return tuple(dict.fromkeys(match["name"] for match in _PLACEHOLDER.finditer(text) if match["name"]))


def literally(text: str) -> str:
    """A text of which `substitute` makes the text as it is: nothing in it is a placeholder."""
    return _PLACEHOLDER.sub(lambda match: f"{{{match[0]}}}", text)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of placeholders, in one pass: what was put in is not looked at again.

    Args:
        text: Such as ``set ssl:ca-file "{lftp}/mycert.crt"``.
        values: One for each of `placeholders(text)`, by the same names.

    Raises:
        KeyError: A placeholder occurs that has no value.
    """
    return _PLACEHOLDER.sub(lambda match: match["doubled"] or values[match["name"]], text)
