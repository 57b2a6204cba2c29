"""Masks passwords in printed text: in command lines, lines of files and lftp's messages, … replaces them. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ftps_harness.verify.findings import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.judge import Tried

MASK: Final = "…"

_SHORTEST: Final = 4
"""Minimum length of a password that is masked everywhere; a shorter one would match in the middle of words."""

_WORD: Final = r"""(?:"[^"]*"|'[^']*'|\\.|[^\s;"'\\])+"""
"""A word, as a shell or lftp parses it."""

_LOGIN: Final = re.compile(rf"((?:^|[\s;])(?:-u|--user)(?:[ \t]+|=)?)({_WORD})")
"""lftp's and curl's option for the user, which may include a password (lftp's manual, `open`)."""

_URL: Final = re.compile(r"(\w+://[^\s/:@\"']*:)[^\s/]*@")
_OPTION: Final = re.compile(rf"(--password(?:[ \t]+|=)){_WORD}")
_VARIABLE: Final = re.compile(rf"(\b\w*PASS(?:WORD|WD)?=)(?!\$){_WORD}", re.IGNORECASE)

_WITH_PASSWORD: Final = frozenset({"-u", "--user"})


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """Mask the passwords in a text.

    Args:
        text: A command line, a line of an rc or script, or lftp's message.
        secrets: Known passwords; others are recognized by the text before them.
    """
    for secret in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _LOGIN.sub(lambda match: match[1] + _login(match[2]), text)
    text = _URL.sub(rf"\1{MASK}@", text)
    for pattern in (_OPTION, _VARIABLE):
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def masked_command(argv: Sequence[str]) -> str:
    """A command line in shell syntax, with its passwords masked."""
    return shlex.join(_masked_words(argv))


def masked_finding(found: Finding, secrets: Collection[str]) -> Finding:
    """Mask the passwords in a finding; the fixed texts of its kind stay unchanged."""
    title = KINDS[found.id].title
    head, detail = (title, found.title[len(title) :]) if found.title.startswith(title) else ("", found.title)
    where = found.where and replace(found.where, text=masked(found.where.text, secrets))
    proof = found.proof and replace(found.proof, again=masked(found.proof.again, secrets))
    return replace(found, title=head + masked(detail, secrets), where=where, proof=proof)


def masked_tried(tried: Tried, secrets: Collection[str]) -> Tried:
    """Mask the passwords in a trial's recording: in lftp's message, and wherever a client sent them."""
    if tried.recording is None:
        return tried
    message = masked(tried.recording.message, secrets)
    return replace(tried, recording=replace(tried.recording, message=message, secrets=_forms(secrets)))


def _masked_words(argv: Sequence[str]) -> Iterator[str]:
    before = ""
    for word in argv:
        if before in _WITH_PASSWORD:
            yield _login(word)
        elif before == "--password":
            yield MASK
        else:
            yield masked(word)
        before = word


def _login(word: str) -> str:
    """Mask the password after the user and a comma (lftp) or a colon (curl); a variable is not a password."""
    user, separator, password = word.partition("," if "," in word else ":")
    if not password or re.fullmatch(r"\$\w+[\"']?|\$\{\w+\}[\"']?", password):
        return word
    end = password[-1] if password[-1] in "\"'" and user[:1] == password[-1] else ""
    return f"{user}{separator}{MASK}{end}"


def _forms(secrets: Collection[str]) -> set[str]:
    """Each password as it is, and as written in a URL, a shell or lftp's quotes."""
    known = [secret for secret in secrets if len(secret) >= _SHORTEST]
    forms = {form for secret in known for form in (secret, quote(secret), quote(secret, safe=""))}
    forms |= {secret.replace("'", "'\"'\"'") for secret in known}
    return forms | {secret.replace("\\", "\\\\").replace('"', '\\"') for secret in known}
