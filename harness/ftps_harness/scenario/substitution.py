"""Placeholders in rc files, texts of `files` and literal commands; all other braces stay.

``{lftp}``, ``{host}``, ``{port}``, ``{user}``, ``{password}``, ``{sha1:NAME}`` and ``{sha256:NAME}``. Any other word in
braces is reported as a mistake; ``{{word}}`` writes ``{word}`` itself. A shell's ``${word}`` and braces around anything
but a word are not changed: lftp's ``{a,b}``, JSON, awk's ``{ print }``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.scenario.problems import dangling, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORDS = ("lftp", "host", "port", "user", "password")
FINGERPRINTS = ("sha1", "sha256")
"""Prefixes of a certificate's name."""

_WORD = r"[A-Za-z][A-Za-z0-9_]*"
_PLACEHOLDER = re.compile(
    rf"\{{(?P<doubled>\{{{_WORD}(?::[^{{}}\n]*)?\}})\}}"
    rf"|(?<!\$)\{{(?P<name>(?:sha1|sha256):(?P<certificate>[^{{}}\n]*)|{_WORD}(?::[^{{}}\s]*)?)\}}"
)


def check(text: str, certificates: Iterable[str]) -> Iterator[str]:
    """Problems of a text's placeholders, a sentence each.

    Args:
        text: Such as an rc.
        certificates: The names of the file's certificates.
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
            literally = f"write {{{{{name}}}}} for the text {{{name}}}"
            yield f"{shown(f'{{{name}}}')} is not a placeholder.{near} Placeholders: {forms}; {literally}"


def placeholders(text: str) -> tuple[str, ...]:
    """The placeholders in a text, each once, in order and without braces: ``lftp``, ``sha1:genuine``."""
    return tuple(dict.fromkeys(match["name"] for match in _PLACEHOLDER.finditer(text) if match["name"]))


def literally(text: str) -> str:
    """Escape a text so that `substitute` returns it unchanged."""
    return _PLACEHOLDER.sub(lambda match: f"{{{match[0]}}}", text)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace placeholders with values, in one pass: inserted values are not scanned again.

    Args:
        text: Such as ``set ssl:ca-file "{lftp}/mycert.crt"``.
        values: One for each of `placeholders(text)`, by the same names.

    Raises:
        KeyError: A placeholder has no value.
    """
    return _PLACEHOLDER.sub(lambda match: match["doubled"] or values[match["name"]], text)
