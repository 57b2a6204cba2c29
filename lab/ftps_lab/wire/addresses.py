"""Where data connections go: the addresses in PORT, EPRT, 227 and 229 (RFC 959, RFC 2428). Pure.

These functions parse a client's arguments as leniently as the genuine server does (pyftpdlib 2.2.0): they understand
every address that it would act on, so an address that they do not understand leads nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Address = tuple[str, int]

_SIX = re.compile(r"(?<!\d)" + r"(\d{1,3})," * 5 + r"(\d{1,3})(?!\d)", re.ASCII)
_EPSV = re.compile(r"\((.)\1\1(\d{1,5})\1\)", re.ASCII)


def of_port(argument: str) -> Address | None:
    """The address that PORT names; None for anything else."""
    return _address(argument.split(","))


def of_eprt(argument: str) -> Address | None:
    """The address that EPRT names, if it belongs to the stated family; None for anything else."""
    parts = argument.split(argument[:1]) if argument else []
    if len(parts) != 5:
        return None
    _, family, host, port, _ = parts
    fits = (family == "1" and of_port(f"{host.replace('.', ',')},0,0")) or (family == "2" and ":" in host)
    numbers = _integers([port])
    return (host, numbers[0]) if fits and numbers and 0 <= numbers[0] <= 65535 else None


def of_227(reply: str) -> Address | None:
    """The address that a 227 names; None for anything else."""
    found = _SIX.search(reply)
    return _address(found.groups()) if found else None


def of_229(reply: str) -> int | None:
    """The port that a 229 names (RFC 2428 section 3); None for anything else."""
    found = _EPSV.search(reply)
    return int(found[2]) if found and int(found[2]) <= 65535 else None


def moved_227(reply: str, address: Address) -> str:
    """The 227 reply with its address replaced."""
    return _SIX.sub(as_port(address), reply, count=1)


def moved_229(reply: str, port: int) -> str:
    """The 229 reply with its port replaced."""
    return _EPSV.sub(f"(|||{port}|)", reply, count=1)


def as_port(address: Address) -> str:
    """The argument of PORT, in the format that a 227 uses too: IPv4 only."""
    host, port = address
    return f"{host.replace('.', ',')},{port >> 8},{port & 255}"


def as_eprt(address: Address) -> str:
    """The argument of EPRT."""
    host, port = address
    return f"|{2 if ':' in host else 1}|{host}|{port}|"


def _address(texts: Sequence[str]) -> Address | None:
    numbers = _integers(texts)
    if numbers is None or len(numbers) != 6 or not all(0 <= number <= 255 for number in numbers[:4]):
        return None
    port = numbers[4] * 256 + numbers[5]
    return (".".join(map(str, numbers[:4])), port) if 0 <= port <= 65535 else None


def _integers(texts: Sequence[str]) -> list[int] | None:
    try:
        return list(map(int, texts))
    except ValueError:
        return None
