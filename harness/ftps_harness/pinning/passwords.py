"""What in the arguments of a program is a password or a private key: every user of the machine sees them (ps). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_BEGIN: Final = r"(?:^|[\0\s\"'=])"
_END: Final = r"[^\0\s\"',;]"
_NOBODY: Final = r"(?!anonymous[,:]|ftp[,:])"
"""Logins that have no secret (RFC 1635): what they send besides is an address, if anything."""


@dataclass(frozen=True, slots=True)
class Sought:
    """One way to give a program a secret.

    Attributes:
        what: What is there, as the end of "… among the arguments".
        pattern: A regular expression for all arguments in a row, a NUL between two of them. A shell's ``-c`` holds a
            command in one argument, so blanks and quotes part words too.
    """

    what: str
    pattern: str


SOUGHT: Final = (
    Sought("a password of openssl's (pass:…)", rf"{_BEGIN}-pass(?:in|out)?[\0\s=]+[\"']?pass:{_END}"),
    Sought("a password of openssl's (-k)", rf"openssl[\0\s]+enc[\0\s](?:.*[\0\s])?-k[\0\s]+{_END}"),
    Sought(
        "a login with its password (-u, --user)", rf"{_BEGIN}(?:-u|--user)[\0\s=]*[\"']?{_NOBODY}[\w.@\\-]+[,:]{_END}"
    ),
    Sought("a password as an option", rf"{_BEGIN}--(?:\w+-)?pass(?:word|wd|phrase)?[\0\s=]+[\"']?(?!-){_END}"),
    Sought("a URL with a password", rf"://{_NOBODY}[^\s\0/:@\"']+:[^\s\0/@\"']+@"),
    Sought("a password of sshpass's", rf"sshpass[\0\s]+-p[\0\s]*{_END}"),
    Sought("a private key", r"PRIVATE KEY-----"),
)
"""Each way that is looked for; first come, first told."""


def expressions(*secrets: str) -> tuple[str, ...]:
    """What the kernel is to look for: what must not be there whatever it is for, then `SOUGHT`."""
    return (*map(re.escape, secrets), *(each.pattern for each in SOUGHT))


def named(index: int, *secrets: str) -> str:
    """What an expression of `expressions` finds."""
    return "the password that is in HOME" if index < len(secrets) else SOUGHT[index - len(secrets)].what
