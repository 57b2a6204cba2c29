"""Finds passwords and private keys in a program's arguments, which every user of the machine can see (ps). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_BEGIN: Final = r"(?:^|[\0\s\"'=])"
_END: Final = r"[^\0\s\"',;]"
_NOBODY: Final = r"(?!anonymous[,:]|ftp[,:])"
"""Logins without a secret (RFC 1635): they send an e-mail address as the password, if anything."""


@dataclass(frozen=True, slots=True)
class Sought:
    """One way to pass a secret to a program.

    Attributes:
        what: The kind of secret, as messages name it.
        pattern: A regular expression for all arguments, joined by NUL. A shell's ``-c`` takes a command in one
            argument, so blanks and quotes separate words too.
    """

    what: str
    pattern: str


SOUGHT: Final = (
    Sought("an openssl password (pass:…)", rf"{_BEGIN}-pass(?:in|out)?[\0\s=]+[\"']?pass:{_END}"),
    Sought("an openssl password (-k)", rf"openssl[\0\s]+enc[\0\s](?:.*[\0\s])?-k[\0\s]+{_END}"),
    Sought(
        "a login with its password (-u, --user)", rf"{_BEGIN}(?:-u|--user)[\0\s=]*[\"']?{_NOBODY}[\w.@\\-]+[,:]{_END}"
    ),
    Sought("a password as an option", rf"{_BEGIN}--(?:\w+-)?pass(?:word|wd|phrase)?[\0\s=]+[\"']?(?!-){_END}"),
    Sought("a URL with a password", rf"://{_NOBODY}[^\s\0/:@\"']+:[^\s\0/@\"']+@"),
    Sought("an sshpass password", rf"sshpass[\0\s]+-p[\0\s]*{_END}"),
    Sought("a private key", r"PRIVATE KEY-----"),
)
"""The ways to look for; the first match is reported."""


def expressions(*secrets: str) -> tuple[str, ...]:
    """The expressions for the kernel to look for: first those that must not appear for any reason, then `SOUGHT`."""
    return (*map(re.escape, secrets), *(each.pattern for each in SOUGHT))


def named(index: int, *secrets: str) -> str:
    """The name of what an expression of `expressions` finds."""
    return "the password that is in HOME" if index < len(secrets) else SOUGHT[index - len(secrets)].what
