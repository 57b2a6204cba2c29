"""The host as typed; only values that may appear in an rc."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import UsageError

if TYPE_CHECKING:
    from typing import Literal

    Protocol = Literal["explicit", "implicit"]

PORTS: Final[dict[str, int]] = {"explicit": 21, "implicit": 990}
"""The default ports of a URL (RFC 4217, and IANA for ``ftps``)."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST: Final = 253
_WITH_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_LOOKS_NUMERIC: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A server.

    Attributes:
        host: A name in lower case, or an address as `ipaddress` writes it.
        port: The port on which it listens.
        protocol: ``explicit`` or ``implicit``.
    """

    host: str
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether it is an address, not a name."""
        return ":" in self.host or self.host.replace(".", "").isdigit()

    @property
    def typed(self) -> str:
        """The host as a person types it: without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = " --implicit" if self.protocol == "implicit" and self.port != PORTS["implicit"] else ""
        return (host if self.port == PORTS["explicit"] else str(self)) + options


def parse(text: str, *, implicit: bool = False, given: int | None = None) -> Target:
    """Parse ``HOST``, ``HOST:PORT``, or ``[::1]:PORT``; if the port is given separately, IPv6 needs no brackets.

    Args:
        text: The host as typed.
        implicit: The server speaks implicit FTPS; on port 990, `fetch` detects this.
        given: The port, if given separately.

    Raises:
        UsageError: It has none of these forms.
    """
    host, port = text, None
    if _is_ipv6(text):
        if given is None:  # `::1:21` is also an address
            raise UsageError(f"{text}: write an IPv6 address in brackets: [{text}] or [{text}]:21")
    else:
        match = _WITH_PORT.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r}: not HOST or HOST:PORT; write an IPv6 address in brackets: [::1]:21")
        host, port = match["host"], match["port"]
        if host.startswith("["):
            host = host[1:-1]
            if not _is_ipv6(host):
                raise UsageError(f"{text!r}: only an IPv6 address may be in brackets, and without a zone")
    if port is not None and given is not None:
        raise UsageError(f"{text}: the port is given twice; leave it out here or drop --port")
    number = given if port is None else _port(port, text)
    protocol: Protocol = "implicit" if implicit else "explicit"
    return Target(_host(host, text), number or PORTS[protocol], protocol)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6 and "%" not in text
    except ValueError:
        return False


def _host(host: str, text: str) -> str:
    if _is_ipv6(host):
        return str(ipaddress.ip_address(host))
    lower = host.lower()
    labels = lower.split(".")
    if not lower.isascii():
        raise UsageError(f"host {text!r}: write a name with non-ASCII characters in its ASCII form (xn--…)")
    if len(lower) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        raise UsageError(
            f"host {text!r}: a name consists of labels of letters, digits, - and _, with single dots between them "
            f"and none at the end"
        )
    if _LOOKS_NUMERIC.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(lower))
        except ValueError:
            raise UsageError(f"host {text!r}: not an IPv4 address (four numbers from 0 to 255)") from None
    return lower


def _port(port: str, text: str) -> int:
    if _NUMBER.fullmatch(port) and 1 <= int(port) <= 65535:
        return int(port)
    raise UsageError(f"{text!r}: the port must be a number from 1 to 65535")
