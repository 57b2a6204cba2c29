"""Checks from lftp's answer that a pin protects: no setting switches verification off, for this host or any other.

A value for one host or pattern (a closure) overrides the value for all. If several closures match, it is unknown which
one wins, so every matching one must be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.tool import block, places
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ftps_harness.pinning.tool.asking import Settings
    from ftps_harness.pinning.tool.places import Places
    from ftps_harness.pinning.tool.target import Target

VERIFY: Final = "ssl:verify-certificate"
CA_FILE: Final = "ssl:ca-file"
_NAME: Final = "ssl:check-hostname"

_NO: Final = re.compile(r"[nNfF0-]|[oO][fF]")
"""How lftp recognizes a boolean that is off: by its first characters (docs/lftp.md, "The rc")."""
_SHA1: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){19}")
"""A closure that names a certificate; in any other spelling it does not name one (docs/hardening.md)."""

_ON: Final = ("ftp:ssl-allow", "ftp:ssl-protect-list", *block.PROTECTED)
"""Settings that explicit FTPS needs besides the pin."""

NAMES: Final = (
    *(VERIFY, CA_FILE, _NAME, *_ON),
    *("ftp:proxy", "ftps:initial-prot", "ftp:sync-mode", "ftp:skey-allow"),
)
"""All settings to check."""


@dataclass(frozen=True, slots=True)
class Opposing:
    """One setting that undoes a pin.

    Attributes:
        name: The setting's name.
        closure: The closure; empty for all.
        value: The setting's value.
        why: Its effect.
    """

    name: str
    closure: str
    value: str
    why: str

    @property
    def words(self) -> str:
        """The setting as lftp writes it, with its effect; safe to print."""
        whom = f"/{self.closure}" if self.closure else ""
        return harmless(f"{self.name}{whom} is {self.value or 'empty'}: {self.why}")


def opposing(settings: Settings, targets: Iterable[Target], ca_file: str) -> list[Opposing]:
    """The settings that undo the pins of some hosts.

    Args:
        settings: lftp's answer.
        targets: The pinned hosts.
        ca_file: The file of pins that lftp must use; empty for none.
    """
    found = [
        Opposing(VERIFY, closure, value, "any server that answers gets the password")
        for closure, value in settings.get(VERIFY, {}).items()
        if _NO.match(value) and not _SHA1.fullmatch(closure)
    ]
    in_force = settings.get(CA_FILE, {}).get("", "")
    if ca_file and in_force != ca_file:
        found.append(Opposing(CA_FILE, "", in_force, "lftp does not use the pins"))
    for target in sorted(targets):
        found += [each for each in _of(settings, target) if each not in found]
    return found


def _of(settings: Settings, target: Target) -> Iterator[Opposing]:
    host = target.host
    yield from _off(settings, _NAME, host, "lftp accepts the certificate of any other pinned host")
    if target.protocol == "explicit":
        for name in _ON:
            yield from _off(
                settings, name, host, "lftp continues without TLS if the server, or an attacker on the path, refuses it"
            )
        without_waiting = list(_off(settings, "ftp:sync-mode", host, ""))
        if without_waiting and list(_off(settings, "ftp:skey-allow", host, "")):
            value = without_waiting[0].value
            yield Opposing(
                "ftp:sync-mode",
                without_waiting[0].closure,
                value,
                "lftp sends the password before it checks the certificate",
            )
    else:
        for closure, value in _matching(settings.get("ftps:initial-prot", {}), host):
            if value.upper().startswith("P"):
                yield Opposing(
                    "ftps:initial-prot", closure, value, "lftp sends no PROT P, so listings may arrive in clear"
                )
    for closure, value in _matching(settings.get("ftp:proxy", {}), host):
        if value:
            yield Opposing("ftp:proxy", closure, "set", "the password goes to a proxy, in clear")


def _off(settings: Settings, name: str, host: str, why: str) -> Iterator[Opposing]:
    values = settings.get(name, {})
    covered = any(_covers(closure, host) for closure in values)
    # The value for all counts only if no closure covers the host, spelled as it is pinned.
    for closure, value in _matching(values, host):
        if _NO.match(value) and (closure or not covered):
            yield Opposing(name, closure, value, why)


def _matching(values: Mapping[str, str], host: str) -> Iterator[tuple[str, str]]:
    """The value for all, and those of closures that cover the host in some spelling: a user may type capitals."""
    for closure, value in values.items():
        if not closure or _covers(closure.lower(), host):
            yield closure, value


def _covers(closure: str, host: str) -> bool:
    """Whether a closure applies to a host (docs/lftp.md, "Closures"); ``*.example`` also does to ``example`` itself."""
    return fnmatchcase(host, closure) or closure == f"*.{host}"


def where(found: Opposing, places_: Places) -> str:
    """The line that probably sets it, as `FILE, line N`; empty if none of the files that lftp always reads has one."""
    last = ""
    for path in (places.SYSTEM_RC, places_.first_rc, places_.rc):
        try:
            lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            if any(_sets(match[1], found) for match in _SET.finditer(line)):
                last = f"{places_.shown(path)}, line {number}"
    return last


_SET: Final = re.compile(r"(?:^|[;\s])set\s+([^\s;]+)", re.IGNORECASE)


def _sets(word: str, found: Opposing) -> bool:
    """Whether a word after ``set`` names the setting; it may be abbreviated, also without prefix (docs/lftp.md)."""
    name, _, closure = word.strip("\"'").partition("/")
    name = name.replace("_", "-")
    prefix, _, rest = found.name.partition(":")
    if closure.lower() != found.closure.lower():
        return False
    if ":" in name:
        return prefix.startswith(name.partition(":")[0]) and rest.startswith(name.partition(":")[2])
    return rest.startswith(name)
