"""The patterns of single values, shared by the checks and the JSON Schema; and relative times in seconds.

The checks use `fullmatch`, because `$` alone would allow a final line end; JSON Schema has only `$`.
"""

from __future__ import annotations

import re

CERTIFICATE_NAME = re.compile(r"^[A-Za-z0-9_-]+$")
"""Simple words: names appear in `cert:NAME + …` and in `{sha1:NAME}`, where blanks and braces would be lost."""

CLAIM = re.compile(r"^[a-z0-9-]+$")

FILE_NAME = re.compile(r"^(cwd/)?(?!\.{1,2}$)[^/\x00-\x1f\x7f]+$")
"""At most one folder, and no way out of it."""

RELATIVE = re.compile(r"^[+-][0-9]{1,9}[smhd]$")

LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DNS_NAME = re.compile(rf"^(?=.{{1,253}}$)({LABEL}\.)*{LABEL}$")
"""Letters, digits, hyphens (RFC 1123 section 2.1), and underscores, which are common and which lftp resolves."""

IPV4 = re.compile(r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}$")

LOCALE = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z]+)?(?:\.[A-Za-z0-9-]+)?(?:@[A-Za-z]+)?")
"""A locale's name, such as ``de_DE.ISO-8859-1``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

EARLIEST, LATEST = -25_000 * 86400, 365_000 * 86400
"""Limits of a relative time in seconds from now: about 1958 to 3000."""


def relative_seconds(text: str) -> int:
    """A relative time such as ``+366d`` or ``-90m`` in seconds.

    Args:
        text: It must match `RELATIVE`.
    """
    return int(text[:-1]) * _SECONDS[text[-1]]


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    if ":" not in text:
        return IPV4.fullmatch(text) is not None
    import ipaddress  # few files name an IPv6 address, and `list` must be fast

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def is_host(text: str) -> bool:
    """Whether the text is a DNS name or an IP address; text that ends in a number can only be an address.

    A name may end in the root's dot (RFC 1034 section 3.1).
    """
    if is_ip(text):
        return True
    name = text.removesuffix(".")
    return DNS_NAME.fullmatch(name) is not None and not name.rpartition(".")[2].isdigit()


def login_fault(text: str) -> str | None:
    """Why a text cannot be a user name or password; None if it can: lftp can carry everything else."""
    if not text:
        return "is empty; omit it, and the lab makes a secret one for the run"
    if any(letter in text for letter in "\r\n\0"):
        return "contains a line end or NUL, which no FTP command can carry"
    return None


def has_control_characters(text: str) -> bool:
    """Whether the text has characters that would end a line or control a terminal (C0, DEL, C1, U+2028, U+2029)."""
    return _CONTROL.search(text) is not None
